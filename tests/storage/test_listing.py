from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest

from storage.listing import components, nanoseconds


@pytest.mark.parametrize(
    ("path", "directories", "files", "expected"),
    [
        ("", ["a"], ["b"], (["a"], ["b"])),
        ("", ["a/"], [], (["a"], [])),
        ("d", ["d/a/"], ["d/b"], (["a"], ["b"])),
        ("d", [], ["d/a/x", "d/a/y", "d/b"], (["a"], ["b"])),
        ("d", [], ["d/", ""], ([], [])),
        ("d", ["a"], ["a", "a/x"], (["a"], [])),
        ("a", ["b"], ["a"], (["b"], ["a"])),
        ("", [".", "..", "/"], ["", "x\0y", "b"], ([], ["b"])),
    ],
)
def test_listings_of_all_kinds_become_one(
    path: str, directories: list[str], files: list[str], expected: tuple[list[str], list[str]]
) -> None:
    assert components(path, directories, files) == expected


def test_what_is_left_out_is_logged_but_not_the_directory_s_own_marker(caplog: pytest.LogCaptureFixture) -> None:
    components("d", [], ["d/", "d//x"])
    assert [record.getMessage() for record in caplog.records] == [
        "'d//x' in the listing of 'd' cannot be named as a file, and is left out"
    ]


@pytest.fixture
def new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "EST5EDT,M3.2.0,M11.1.0")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("new_york")
def test_times_aware_and_naive() -> None:
    expected = 1_714_564_800_123_456_000
    noon = datetime(2024, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)
    assert nanoseconds(noon) == expected
    assert nanoseconds(noon.astimezone(timezone(timedelta(hours=5)))) == expected
    assert nanoseconds(datetime(2024, 5, 1, 8, 0, 0, 123456)) == expected
    assert nanoseconds(datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)) == -(10**9)
    assert os.environ["TZ"].startswith("EST")
