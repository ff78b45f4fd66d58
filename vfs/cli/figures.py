"""What happened at a mount between two of its metrics, as figures for people: rates, latencies, hit rates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vfs import amounts
from vfs.watch.metrics import quantile


@dataclass(frozen=True, slots=True)
class Line:
    """One kind of request within an interval."""

    kind: str
    count: int
    per_second: float
    buckets: list[int]
    """How many took how long; see vfs.watch.metrics."""
    errors: dict[str, int]

    @property
    def p50(self) -> str:
        """The time within which half of them were answered."""
        return latency(quantile(self.buckets, 0.5))

    @property
    def p99(self) -> str:
        """The time within which all but one of a hundred were."""
        return latency(quantile(self.buckets, 0.99))

    @property
    def failed(self) -> str:
        """Its errors, as in "ENOENT 3"."""
        return ", ".join(f"{name} {count}" for name, count in sorted(self.errors.items()))


class Interval:
    """The difference of two metrics of one mount (vfs.watch.status)."""

    def __init__(self, new: Mapping[str, Any], old: Mapping[str, Any] | None, seconds: float) -> None:
        """What is in `new` and was not in `old`, None being the beginning of the mount; it came within `seconds`."""
        self._new = new
        self._old = old or {}
        self._seconds = max(seconds, 0.001)

    @property
    def operations(self) -> list[Line]:
        """Of the kernel, the most frequent first."""
        return self._lines(self._new["operations"], self._old.get("operations", {}))

    @property
    def requests(self) -> list[Line]:
        """To the storage, the most frequent first; none where that waits for no network."""
        old = self._old.get("storage") or {}
        return self._lines((self._new["storage"] or {}).get("requests", {}), old.get("requests", {}))

    @property
    def traffic(self) -> str:
        """What programs have read and written, as far as the daemon was asked for it."""
        return self._traffic(self._new, self._old)

    @property
    def storage_traffic(self) -> str:
        """What has come from the storage, and gone there."""
        return self._traffic(self._new["storage"], self._old.get("storage") or {})

    @property
    def hits(self) -> str:
        """Of what was asked for, how much the caches had: "memory 97 %, names 88 %"; but those that nobody asked."""
        shares = []
        for kind, counts in self._new["caches"].items():
            before = self._old.get("caches", {}).get(kind, {})
            hits, misses = (counts[key] - before.get(key, 0) for key in ("hits", "misses"))
            if hits + misses:
                shares.append(f"{kind} {100 * hits / (hits + misses):.0f} %")
        return ", ".join(shares)

    def rate(self, count: float) -> float:
        """So many, in a second."""
        return count / self._seconds

    def _traffic(self, new: Mapping[str, Any], old: Mapping[str, Any]) -> str:
        before = old.get("traffic", {})
        read, written = (self.rate(new["traffic"][key] - before.get(key, 0)) for key in ("read", "written"))
        return f"{amounts.size(int(read))}/s read, {amounts.size(int(written))}/s written"

    def _lines(self, new: Mapping[str, Any], old: Mapping[str, Any]) -> list[Line]:
        lines = []
        for kind, report in new.items():
            before = old.get(kind, {"buckets": [0] * len(report["buckets"]), "errors": {}})
            buckets = [now - then for now, then in zip(report["buckets"], before["buckets"], strict=True)]
            errors = {name: count - before["errors"].get(name, 0) for name, count in report["errors"].items()}
            failed = {name: count for name, count in errors.items() if count}
            if count := sum(buckets):
                lines.append(Line(kind, count, self.rate(count), buckets, failed))
        return sorted(lines, key=lambda line: (-line.count, line.kind))


def latency(seconds: float | None) -> str:
    """A short time for people: "38 µs", "1.2 ms", "3.4 s"; "-" for None."""
    if seconds is None:
        return "-"
    for unit, factor in (("µs", 10**6), ("ms", 10**3), ("s", 1)):
        value = seconds * factor
        if value < 999.5 or unit == "s":
            break
    return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"


def per_second(rate: float) -> str:
    """A rate for people: "0.3/s", "1,234/s"."""
    return f"{rate:,.1f}/s" if rate < 9.95 else f"{rate:,.0f}/s"


def together(lines: Sequence[Line]) -> Line:
    """All kinds of requests as one, of which there is one at least."""
    errors: Counter[str] = Counter()
    for line in lines:
        errors.update(line.errors)
    buckets = [sum(column) for column in zip(*(line.buckets for line in lines), strict=True)]
    return Line("all", sum(it.count for it in lines), sum(it.per_second for it in lines), buckets, dict(errors))


def under_way(metrics: Mapping[str, Any]) -> str:
    """How many of the kernel's requests have no answer yet, and for how long; "" for none."""
    count, oldest = metrics["under_way"]["count"], metrics["under_way"]["oldest"]
    return f"{count} under way for up to {latency(oldest)}" if count else ""
