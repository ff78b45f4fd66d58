"""vfs cp: files to a storage, from one, or between two."""

from __future__ import annotations

import click

from vfs.cli import progress
from vfs.cli.copying import Copier, Manner
from vfs.cli.destinations import destinations
from vfs.cli.errors import Failures
from vfs.cli.places import place_of
from vfs.cli.targets import Target, TargetParam


@click.command(
    "cp",
    short_help="Copy files to a storage, from one, or between two.",
    epilog="""
\b
Examples:
  vfs cp report.pdf media:reports/           a local file to a storage
  vfs cp media:reports/may.pdf .             and back
  vfs cp -r ./site media:                    a tree: becomes media:site
  vfs cp -r media: ./backup                  all of a storage
  vfs cp -rp media:2024 archive:             to another storage, with modes and times
  pg_dump shop | vfs cp /dev/stdin backup:shop.sql
""",
)
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True, type=TargetParam(local=True))
@click.argument("destination", metavar="DESTINATION", type=TargetParam(local=True))
@click.option("-r", "-R", "--recursive", is_flag=True, help="Copy directories with all that is in them.")
@click.option("-p", "--preserve", is_flag=True, help="Keep mode and times, and as root the owner.")
@click.option("-n", "--no-clobber", is_flag=True, help="Leave files that are there already as they are.")
@click.option("-L", "--dereference", is_flag=True, help="With -r, copy what symbolic links lead to.")
@click.option("-v", "--verbose", is_flag=True, help="Name each file that was copied.")
@click.option(
    "-j",
    "--jobs",
    metavar="N",
    type=click.IntRange(1, 64),
    help="Copy so many files at once. [8 if a network is involved, else 1]",
)
def command(sources: tuple[Target, ...], destination: Target, **manner: bool | int | None) -> int:
    """Copy SOURCE to DESTINATION, or several of them into that directory.

    A file is stored under exactly the name that is asked for, and replaces what is there; it appears whole or not at
    all. In a storage, missing directories of DESTINATION are made, and one that ends with "/" is a directory; a local
    directory must be there. The whole of a storage ("media:") and "dir/." stand for what is in them.

    New local files get the mode of the source less the umask. In a storage the mode is the storage's choice, unless -p
    is given; where a storage cannot keep mode and times, -p says so and the exit code is 1. What cannot be copied is
    reported, the rest is copied.
    """
    failures = Failures()
    places = [(source, place_of(source)) for source in sources]
    place = place_of(destination)
    if place.local and (entry := place.find()) is not None and entry.kind.name == "SYMLINK":
        place = place.followed()  # as cp writes through a link that it was given
    pairs = destinations(places, destination, place, failures)
    with progress.shown("Copying", sizes=True) as bar:
        Copier(Manner(**manner), failures, bar).copy(pairs)  # type: ignore[arg-type]
    return failures.exit_code
