"""What was found as tables of Markdown, and their place in a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from survey.backends import Backend
from vfs.doctor.operations import Operation

BEGIN = "<!-- what follows is written by scripts/backends -->"
END = "<!-- what was before is written by scripts/backends -->"

Found = Mapping[Backend, Sequence[Operation]]


def tables(found: Found) -> str:
    """A table for each family: a row for each operation, a column for each of its backends."""
    families = dict.fromkeys(backend.family for backend in found)
    return "\n".join(line for family in families for line in _table(family, found))


def _table(family: str, found: Found) -> Iterator[str]:
    columns = {backend.name: operations for backend, operations in found.items() if backend.family == family}
    yield f"| {family} | {' | '.join(columns)} |"
    yield "|---" * (len(columns) + 1) + "|"
    for row in zip(*columns.values(), strict=True):
        yield f"| `{row[0].name}` | {' | '.join(map(_cell, row))} |"
    yield ""


def _cell(operation: Operation) -> str:
    if operation.way == "refused":
        return "-"
    return f"{operation.way}, atomic" if operation.atomic else operation.way


def replaced(text: str, written: str) -> str:
    """The text of a file with what is between the two marks in it replaced."""
    before, begin, rest = text.partition(f"{BEGIN}\n")
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the file has no place for the tables")
    return f"{before}{begin}\n{written}\n{end}{after}"
