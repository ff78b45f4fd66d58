"""Gaps, against a set of bytes."""

from __future__ import annotations

import itertools

from hypothesis import given, strategies as st

from vfs.content.gaps import Gaps

SIZE = 40
PLACES = st.integers(0, SIZE + 8)


@given(st.lists(st.one_of(st.tuples(PLACES, PLACES), PLACES), max_size=12), PLACES, PLACES)
def test_they_are_what_was_not_filled_and_not_cut(steps: list[tuple[int, int] | int], start: int, end: int) -> None:
    gaps, missing = Gaps(SIZE), set(range(SIZE))
    for step in steps:
        if isinstance(step, int):
            gaps.cut(step)
            missing -= set(range(step, SIZE))
        else:
            gaps.fill(*step)
            missing -= set(range(*step))
    ranges = list(gaps)
    assert {at for range_ in ranges for at in range(*range_)} == missing
    assert (bool(gaps), gaps.total()) == (bool(missing), len(missing))
    assert all(ends < begins for (_, ends), (begins, _) in itertools.pairwise(ranges)), "they touch"

    parts = list(gaps.split(start, end))
    assert [at for first, last, _ in parts for at in range(first, last)] == list(range(start, end))
    assert {at for first, last, here in parts if not here for at in range(first, last)} == missing & set(
        range(start, end)
    )


def test_of_nothing_nothing_is_missing() -> None:
    gaps = Gaps(0)
    gaps.fill(0, 5)
    gaps.cut(0)
    assert (bool(gaps), list(gaps), list(gaps.split(2, 4))) == (False, [], [(2, 4, True)])
