"""One thing that was looked at, and the words for errors, in which no secret is."""

from __future__ import annotations

import enum
from typing import Any, NamedTuple

from storage.remote.secrets import secrets_of, without_secrets

_LONGEST = 500
_HIDDEN = "..."


class Status(enum.StrEnum):
    """How it is."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


class Check(NamedTuple):
    """What came of looking at one thing."""

    name: str
    status: Status
    message: str
    """How it is, in one sentence."""
    advice: str = ""
    """What to do next, where anything is to be done."""


def ok(name: str, message: str, advice: str = "") -> Check:
    """All is well."""
    return Check(name, Status.OK, message, advice)


def warning(name: str, message: str, advice: str = "") -> Check:
    """It works, but not as well as it could, or not always."""
    return Check(name, Status.WARNING, message, advice)


def failure(name: str, message: str, advice: str = "") -> Check:
    """It does not work."""
    return Check(name, Status.FAILURE, message, advice)


class WrongError(Exception):
    """An operation has ended without an error, and has not done what it is to do; the message is a sentence."""


class Words:
    """What errors say, in one line and without the secrets of a storage's options and of the environment."""

    def __init__(self, options: Any = None) -> None:
        """For a storage with these OPTIONS."""
        self._secrets = secrets_of(options)

    def of(self, error: BaseException) -> str:
        """The message of an exception, with its notes."""
        text = str(error)
        if isinstance(error, OSError) and error.strerror:
            text = error.strerror if not error.filename else f"{error.strerror} ({str(error.filename)!r})"
        elif not isinstance(error, OSError | NotImplementedError) and not _is_a_sentence(error):
            text = f"{type(error).__name__}: {text}" if text else type(error).__name__
        return self.clean("; ".join([text or type(error).__name__, *getattr(error, "__notes__", ())]))

    def clean(self, text: str) -> str:
        """The text in one line, with each secret taken out."""
        line = " ".join(without_secrets(text, self._secrets).split())
        return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}{_HIDDEN}"


def _is_a_sentence(error: BaseException) -> bool:
    from storage.exceptions import ImproperlyConfigured, SuspiciousOperation

    return isinstance(error, ImproperlyConfigured | SuspiciousOperation | WrongError) and bool(str(error))
