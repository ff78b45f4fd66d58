"""What backends answer to `listdir()`, brought to one form; and their times, as nanoseconds."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

_logger = logging.getLogger(__name__)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOT_NAMES = frozenset({"", ".", ".."})


def components(path: str, directories: Iterable[str], files: Iterable[str]) -> tuple[list[str], list[str]]:
    """The last components of a listing of `path`: each once, a directory before a file of the same name.

    Backends differ: directories come with a '/' at the end, names come in full from the root or from far below, and
    object stores list the marker of the directory itself. What cannot be named is left out with a line in the log.
    """
    found_directories: dict[str, None] = {}
    found_files: dict[str, None] = {}
    for name in directories:
        first = _relative(path, name).partition("/")[0]
        _add(found_directories, first, path, name)
    for name in files:
        first, slash, _ = _relative(path, name).partition("/")
        _add(found_directories if slash else found_files, first, path, name)
    hidden = found_files.keys() & found_directories.keys()
    for name in hidden:
        _logger.warning("The file %r in %r is hidden by a directory of the same name", name, path)
    return list(found_directories), [name for name in found_files if name not in hidden]


def _relative(path: str, name: str) -> str:
    """The name as seen from `path`; "" for the marker of `path` itself."""
    if not path or "/" not in name:
        return name
    return name.removeprefix("/").removeprefix(f"{path}/")


def _add(found: dict[str, None], component: str, path: str, name: str) -> None:
    if component in _NOT_NAMES or "\0" in component:
        if name not in ("", f"{path}/"):
            _logger.warning("%r in the listing of %r cannot be named as a file, and is left out", name, path)
        return
    found[component] = None


def nanoseconds(moment: datetime) -> int:
    """Nanoseconds since the epoch of an aware time, or of a naive one in the local zone."""
    return (moment.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1) * 1000
