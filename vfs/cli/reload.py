"""vfs reload: let a mount take its configuration as it is now."""

from __future__ import annotations

from pathlib import Path

import click

from vfs.cli import output
from vfs.cli.names import printable
from vfs.cli.running import record_at
from vfs.cli.targets import MountpointParam


@click.command(
    "reload",
    short_help="Let a mount take its configuration as it is now.",
    epilog="""
\b
In vfs.toml, as after -o; what the command of the mount has said is stronger:
  [MOUNT_OPTIONS]
  photos = "cache_memory=256M,write_back=5"

\b
A running mount takes: timeout, attr_timeout, entry_timeout (not over libfuse),
cache_memory, cache_size, spool_size, write_back, on_conflict, drain, log_level,
log_format.

\b
Examples:
  vfs reload ./mnt
""",
)
@click.argument("mountpoint", metavar="MOUNTPOINT", type=MountpointParam())
def command(mountpoint: Path) -> None:
    """Have the mount at MOUNTPOINT read its configuration again, and tell what it has taken, and what not.

    SIGHUP does the same. A configuration that cannot be read, or has a mistake, changes nothing: the exit code is 1.
    """
    answer = record_at(mountpoint).ask("reload")
    for name, value in answer["taken"].items():
        output.line(f"taken              {name}={'as by default' if value is None else printable(str(value))}")
    for name in answer["remount"]:
        output.line(f"needs a new mount  {name}")
    if not answer["taken"] and not answer["remount"]:
        output.line("Nothing has changed.")
