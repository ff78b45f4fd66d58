"""vfs status: the running mounts."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vfs import amounts
from vfs.cli import output
from vfs.cli.figures import Interval, Line, per_second, together, under_way
from vfs.cli.names import escape, printable
from vfs.cli.running import ask_all, memory, record_at
from vfs.cli.targets import MountpointParam

if TYPE_CHECKING:
    from vfs.mounts.mountpoint import MountedAt
    from vfs.mounts.records import Record

_NAMES_SHOWN = 5
_RIGHT = frozenset({1, 2, 3, 4})


@click.command(
    "status",
    short_help="Show the running mounts.",
    epilog="""
\b
Examples:
  vfs status
  vfs status ./mnt                           exit code 1 if it is not mounted
  vfs status --json | jq -r '.[].log'
  vfs status --prometheus > /var/lib/node_exporter/vfs.prom
""",
)
@click.argument("mountpoint", metavar="[MOUNTPOINT]", required=False, type=MountpointParam())
@click.option("--json", "as_json", is_flag=True, help="Write a JSON array with an object for each mount.")
@click.option(
    "--prometheus",
    is_flag=True,
    help="Write the metrics in Prometheus' text format; vfs_up is 0 of what does not answer.",
)
def command(mountpoint: Path | None, as_json: bool, prometheus: bool) -> int:
    """Show your running mounts, or the one at MOUNTPOINT.

    Process, memory, open files, what is not stored yet, rates and latencies since it was mounted, errors, and the name
    of the log; of one mount each operation by itself. p50 is the time within which half of them were answered, p99 that
    of all but one of a hundred. `vfs top` shows what happens now.
    """
    from vfs.mounts.mountpoint import dead_mounts
    from vfs.mounts.records import records

    if as_json and prometheus:
        raise click.UsageError("--json and --prometheus are two forms of the same: ask for one of them.")
    found = records() if mountpoint is None else [record_at(mountpoint)]
    dead = [] if mountpoint is not None else dead_mounts(found)
    if prometheus:
        _show_prometheus(_reports(found, "metrics"), dead)
        return 0  # who reads it is told there which mounts do not answer
    reports = _reports(found, "status")
    if as_json:
        output.json_array(reports + [{"mountpoint": it.path, "error": "its process is dead"} for it in dead])
    else:
        _show(reports, [it.path for it in dead], in_full=mountpoint is not None)
    return 1 if dead or any("error" in report or report.get("ending") for report in reports) else 0


def _reports(found: list[Record], command: str) -> list[dict[str, Any]]:
    """What is known of each mount, and what it answers; with "error" where its process does not answer in time."""
    import dataclasses

    return [
        {
            **dataclasses.asdict(record),
            "age": round(max(0.0, time.time() - record.started), 3),
            "memory": memory(record),
            **answer,
        }
        for record, answer in zip(found, ask_all(found, command), strict=True)
    ]


def _show_prometheus(reports: list[dict[str, Any]], dead: list[MountedAt]) -> None:
    from vfs.cli.prometheus import text

    told = [{**it, "metrics": it} if "error" not in it else it for it in reports]
    told += [{"alias": it.source, "mountpoint": it.path} for it in dead]
    output.raw(text(told).encode())


def _show(reports: list[dict[str, Any]], dead: list[str], *, in_full: bool) -> None:
    if not reports and not dead:
        output.line("Nothing is mounted.")
    for report in reports:
        output.line(f"{escape(report['alias'])} at {escape(report['mountpoint'])}")
        for label, value in _rows(report, in_full=in_full):
            output.line(f"  {label:>10}  {value}")
    for path in dead:
        output.line(f"{escape(path)}: its process is dead; clean up with: vfs unmount {escape(path)}")


def _rows(report: dict[str, Any], *, in_full: bool) -> list[tuple[str, str]]:
    size = amounts.size(report["memory"])
    rows = [
        ("backend", printable(report["backend"])),
        ("process", f"{report['pid']}, for {amounts.age(report['age'])}, {size} of memory, {report['transport']}"),
    ]
    if report["options"]:
        rows.append(("options", printable(_options(report["options"]))))
    if "error" in report:
        rows.append(("error", printable(report["error"])))
    else:
        if report.get("ending"):  # a daemon that was started before an upgrade does not say this, nor the next
            rows.append(("state", "ending: unmounted, and served to those who have files open"))
        if report.get("outage"):
            rows.append(("outage", _outage(report["outage"])))
        rows += [
            ("open files", str(report["open_files"])),
            ("pending", _pending(report["pending"])),
        ]
        rows += [("cache", _cache(report["cache"]))] if report["cache"] else []
        rows += [("rename", _move(it)) for it in report["moves"]]
        rows += [("conflict", f"{escape(it['name'])}: kept as {escape(it['kept_as'])}") for it in report["conflicts"]]
        rows += [
            ("left", f"{escape(it['name'] or '?')}: {printable(it['why'])}; see vfs recover") for it in report["left"]
        ]
        if report.get("metrics"):
            rows += _activity(report["metrics"], report["age"], in_full=in_full)
        else:
            rows.append(("operations", _counts(report["operations"])))
        if report["errors"]:
            rows.append(("errors", _counts(report["errors"])))
    rows.append(
        ("log", escape(report["log"]) if report["log"] else "stderr of the process, which is in the foreground")
    )
    return rows


def _activity(metrics: dict[str, Any], age: float, *, in_full: bool) -> list[tuple[str, str]]:
    """What was done since the mount: rates, latencies, hit rates; each kind of request by itself if that is wanted."""
    since = Interval(metrics, None, age)
    waiting = under_way(metrics)
    rows = [("hits", since.hits)] if since.hits else []
    rows += [("waiting", waiting)] if waiting else []
    rows += [(f"{event}s", _results(found)) for event, found in metrics.get("events", {}).items() if in_full]
    rows += _requests("operations", since.operations, since.traffic, in_full=in_full)
    if metrics["storage"]:
        rows += _requests("storage", since.requests, since.storage_traffic, in_full=in_full)
    return rows


def _requests(label: str, lines: list[Line], traffic: str, *, in_full: bool) -> list[tuple[str, str]]:
    if not lines:
        return [(label, "none yet")]
    all_ = together(lines)
    words = f"{all_.count:,}, {per_second(all_.per_second)}, p50 {all_.p50}, p99 {all_.p99}; {traffic}"
    cells = [(it.kind, f"{it.count:,}", per_second(it.per_second), f"p50 {it.p50}", f"p99 {it.p99}") for it in lines]
    return [(label, words), *(("", row) for row in (output.aligned(cells, right=_RIGHT) if in_full else ()))]


def _results(found: dict[str, int]) -> str:
    """As in "12 stored, 1 failed"."""
    return ", ".join(f"{count:,} {result}" for result, count in sorted(found.items(), key=lambda item: -item[1]))


def _options(options: dict[str, Any]) -> str:
    """As after -o."""
    return ",".join(name if value is True else f"{name}={value}" for name, value in options.items())


def _outage(outage: dict[str, Any]) -> str:
    """That the storage is gone, since when and why."""
    words = f"the storage has not answered for {amounts.age(outage['seconds'])}, and is asked now and then"
    return f"{words}: {printable(outage['error'])}"


def _pending(files: list[dict[str, Any]]) -> str:
    """How many files are not stored yet, how large they are, and some of them with what is known."""
    if not files:
        return "nothing"
    oldest = sorted(files, key=lambda file: (not file["error"], -file["age"]))
    shown = ", ".join(map(_unsaved, oldest[:_NAMES_SHOWN]))
    total = amounts.size(sum(file["bytes"] for file in files))
    return f"{len(files)}, {total}: {shown}{', ...' if len(files) > _NAMES_SHOWN else ''}"


def _unsaved(file: dict[str, Any]) -> str:
    words = f"{escape(file['name'])} ({amounts.size(file['bytes'])}, {amounts.age(file['age'])}"
    return f"{words}, {printable(file['error'])})" if file["error"] else f"{words})"


def _cache(cache: dict[str, int]) -> str:
    """What is kept of what was read, and how much may be."""
    words = f"{amounts.size(cache['memory'])} of {amounts.size(cache['memory_limit'])} in memory"
    if "disk" not in cache:
        return words
    return f"{words}, {amounts.size(cache['disk'])} of {amounts.size(cache['disk_limit'])} on disk"


def _move(move: dict[str, Any]) -> str:
    """How far the rename of a directory has come."""
    return f"{escape(move['from'])} to {escape(move['to'])}: {move['phase']}, {move['done']} of {move['of']} files"


def _counts(counts: dict[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return printable(", ".join(f"{name} {count}" for name, count in ordered)) or "none yet"
