"""vfs stat: all that is known of a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from vfs import amounts
from vfs.cli import entries, output
from vfs.cli.errors import Failures
from vfs.cli.names import escape, printable
from vfs.cli.places import Place, place_of
from vfs.cli.targets import Target, TargetParam

if TYPE_CHECKING:
    from storage.entry import Entry


@click.command(
    "stat",
    short_help="Show all that is known of files.",
    epilog="""
\b
Examples:
  vfs stat media:reports/may.pdf
  vfs stat --json media:reports/may.pdf | jq '.[0].size'
""",
)
@click.argument("targets", metavar="ALIAS:PATH...", nargs=-1, required=True, type=TargetParam())
@click.option("--json", "as_json", is_flag=True, help="Write a JSON array with an object for each file.")
def command(targets: tuple[Target, ...], as_json: bool) -> int:
    """Show all that a storage knows of files, of a symbolic link itself."""
    failures = Failures()
    found: list[tuple[Place, Entry]] = []
    for place in [place_of(target) for target in targets]:
        with failures.catching(place.shown):
            entry = place.stat()
            found.append((place, entry._replace(target=place.link_target(entry))))
    if as_json:
        output.json_array(entries.record(entry, place.name) for place, entry in found)
    else:
        for place, entry in found:
            _show(place, entry)
    return failures.exit_code


def _show(place: Place, entry: Entry) -> None:
    rows = list(_rows(entry))
    width = max(len(label) for label, _ in rows)
    output.line(place.shown)
    for label, value in rows:
        output.line(f"  {label:>{width}}  {value}")


def _rows(entry: Entry) -> Iterator[tuple[str, str]]:
    """What is known, in words."""
    yield "kind", entry.kind.name.lower().replace("_", " ")
    if entry.target is not None:
        yield "leads to", escape(entry.target)
    if not entry.is_dir or entry.mode is not None:
        yield "size", amounts.size(entry.size) + (f" ({entry.size} bytes)" if entry.size >= 1000 else "")
    if entry.mode is not None:
        yield "mode", f"{entry.mode:04o} ({entries.mode_text(entry)})"
    if entry.uid is not None:
        yield "owner", f"{entries.user(entry.uid)} ({entry.uid})"
    if entry.gid is not None:
        yield "group", f"{entries.group(entry.gid)} ({entry.gid})"
    if entry.nlink is not None:
        yield "links", str(entry.nlink)
    times = (entry.mtime_ns, entry.atime_ns, entry.ctime_ns, entry.btime_ns)
    for label, ns in zip(("modified", "accessed", "changed", "created"), times, strict=True):
        if ns is not None:
            yield label, entries.precisely(ns)
    if entry.version is not None:
        yield "version", printable(entry.version)
