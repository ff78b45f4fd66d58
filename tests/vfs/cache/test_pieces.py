"""Pieces, against a set of bytes."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given, strategies as st

from vfs.cache.pieces import Pieces

SIZE = 40
PLACES = st.integers(0, SIZE)


class Run(NamedTuple):
    start: int
    end: int


RUNS = st.builds(Run, PLACES, PLACES).filter(lambda run: run.start < run.end)


@given(st.lists(st.tuples(RUNS, st.booleans()), max_size=20), RUNS)
def test_they_are_what_was_added_and_not_removed(steps: list[tuple[Run, bool]], asked: Run) -> None:
    pieces: Pieces[Run] = Pieces()
    here: list[Run] = []
    for run, is_added in steps:
        if is_added:
            overlaps = any(one.start < run.end and run.start < one.end for one in here)
            assert pieces.add(run) is not overlaps
            here += [] if overlaps else [run]
        elif here:
            pieces.remove(here.pop())
        pieces.remove(Run(*run))  # an equal one is not the one
    assert (list(pieces), len(pieces)) == (sorted(here), len(here))
    assert pieces.within(*asked) == [one for one in sorted(here) if one.start < asked.end and asked.start < one.end]
    covered = {at for one in here for at in range(*one)}
    missing = [at for start, end in pieces.gaps(*asked) for at in range(start, end)]
    assert missing == sorted(set(range(*asked)) - covered)
