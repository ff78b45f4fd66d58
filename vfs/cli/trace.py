"""vfs trace: the operations of a mount, as they come."""

from __future__ import annotations

import json
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import click

from vfs.cli import errors, output
from vfs.cli.figures import latency
from vfs.cli.names import escape
from vfs.cli.running import name_in, record_at
from vfs.cli.targets import MountpointParam


@click.command(
    "trace",
    short_help="Show the operations of a mount as they come.",
    epilog="""
\b
Examples:
  vfs trace ./mnt                            all of them; Ctrl-C ends it
  vfs trace ./mnt reports/2026               of a directory, with all that is below, or of a file
  vfs trace ./mnt --json | jq 'select(.error != null)'
""",
)
@click.argument("mountpoint", metavar="MOUNTPOINT", type=MountpointParam())
@click.argument("path", metavar="[PATH]", default="")
@click.option("--json", "as_json", is_flag=True, help="Write an object on a line for each, with times in seconds.")
def command(mountpoint: Path, path: str, as_json: bool) -> None:
    """Show what programs ask of the mount at MOUNTPOINT, of all or of PATH and what is below, until it is unmounted.

    Each line has the time, the operation, the process that asked, how long it took, the error if there was one, and the
    path. What the kernel answers by itself is not seen. A mount that nobody traces does nothing for it; one that is
    traced is slower.
    """
    record = record_at(mountpoint)
    with suppress(KeyboardInterrupt), closing(record.follow("trace", path=name_in(mountpoint, path))) as batches:
        for batch in batches:
            for operation in batch["operations"]:
                output.line(_object(operation) if as_json else _line(operation))
            if batch["lost"]:
                errors.warn(f"{batch['lost']} operations came faster than they could be shown")
            output.flush()
        errors.warn("the mount has gone")


def _line(operation: dict[str, Any]) -> str:
    seconds = operation["time"]
    at = f"{time.strftime('%H:%M:%S', time.localtime(seconds))}.{int(seconds % 1 * 1000):03}"
    paths = " -> ".join(f"/{escape(path)}" for path in operation["paths"]) or "(no name)"
    words = f"{operation['operation']:<15} {operation['pid']:>7} {latency(operation['seconds']):>7}"
    return f"{at} {words}  {operation['error'] or '-':<9} {paths}"


def _object(operation: dict[str, Any]) -> str:
    return json.dumps({**operation, "paths": list(map(output.text, operation["paths"]))})
