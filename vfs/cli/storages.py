"""vfs storages: the aliases, and where they are configured."""

from __future__ import annotations

from typing import Any

import click

from vfs.cli import output
from vfs.cli.access import mountpoints
from vfs.cli.names import escape, printable


@click.command(
    "storages",
    short_help="List the aliases, and where they are configured.",
    epilog="""
\b
Examples:
  vfs storages
  vfs --config prod.toml storages --json | jq -r '.[].alias'
""",
)
@click.option("--json", "as_json", is_flag=True, help="Write a JSON array with an object for each alias.")
def command(as_json: bool) -> None:
    """List the aliases with their backends, where each is configured, and where it is mounted.

    No backend is imported, and no OPTIONS are shown: they may hold secrets.
    """
    found = _records()
    if as_json:
        output.json_array(found)
        return
    rows = [["alias", "backend", "configured by", "mounted at"]]
    for record in found:
        mounted = ", ".join(map(escape, record["mounted"]))
        rows.append([escape(record["alias"]), printable(str(record["backend"])), printable(record["source"]), mounted])
    output.table(rows)


def _records() -> list[dict[str, Any]]:
    from storage import settings, storages

    configured = storages.backends
    source = settings.explain("STORAGES")
    return [
        {
            "alias": alias,
            "backend": storages.backends[alias].get("BACKEND") if alias in configured else "storage.InMemoryStorage",
            "source": source if alias in configured else "built in",
            "mounted": mountpoints(alias),
        }
        for alias in storages
    ]
