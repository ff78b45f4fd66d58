"""vfs unmount: end a mount."""

from __future__ import annotations

from pathlib import Path

import click

from vfs.cli import output, progress
from vfs.cli.errors import Failures, warn
from vfs.cli.names import escape
from vfs.cli.targets import MountpointParam


@click.command(
    "unmount",
    short_help="End a mount, when everything is stored (also: umount).",
    epilog="""
\b
Examples:
  vfs unmount ./mnt
  vfs unmount --wait 60 ./mnt                who uses it has a minute to end
  vfs unmount --drain 20 ./mnt               the storage has 20 s; what it lacks
                                             then is left to the next mount
  vfs unmount --lazy ./mnt                   take it out of sight at once
  vfs unmount --all /srv/storages            all that are below; or all of yours
""",
)
@click.argument("mountpoint", metavar="MOUNTPOINT", type=MountpointParam(), required=False)
@click.option("--all", "every", is_flag=True, help="End all of your mounts, or those below MOUNTPOINT.")
@click.option(
    "--wait",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    help="How long to wait while it is in use.",
)
@click.option(
    "--drain",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    help="How long to store what is pending, and leave the rest in the spool for the next mount.",
)
@click.option("--lazy", is_flag=True, help="Unmount at once, and let those finish who have files open.")
def command(mountpoint: Path | None, every: bool, wait: float, lazy: bool, drain: float | None) -> int:
    """End the mount at MOUNTPOINT, and return when everything is stored and its process has ended.

    Without --drain or --lazy a mount stays while something of it cannot be stored. Also cleans up after a mount whose
    process has died. With --all, those that cannot be ended are told, and the others end all the same.
    """
    if not every:
        if mountpoint is None:
            raise click.UsageError("Missing argument 'MOUNTPOINT'.")
        _unmount(mountpoint, wait, lazy, drain)
        return 0
    failures = Failures()
    for path in _mountpoints(mountpoint):
        with failures.catching(escape(str(path))):
            _unmount(path, wait, lazy, drain)
            output.line(f"{escape(str(path))} is unmounted")
    return failures.exit_code


def _mountpoints(folder: Path | None) -> list[Path]:
    """Where the user's mounts are, and those whose process is dead, at or below a folder; the newest first."""
    from vfs.mounts.mountpoint import absolute, dead_mounts
    from vfs.mounts.records import records

    living = records()
    dead = [entry.path for entry in dead_mounts(living)]
    found = dict.fromkeys(map(Path, reversed([*dead, *(record.mountpoint for record in living)])))
    top = Path("/") if folder is None else absolute(folder)
    return [path for path in found if path == top or top in path.parents]


def _unmount(mountpoint: Path, wait: float, lazy: bool, drain: float | None) -> None:
    from vfs.cli.flush import flush
    from vfs.mounts.mountpoint import absolute, unmount
    from vfs.mounts.records import find

    record = find(absolute(mountpoint))
    if record is not None and not lazy and drain is None:
        flush(record)  # what fails is tried once more, and told of, by what follows
    with progress.waiting("Storing what is pending"):
        left = unmount(mountpoint, wait=wait, lazy=lazy, drain=drain, on_busy=lambda who: warn(f"{who}; waiting"))
    for name in left:
        warn(f"not stored, and left to the next mount: {name!r}")
