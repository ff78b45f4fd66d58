"""Names of what is being stored, where a name shows a content before it is complete.

The pattern is fixed, so that listings can leave such names out, callers be refused them, and what was left behind be
removed: a user's file can have none of them.
"""

from __future__ import annotations

import re
import secrets

from storage.exceptions import SuspiciousFileOperation
from storage.names import split_name

_DRAFT = re.compile(r"\.storage-[0-9a-f]{16}\.draft\Z")


def new_draft() -> str:
    """A last component that nobody has."""
    return f".storage-{secrets.token_hex(8)}.draft"


def draft_beside(path: str) -> str:
    """A name that nobody has, in the same directory."""
    return path.removesuffix(split_name(path)[1]) + new_draft()


def is_draft(name: str) -> bool:
    """Whether a component is that of something being stored, or left behind by what was cut off in that."""
    return name.startswith(".storage-") and _DRAFT.match(name) is not None


def refuse_drafts(name: str) -> None:
    """SuspiciousFileOperation for a name that has such a component."""
    if ".storage-" in name and any(map(is_draft, name.split("/"))):
        raise SuspiciousFileOperation(f"{name!r} is a name that is kept for files while they are being saved")
