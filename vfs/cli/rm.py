"""vfs rm: remove files and trees."""

from __future__ import annotations

import click

from vfs.cli import progress
from vfs.cli.errors import CommandError, Failures
from vfs.cli.places import place_of
from vfs.cli.removing import Remover
from vfs.cli.targets import Target, TargetParam


@click.command(
    "rm",
    short_help="Remove files and directories.",
    epilog="""
\b
Examples:
  vfs rm media:draft.txt
  vfs rm -r media:old
  vfs rm -r --no-preserve-root media:        all that is in the storage
""",
)
@click.argument("targets", metavar="ALIAS:PATH...", nargs=-1, required=True, type=TargetParam())
@click.option("-r", "-R", "--recursive", is_flag=True, help="Remove directories with all that is in them.")
@click.option("-f", "--force", is_flag=True, help="Say nothing of what is not there.")
@click.option("-v", "--verbose", is_flag=True, help="Name each file that was removed.")
@click.option("--no-preserve-root", is_flag=True, help='Let "media:" stand for all that is in the storage.')
def command(targets: tuple[Target, ...], recursive: bool, force: bool, verbose: bool, no_preserve_root: bool) -> int:
    """Remove files of a storage, without asking. Symbolic links are removed, never what they lead to.

    What cannot be removed is reported, the rest is removed.
    """
    places = [place_of(target) for target in targets]
    for place in places:
        if not place.name and not no_preserve_root:
            raise CommandError(f"{place.shown} is a whole storage; to remove all that is in it, add --no-preserve-root")
    failures = Failures()
    with progress.shown("Removing") as bar:
        Remover(failures, bar, recursive=recursive, verbose=verbose).remove(places, missing_ok=force)
    return failures.exit_code
