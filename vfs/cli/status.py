"""vfs status: the running mounts."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vfs.cli import output
from vfs.cli.errors import CommandError, describe
from vfs.cli.names import escape, printable
from vfs.cli.targets import MountpointParam

if TYPE_CHECKING:
    from vfs.records import Record

_NAMES_SHOWN = 5
_PATIENCE = 5.0
"""How many seconds a mount may take to answer; one that hangs must not hide the others."""


@click.command(
    "status",
    short_help="Show the running mounts.",
    epilog="""
\b
Examples:
  vfs status
  vfs status ./mnt                           exit code 1 if it is not mounted
  vfs status --json | jq -r '.[].log'
""",
)
@click.argument("mountpoint", metavar="[MOUNTPOINT]", required=False, type=MountpointParam())
@click.option("--json", "as_json", is_flag=True, help="Write a JSON array with an object for each mount.")
def command(mountpoint: Path | None, as_json: bool) -> int:
    """Show your running mounts, or the one at MOUNTPOINT.

    Process, memory, open files, what is not stored yet, counts of operations and errors, and the name of the log.
    """
    from vfs.records import records

    found = records() if mountpoint is None else [_record_at(mountpoint)]
    reports = _reports(found)
    dead = [] if mountpoint is not None else _dead(found)
    if as_json:
        output.json_array(reports + [{"mountpoint": path, "error": "its process is dead"} for path in dead])
    else:
        _show(reports, dead)
    return 1 if dead or any("error" in report for report in reports) else 0


def _record_at(mountpoint: Path) -> Record:
    from vfs.mountpoint import absolute, is_stale
    from vfs.records import find

    path = absolute(mountpoint)
    record = find(path)
    if record is not None:
        return record
    shown = escape(str(path))
    if is_stale(path):
        raise CommandError(f"the process of the mount at {shown} is dead; clean up with: vfs unmount {shown}")
    raise CommandError(f"nothing of yours is mounted at {shown}")


def _dead(found: list[Record]) -> list[str]:
    """The mountpoints of mounts of this program that nobody answers for any more."""
    from vfs.mountpoint import is_stale, mount_table

    known = {record.mountpoint for record in found}
    ours = (entry.path for entry in mount_table() if entry.kind == "fuse.vfs" and entry.path not in known)
    return [path for path in ours if is_stale(Path(path))]


def _reports(found: list[Record]) -> list[dict[str, Any]]:
    """All that is known of each mount; with "error" where its process does not answer in time."""
    import dataclasses

    answers: list[dict[str, Any]] = [{"error": f"it does not answer within {_PATIENCE:g} s"} for _ in found]
    threads = [
        threading.Thread(target=_ask, args=(record, answers, index), daemon=True) for index, record in enumerate(found)
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + _PATIENCE
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [
        {
            **dataclasses.asdict(record),
            "age": round(time.time() - record.started, 3),
            "memory": _memory(record.pid),
            **answer,
        }
        for record, answer in zip(found, tuple(answers), strict=True)
    ]


def _ask(record: Record, answers: list[dict[str, Any]], index: int) -> None:
    try:
        answers[index] = record.ask("status")
    except (OSError, ValueError) as error:
        answers[index] = {"error": f"it does not answer: {describe(error)}"}


def _memory(pid: int) -> int | None:
    """The resident memory of a process in bytes; None for one that has ended meanwhile."""
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return None


def _show(reports: list[dict[str, Any]], dead: list[str]) -> None:
    if not reports and not dead:
        output.line("Nothing is mounted.")
    for report in reports:
        output.line(f"{escape(report['alias'])} at {escape(report['mountpoint'])}")
        for label, value in _rows(report):
            output.line(f"  {label:>10}  {value}")
    for path in dead:
        output.line(f"{escape(path)}: its process is dead; clean up with: vfs unmount {escape(path)}")


def _rows(report: dict[str, Any]) -> list[tuple[str, str]]:
    memory = output.size(report["memory"])
    rows = [
        ("backend", printable(report["backend"])),
        ("process", f"{report['pid']}, for {output.age(report['age'])}, {memory} of memory, {report['transport']}"),
    ]
    if report["options"]:
        rows.append(("options", printable(_options(report["options"]))))
    if "error" in report:
        rows.append(("error", printable(report["error"])))
    else:
        rows += [
            ("open files", str(report["open_files"])),
            ("pending", _pending(report["pending"])),
            ("operations", _counts(report["operations"])),
        ]
        if report["errors"]:
            rows.append(("errors", _counts(report["errors"])))
    rows.append(
        ("log", escape(report["log"]) if report["log"] else "stderr of the process, which is in the foreground")
    )
    return rows


def _options(options: dict[str, Any]) -> str:
    """As after -o."""
    return ",".join(name if value is True else f"{name}={value}" for name, value in options.items())


def _pending(names: list[str]) -> str:
    """How many files are not stored yet, and some of their names."""
    if not names:
        return "nothing"
    shown = ", ".join(map(escape, names[:_NAMES_SHOWN]))
    return f"{len(names)}: {shown}{', ...' if len(names) > _NAMES_SHOWN else ''}"


def _counts(counts: dict[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return printable(", ".join(f"{name} {count}" for name, count in ordered)) or "none yet"
