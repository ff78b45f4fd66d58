"""How much is fetched ahead of which reads."""

from __future__ import annotations

import random

from vfs.cache.streams import BLOCK_LEAST, BLOCK_MOST, FARTHEST, Streams

KIB, MIB = 1 << 10, 1 << 20


def test_a_run_is_fetched_ahead_as_far_as_it_is_long() -> None:
    streams = Streams()
    assert streams.read(0, 128 * KIB) is None
    assert streams.read(128 * KIB, 256 * KIB) == (256 * KIB, 512 * KIB, BLOCK_LEAST)
    assert streams.read(256 * KIB, MIB) == (MIB, 2 * MIB, BLOCK_LEAST)
    assert streams.read(MIB, 4 * MIB) == (4 * MIB, 8 * MIB, MIB)
    assert streams.read(4 * MIB, 1000 * MIB) == (1000 * MIB, 1000 * MIB + FARTHEST, BLOCK_MOST)


def test_it_ends_with_a_block_so_that_requests_stay_large() -> None:
    streams = Streams()
    streams.read(0, 16 * MIB)
    found = streams.read(16 * MIB, 16 * MIB + 4 * KIB)
    assert found is not None
    start, end, block = found
    assert (start, block) == (16 * MIB + 4 * KIB, 4 * MIB)
    assert end == 36 * MIB


def test_reads_that_come_too_early_go_on_as_runs() -> None:
    streams = Streams()
    order = [0, 2, 1, 3, 5, 4, 6, 7]
    found = [streams.read(at * MIB, (at + 1) * MIB) for at in order]
    assert [it is not None for it in found] == [False, False, True, True, False, True, True, True]


def test_random_reads_are_no_runs() -> None:
    streams, chance = Streams(), random.Random(1)
    offsets = [chance.randrange(80_000) * 64 * KIB for _ in range(2000)]
    assert sum(streams.read(at, at + 64 * KIB) is not None for at in offsets) < 5


def test_runs_side_by_side() -> None:
    streams = Streams()
    for step in range(8):
        for run in range(16):
            found = streams.read(run * 1000 * MIB + step * MIB, run * 1000 * MIB + (step + 1) * MIB)
            assert (found is not None) == (step > 0)
