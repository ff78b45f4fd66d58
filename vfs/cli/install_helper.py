"""vfs install-helper: let mount(8) and /etc/fstab, or systemd, mount storages."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import click

from vfs.cli import output, units
from vfs.cli.errors import CommandError
from vfs.cli.names import escape

FOLDER = "/sbin"
"""Where mount(8) looks for helpers."""
NAME = "mount.fuse.vfs"
_SCRIPT = """#!/bin/sh
{mark} mount(8) calls it for a filesystem of the type fuse.vfs.
source=$1 target=$2
shift 2
options=defaults
while getopts sfnvo:N:t: option; do
  case $option in
    o) options=$OPTARG ;;
    f) exit 0 ;; # nothing is to be mounted in truth
  esac
done
case $source in
  /*) source=${{source##*/}} ;; # mount(8) makes a path of an alias where there is a file of that name
esac
cd / && exec {command} mount -o "$options" -- "$source" "$target" >/dev/null
"""


@click.command(
    "install-helper",
    short_help="Let mount(8), /etc/fstab or systemd mount storages.",
    epilog="""
\b
A line of /etc/fstab, of an alias that /etc/vfs/vfs.toml has:
  photos  /srv/photos  fuse.vfs  allow_other,nofail,_netdev,cache_dir=/var/cache/photos  0  0

\b
A line that begins with vfs#photos, and has the type fuse, does the same where fuse3 is installed and a program called
vfs is in /usr/local/bin or another folder of the system.

\b
With --systemd a mount is a service: the template unit vfs@.service, whose instances are aliases. It is mounted at
/srv/ALIAS, unless /etc/vfs/ALIAS.env says DIRECTORY=, and with the OPTIONS= there. For an ordinary user it is a unit of
his own (systemctl --user, ~/ALIAS, ~/.config/vfs/ALIAS.env).

\b
Examples:
  sudo vfs install-helper            then: sudo mount -t fuse.vfs photos /srv/photos
  sudo vfs install-helper --systemd  then: sudo systemctl enable --now vfs@photos
  sudo vfs install-helper --remove
""",
)
@click.option(
    "--folder",
    metavar="DIRECTORY",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help=f"Where to write it; else {FOLDER}, or where systemd looks for units.",
)
@click.option("--systemd", is_flag=True, help="Write the unit template of systemd instead.")
@click.option("--remove", is_flag=True, help="Take it away again.")
def command(folder: Path | None, systemd: bool, remove: bool) -> None:
    """Write the helper that mount(8) calls for the type fuse.vfs, for this vfs, by the Python that runs it now.

    The options in fstab are those of `vfs mount -o`; what fstab has besides is ignored.
    """
    path = _path(folder, systemd)
    shown = escape(str(path))
    if path.exists() and units.MARK not in path.read_text(errors="replace"):
        raise CommandError(f"{shown} is somebody else's; move it away first")
    if remove:
        path.unlink(missing_ok=True)
        output.line(f"{shown} is gone")
        return
    if systemd:
        _write(path, units.text(), 0o644)
        user = "" if os.geteuid() == 0 else " --user"
        output.line(f"{shown} is written; try: systemctl{user} daemon-reload && systemctl{user} start vfs@memory")
    else:
        words = shlex.join([sys.executable, "-P", "-m", "vfs"])
        _write(path, _SCRIPT.format(mark=units.MARK, command=words), 0o755)
        output.line(f"{shown} is written; try: mount -t fuse.vfs memory DIRECTORY")


def _path(folder: Path | None, systemd: bool) -> Path:
    if folder is None and systemd:
        folder = units.folder()
        try:
            folder.mkdir(parents=True, exist_ok=True)  # a user has none at first
        except OSError as error:
            raise CommandError(f"{escape(str(folder))} cannot be made: {error.strerror}") from error
    return (folder or Path(FOLDER)) / (units.NAME if systemd else NAME)


def _write(path: Path, text: str, mode: int) -> None:
    """Put a file in the place of what is there, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text)
        temporary.chmod(mode)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, PermissionError):
            raise CommandError(f"{escape(str(path))} cannot be written: run this as root") from error
        raise
