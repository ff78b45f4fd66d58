"""Sizes and durations for people."""

from __future__ import annotations

import pytest

from vfs import amounts


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (None, "?"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1023 << 10, "1.0 MiB"),
        (5 << 40, "5.0 TiB"),
        (3 << 70, "3072.0 EiB"),
    ],
)
def test_sizes(count: int | None, shown: str) -> None:
    assert amounts.size(count) == shown


def test_an_exact_size_is_the_number() -> None:
    assert amounts.size(1536, exact=True) == "1536"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.4, "0 s"), (59.9, "59 s"), (60, "1 min"), (3725, "1 h 2 min"), (90000, "1 d 1 h"), (3600, "1 h")],
)
def test_durations(seconds: float, shown: str) -> None:
    assert amounts.age(seconds) == shown
