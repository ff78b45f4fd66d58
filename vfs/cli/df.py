"""vfs df: how full storages are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from vfs import amounts
from vfs.cli import output
from vfs.cli.access import storage_of
from vfs.cli.errors import CommandError, Failures
from vfs.cli.names import escape
from vfs.cli.targets import AliasParam

if TYPE_CHECKING:
    from storage.entry import Usage


@click.command(
    "df",
    short_help="Show how full storages are.",
    epilog="""
\b
Examples:
  vfs df
  vfs df media archive
  vfs df --json media | jq '.[0].free'
""",
)
@click.argument("aliases", metavar="[ALIAS]...", nargs=-1, type=AliasParam())
@click.option("-b", "--bytes", "exact", is_flag=True, help="Show sizes in bytes.")
@click.option("--json", "as_json", is_flag=True, help="Write a JSON array with an object for each alias.")
def command(aliases: tuple[str, ...], exact: bool, as_json: bool) -> int:
    """Show how full storages are: those that are named, or all that can tell."""
    failures = Failures()
    found: list[tuple[str, Usage]] = []
    for alias in aliases or _all_aliases():
        try:
            found.append((alias, storage_of(alias).usage()))
        except (NotImplementedError, CommandError) as error:
            if aliases:
                failures.report(_reason(error), escape(alias))
        except Exception as error:  # noqa: BLE001 - the others can be shown all the same
            failures.report(error, escape(alias))
    if as_json:
        output.json_array(_record(alias, usage) for alias, usage in found)
    elif found:
        _show(found, exact=exact)
    return failures.exit_code


def _all_aliases() -> list[str]:
    from storage import storages

    return list(storages)


def _reason(error: Exception) -> Exception:
    if isinstance(error, NotImplementedError):
        return CommandError("the storage does not know how full it is")
    return error


def _record(alias: str, usage: Usage) -> dict[str, Any]:
    return {"alias": alias, **usage._asdict()}


def _show(found: list[tuple[str, Usage]], *, exact: bool) -> None:
    rows = [["alias", "size", "used", "free", "use"]]
    for alias, usage in found:
        sizes = [amounts.size(count, exact=exact) for count in (usage.total, usage.used, usage.free)]
        share = usage.used / (usage.used + usage.free) if usage.used + usage.free else 0.0
        rows.append([escape(alias), *sizes, f"{share:.0%}"])
    output.table(rows, right=frozenset({1, 2, 3, 4}))
