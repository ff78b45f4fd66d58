"""How far long work has come, on stderr, where that is a terminal; elsewhere nothing is shown.

rich is imported only where something is shown.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress


class Progress:
    """What the work tells; this one shows nothing. May be called from many threads."""

    def found(self) -> None:
        """One more file was listed."""

    def begin(self, files: int, size: int, what: str = "files") -> None:
        """Everything is listed: so many files with so many bytes, or so much else."""

    def moved(self, count: int) -> None:
        """So many bytes more are where they are to be."""

    def finished(self) -> None:
        """One file is done, or given up."""


class _Bar(Progress):
    """A line with a bar: of bytes where they are known, else of files."""

    def __init__(self, rich: RichProgress, verb: str) -> None:
        self._rich = rich
        self._verb = verb
        self._listed = 0
        self._done = 0
        self._files = 0
        self._what = "files"
        self._by_bytes = False
        self._task = rich.add_task("Listing", total=None, files="")

    def found(self) -> None:
        self._listed += 1
        if self._listed % 100 == 0:
            self._rich.update(self._task, files=f"{self._listed} files")

    def begin(self, files: int, size: int, what: str = "files") -> None:
        self._files = files
        self._what = what
        self._by_bytes = size > 0
        self._rich.update(self._task, description=self._verb, total=size or files, files=f"0/{files} {what}")

    def moved(self, count: int) -> None:
        if self._by_bytes:
            self._rich.advance(self._task, count)

    def finished(self) -> None:
        self._done += 1
        self._rich.update(self._task, files=f"{self._done}/{self._files} {self._what}")
        if not self._by_bytes:
            self._rich.advance(self._task)


@contextmanager
def shown(verb: str, *, sizes: bool = False) -> Iterator[Progress]:
    """Show the progress of some work as `verb`, with `sizes` also the bytes and the rate, until the block ends."""
    if not sys.stderr.isatty():
        yield Progress()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress as RichProgress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns: list[Any] = [
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[files]}"),
    ]
    if sizes:
        columns += [DownloadColumn(binary_units=True), TransferSpeedColumn()]
    rich = RichProgress(
        *columns,
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # what goes to a file or a pipe must not be drawn to the terminal
    )
    with rich:
        yield _Bar(rich, verb)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show that something is being waited for until the block ends."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True).status(Text(what)):
        yield
