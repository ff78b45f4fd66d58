"""Objects whose attributes were asked for, and need not be again as long as listings show them as they were.

A listing shows an object's version, its size and the second in which it was stored. Attributes may change while the
version stays (S3's is a sum of the content), so the second has to be the same as well; and whoever was asked within
that second may have changed them since. What was seen is therefore believed only if the service was asked when that
second was over by the service's own clock, which is at least as late as anything that it has shown to be stored.
"""

from __future__ import annotations

import threading
import time
from typing import TypeVar

from storage.entry import Entry

_Value = TypeVar("_Value")
_REMEMBERED = 50_000
_SECOND = 10**9
_MARGIN = 2 * _SECOND
"""Nanoseconds after the beginning of a second until it is over, on all machines of a service."""
_MOST_SKEW = 3600 * _SECOND
"""Nanoseconds that this machine's clock may be ahead: services refuse the signatures of one that is minutes off."""


class Seen:
    """What was told of objects, by name; those of the longest ago are forgotten."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._entries: dict[str, tuple[Entry, int]] = {}
        """Each with the moment (time.monotonic_ns) at which it was asked for."""
        self._directories: dict[str, None] = {}
        self._ahead = time.time_ns() - _MOST_SKEW - time.monotonic_ns()
        """How far the service's clock is ahead of time.monotonic_ns(), at least."""
        self._guard = threading.Lock()

    def learn(self, name: str, entry: Entry, asked: int) -> None:
        """The service has told this of an object, whose `ctime_ns` is when it was stored; it was `asked` then."""
        self._hear(entry)
        with self._guard:
            _put(self._entries, name, (entry, asked))

    def unchanged(self, name: str, listed: Entry) -> Entry | None:
        """What was told of an object, if a listing that shows it as `listed` says that this still holds."""
        self._hear(listed)
        entry, asked = self._entries.get(name, (None, 0))
        if entry is None or listed.ctime_ns is None or listed.version is None:
            return None
        is_same = (entry.version, entry.size, entry.ctime_ns) == (listed.version, listed.size, listed.ctime_ns)
        return entry if is_same and asked + self._ahead >= listed.ctime_ns + _MARGIN else None

    def learn_directory(self, name: str) -> None:
        """A listing has shown a directory."""
        with self._guard:
            _put(self._directories, name, None)

    def was_directory(self, name: str) -> bool:
        """Whether that is what a name was when it was listed last, or made."""
        return name in self._directories

    def _hear(self, entry: Entry) -> None:
        """The service shows something that is stored."""
        if entry.ctime_ns is not None:
            self._ahead = max(self._ahead, entry.ctime_ns - time.monotonic_ns())


def _put(table: dict[str, _Value], name: str, value: _Value) -> None:
    """Remember it as what was seen last, and forget what was the longest ago if there is too much."""
    table.pop(name, None)
    table[name] = value
    if len(table) > _REMEMBERED:
        del table[next(iter(table))]
