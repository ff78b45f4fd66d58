"""Runs of reads that follow each other, and how much is to be fetched ahead of them.

The reads of one run need not come in order, for the kernel has several on their way: one that comes too early begins a
run of its own, which goes on like any other. Many runs of one object may go on at once.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

FARTHEST = 24 << 20
"""Bytes ahead of a reader, at most."""
BLOCK_LEAST, BLOCK_MOST = 256 << 10, 8 << 20
"""Bytes of one request ahead."""
_RUNS = 32


class Wanted(NamedTuple):
    """What is to be fetched ahead of a read, and how."""

    start: int
    end: int
    block: int
    """Bytes of one request, a power of two; it ends at a multiple of it."""


class Streams:
    """The runs of one content."""

    __slots__ = ("_runs",)

    def __init__(self) -> None:
        """None yet."""
        self._runs: OrderedDict[int, int] = OrderedDict()
        """Where a run will go on, and where it has begun; those that went on last at the end."""

    def read(self, start: int, end: int, most: int = BLOCK_MOST) -> Wanted | None:
        """Note a read; what is to be fetched ahead of it, in blocks of up to `most` bytes.

        None for a read that continues no other. There are three blocks ahead, or more: one is read while others are on
        their way.
        """
        begin = self._runs.pop(start, start)
        self._runs[end] = begin
        self._runs.move_to_end(end)
        if len(self._runs) > _RUNS:
            self._runs.popitem(last=False)
        if begin == start:
            return None
        window = min(end - begin, FARTHEST)
        block = min(max(power_of_two(window // 3), BLOCK_LEAST), most)
        return Wanted(end, -(-(end + window) // block) * block, block)


def power_of_two(number: int) -> int:
    """The largest that is not more than `number`, which is positive."""
    return 1 << (number.bit_length() - 1)
