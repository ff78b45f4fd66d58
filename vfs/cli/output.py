"""What commands write to stdout: lines, tables, JSON for programs."""

from __future__ import annotations

import base64
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any


class OutputClosedError(Exception):
    """Whoever was reading stdout has gone; there is nobody left to work for."""


@contextmanager
def _to_stdout() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise OutputClosedError from error
    except OSError:
        discard()
        raise


def make_safe() -> None:
    """Let no character fail that the encoding of stdout or stderr lacks: it is written as an escape."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def line(words: str = "") -> None:
    """Write a line of text, in which names have been escaped."""
    with _to_stdout():
        sys.stdout.write(f"{words}\n")


def raw(data: bytes) -> None:
    """Write bytes as they are."""
    with _to_stdout():
        sys.stdout.flush()
        sys.stdout.buffer.write(data)


def flush() -> None:
    """Return when everything is written; OSError when it cannot be."""
    with _to_stdout():
        sys.stdout.flush()


def discard() -> None:
    """Let what is still buffered go nowhere, so that the interpreter does not stumble over it at its end."""
    try:
        target = sys.stdout.fileno()
    except (OSError, ValueError):  # stdout is no file
        return
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, target)
    os.close(null)


def table(rows: Iterable[Sequence[str]], *, right: frozenset[int] = frozenset()) -> None:
    """Write rows with their cells in columns; the columns in `right` are aligned to the right."""
    for row in aligned(rows, right=right):
        line(row)


def aligned(rows: Iterable[Sequence[str]], *, right: frozenset[int] = frozenset()) -> list[str]:
    """The lines that `table()` writes."""
    cells = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        padded = [cell.rjust(width) if index in right else cell.ljust(width)
                  for index, (cell, width) in enumerate(zip(row, widths, strict=True))]  # fmt: skip
        lines.append("  ".join(padded).rstrip())
    return lines


def as_json(value: Any) -> None:
    """Write a value as JSON that every parser takes, in ASCII.

    JSON cannot hold the bytes of a name that is no UTF-8. Such a text, under the key "name", gets U+FFFD for each of
    them, and beside it "name_base64" has the bytes.
    """
    line(json.dumps(_representable(value), indent=2))


def json_array(values: Iterable[Any]) -> None:
    """Write an array, each element as soon as it comes, on a line of its own; the array is closed whatever happens."""
    before = "["
    try:
        for value in values:
            line(before)
            with _to_stdout():
                sys.stdout.write(json.dumps(_representable(value)))
            before = ","
    finally:
        line("[]" if before == "[" else "\n]")


def _representable(value: Any) -> Any:
    if isinstance(value, dict):
        return dict(_members(value))
    if isinstance(value, (list, tuple)):
        return [_representable(item) for item in value]
    return text(value) if isinstance(value, str) else value


def _members(members: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in members.items():
        yield key, _representable(value)
        if isinstance(value, str) and not _is_unicode(value):
            yield f"{key}_base64", base64.b64encode(os.fsencode(value)).decode()


def text(value: str) -> str:
    """The text with U+FFFD for each byte of a name that is no UTF-8."""
    return value if _is_unicode(value) else os.fsencode(value).decode(errors="replace")


def _is_unicode(words: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in words)
