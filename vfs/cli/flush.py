"""vfs flush: wait until a mount has stored what is pending."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vfs.cli import progress
from vfs.cli.errors import CommandError, Failures
from vfs.cli.names import escape
from vfs.cli.running import record_at
from vfs.cli.targets import MountpointParam

if TYPE_CHECKING:
    from vfs.mounts.records import Record

_STEP = 0.5
"""Seconds after which the mount tells how far it has come."""


@click.command(
    "flush",
    short_help="Store what a mount has pending, and wait for it.",
    epilog="""
\b
Examples:
  vfs flush ./mnt
  vfs flush ./mnt && echo 'all of it is in the bucket'
""",
)
@click.argument("mountpoint", metavar="MOUNTPOINT", type=MountpointParam())
def command(mountpoint: Path) -> int:
    """Store now what was closed at MOUNTPOINT and is pending, and return when the storage has it.

    With --write-back files are pending for a while after their close, without it only those that could not be stored.
    What cannot be stored now is named, and stays pending: the exit code is 1 then.
    """
    failures = Failures()
    for file in flush(record_at(mountpoint)):
        failures.report(CommandError(file["error"]), escape(file["name"]))
    return 1 if failures.count else 0


def flush(record: Record) -> list[dict[str, Any]]:
    """Let the mount of `record` store what is pending, showing how far it is; returns what could not be stored."""
    answer = record.ask("flush", since=None, seconds=0.0)
    since, files, size = answer["since"], answer["files"], answer["bytes"]
    with progress.shown("Storing", sizes=True) as bar:
        bar.begin(files, size)
        while answer["files"]:
            answer = record.ask("flush", since=since, seconds=_STEP)
            for _ in range(files - answer["files"]):
                bar.finished()
            bar.moved(max(0, size - answer["bytes"]))
            files, size = min(files, answer["files"]), min(size, answer["bytes"])
    failed: list[dict[str, Any]] = answer["failed"]
    return failed
