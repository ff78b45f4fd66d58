"""vfs url: where a browser finds files."""

from __future__ import annotations

import click

from vfs.cli import output
from vfs.cli.errors import CommandError, Failures
from vfs.cli.names import printable
from vfs.cli.places import place_of
from vfs.cli.targets import Target, TargetParam


@click.command(
    "url",
    short_help="Show the URLs of files.",
    epilog="""
\b
Example:
  vfs url media:reports/may.pdf
""",
)
@click.argument("targets", metavar="ALIAS:PATH...", nargs=-1, required=True, type=TargetParam())
def command(targets: tuple[Target, ...]) -> int:
    """Show the URLs where a browser finds files, one a line; whether the files are there is not looked at."""
    failures = Failures()
    for place in [place_of(target) for target in targets]:
        with failures.catching(place.shown):
            try:
                url = place.storage.url(place.name)
            except (NotImplementedError, ValueError) as error:
                raise CommandError(f"the storage has no URL for it: {error}") from error
            output.line(printable(url))
    return failures.exit_code
