"""vfs log: where a mount logs, and what."""

from __future__ import annotations

from pathlib import Path

import click

from vfs.cli import output
from vfs.cli.names import escape
from vfs.cli.running import record_at
from vfs.cli.targets import MountpointParam
from vfs.mounts.options import LOG_FORMATS, LOG_LEVELS


@click.command(
    "log",
    short_help="Show where a mount logs, or change what it logs.",
    epilog="""
\b
Examples:
  vfs log ./mnt
  vfs log ./mnt --level debug                until it is unmounted, or changed again
  vfs log ./mnt --format json                lines of JSON from now on
""",
)
@click.argument("mountpoint", metavar="MOUNTPOINT", type=MountpointParam())
@click.option("--level", type=click.Choice(LOG_LEVELS), help="Log this and what is more serious.")
@click.option("--format", "form", type=click.Choice(LOG_FORMATS), help="Write lines of text, or of JSON.")
def command(mountpoint: Path, level: str | None, form: str | None) -> None:
    """Show where the mount at MOUNTPOINT logs, from which level on, and how; the options change that at once.

    At debug it tells each request to a remote storage that fails, also those that are tried again. Other libraries log
    no more than at info, for what they say of their requests may have secrets in it.
    """
    record = record_at(mountpoint)
    now = record.ask("log", level=level, form=form)
    where = escape(record.log) if record.log else "stderr of the process, which is in the foreground"
    output.line(f"{where}: {now['level']} and above, as {now['form']}")
