"""Pieces: runs of bytes that do not overlap, in order."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from vfs.content.gaps import Range


class Run(Protocol):
    """What begins and ends somewhere; the byte at `end` does not belong to it."""

    @property
    def start(self) -> int: ...  # noqa: D102
    @property
    def end(self) -> int: ...  # noqa: D102


R = TypeVar("R", bound=Run)


class Pieces(Generic[R]):
    """The pieces of one content that are known."""

    __slots__ = ("_pieces", "_starts")

    def __init__(self) -> None:
        """None."""
        self._starts: list[int] = []
        self._pieces: list[R] = []

    def __len__(self) -> int:
        """How many there are."""
        return len(self._pieces)

    def __iter__(self) -> Iterator[R]:
        """Those that there are now, in order."""
        return iter(self._pieces[:])

    def within(self, start: int, end: int) -> list[R]:
        """Those that have a byte of the range, in order."""
        first = max(bisect_right(self._starts, start) - 1, 0)
        last = bisect_left(self._starts, end)
        if first < last and self._pieces[first].end <= start:
            first += 1
        return self._pieces[first:last]

    def gaps(self, start: int, end: int) -> list[Range]:
        """The parts of the range that no piece has, in order."""
        found, at = [], start
        for piece in self.within(start, end):
            if at < piece.start:
                found.append((at, piece.start))
            at = piece.end
        if at < end:
            found.append((at, end))
        return found

    def add(self, piece: R) -> bool:
        """Take in a piece, unless it overlaps another; whether it was taken."""
        if self.within(piece.start, piece.end):
            return False
        index = bisect_left(self._starts, piece.start)
        self._starts.insert(index, piece.start)
        self._pieces.insert(index, piece)
        return True

    def remove(self, piece: R) -> None:
        """Drop this very piece, if it is here."""
        index = bisect_left(self._starts, piece.start)
        if index < len(self._pieces) and self._pieces[index] is piece:
            del self._starts[index], self._pieces[index]
