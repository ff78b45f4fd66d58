"""Texts that somebody may see, and the secrets that are not to be in them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_SECRETS_IN_TEXT = re.compile(
    r"(?P<before>\b(?:X-Amz-(?:Signature|Credential|Security-Token)|X-Goog-(?:Signature|Credential)|Signature|sig"
    r"|access_token|token|password)=)[^&\s\"']+"
    r"|(?<=://)(?:[^/@:\[\s\"']*:(?!\d*(?:[/?#\s\"']|$))[^\s\"']*|[^/\s\"']+)(?=@)",
    re.IGNORECASE,
)
"""Of an address, what is before its last "@" unless a port is before that: a password may have "@" and "/" in it."""
_SECRET = re.compile(
    r"secret|passw|passphrase|pwd|token|credential|connection_?string|delegation|authorization"
    r"|(access|account|api|private)_?key|(^|[_-])(keys?|sas|auth|pass)([_-]|$)",
    re.IGNORECASE,
)
"""Of an option by its name, whosever it is."""
_IN_ENVIRONMENT = re.compile(r"SECRET|PASSW|TOKEN|ACCESS_KEY|ACCOUNT_KEY|CONNECTION_STRING")
_LEAST = 8
"""Characters of a value of the environment that is taken for a secret."""
_HIDDEN = "..."


def without_secrets(text: str, secrets: Iterable[str] = ()) -> str:
    """The text with each secret, signature of an address, and password in one, taken out."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, _HIDDEN)
    if "=" not in text and "@" not in text:  # as what is said of an object that is missing, which is said often
        return text
    return _SECRETS_IN_TEXT.sub(lambda match: f"{match['before'] or ''}{_HIDDEN}", text)


def secrets_of(options: Any) -> frozenset[str]:
    """The values that only open the door, of a storage's OPTIONS, however deep in them, and of the environment."""
    named = (value for name, value in os.environ.items() if _IN_ENVIRONMENT.search(name))
    return secrets_in(options) | frozenset(value for value in named if len(value) >= _LEAST)


def secrets_in(options: Any) -> frozenset[str]:
    """The values that only open the door, of a storage's OPTIONS, however deep in them; bytes as they are shown."""
    return frozenset(_within(options))


def _within(options: Any, name: str = "") -> Iterator[str]:
    if isinstance(options, Mapping):
        for key, value in options.items():
            yield from _within(value, str(key) if not _SECRET.search(name) else name)
    elif isinstance(options, list | tuple):
        for value in options:
            yield from _within(value, name)
    elif options and isinstance(options, str | bytes) and _SECRET.search(name):
        yield options if isinstance(options, str) else options.decode(errors="backslashreplace")
