"""Metrics of mounts in Prometheus' text format, version 0.0.4."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Any

Labels = Mapping[str, str]
Sample = tuple[str, Labels, float]
"""What follows the family's name (as "_bucket"), labels, and the value."""


def text(reports: Iterable[Mapping[str, Any]]) -> str:
    """The metrics of mounts, of which each report has "alias", "mountpoint", "started", "memory", "metrics".

    Of a mount that does not answer there may be the first two alone: `vfs_up` of it is 0.
    """
    families: dict[str, tuple[str, str, list[Sample]]] = {}
    for report in reports:
        labels = {"alias": report["alias"], "mount": report["mountpoint"]}
        for name, kind, words, samples in _families(report, report.get("metrics")):
            known = families.setdefault(name, (kind, words, []))[2]
            known += [(suffix, {**labels, **own}, value) for suffix, own, value in samples]
    lines: list[str] = []
    for name, (kind, words, samples) in families.items():
        if not samples:
            continue
        lines += [f"# HELP {name} {words}", f"# TYPE {name} {kind}"]
        lines += [f"{name}{suffix}{_braces(labels)} {value!r}" for suffix, labels, value in samples]
    return "".join(f"{line}\n" for line in lines)


_Family = tuple[str, str, str, list[Sample]]


def _families(report: Mapping[str, Any], metrics: Mapping[str, Any] | None) -> Iterator[_Family]:
    """Name, type, help and samples, the samples without what tells the mount."""
    yield _one("vfs_up", "gauge", "Whether the daemon of the mount answers.", int(metrics is not None))
    if report.get("started") is not None:
        yield _one("vfs_start_time_seconds", "gauge", "When it was mounted, since the epoch.", report["started"])
    if report.get("memory") is not None:
        yield _one("vfs_resident_memory_bytes", "gauge", "Memory of the daemon.", report["memory"])
    if metrics is None:
        return
    bounds = metrics["bounds"]
    yield from _requests("vfs_operation", "operation", "the kernel's requests", metrics["operations"], bounds)
    under_way = metrics["under_way"]
    yield _one("vfs_operations_under_way", "gauge", "Requests of the kernel without an answer.", under_way["count"])
    yield _one("vfs_operation_oldest_seconds", "gauge", "How old the oldest of them is.", under_way["oldest"])
    yield from _traffic("vfs", "by programs, as far as the daemon was asked for it", metrics["traffic"])
    yield _one("vfs_open_handles", "gauge", "Files and directories that are open.", metrics["handles"])
    yield _one("vfs_nodes", "gauge", "Files and directories that the mount has in memory.", metrics["nodes"])
    yield from _caches(metrics["caches"])
    pending, spool = metrics["pending"], metrics["spool"]
    yield _one("vfs_pending_files", "gauge", "Files that the storage does not have yet.", pending["files"])
    yield _one("vfs_pending_failed_files", "gauge", "Those that could not be stored when tried.", pending["failed"])
    yield _one("vfs_pending_oldest_seconds", "gauge", "For how long the oldest has been pending.", pending["oldest"])
    yield _one("vfs_conflicts", "gauge", "Conflicts that are remembered.", metrics["conflicts"])
    yield _events(metrics.get("events", {}))  # of a daemon that was started before an upgrade there may be none
    if spool is not None:
        yield _one("vfs_spool_bytes", "gauge", "Bytes in the spool.", spool["used"])
        if spool["limit"] is not None:
            yield _one("vfs_spool_limit_bytes", "gauge", "Bytes that may be there.", spool["limit"])
    if metrics["storage"] is not None:
        yield from _storage(metrics["storage"], bounds)


def _storage(storage: Mapping[str, Any], bounds: list[float]) -> Iterator[_Family]:
    yield from _requests("vfs_storage_request", "method", "requests to the storage", storage["requests"], bounds)
    yield from _traffic("vfs_storage", "from and to the storage", storage["traffic"])
    yield _one("vfs_storage_hanging_calls", "gauge", "Calls that were given up and go on.", storage["hanging"])
    outage = storage["outage"]
    yield _one("vfs_circuit_open", "gauge", "Whether the storage is taken to be gone.", int(outage is not None))
    seconds = outage["seconds"] if outage else 0.0
    yield _one("vfs_outage_seconds", "gauge", "For how long it has not answered, while it is.", seconds)


def _requests(name: str, label: str, what: str, reports: Mapping[str, Any], bounds: list[float]) -> Iterator[_Family]:
    latencies: list[Sample] = []
    errors: list[Sample] = []
    for kind, report in reports.items():
        own = {label: kind}
        for bound, count in zip([*bounds, float("inf")], accumulate(report["buckets"]), strict=True):
            latencies.append(("_bucket", {**own, "le": _number(bound)}, count))
        latencies += [("_sum", own, report["seconds"]), ("_count", own, report["count"])]
        errors += [("", {**own, "error": error}, count) for error, count in report["errors"].items()]
    yield f"{name}_seconds", "histogram", f"Latencies of {what}.", latencies
    yield f"{name}_errors_total", "counter", f"Errors of {what}.", errors


def _traffic(name: str, who: str, traffic: Mapping[str, int]) -> Iterator[_Family]:
    for key in ("read", "written"):
        yield _one(f"{name}_{key}_bytes_total", "counter", f"Bytes {key} {who}.", traffic[key])


def _events(events: Mapping[str, Mapping[str, int]]) -> _Family:
    results = [(event, result, count) for event, found in events.items() for result, count in found.items()]
    samples: list[Sample] = [("", {"event": event, "result": result}, count) for event, result, count in results]
    return "vfs_events_total", "counter", "What happens now and then, by what came of it.", samples


def _caches(caches: Mapping[str, Mapping[str, int]]) -> Iterator[_Family]:
    for name, key, kind, words in (
        ("vfs_cache_hits_total", "hits", "counter", "What was asked for and was in the cache."),
        ("vfs_cache_misses_total", "misses", "counter", "What was asked for and was not."),
        ("vfs_cache_hit_bytes_total", "hit_bytes", "counter", "Bytes that were asked for and in the cache."),
        ("vfs_cache_missed_bytes_total", "missed_bytes", "counter", "Bytes that were asked for and not there."),
        ("vfs_cache_bytes", "bytes", "gauge", "Bytes in the cache."),
        ("vfs_cache_limit_bytes", "limit", "gauge", "Bytes that may be there."),
    ):
        yield name, kind, words, [("", {"cache": it}, found[key]) for it, found in caches.items() if key in found]


def _one(name: str, kind: str, words: str, value: float) -> _Family:
    return name, kind, words, [("", {}, value)]


def _number(bound: float) -> str:
    return "+Inf" if bound == float("inf") else repr(bound)


def _braces(labels: Labels) -> str:
    return "{" + ",".join(f'{key}="{_escaped(value)}"' for key, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    """A label's value: UTF-8 with three characters escaped, what is no UTF-8 replaced."""
    value = value.encode(errors="surrogateescape").decode(errors="replace")
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
