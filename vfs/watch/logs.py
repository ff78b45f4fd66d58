"""The log of a daemon: lines of text, or of JSON for programs, and what comes into it; both may change while it runs.

What is said in detail is what `vfs` and `storage` say. Other libraries are never asked for more than information: what
they say of their requests when they are debugged has the secrets of those. And whoever wrote a line, the secrets of the
storage's OPTIONS and of the environment are taken out, and the signatures of addresses and the passwords in them.
"""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from storage.remote.secrets import without_secrets
from vfs.mounts.options import LOG_FORMATS, LOG_LEVELS, TEXT

_LEAST = 4
"""Characters of a secret: to take out less would leave nothing to read, and hide nothing."""
_OURS = ("vfs", "storage")
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

logger = logging.getLogger("vfs")


class TextFormatter(logging.Formatter):
    """A line for each record, and the traceback of an error below."""

    def __init__(self, secrets: Iterable[str]) -> None:
        """With time, level, and who says it, and without the `secrets`."""
        super().__init__(_FORMAT)
        self._secrets = frozenset(secrets)

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return without_secrets(super().format(record), self._secrets)


class JSONFormatter(logging.Formatter):
    """An object on a line for each record: time (ISO 8601, UTC), level, logger, message, exception, and `about`."""

    def __init__(self, secrets: Iterable[str], about: Mapping[str, str]) -> None:
        """`about` is in each, none of the `secrets` in what it says."""
        super().__init__()
        self._secrets = frozenset(secrets)
        self._about = about

    def format(self, record: logging.LogRecord) -> str:
        """The line, in ASCII; what is no UTF-8 of a name is U+FFFD."""
        said = {"message": record.getMessage()}
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            **{key: without_secrets(words, self._secrets) for key, words in said.items()},
            **self._about,
        }
        return json.dumps({key: _text(value) for key, value in line.items()})


class Log:
    """What this process logs to."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._handler: logging.Handler = logging.NullHandler()
        self._secrets: list[str] = []
        self._about: dict[str, str] = {}
        self._level, self._form = "info", TEXT

    def begin(
        self,
        handler: logging.Handler,
        form: str = TEXT,
        level: str = "info",
        *,
        secrets: Iterable[str] = (),
        replaces: bool = True,
        **about: str,
    ) -> None:
        """Log to `handler`, in place of all others if it `replaces` them, else only where there is no other.

        `form` is one of `LOG_FORMATS`, `level` of `LOG_LEVELS`; `about` is in each line of JSON, and the `secrets` in
        none of any form.
        """
        self._handler, self._about = handler, about
        self._secrets = [secret for secret in secrets if len(secret) >= _LEAST]
        logging.basicConfig(handlers=[handler], force=replaces)
        self._take(level, form)

    def change(self, level: str | None = None, form: str | None = None) -> dict[str, str]:
        """Take another level of `LOG_LEVELS`, or form, from now on; returns which they are. OSError (EINVAL)."""
        if level is not None or form is not None:
            self._take(level or self._level, form or self._form)
            logger.info("logged from now on: %s and above, as %s", self._level, self._form)
        return {"level": self._level, "form": self._form}

    def _take(self, level: str, form: str) -> None:
        if level not in LOG_LEVELS or form not in LOG_FORMATS:
            raise OSError(errno.EINVAL, f"no such level or format: {level!r}, {form!r}")
        self._level, self._form = level, form
        number = logging.getLevelNamesMapping()[level.upper()]
        logging.getLogger().setLevel(max(number, logging.INFO))
        for name in _OURS:
            logging.getLogger(name).setLevel(number)
        self._handler.setFormatter(
            TextFormatter(self._secrets) if form == TEXT else JSONFormatter(self._secrets, self._about)
        )


LOG = Log()
"""That of this process, which has one, as it has one tree of loggers."""


def _text(text: str) -> str:
    return os.fsencode(text).decode(errors="replace")
