"""Removing files and trees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from vfs.cli import output
from vfs.cli.errors import CommandError, Failures
from vfs.cli.places import Place
from vfs.cli.progress import Progress
from vfs.cli.work import Crew, jobs_for


class _StaysError(Exception):
    """A directory stays, because something in it does."""


class Remover:
    """Removes, and keeps an account of what failed."""

    def __init__(self, failures: Failures, progress: Progress, *, recursive: bool, verbose: bool = False) -> None:
        """Nothing is done yet."""
        self._failures = failures
        self._progress = progress
        self._recursive = recursive
        self._verbose = verbose
        self._files: list[Place] = []
        self._directories: list[Place] = []  # from the top
        self._stay: set[str] = set()  # directories in which something stays

    def remove(self, places: Sequence[Place], *, missing_ok: bool = False) -> None:
        """Remove each, and what is in it; a root stays, and loses all that is in it."""
        for place in places:
            with self._failures.catching(place.shown):
                try:
                    self._add(place)
                except (FileNotFoundError, NotADirectoryError):
                    if not missing_ok:
                        raise
        self._progress.begin(len(self._files), 0)
        Crew(jobs_for(place.storage for place in places)).work(self._unlink, self._files)
        for directory in reversed(self._directories):
            with self._failures.catching(directory.shown), suppress(_StaysError):
                self._rmdir(directory)

    def _add(self, place: Place) -> None:
        if place.name and not place.stat().is_dir:
            self._files.append(place)
            return
        if not self._recursive:
            raise CommandError("it is a directory; remove it with -r")
        pending = [place]
        while pending:
            directory = pending.pop()
            if directory.name:
                self._directories.append(directory)
            with self._failures.catching(directory.shown), self._staying(directory / ""):
                for entry in directory.kinds():
                    (pending if entry.is_dir else self._files).append(directory / entry.name)
                    self._progress.found()

    def _unlink(self, place: Place) -> None:
        with self._failures.catching(place.shown), self._staying(place):
            place.storage.unlink(place.name)
            if self._verbose:
                output.line(place.shown)
        self._progress.finished()

    def _rmdir(self, place: Place) -> None:
        """Remove a directory, unless something in it stays: that has been told already."""
        with self._staying(place):
            if place.name in self._stay:
                raise _StaysError
            try:
                place.storage.rmdir(place.name)
            except NotImplementedError as error:  # directories that are nothing but names go with their last file
                if place.find() is not None:
                    raise CommandError("the storage cannot remove directories") from error
            if self._verbose:
                output.line(place.shown)

    @contextmanager
    def _staying(self, place: Place) -> Iterator[None]:
        """Note the directory of what cannot be removed."""
        try:
            yield
        except Exception:
            self._stay.add(place.name.rpartition("/")[0])
            raise
