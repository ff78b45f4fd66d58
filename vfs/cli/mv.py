"""vfs mv: rename in a storage, or move between two."""

from __future__ import annotations

import errno

import click

from vfs.cli import output, progress
from vfs.cli.copying import Copier, Manner
from vfs.cli.destinations import Pair, destinations
from vfs.cli.errors import CommandError, Failures
from vfs.cli.places import LocalPlace, Place, place_of
from vfs.cli.progress import Progress
from vfs.cli.removing import Remover
from vfs.cli.targets import Target, TargetParam


@click.command(
    "mv",
    short_help="Rename files, or move them between storages.",
    epilog="""
\b
Examples:
  vfs mv media:draft.txt media:final.txt
  vfs mv media:a.txt media:b.txt media:old/
  vfs mv ./upload media:inbox                to another storage
""",
)
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True, type=TargetParam(local=True))
@click.argument("destination", metavar="DESTINATION", type=TargetParam(local=True))
@click.option("-n", "--no-clobber", is_flag=True, help="Leave files that are there already as they are.")
@click.option("-v", "--verbose", is_flag=True, help="Name each file that was moved.")
def command(sources: tuple[Target, ...], destination: Target, no_clobber: bool, verbose: bool) -> int:
    """Rename SOURCE to DESTINATION, or move several of them into that directory.

    Within a storage that is a rename where the storage has one. Else it is a copy, which keeps modes and times as far
    as the destination can, and the source is removed when all of it has been copied.
    """
    failures = Failures()
    places = [(source, place_of(source)) for source in sources]
    for source, place in places:
        if not place.name or source.is_content:
            raise CommandError(f"{place.shown} has no name to move it by; vfs cp -r copies what is in it")
    pairs = destinations(places, destination, place_of(destination), failures)
    with progress.shown("Moving", sizes=True) as bar:
        mover = _Mover(Manner(recursive=True, moving=True, no_clobber=no_clobber), failures, bar)
        for pair in pairs:
            shown = " -> ".join(place.shown for place in pair)
            with failures.catching(shown):
                if mover.move(pair) and verbose:
                    output.line(shown)
    return failures.exit_code


class _Mover:
    def __init__(self, manner: Manner, failures: Failures, bar: Progress) -> None:
        self._manner = manner
        self._failures = failures
        self._bar = bar

    def move(self, pair: Pair) -> bool:
        """Move one file or tree; False where it stays, because of what is there or of what was reported."""
        source, target = pair
        source.stat()  # a missing source is no reason to make directories
        existing = target.find()
        if existing is not None and self._manner.no_clobber:
            return False
        if source.storage is target.storage and self._rename(source, target):
            return True
        if isinstance(target, LocalPlace) and target.is_device():
            raise CommandError("the destination is no plain file: what is written there cannot be read again")
        if existing is not None and source.stat().is_dir != existing.is_dir:
            raise CommandError("one is a directory, the other is not")
        if existing is not None and existing.is_dir and next(iter(target.scandir()), None) is not None:
            raise CommandError("the destination is a directory that is not empty")
        return self._copy_and_remove(pair)

    def _rename(self, source: Place, target: Place) -> bool:
        """Rename; False where the storage cannot, or the two are on different filesystems."""
        from storage.base import RENAME_NOREPLACE

        target.make_parents()
        try:
            if self._manner.no_clobber:
                try:
                    source.storage.rename(source.name, target.name, RENAME_NOREPLACE)
                except FileExistsError:  # since we looked
                    return False
            else:
                source.storage.rename(source.name, target.name)
        except NotImplementedError:
            return False
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            return False
        return True

    def _copy_and_remove(self, pair: Pair) -> bool:
        copied = Failures()
        Copier(self._manner, copied, self._bar).copy([pair])
        if copied.count:
            self._failures.count += copied.count
            raise CommandError("it stays where it is, because not all of it could be copied")
        removed = Failures()
        Remover(removed, Progress(), recursive=True).remove([pair[0]])
        self._failures.count += removed.count
        return not removed.count
