"""What a mount counts: how often, for how long, how many bytes; `vfs.watch.status` reads it.

Counting is on the way of each request of the kernel, of which one thread answers more than 20,000 in a second. So it
takes no lock and keeps nothing but sums: each is added to by a statement that calls nothing between reading and writing
it, and only where something is called the interpreter lets another thread run. Events are rare, and take one. A latency
goes to the bucket that the length of its number in bits says: powers of two of a nanosecond.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

_FIRST, _LAST = 10, 37
"""The buckets that are reported: up to a microsecond, and up to two minutes; longer ones are in one more."""
BOUNDS = tuple((1 << bits) / 10**9 for bits in range(_FIRST, _LAST + 1))
"""Up to how many seconds the latencies in each of the buckets are that are reported, but for the last."""


class Histogram:
    """Latencies of one kind of request."""

    __slots__ = ("_buckets", "_total")

    def __init__(self) -> None:
        """None yet."""
        self._buckets = [0] * 65
        self._total = 0

    def add(self, ns: int) -> None:
        """One more request, which took so many nanoseconds, less than 2**64."""
        self._buckets[ns.bit_length()] += 1
        self._total += ns

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self._buckets)

    @property
    def seconds(self) -> float:
        """How long they took together."""
        return self._total / 10**9

    @property
    def buckets(self) -> list[int]:
        """How many took up to each of `BOUNDS`, and more than the one before; at the end those that took longer."""
        found = list(self._buckets)
        return [sum(found[: _FIRST + 1]), *found[_FIRST + 1 : _LAST + 1], sum(found[_LAST + 1 :])]


def quantile(buckets: Sequence[int], part: float) -> float | None:
    """Within how many seconds that `part` of the requests was answered, as near as the buckets tell; None for none."""
    wanted = sum(buckets) * part
    if not wanted:
        return None
    for index, (count, so_far) in enumerate(zip(buckets, accumulate(buckets), strict=True)):
        if so_far >= wanted and index < len(BOUNDS):
            least = BOUNDS[index - 1] if index else 0.0
            return least + (BOUNDS[index] - least) * (1 - (so_far - wanted) / count)
    return BOUNDS[-1]


class Requests:
    """Requests by what they asked for, and those among them that failed."""

    def __init__(self) -> None:
        """None yet."""
        self._histograms: dict[str, Histogram] = {}
        self.errors: Counter[tuple[str, str]] = Counter()
        """How many failed, by what they asked for and what the error is called."""

    def __getitem__(self, kind: str) -> Histogram:
        """The latencies of those that asked for that."""
        found = self._histograms.get(kind)
        return self._histograms.setdefault(kind, Histogram()) if found is None else found

    @property
    def counts(self) -> Counter[str]:
        """How many there were, by what they asked for."""
        return Counter({kind: count for kind, it in self._histograms.copy().items() if (count := it.count)})

    def report(self) -> dict[str, dict[str, Any]]:
        """By what they asked for: count, seconds, p50 and p99 (seconds), buckets as `BOUNDS` has them, errors."""
        errors = self.errors.copy()
        return {
            kind: {
                "count": sum(buckets),
                "seconds": histogram.seconds,
                "p50": quantile(buckets, 0.5),
                "p99": quantile(buckets, 0.99),
                "buckets": buckets,
                "errors": {name: count for (of, name), count in errors.items() if of == kind},
            }
            for kind, histogram in self._histograms.copy().items()
            if any(buckets := histogram.buckets)
        }


class Events:
    """What happens now and then, such as uploads and reloads, by what it is and what came of it."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._counts: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def add(self, event: str, result: str) -> None:
        """One more."""
        with self._lock:
            self._counts[event, result] += 1

    def report(self) -> dict[str, dict[str, int]]:
        """By what it is, how often what came of it."""
        with self._lock:
            counts = sorted(self._counts.items())
        found: dict[str, dict[str, int]] = {}
        for (event, result), count in counts:
            found.setdefault(event, {})[result] = count
        return found


class Traffic:
    """Bytes that were read and written."""

    __slots__ = ("read", "written")

    def __init__(self) -> None:
        """None yet."""
        self.read = 0
        self.written = 0

    def report(self) -> dict[str, int]:
        """For JSON."""
        return {"read": self.read, "written": self.written}


class Hits:
    """How often a cache had what was asked for, and where what is asked for are bytes, how many of them."""

    __slots__ = ("hit_bytes", "hits", "missed_bytes", "misses")

    def __init__(self) -> None:
        """Nothing was asked for yet."""
        self.hits = 0
        self.misses = 0
        self.hit_bytes = 0
        self.missed_bytes = 0

    def count(self, size: int, missing: int) -> None:
        """One asked for `size` bytes, of which so many were `missing`."""
        here = size - missing
        if missing:
            self.misses += 1
        else:
            self.hits += 1
        self.hit_bytes += here
        self.missed_bytes += missing

    def report(self, *, sized: bool = False) -> dict[str, int]:
        """For JSON; with `sized` bytes as well."""
        counts = {"hits": self.hits, "misses": self.misses}
        return counts | {"hit_bytes": self.hit_bytes, "missed_bytes": self.missed_bytes} if sized else counts
