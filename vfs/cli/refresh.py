"""vfs refresh: let a mount ask its storage again."""

from __future__ import annotations

from pathlib import Path

import click

from vfs.cli.running import name_in, record_at
from vfs.cli.targets import MountpointParam


@click.command(
    "refresh",
    short_help="Let a mount ask its storage again at once.",
    epilog="""
\b
Examples:
  vfs refresh ./mnt                          all of it
  vfs refresh ./mnt reports/2026             a directory, with all that is below, or a file
  vfs refresh ./mnt ./mnt/reports/2026       the same
""",
)
@click.argument("mountpoint", metavar="MOUNTPOINT", type=MountpointParam())
@click.argument("path", metavar="[PATH]", default="")
def command(mountpoint: Path, path: str) -> None:
    """Forget what the mount at MOUNTPOINT believes of names, sizes and times, of all or of PATH and what is below.

    What somebody else has changed in the storage is then seen at once, and not after the timeouts of the mount. What is
    kept of contents stays, for it is kept by their version.
    """
    record_at(mountpoint).ask("refresh", path=name_in(mountpoint, path))
