"""vfs recover: store what mounts that are gone have left."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from vfs.cli import output, progress
from vfs.cli.errors import CommandError, Failures
from vfs.cli.names import escape, printable
from vfs.cli.targets import AliasParam

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vfs.spool.recovery import Outcome
    from vfs.spool.spools import StorageSpools


@click.command(
    "recover",
    short_help="Store what mounts that were killed have left.",
    epilog="""
\b
Examples:
  vfs recover                                what was left for any storage
  vfs recover media
  vfs recover media --discard                and delete what nobody had closed
""",
)
@click.argument("alias", metavar="[ALIAS]", required=False, type=AliasParam())
@click.option(
    "--spool",
    metavar="DIRECTORY",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Where the mounts had their spools; by default also where MOUNT_OPTIONS has them.",
)
@click.option("--discard", is_flag=True, help="Delete what was being written and was never closed.")
def command(alias: str | None, spool: Path | None, discard: bool) -> int:
    """Store what mounts of ALIAS, or of any storage, have left in their spools when they were killed.

    The next mount of the storage does so by itself. A file is stored under its name only if the storage has what it was
    made from, else beside. What was never closed stays in the spool, and is named with its place there.
    """
    from vfs.cli.access import require
    from vfs.spool.spools import StorageSpools

    failures, is_known, found = Failures(), False, False
    for root in [spool] if spool is not None else _roots(alias):
        for spools in StorageSpools.all(root):
            if alias not in (None, spools.label):
                continue
            is_known = True
            if spools.count():
                found = True
                with failures.catching(escape(spools.label)):
                    _recover(spools, discard, failures)
    if alias is not None and not is_known:
        require(alias)
    if not found:
        output.line("Nothing was left.")
    return 1 if failures.count else 0


def _roots(alias: str | None) -> Iterable[Path]:
    """Where the mounts of an alias, or of all, have their spools: where all do by default, and where settings say."""
    from storage import settings
    from vfs.mounts.reloading import Said
    from vfs.spool.spools import default_root

    aliases = settings.MOUNT_OPTIONS if alias is None else [alias]
    said = (Said(each).options().spool for each in aliases)
    return dict.fromkeys([default_root(), *(Path(folder) for folder in said if folder is not None)])


def _recover(spools: StorageSpools, discard: bool, failures: Failures) -> None:
    from vfs.cli.access import storage_of
    from vfs.spool.recovery import recover
    from vfs.spool.spools import StorageSpools

    if not spools.inherits:
        raise CommandError(
            f"a program had mounted it that did not say how it was made; its files are in {spools.folder}"
        )
    if StorageSpools.of(spools.label, spools.folder.parent).folder != spools.folder:
        raise CommandError(f"its configuration was another one then; its files are in {spools.folder}")
    with progress.waiting(f"Storing what was left for {escape(spools.label)}"):
        outcome = recover(storage_of(spools.label), spools, discard=discard)
    _show(spools.label, outcome, failures)


def _show(alias: str, outcome: Outcome, failures: Failures) -> None:
    if outcome.busy:
        output.line(f"{escape(alias)}: {outcome.busy} running mount(s) see to what is theirs")
    for name in outcome.stored:
        output.line(f"stored      {escape(f'{alias}:{name}')}")
    for name, kept_as in outcome.conflicts:
        output.line(f"conflict    {escape(f'{alias}:{name}')}: somebody else has changed it; kept as {escape(kept_as)}")
    for left in outcome.left:
        word = "discarded " if left.discarded else "left      "
        output.line(f"{word}  {escape(f'{alias}:{left.name}')}: {printable(left.why)}: {escape(str(left.path))}")
    for name, error in outcome.failed:
        failures.report(CommandError(f"not stored, and kept: {error}"), escape(f"{alias}:{name}"))
