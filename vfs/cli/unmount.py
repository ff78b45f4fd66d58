"""vfs unmount: end a mount."""

from __future__ import annotations

from pathlib import Path

import click

from vfs.cli import progress
from vfs.cli.targets import MountpointParam


@click.command(
    "unmount",
    short_help="End a mount, when everything is stored (also: umount).",
    epilog="""
\b
Examples:
  vfs unmount ./mnt
  vfs unmount --wait 60 ./mnt                who uses it has a minute to end
  vfs unmount --lazy ./mnt                   take it out of sight at once
""",
)
@click.argument("mountpoint", metavar="MOUNTPOINT", type=MountpointParam())
@click.option(
    "--wait",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    help="How long to wait while it is in use.",
)
@click.option("--lazy", is_flag=True, help="Unmount at once, and let those finish who have files open.")
def command(mountpoint: Path, wait: float, lazy: bool) -> None:
    """End the mount at MOUNTPOINT, and return when everything is stored and its process has ended.

    Also cleans up after a mount whose process has died.
    """
    from vfs.mountpoint import unmount

    with progress.waiting("Storing what is pending"):
        unmount(mountpoint, wait=wait, lazy=lazy)
