"""Two metrics of a mount as rates, latencies and hit rates."""

from __future__ import annotations

from typing import Any

import pytest

from vfs.cli.figures import Interval, latency, per_second, together
from vfs.watch.metrics import Requests


def metrics(
    requests: Requests, *, hits: int = 0, misses: int = 0, read: int = 0, remote: bool = False
) -> dict[str, Any]:
    traffic = {"read": read, "written": 0}
    return {
        "operations": requests.report(),
        "traffic": traffic,
        "caches": {"names": {"hits": hits, "misses": misses}},
        "storage": {"requests": requests.report(), "traffic": traffic} if remote else None,
    }


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "-"),
        (0.0, "0.0 µs"),
        (0.0000381, "38 µs"),
        (0.000999, "999 µs"),
        (0.0009999, "1.0 ms"),
        (0.0123, "12 ms"),
        (3.44, "3.4 s"),
        (125.0, "125 s"),
    ],
)
def test_latencies_for_people(seconds: float | None, words: str) -> None:
    assert latency(seconds) == words


def test_rates_for_people() -> None:
    assert [per_second(rate) for rate in (0, 0.25, 9.94, 9.96, 12345.6)] == [
        "0.0/s",
        "0.2/s",
        "9.9/s",
        "10/s",
        "12,346/s",
    ]


def test_an_interval_has_what_happened_in_it() -> None:
    requests = Requests()
    for _ in range(100):
        requests["read"].add(10**9)
    requests.errors["read", "EIO"] += 5
    old = metrics(requests, hits=100, read=1000, remote=True)
    for _ in range(20):
        requests["read"].add(10_000)
    requests["open"].add(10_000)
    requests.errors["read", "EIO"] += 1
    interval = Interval(metrics(requests, hits=103, misses=1, read=5096, remote=True), old, 2.0)
    read, opened = interval.operations
    assert (read.kind, read.count, read.per_second, read.failed) == ("read", 20, 10.0, "EIO 1")
    assert (opened.kind, opened.count, opened.failed) == ("open", 1, "")
    assert read.p99.endswith("µs")
    assert interval.requests == interval.operations
    assert interval.hits == "names 75 %"
    assert interval.traffic == interval.storage_traffic == "2.0 KiB/s read, 0 B/s written"
    both = together(interval.operations)
    assert (both.count, both.per_second, both.errors) == (21, 10.5, {"EIO": 1})


def test_from_the_beginning_and_where_nothing_happened() -> None:
    requests = Requests()
    requests["read"].add(1000)
    now = metrics(requests, hits=1)
    assert [line.count for line in Interval(now, None, 10.0).operations] == [1]
    quiet = Interval(now, now, 1.0)
    assert (quiet.operations, quiet.requests, quiet.hits) == ([], [], "")
