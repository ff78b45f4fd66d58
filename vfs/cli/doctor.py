"""vfs doctor: what keeps this machine from mounting, and what a storage can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from vfs.cli import output, progress
from vfs.cli.names import escape, printable
from vfs.cli.targets import AliasParam

if TYPE_CHECKING:
    from vfs.doctor import Report


@click.command(
    "doctor",
    short_help="Say what is wrong, and try what a storage can do.",
    epilog="""
\b
What is said of an operation of a storage:
  native       the backend does it, in one step
  emulated     it is made of other operations, or done by the mount itself
  refused      programs get an error for it
  failed       it should work and does not; the error is beside it
  atomic, not atomic
               whether nobody else can come between, where that has a meaning
  ms           the median of three

\b
Examples:
  vfs doctor                                 the machine and the settings
  vfs doctor photos                          and the storage "photos"
  vfs doctor photos -o cache_dir=/var/cache/photos,cache_size=20G
  vfs doctor photos -o ro                    whether it can be read, storing nothing
  vfs doctor --json photos | jq '.operations[] | select(.way == "emulated") | .name'
""",
)
@click.argument("alias", metavar="[ALIAS]", required=False, type=AliasParam())
@click.option(
    "-o",
    "options",
    metavar="OPTIONS",
    multiple=True,
    help="Options of the mount that is meant, as of `vfs mount`; those of MOUNT_OPTIONS hold as well.",
)
@click.option("--json", "as_json", is_flag=True, help="Write a JSON object with all that was found.")
def command(alias: str | None, options: tuple[str, ...], as_json: bool) -> int:
    """Look at what a mount needs of this machine, and say for each thing that is missing what to do.

    With ALIAS also ask its storage whether it answers and has the same time, and try each of its operations, in a
    directory vfs-doctor-... at its root that is removed at the end; with -o ro nothing is stored there. The exit code
    is 1 if anything fails.
    """
    from vfs.doctor import Status, examine
    from vfs.doctor.operations import TRIALS
    from vfs.mounts.options import parse_options
    from vfs.mounts.reloading import Said

    parsed = parse_options(options) if alias is None else Said(alias, options).options()
    if alias is None:
        report = examine(None, parsed)
    else:
        with progress.shown("Trying") as shown:
            shown.begin(len(TRIALS), 0, what="operations")
            report = examine(alias, parsed, tell=shown.finished)
    if as_json:
        output.as_json(report.as_object())
    else:
        _show(report)
    return 1 if report.status is Status.FAILURE else 0


def _show(report: Report) -> None:
    output.table([list(map(printable, row)) for row in report.check_rows()])
    if report.operations:
        output.line()
        output.line(f"{escape(str(report.alias))}, which is {printable(report.backend)}:")
        output.table([list(map(printable, row)) for row in report.operation_rows()], right=frozenset({3}))
