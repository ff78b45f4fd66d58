"""Gaps: which bytes of a content are not here."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

Range = tuple[int, int]
"""Where it begins, and where it ends: the first byte that does not belong to it."""


class Gaps:
    """Ranges of bytes that are missing, in order, with something between any two of them."""

    def __init__(self, size: int) -> None:
        """All of the first `size` bytes are missing."""
        self._starts = [0] if size else []
        self._ends = [size] if size else []

    def __bool__(self) -> bool:
        """Whether anything is missing."""
        return bool(self._starts)

    def __iter__(self) -> Iterator[Range]:
        """The ranges, as they are now."""
        return iter(list(zip(self._starts, self._ends, strict=True)))

    def total(self) -> int:
        """How many bytes are missing."""
        return sum(self._ends) - sum(self._starts)

    def fill(self, start: int, end: int) -> None:
        """The bytes from `start` to `end` are here."""
        if start >= end:
            return
        first, last = bisect_right(self._ends, start), bisect_left(self._starts, end)
        left = [(at, start) for at in self._starts[first:last][:1] if at < start]
        right = [(end, at) for at in self._ends[first:last][-1:] if end < at]
        self._starts[first:last] = [at for at, _ in (*left, *right)]
        self._ends[first:last] = [at for _, at in (*left, *right)]

    def cut(self, size: int) -> None:
        """Nothing is behind `size`, and so nothing is missing there."""
        if self._ends:
            self.fill(size, max(size, self._ends[-1]))

    def split(self, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
        """The range in parts that are missing or here, in order: where each begins and ends, and whether it is here."""
        at = start
        for index in range(bisect_right(self._ends, start), bisect_left(self._starts, end)):
            gap_start, gap_end = max(self._starts[index], start), min(self._ends[index], end)
            if at < gap_start:
                yield at, gap_start, True
            yield gap_start, gap_end, False
            at = gap_end
        if at < end:
            yield at, end, True
