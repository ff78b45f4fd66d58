"""Names of what is being stored, on servers where a name shows a content before it is complete."""

from __future__ import annotations

import secrets

from storage.names import split_name


def draft_beside(path: str) -> str:
    """A name that nobody has, in the same directory."""
    directory = split_name(path)[0]
    draft = f".storage-{secrets.token_hex(8)}.draft"
    return f"{directory}/{draft}" if directory or path.startswith("/") else draft


def is_draft(name: str) -> bool:
    """Whether a name is that of something being stored, or left behind by what was cut off in that."""
    return name.startswith(".storage-") and name.endswith(".draft")
