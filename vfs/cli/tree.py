"""vfs tree: directories drawn as a tree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from vfs import amounts
from vfs.cli import entries, output
from vfs.cli.errors import Failures
from vfs.cli.names import escape
from vfs.cli.places import Place, place_of
from vfs.cli.targets import Target, TargetParam

if TYPE_CHECKING:
    from storage.entry import Entry


@click.command(
    "tree",
    short_help="Draw directories as a tree.",
    epilog="""
\b
Examples:
  vfs tree media:
  vfs tree -L 2 --sizes media:reports
""",
)
@click.argument("targets", metavar="ALIAS:PATH...", nargs=-1, required=True, type=TargetParam())
@click.option("-L", "--level", metavar="N", type=click.IntRange(min=1), help="Show only so many levels.")
@click.option("-d", "--directories", is_flag=True, help="Show directories only.")
@click.option("-s", "--sizes", is_flag=True, help="Show the sizes of files.")
def command(targets: tuple[Target, ...], level: int | None, directories: bool, sizes: bool) -> int:
    """Draw directories of a storage as a tree, and count what is in them."""
    failures = Failures()
    for place in [place_of(target) for target in targets]:
        with failures.catching(place.shown):
            if place.name and not place.stat().is_dir:
                raise NotADirectoryError(20, "Not a directory", place.label)
            counts = {True: 0, False: 0}
            output.line(place.shown)
            for bars, child, entry in _walk(place, level, _Lister(directories, sizes, failures)):
                counts[entry.is_dir] += 1
                target = child.link_target(entry)
                arrow = "" if target is None else f" -> {escape(target)}"
                size = f"  ({amounts.size(entry.size)})" if sizes and entry.is_file else ""
                output.line(f"{bars}{entries.name_text(entry)}{arrow}{size}")
            output.line(_summary(counts[True], counts[False], directories))
    return failures.exit_code


class _Lister:
    def __init__(self, directories: bool, sizes: bool, failures: Failures) -> None:
        self._directories = directories
        self._sizes = sizes
        self._failures = failures

    def entries(self, place: Place) -> list[Entry]:
        """What is shown of a directory, sorted; nothing where it could not be listed."""
        with self._failures.catching(place.shown):
            listing = place.scandir() if self._sizes else place.kinds()
            found = [entry for entry in listing if entry.is_dir or not self._directories]
            return sorted(found, key=lambda entry: entry.name)
        return []


def _walk(top: Place, level: int | None, lister: _Lister) -> Iterator[tuple[str, Place, Entry]]:
    """Each entry below `top` with the bars in front of it; with a stack of its own, as trees may be deep."""
    stack = [("", top, lister.entries(top))]
    while stack:
        bars, directory, rest = stack[-1]
        if not rest:
            stack.pop()
            continue
        entry = rest.pop(0)
        child = directory / entry.name
        yield bars + ("├── " if rest else "└── "), child, entry
        if entry.is_dir and (level is None or len(stack) < level):
            stack.append((bars + ("│   " if rest else "    "), child, lister.entries(child)))


def _summary(directories: int, files: int, only_directories: bool) -> str:
    text = f"{directories} director{'y' if directories == 1 else 'ies'}"
    return f"\n{text}" if only_directories else f"\n{text}, {files} file{'' if files == 1 else 's'}"
