"""The memory of the cache: how many bytes it may hold, and which of them go first.

What was used least recently goes first, but what was fetched ahead and is still to be read stays: it is older than what
was read just now, and would be fetched twice. So that half of the budget is not held for readers who have turned away,
it may go when nobody has come for `PATIENCE` seconds.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from vfs.watch.metrics import Hits

if TYPE_CHECKING:
    from vfs.cache.content import Content

PATIENCE = 5.0
"""Seconds for which what was fetched ahead is kept for its reader, whatever others need."""


class Piece:
    """A run of bytes of a content, which is in memory or on its way there."""

    __slots__ = ("content", "data", "end", "is_ahead", "ready", "start")

    def __init__(self, content: Content, start: int, end: int, *, is_ahead: bool) -> None:
        """On its way; `is_ahead` says that nobody has asked for it yet."""
        self.content = content
        self.start = start
        self.end = end
        self.is_ahead = is_ahead
        self.data: bytes | bytearray | None = None
        self.ready = threading.Event()
        """Set when it has come, or failed to: then it has no data."""

    @property
    def size(self) -> int:
        """Its length in bytes."""
        return self.end - self.start


class Memory:
    """A budget of bytes, and the pieces that it is spent on.

    All methods are called with `lock` held.
    """

    def __init__(self, budget: int) -> None:
        """Up to `budget` bytes."""
        self.budget = budget
        self.used = 0
        self.hits = Hits()
        """Whether what readers asked for was here, or on its way."""
        self.lock = threading.Lock()
        self._freed = threading.Condition(self.lock)
        self._ahead = 0
        self._read: OrderedDict[Piece, None] = OrderedDict()
        """What is here and was asked for, that which was used last at the end."""
        self._unread: OrderedDict[Piece, float] = OrderedDict()
        """What is here and was not, with the time (time.monotonic) when it came, in that order."""

    def take(self, size: int) -> bool:
        """Room for so many bytes; False if it had to be waited for, and things may have changed since."""
        if self._make_room(size) or self._make_room(size, of_unread=True):
            self.used += size
            return True
        self._freed.wait()
        return False

    def take_ahead(self, size: int) -> bool:
        """Whether there is room for so many bytes that nobody has asked for; they are taken then."""
        while self._ahead + size > self.budget // 2 and self._drop_forgotten():
            pass
        if self._ahead + size > self.budget // 2 or not self._make_room(size):
            return False
        self.used += size
        self._ahead += size
        return True

    def resize(self, budget: int) -> None:
        """Up to `budget` bytes from now on; what was read goes at once where that is less, what was not in its time."""
        self.budget = budget
        self._make_room(0)
        self._freed.notify_all()

    def arrived(self, piece: Piece) -> None:
        """What room was taken for is here."""
        if piece.is_ahead:
            self._unread[piece] = time.monotonic()
        else:
            self._read[piece] = None
        self._freed.notify_all()

    def lost(self, piece: Piece) -> None:
        """A piece is not there any more, or did not come: its room is free."""
        self.demanded(piece)
        self._read.pop(piece, None)
        self.used -= piece.size
        self._freed.notify_all()

    def touch(self, piece: Piece, until: int) -> None:
        """A piece is used, up to there; what was fetched ahead is kept for its reader until it is read to its end."""
        if until >= piece.end:
            self.demanded(piece)
        if piece in self._read:
            self._read.move_to_end(piece)
        elif piece in self._unread:
            self._unread[piece] = time.monotonic()
            self._unread.move_to_end(piece)

    def demanded(self, piece: Piece) -> None:
        """A piece is no longer one that is kept for its reader."""
        if piece.is_ahead:
            piece.is_ahead = False
            self._ahead -= piece.size
            if self._unread.pop(piece, None) is not None:
                self._read[piece] = None

    def _make_room(self, size: int, *, of_unread: bool = False) -> bool:
        while self.used + size > self.budget:
            pieces = self._unread if of_unread else self._read
            if not pieces:
                return False
            self._drop(next(iter(pieces)))
        return True

    def _drop_forgotten(self) -> bool:
        """Drop the piece that has waited for its reader for longest, if that is too long; whether it was."""
        for piece, since in self._unread.items():
            if time.monotonic() - since > PATIENCE:
                self._drop(piece)
                return True
            break
        return False

    def _drop(self, piece: Piece) -> None:
        self.lost(piece)
        piece.content.drop(piece)
