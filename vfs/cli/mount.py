"""vfs mount: show a storage as a directory."""

from __future__ import annotations

import os
from pathlib import Path

import click

from vfs.cli import output
from vfs.cli.names import escape
from vfs.cli.targets import AliasParam, MountpointParam
from vfs.transports import NAMES


@click.command(
    "mount",
    short_help="Show a storage as a directory.",
    epilog="""
\b
Options of the mount (-o), separated by commas:
  ro                     refuse every change
  allow_other            let other users in; permissions still hold
  uid=USER,gid=GROUP     show this owner, by number or name
  umask=022              take these bits off every mode
  attr_timeout=SECONDS   how long attributes are believed
  entry_timeout=SECONDS  how long names are believed
  size=512M              the room there is: a limit for the in-memory storage,
                         what df shows of a storage that does not know its own
  xattr                  offer extended attributes
  threads, nothreads     serve requests in several threads, or in one
  nospin                 never wait awake for the next request
What fstab has besides (defaults, noauto, _netdev, ...) is ignored.

\b
Examples:
  vfs mount memory ./mnt                     files in memory, until it is unmounted
  vfs mount media ./mnt -o ro
  vfs mount media /srv/media -o allow_other,umask=022
  vfs mount -f media ./mnt                   in the foreground, Ctrl-C unmounts
""",
)
@click.argument("alias", metavar="ALIAS", type=AliasParam())
@click.argument("mountpoint", metavar="MOUNTPOINT", type=MountpointParam())
@click.option("-f", "--foreground", is_flag=True, help="Stay in the foreground, and log to stderr.")
@click.option(
    "-o", "options", metavar="OPTIONS", multiple=True, help="Options of the mount, as below; may be repeated."
)
@click.option(
    "--transport",
    type=click.Choice(NAMES),
    default="auto",
    show_default=True,
    help="What speaks to the kernel: its own protocol (Linux), or libfuse 2. auto is the first where there is one.",
)
def command(alias: str, mountpoint: Path, foreground: bool, options: tuple[str, ...], transport: str) -> None:
    """Show the storage ALIAS as the directory MOUNTPOINT, which must be there and empty.

    Returns when the mount answers; a process in the background serves it until `vfs unmount`. `vfs status` says which,
    and where its log is.
    """
    from storage import storages
    from vfs.daemon import start
    from vfs.options import parse_options

    parsed = parse_options(options)
    if alias not in storages:
        from vfs.cli.access import storage_of

        storage_of(alias)  # says which there are
    record = start(alias, mountpoint, parsed, transport, foreground)
    if not foreground:
        shown = escape(os.path.relpath(record.mountpoint) if not mountpoint.is_absolute() else record.mountpoint)
        output.line(f"{escape(alias)} is mounted at {shown} (process {record.pid}); to unmount: vfs unmount {shown}")
