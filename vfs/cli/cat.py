"""vfs cat: the content of files."""

from __future__ import annotations

import click

from vfs.cli import output
from vfs.cli.errors import Failures
from vfs.cli.places import place_of
from vfs.cli.targets import Target, TargetParam

_CHUNK = 1 << 20


@click.command(
    "cat",
    short_help="Write the content of files to stdout.",
    epilog="""
\b
Examples:
  vfs cat media:notes.txt
  vfs cat logs:2024/may.gz logs:2024/june.gz | zcat
To store what another program writes:
  pg_dump shop | vfs cp /dev/stdin backup:shop.sql
""",
)
@click.argument("targets", metavar="ALIAS:PATH...", nargs=-1, required=True, type=TargetParam())
def command(targets: tuple[Target, ...]) -> int:
    """Write the content of files to stdout, one after the other and as it is."""
    failures = Failures()
    for place in [place_of(target) for target in targets]:
        with failures.catching(place.shown):
            if not place.name:
                raise IsADirectoryError(21, "Is a directory", place.label)
            with place.open() as file:
                while data := file.read(_CHUNK):
                    output.raw(data)
    return failures.exit_code
