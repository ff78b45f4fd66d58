"""vfs mkdir: make directories."""

from __future__ import annotations

import click

from vfs.cli.errors import CommandError, Failures
from vfs.cli.places import place_of
from vfs.cli.targets import Target, TargetParam


@click.command(
    "mkdir",
    short_help="Make directories.",
    epilog="""
\b
Examples:
  vfs mkdir media:reports
  vfs mkdir -p media:reports/2024/may
""",
)
@click.argument("targets", metavar="ALIAS:PATH...", nargs=-1, required=True, type=TargetParam())
@click.option(
    "-p", "--parents", is_flag=True, help="Make missing directories above, too; one that is there is no error."
)
def command(targets: tuple[Target, ...], parents: bool) -> int:
    """Make directories in a storage.

    Object stores have none: there a directory is what names have in common, and comes with its first file.
    """
    failures = Failures()
    for place in [place_of(target) for target in targets]:
        with failures.catching(place.shown):
            try:
                if parents:
                    place.make_parents()
                if not place.mkdir() and not parents:
                    raise CommandError("it is there already")
            except NotImplementedError as error:
                raise CommandError(f"this storage keeps no empty directories; store a file there ({error})") from error
    return failures.exit_code
