"""vfs du: how much is in directories."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import click

from vfs import amounts
from vfs.cli import output, progress
from vfs.cli.errors import Failures
from vfs.cli.places import Place, place_of
from vfs.cli.progress import Progress
from vfs.cli.targets import Target, TargetParam

if TYPE_CHECKING:
    from storage.entry import Entry

_BLOCK = 512


class Sum(NamedTuple):
    """What one line says: a place, the levels that it is below the target, and the bytes and files in it."""

    place: Place
    depth: int
    size: int
    files: int


@click.command(
    "du",
    short_help="Add up the sizes of directories.",
    epilog="""
\b
Examples:
  vfs du -s media:
  vfs du -d 1 media:
  vfs du -s --json media: | jq '.[0].size'
""",
)
@click.argument("targets", metavar="ALIAS:PATH...", nargs=-1, required=True, type=TargetParam())
@click.option("-s", "--summarize", is_flag=True, help="Show only the sum of each target.")
@click.option("-d", "--max-depth", metavar="N", type=click.IntRange(min=0), help="Show directories down to this level.")
@click.option("-a", "--all", "all_files", is_flag=True, help="Show files, too.")
@click.option(
    "-A", "--apparent-size", is_flag=True, help="Add up lengths, not the room that is taken where that is known."
)
@click.option("-b", "--bytes", "exact", is_flag=True, help="Show sizes in bytes.")
@click.option("--json", "as_json", is_flag=True, help="Write a JSON array with path, size and files.")
def command(
    targets: tuple[Target, ...],
    summarize: bool,
    max_depth: int | None,
    all_files: bool,
    apparent_size: bool,
    exact: bool,
    as_json: bool,
) -> int:
    """Add up what is in directories of a storage.

    Local files count with the room that they take on the disk, those of other storages with their length. Several hard
    links to a file count once.
    """
    failures = Failures()
    depth = 0 if summarize else max_depth
    places = [place_of(target) for target in targets]
    sums: list[Sum] = []
    with progress.shown("Adding up") as bar:
        adder = _Adder(failures, bar, apparent_size=apparent_size, all_files=all_files)
        for place in places:
            with failures.catching(place.shown):
                sums += [found for found in adder.add_up(place) if depth is None or found.depth <= depth]
    if as_json:
        output.json_array({"path": s.place.label, "size": s.size, "files": s.files} for s in sums)
    elif sums:
        output.table(([amounts.size(s.size, exact=exact), s.place.shown] for s in sums), right=frozenset({0}))
    return failures.exit_code


class _Adder:
    def __init__(self, failures: Failures, bar: Progress, *, apparent_size: bool, all_files: bool) -> None:
        self._failures = failures
        self._bar = bar
        self._apparent = apparent_size
        self._all = all_files
        self._seen: set[object] = set()

    def add_up(self, top: Place) -> Iterator[Sum]:
        """The sums below a place, what is in a directory before the directory."""
        entry = top.stat() if top.name else None
        if entry is not None and not entry.is_dir:
            yield Sum(top, 0, self._size(entry), 1)
            return
        # From the top down to list; from the bottom up to add.
        directories = [(top, 0, -1)]
        sizes, files = [0 if entry is None else self._size(entry)], [0]
        single: list[list[Sum]] = []
        for index, (place, depth, _) in enumerate(directories):  # grows while it is gone through
            single.append([])
            with self._failures.catching(place.shown):
                for child in place.scandir():
                    self._bar.found()
                    size = self._size(child)
                    if child.is_dir:
                        directories.append((place / child.name, depth + 1, index))
                        sizes.append(size)
                        files.append(0)
                        continue
                    sizes[index] += size
                    files[index] += 1
                    if self._all:
                        single[index].append(Sum(place / child.name, depth + 1, size, 1))
        for index in range(len(directories) - 1, -1, -1):
            place, depth, parent = directories[index]
            yield from single[index]
            yield Sum(place, depth, sizes[index], files[index])
            if parent >= 0:
                sizes[parent] += sizes[index]
                files[parent] += files[index]

    def _size(self, entry: Entry) -> int:
        if entry.identity is not None and (entry.nlink or 1) > 1 and not entry.is_dir:
            if entry.identity in self._seen:
                return 0
            self._seen.add(entry.identity)
        if self._apparent or entry.blocks is None:
            return entry.size
        return entry.blocks * _BLOCK
