"""What is counted, and what is read out of it."""

from __future__ import annotations

import random
import statistics
import threading

import pytest

from vfs.watch.metrics import BOUNDS, Histogram, Hits, Requests, quantile

SECOND = 10**9


def of(*seconds: float) -> Histogram:
    histogram = Histogram()
    for value in seconds:
        histogram.add(int(value * SECOND))
    return histogram


def test_each_latency_is_in_the_bucket_that_ends_behind_it() -> None:
    for value in (0.0, 1e-9, 5e-7, 1e-5, 0.0031, 0.9, 100.0):
        buckets = of(value).buckets
        index = buckets.index(1)
        assert value <= BOUNDS[index]
        assert index == 0 or value >= BOUNDS[index - 1]
        assert sum(buckets) == 1
    assert of(1000.0).buckets == [*[0] * len(BOUNDS), 1]


def test_sums() -> None:
    histogram = of(0.5, 0.25, 1.0)
    assert (histogram.count, histogram.seconds) == (3, 1.75)


@pytest.mark.parametrize("part", [0.5, 0.9, 0.99])
def test_quantiles_are_near_the_true_ones(part: float) -> None:
    chance = random.Random(1)
    values = [chance.lognormvariate(-8, 1.5) for _ in range(10_000)]
    true = statistics.quantiles(values, n=100)[int(part * 100) - 1]
    found = quantile(of(*values).buckets, part)
    assert found is not None
    assert true / 1.3 < found < true * 1.3


def test_quantiles_at_the_ends() -> None:
    assert quantile(of().buckets, 0.5) is None
    assert quantile(of(1000.0).buckets, 0.5) == BOUNDS[-1]
    slow = quantile(of(*[1e-5] * 98, 1.0, 1.0).buckets, 0.99)
    assert slow is not None
    assert 0.5 < slow < 1.1


def test_what_was_never_asked_for_is_not_reported() -> None:
    requests = Requests()
    requests["read"].add(1000)
    _ = requests["write"]
    requests.errors["read", "EIO"] += 2
    requests.errors["open", "ENOENT"] += 1
    report = requests.report()
    assert list(report) == ["read"]
    assert (report["read"]["count"], report["read"]["errors"]) == (1, {"EIO": 2})
    assert requests.counts == {"read": 1}


def test_threads_that_count_lose_nothing() -> None:
    requests = Requests()

    def count() -> None:
        for number in range(30_000):
            requests["read"].add(number)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert requests["read"].count == 120_000
    assert requests["read"].seconds == 4 * sum(range(30_000)) / SECOND


def test_hits_are_of_those_who_missed_nothing() -> None:
    hits = Hits()
    hits.count(100, 0)
    hits.count(100, 30)
    assert hits.report(sized=True) == {"hits": 1, "misses": 1, "hit_bytes": 170, "missed_bytes": 30}
    assert hits.report() == {"hits": 1, "misses": 1}
