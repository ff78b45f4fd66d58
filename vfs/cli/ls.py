"""vfs ls: what is in a directory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from vfs.cli import entries as texts, output
from vfs.cli.errors import Failures
from vfs.cli.names import escape
from vfs.cli.places import Place, place_of
from vfs.cli.targets import Target, TargetParam

if TYPE_CHECKING:
    from storage.entry import Entry

_SORTED = {
    "name": lambda entry: entry.name,
    "size": lambda entry: (-entry.size, entry.name),
    "time": lambda entry: (-(entry.mtime_ns or 0), entry.name),
}
_UNKNOWN = "?"


@click.command(
    "ls",
    short_help="List directories.",
    epilog="""
\b
Examples:
  vfs ls media:
  vfs ls -l media:reports
  vfs ls -R --sort size media:
  vfs ls --zero media: | xargs -0 -n1 echo
  vfs ls --json media: | jq -r '.[] | select(.size > 1000000) | .path'
""",
)
@click.argument("targets", metavar="ALIAS:PATH...", nargs=-1, required=True, type=TargetParam())
@click.option(
    "-l", "--long", "long_format", is_flag=True, help="Show mode, links, owner, group, size and time, as far as known."
)
@click.option("-R", "--recursive", is_flag=True, help="List what is in directories, too.")
@click.option("-d", "--directory", is_flag=True, help="List directories themselves, not what is in them.")
@click.option(
    "--sort",
    type=click.Choice(list(_SORTED)),
    default="name",
    show_default=True,
    help="By name, by size from the largest, by time from the newest.",
)
@click.option("-r", "--reverse", is_flag=True, help="Sort the other way round.")
@click.option("-b", "--bytes", "exact", is_flag=True, help="With -l, show sizes in bytes.")
@click.option("-0", "--zero", is_flag=True, help="Write paths as they are, unescaped, with a NUL after each.")
@click.option("--json", "as_json", is_flag=True, help="Write a JSON array with an object for each entry.")
def command(targets: tuple[Target, ...], long_format: bool, zero: bool, as_json: bool, exact: bool, **how: Any) -> int:
    """List directories of a storage, and files by themselves.

    Directories are shown with "/" at the end, names with a dot in front like all others. Control characters and bytes
    that are no UTF-8 are escapes (\\n, \\xff), backslashes are doubled; --zero and --json are for programs. In JSON a
    name that is no UTF-8 has U+FFFD for the bytes in question, and "name_base64" beside "name" has the true bytes.
    """
    failures = Failures()
    details = long_format or as_json or how["sort"] != "name"
    listing = Listing([place_of(target) for target in targets], failures, details=details, **how)
    if as_json:
        output.json_array(_record(place, entry) for place, entry in listing.flat())
    elif zero:
        for place, _ in listing.flat():
            output.raw(os.fsencode(place.name or ".") + b"\0")
    else:
        _show(listing, long_format=long_format, exact=exact)
    return failures.exit_code


class Listing:
    """What is to be listed, in groups: first the files that were named, then directory by directory."""

    def __init__(
        self,
        places: list[Place],
        failures: Failures,
        *,
        details: bool,
        recursive: bool,
        directory: bool,
        sort: str,
        reverse: bool,
    ) -> None:
        """Nothing is looked at yet. Without `details` name and kind are enough."""
        self._details = details
        self._failures = failures
        self._recursive = recursive
        self._directory = directory
        self._sort = sort
        self._reverse = reverse
        self._places = places
        self.has_headings = recursive or len(places) > 1

    def flat(self) -> Iterator[tuple[Place, Entry]]:
        """All entries."""
        for _, group in self.groups():
            yield from group

    def groups(self) -> Iterator[tuple[Place | None, list[tuple[Place, Entry]]]]:
        """Each directory and what is in it; None for what was named itself."""
        named: list[tuple[Place, Entry]] = []
        directories: list[Place] = []
        for place in self._places:
            with self._failures.catching(place.shown):
                if not place.name and not self._directory:  # saves a request; the listing fails if it is missing
                    directories.append(place)
                    continue
                entry = place.stat()
                if entry.is_dir and not self._directory:
                    directories.append(place)
                else:
                    named.append((place, entry))
        if named:
            yield None, named
        while directories:
            place = directories.pop(0)
            group = self._group(place)
            if group is None:
                continue
            yield place, group
            if self._recursive:
                directories[:0] = [child for child, entry in group if entry.is_dir]

    def _group(self, directory: Place) -> list[tuple[Place, Entry]] | None:
        """The sorted entries; None where they could not be listed."""
        with self._failures.catching(directory.shown):
            entries = directory.scandir() if self._details else directory.kinds()
            found = sorted(entries, key=_SORTED[self._sort], reverse=self._reverse)
            return [(directory / entry.name, entry) for entry in found]
        return None


def _record(place: Place, entry: Entry) -> dict[str, Any]:
    target = place.link_target(entry)
    return texts.record(entry._replace(target=target, name=entry.name or place.last), place.name)


def _show(listing: Listing, *, long_format: bool, exact: bool) -> None:
    first = True
    for directory, group in listing.groups():
        if directory is not None and listing.has_headings:
            if not first:
                output.line()
            output.line(directory.shown if directory.shown.endswith(":") else f"{directory.shown}:")
        first = False
        if long_format:
            _show_long(directory, group, exact=exact)
            continue
        for place, entry in group:
            output.line(_name(directory, place, entry))


def _name(directory: Place | None, place: Place, entry: Entry) -> str:
    return texts.name_text(entry, place.label if directory is None else entry.name)


def _show_long(directory: Place | None, group: Iterable[tuple[Place, Entry]], *, exact: bool) -> None:
    rows = []
    for place, entry in group:
        target = place.link_target(entry)
        name = _name(directory, place, entry) + (f" -> {escape(target)}" if target is not None else "")
        rows.append([*texts.long_row(entry, exact=exact), name])
    if rows:
        output.table(_without_unknown(rows), right=frozenset(_numbers(rows)))


def _known(rows: list[list[str]]) -> list[int]:
    return [index for index, column in enumerate(zip(*rows, strict=True)) if set(column) != {_UNKNOWN}]


def _without_unknown(rows: list[list[str]]) -> list[list[str]]:
    """Leave out the columns that the storage knows nothing about."""
    known = _known(rows)
    return [[row[index] for index in known] for row in rows]


def _numbers(rows: list[list[str]]) -> list[int]:
    """Where the columns with links and sizes are, among those that are shown."""
    return [position for position, index in enumerate(_known(rows)) if index in (1, 4)]
