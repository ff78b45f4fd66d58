"""vfs mount: show a storage as a directory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vfs.cli import output
from vfs.cli.errors import CONFIGURATION, CommandError, Failures, is_verbose, report
from vfs.cli.names import escape
from vfs.cli.targets import AliasParam, MountpointParam
from vfs.mounts.options import LOG_FORMATS, ON_CONFLICT
from vfs.transports import NAMES

if TYPE_CHECKING:
    from vfs.mounts.reloading import Said


@click.command(
    "mount",
    short_help="Show a storage as a directory.",
    epilog="""
\b
Options of the mount (-o), separated by commas:
  ro                     refuse every change
  allow_other            let other users in; permissions still hold
  noexec                 run no programs that lie there; user and users of
                         fstab imply it, unless exec follows
  uid=USER,gid=GROUP     show this owner, by number or name
  umask=022              take these bits off every mode
  attr_timeout=SECONDS   how long attributes are believed: 1, of a remote
                         storage 5
  entry_timeout=SECONDS  how long names are believed
  size=512M              the room there is: a limit for the in-memory storage,
                         what df shows of a storage that does not know its own
  timeout=SECONDS        how long a storage may make no progress before that is
                         an error: 30; 0 waits for ever
  cache_memory=48M       what was read, in memory
  cache_dir=DIRECTORY,cache_size=10G
                         what was read, on disk as well, for the next mount too
  drain=SECONDS          how long the end of the mount waits for the storage to
                         take what is pending: 30; the next mount goes on
  write_back=SECONDS, on_conflict=, spool=DIRECTORY, spool_size=SIZE
                         as below
  log_format=json        lines of JSON in the log
  on_change=MODULE.NAME  a function of Python that the mount calls with the alias
                         and a storage.Change, for what others change
  xattr                  offer extended attributes
  threads, nothreads     serve requests in several threads, or in one
  nospin                 never wait awake for the next request
  log_level=debug        what the daemon logs: info, after vfs -v mount debug
MOUNT_OPTIONS of the settings has the same for each mount of an alias. What fstab
has besides (defaults, noauto, _netdev, ...) is ignored.

\b
Examples:
  vfs mount memory ./mnt                     files in memory, until it is unmounted
  vfs mount media ./mnt -o ro
  vfs mount media /srv/media -o allow_other,umask=022
  vfs mount photos ./mnt --write-back 5      copy in at the speed of the disk;
                                             vfs flush waits for the storage
  vfs mount -f media ./mnt                   in the foreground, Ctrl-C unmounts
  vfs mount --all /srv/storages              each configured alias as a folder
""",
)
@click.argument("alias", metavar="ALIAS", type=AliasParam(), required=False)
@click.argument("mountpoint", metavar="MOUNTPOINT", type=MountpointParam(), required=False)
@click.option(
    "--all",
    "folder",
    metavar="DIRECTORY",
    type=MountpointParam(),
    help="Show each configured alias, at DIRECTORY/ALIAS, which is made if need be.",
)
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
@click.option(
    "--cache-dir",
    metavar="DIRECTORY",
    help="Keep what was read of a remote storage here, for the next mount too; with --all at DIRECTORY/ALIAS.",
)
@click.option(
    "--cache-size", metavar="SIZE", help="How much to keep there, such as 512M or 20G; 10G if nothing is said."
)
@click.option("--cache-memory", metavar="SIZE", help="How much of what was read to keep in memory; else 48M.")
@click.option(
    "--write-back",
    metavar="SECONDS",
    help="Let close() return when the file is safe on the local disk, and store it after so many seconds.",
)
@click.option(
    "--on-conflict",
    metavar="|".join(ON_CONFLICT),
    help="When somebody else has changed a file meanwhile: close() fails, and both are kept; or it wins.",
)
@click.option("--spool", metavar="DIRECTORY", help="Where files wait for the storage; by default in your state folder.")
@click.option("--spool-size", metavar="SIZE", help="How much may wait there; else what the disk has.")
@click.option("--log-format", metavar="|".join(LOG_FORMATS), help="What the lines of the log are; else text.")
def command(
    alias: str | None,
    mountpoint: Path | None,
    folder: Path | None,
    foreground: bool,
    options: tuple[str, ...],
    transport: str,
    **named: str | None,
) -> int:
    """Show the storage ALIAS as the directory MOUNTPOINT, which must be there and empty.

    Returns when the mount answers; a process in the background serves it until `vfs unmount`. `vfs status` says which,
    and where its log is. With --all each alias has a process of its own; those that cannot be mounted are told, and
    the others are mounted all the same.
    """
    from vfs.mounts.reloading import Said

    if is_verbose():
        options = ("log_level=debug", *options)
    if folder is not None:
        if alias is not None or foreground:
            raise click.UsageError("--all takes a DIRECTORY alone, and stays in the background.")
        return _mount_all(folder, options, transport, named)
    if alias is None or mountpoint is None:
        raise click.UsageError(f"Missing argument '{'MOUNTPOINT' if alias else 'ALIAS'}'.")
    if foreground:
        return _serve(Said(alias, options, named), mountpoint, transport)
    _mount(Said(alias, options, named), mountpoint, transport)
    return 0


def _serve(said: Said, mountpoint: Path, transport: str) -> int:
    """Mount in this process until the end; the exit code says whether another try may succeed."""
    from storage.exceptions import ImproperlyConfigured
    from vfs.mounts.mountpoint import MountpointError
    from vfs.mounts.options import OptionError

    try:
        _mount(said, mountpoint, transport, foreground=True)
    except (CommandError, ImproperlyConfigured, OptionError, MountpointError) as error:
        report(error)
        return CONFIGURATION
    return 0


def _mount(said: Said, mountpoint: Path, transport: str, foreground: bool = False) -> None:
    """Mount one, and say so."""
    from vfs.cli.access import require
    from vfs.mounts.daemon import start

    said.options()  # a mistake there is told first
    require(said.alias)
    record = start(said, mountpoint, transport, foreground)
    if not foreground:
        shown = escape(os.path.relpath(record.mountpoint) if not mountpoint.is_absolute() else record.mountpoint)
        words = f"{escape(said.alias)} is mounted at {shown} (process {record.pid})"
        output.line(f"{words}; to unmount: vfs unmount {shown}")


def _mount_all(folder: Path, options: tuple[str, ...], transport: str, named: dict[str, str | None]) -> int:
    """Mount each alias at a folder of its name; those that are mounted there already stay."""
    from storage import settings, storages
    from vfs.mounts.mountpoint import absolute
    from vfs.mounts.options import parse_options
    from vfs.mounts.records import find
    from vfs.mounts.reloading import Said

    cache = parse_options(options, named).cache_dir
    if settings.explain("STORAGES") == "Django's default":
        raise CommandError("no storage is configured; `vfs --help` says where that is done")
    failures = Failures()
    for alias in storages.backends:
        with failures.catching(escape(alias)):
            name = _folder_name(alias)
            place, its_cache = folder / name, os.path.join(cache, name) if cache else None
            record = find(absolute(place))
            if record is not None and record.alias == alias and record.is_in_the_tree():
                output.line(f"{escape(alias)} is mounted at {escape(str(place))} already (process {record.pid})")
            else:
                _mount_in(place, Said(alias, options, {**named, "cache_dir": its_cache}), transport)
    return failures.exit_code


def _folder_name(alias: str) -> str:
    if "/" in alias or "\0" in alias or alias in ("", ".", ".."):
        raise CommandError("it cannot be the name of a folder; mount it by itself")
    return alias


def _mount_in(place: Path, said: Said, transport: str) -> None:
    """Mount at a folder that may have to be made, and is taken away again if that fails."""
    is_new = not os.path.lexists(place)
    if is_new:
        place.mkdir(parents=True)
    try:
        _mount(said, place, transport)
    except BaseException:
        if is_new:
            place.rmdir()
        raise
