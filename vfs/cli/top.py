"""vfs top: what running mounts do now."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from vfs import amounts
from vfs.cli import output
from vfs.cli.figures import Interval, Line, per_second, together, under_way
from vfs.cli.names import escape, printable
from vfs.cli.running import ask_all, memory, record_at
from vfs.cli.targets import MountpointParam

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Group, RenderableType
    from rich.table import Table

    from vfs.mounts.records import Record

LEAST_INTERVAL = 0.1
"""Seconds: to ask more often would be seen in what is measured."""


class Reading(NamedTuple):
    """What one mount has counted, and when (time.monotonic seconds) it said so."""

    record: Record
    metrics: dict[str, Any]
    """With "error" alone where it does not answer."""
    at: float


@click.command(
    "top",
    short_help="Show what running mounts do, live.",
    epilog="""
\b
Examples:
  vfs top                                    all mounts, each second; Ctrl-C ends it
  vfs top ./mnt --interval 5
  vfs top --once                             one second, for a script or a log
""",
)
@click.argument("mountpoints", metavar="[MOUNTPOINT...]", nargs=-1, type=MountpointParam())
@click.option(
    "--interval",
    metavar="SECONDS",
    type=click.FloatRange(min=LEAST_INTERVAL),
    default=1.0,
    show_default=True,
    help="How long to count for a frame.",
)
@click.option("-n", "--frames", metavar="COUNT", type=click.IntRange(min=1), help="End after so many frames.")
@click.option("--once", is_flag=True, help="The same as -n 1.")
def command(mountpoints: tuple[Path, ...], interval: float, frames: int | None, once: bool) -> None:
    """Show rates, latencies, hit rates and errors of all mounts, or of those at MOUNTPOINT, for each interval anew.

    Operations are what the kernel asks of the mount, after its own caches; requests are those to a storage that waits
    for a network. p50 is the time within which half of them were answered, p99 that of all but one of a hundred. Ends
    when the last mount has gone.
    """
    numbers = itertools.count() if frames is None and not once else range(1 if once else frames or 1)
    watched = Watched([record_at(path) for path in mountpoints])
    with suppress(KeyboardInterrupt), _screen() as show:
        for _ in numbers:
            time.sleep(interval)
            show(watched.frame())
            if not watched.is_any_left:
                break


class Watched:
    """The mounts that are shown, and what was read of them last."""

    def __init__(self, chosen: list[Record]) -> None:
        """The mounts that were chosen; without a choice all that there are, and those that come."""
        self._chosen = chosen
        self._last = {it.record.pid: it for it in _readings(self._living())}
        self._gone: list[Record] = []

    @property
    def is_any_left(self) -> bool:
        """Whether there is still one to watch."""
        return bool(self._last)

    def frame(self) -> Group:
        """What happened since the last one."""
        from rich.console import Group
        from rich.text import Text

        new = {it.record.pid: it for it in _readings(self._living())}
        self._gone += [it.record for pid, it in self._last.items() if pid not in new]
        parts: list[RenderableType] = [Text(time.strftime("%H:%M:%S"), style="dim")]
        for pid, reading in new.items():
            parts += _mount(reading, self._last.get(pid))
        parts += [Text(f"{_title(record)}: the mount has gone", style="bold red") for record in self._gone]
        if not new and not self._gone:
            parts.append(Text("Nothing is mounted."))
        self._last = new
        return Group(*parts, Text(""))

    def _living(self) -> list[Record]:
        from vfs.mounts.records import records

        chosen = {record.pid for record in self._chosen}
        return [record for record in records() if not chosen or record.pid in chosen]


def _readings(found: list[Record]) -> list[Reading]:
    return [
        Reading(record, answer, time.monotonic())
        for record, answer in zip(found, ask_all(found, "metrics"), strict=True)
    ]


@contextmanager
def _screen() -> Iterator[Callable[[RenderableType], None]]:
    """Shows one frame after the other: in the place of the last in a terminal, else below it."""
    from rich.console import Console

    console = Console(file=sys.stdout, highlight=False)
    if not console.is_terminal:

        def write(frame: RenderableType) -> None:
            with console.capture() as captured:
                console.print(frame, soft_wrap=True)
            output.raw(captured.get().encode(errors="backslashreplace"))

        yield write
        return
    from rich.live import Live

    with Live(console=console, auto_refresh=False) as live:
        yield lambda frame: live.update(frame, refresh=True)


def _title(record: Record) -> str:
    return f"{escape(record.alias)} at {escape(record.mountpoint)}"


def _mount(reading: Reading, before: Reading | None) -> list[RenderableType]:
    """One mount: what it has, and what it did."""
    from rich.text import Text

    record, metrics, at = reading
    title = Text(_title(record), style="bold")
    if "error" in metrics:
        return [title, Text(f"  {printable(metrics['error'])}", style="red")]
    since = record.started
    old, seconds = None, time.time() - since
    if before is not None and "error" not in before.metrics:
        old, seconds = before.metrics, at - before.at
    interval = Interval(metrics, old, seconds)
    parts: list[RenderableType] = [title, *(Text(f"  {words}") for words in _state(record, metrics, interval))]
    outage = (metrics["storage"] or {}).get("outage")
    if outage:
        words = f"  the storage has not answered for {amounts.age(outage['seconds'])}: {printable(outage['error'])}"
        parts.append(Text(words, style="red"))
    parts.append(_table("operations", interval.operations))
    if metrics["storage"]:
        parts.append(_table("requests", interval.requests))
    return parts


def _state(record: Record, metrics: dict[str, Any], interval: Interval) -> list[str]:
    pending, spool = metrics["pending"], metrics["spool"]
    waiting = "nothing"
    if pending["files"]:
        failed = f", {pending['failed']} failed" if pending["failed"] else ""
        waiting = f"{pending['files']} files for up to {amounts.age(pending['oldest'])}{failed}"
    lines = [
        f"{amounts.size(memory(record))} of memory, {metrics['handles']} open, {interval.traffic}",
        *([f"storage: {interval.storage_traffic}"] if metrics["storage"] else []),
        *([f"hits: {interval.hits}"] if interval.hits else []),
        *([f"operations: {words}"] if (words := under_way(metrics)) else []),
    ]
    if spool is not None:
        limit = f" of {amounts.size(spool['limit'])}" if spool["limit"] is not None else ""
        lines.append(f"pending: {waiting}; spool: {amounts.size(spool['used'])}{limit}")
    return lines


def _table(heading: str, lines: list[Line]) -> Table:
    """A row for each kind of request, below one for all."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(f"  {heading}", min_width=18)
    for name in ("rate", "p50", "p99"):
        table.add_column(name, justify="right", min_width=8)
    table.add_column("errors", style="red")
    for line in [together(lines), *lines] if len(lines) > 1 else lines:
        table.add_row(f"  {line.kind}", per_second(line.per_second), line.p50, line.p99, line.failed)
    if not lines:
        table.add_row("  none", per_second(0.0), "-", "-", "")
    return table
