"""What there is under a name, and in a directory.

An object store has no directories: one is there as long as an object's name begins with it. So a name that is no
object is looked for once more as a directory, and what is neither may lie below an object.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from storage.entry import Entry, Kind
from storage.exceptions import FileInTheWayError, os_error
from storage.names import join_name, split_name
from storage.remote.opendal.connection import Connection
from storage.remote.opendal.entries import (
    Entries,
    directory_path,
    is_uncertain,
    storable,
    without_hidden,
)
from storage.remote.opendal.markers import Markers
from storage.remote.opendal.seen import Seen

_Taken = TypeVar("_Taken")


class Lookups:
    """Stat and listings of one storage."""

    def __init__(self, connection: Connection, entries: Entries) -> None:
        """Over a connection."""
        self._connection = connection
        self._entries = entries
        self.markers: Markers | None = None
        """Where the attributes of directories are, if they are kept."""
        self._is_reached = False
        self.seen = Seen()
        """What need not be asked for again."""

    def stat(self, name: str) -> Entry:
        """The entry of an object or directory; FileNotFoundError, NotADirectoryError below an object.

        One request for an object, a second for a directory, and a third for what is neither, for the error's sake. The
        first stat of the root asks whether the bucket is there at all.
        """
        if not name:
            self._reach()
            return Entry("", Kind.DIRECTORY)
        parent, _ = split_name(name)
        entry = self._hiding_directory(name) or self._known_directory(name) or self.object(name)
        if entry is not None:
            return entry
        above = self._connection.pool.submit(self.metadata, parent) if parent else None
        entry = self.described_directory(name)
        if entry is not None:
            return entry
        found = above.result() if above is not None else None
        raise os_error(errno.ENOENT if found is None or found.is_dir else errno.ENOTDIR, name)

    def find(self, name: str) -> Entry | None:
        """What there is under a name, or None, by two requests at once."""
        entry = self._hiding_directory(name)
        if entry is None:
            directory = self._connection.pool.submit(self.described_directory, name)
            entry = self.object(name) or directory.result()
        return entry

    def object(self, name: str) -> Entry | None:
        """The entry of an object, or None, by one request; of a directory too where the service has such."""
        asked = time.monotonic_ns()
        found = self.metadata(name)
        if found is None:
            return None
        entry = self._entries.entry(split_name(name)[1], found)
        if self._entries.attributes and entry.is_file:
            self.seen.learn(name, entry, asked)
        return entry

    def directory(self, name: str) -> Entry | None:
        """The entry of a directory, or None, by one request: it is there if it is kept, or anything lies below it."""
        try:
            found = self._metadata(directory_path(storable(name)), name)
        except NotImplementedError:  # a service without listings has no directories
            return None
        return None if found is None else Entry(split_name(name)[1], Kind.DIRECTORY)

    def described_directory(self, name: str) -> Entry | None:
        """The same with its attributes, where they are kept: by one request more for one without a marker."""
        marked = self.markers.entry(name) if self.markers is not None else None
        return marked or self.directory(name)

    def metadata(self, name: str) -> Any:
        """OpenDAL's metadata of an object, or of a directory where the service has such, by one request; or None."""
        return self._metadata(storable(name), name)

    def require_no_object_above(self, name: str) -> None:
        """FileInTheWayError where an object stands for one of the directories of `name`; a request for each, at once.

        An object store would take the name all the same, and the directory would hide the object.
        """
        parent, _ = split_name(name)
        above = [parent[:end] for end, letter in enumerate(f"{parent}/") if letter == "/"] if parent else []
        for directory, found in zip(above, self._connection.pool.map(self.metadata, above), strict=True):
            if found is not None and not found.is_dir:
                raise FileInTheWayError(directory)

    def scandir(self, path: str) -> Iterator[Entry]:
        """The entries of a directory, by one sweep of listing requests; FileNotFoundError, NotADirectoryError.

        What the listing does not tell is asked for name by name, several at once.
        """
        entries = list(self.glance(path))
        partial = [entry for entry in entries if entry.partial]
        answers = self._connection.pool.map(lambda entry: self._completed(path, entry), partial)
        found = (next(answers) if entry.partial else entry for entry in entries)
        return (entry for entry in found if entry is not None)

    def glance(self, path: str) -> Iterator[Entry]:
        """The same by the sweep alone: what it does not tell is `Entry.partial`, unless it is known from before."""
        if path:
            storable(path)
        found = self._sweep(path, lambda found: self._entries.listed(path, found))
        if path and not any(entry.name or entry.is_dir for entry in found) and not self.stat(path).is_dir:
            raise os_error(errno.ENOTDIR, path)
        entries = (entry for entry in found if entry.name)
        return (self._known(path, entry) for entry in without_hidden(path, entries, self._entries))

    def names_below(self, path: str) -> tuple[list[str], list[str]]:
        """All names below a directory in one sweep: of directories that are kept, itself included, and of objects."""
        found = self._sweep(path, lambda found: self._entries.named(path, found), recursive=True)
        names = [(join_name(path, below) if below else path, is_dir) for below, is_dir in found]
        return [name for name, is_dir in names if is_dir], [name for name, is_dir in names if not is_dir]

    def _sweep(self, path: str, take: Callable[[Any], _Taken | None], **options: Any) -> list[_Taken]:
        """What `take` makes of a listing; nothing where there is no directory, which the caller is to look at."""
        try:
            with self._connection.errors.translating(path):
                return self._connection.listed(directory_path(path), take, **options)
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _known(self, path: str, listed: Entry) -> Entry:
        """A listed entry with all there is to it, or `partial` where only a request would tell."""
        if listed.is_dir and self.markers is not None:
            self.seen.learn_directory(join_name(path, listed.name))
            return listed._replace(partial=True)
        if is_uncertain(listed):
            return listed._replace(partial=True)
        if not self._entries.attributes or listed.is_dir:
            return listed
        return self.seen.unchanged(join_name(path, listed.name), listed) or listed._replace(partial=True)

    def _completed(self, path: str, listed: Entry) -> Entry | None:
        """All there is to a partial entry; None for an object that is gone by now."""
        name = join_name(path, listed.name)
        if not listed.is_dir or self.markers is None:
            return self.object(name)
        return self.markers.entry(name) or listed._replace(partial=False)

    def _known_directory(self, name: str) -> Entry | None:
        """The directory that a name was, if it has a marker; nothing else has the name then that could be shown."""
        if self.markers is None or not self.seen.was_directory(name):
            return None
        return self.markers.entry(name)

    def _hiding_directory(self, name: str) -> Entry | None:
        """The directory that a listing has shown to hide an object, if it is still there."""
        if name not in self._entries.hidden:
            return None
        entry = self.described_directory(name)
        if entry is None:
            self._entries.hidden.discard(name)
        return entry

    def _metadata(self, path: str, name: str) -> Any:
        try:
            with self._connection.errors.translating(name):
                return self._connection.operator.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _reach(self) -> None:
        """Ask once whether the root can be listed, so that a missing bucket or wrong credentials show at once."""
        if not self._is_reached and self._connection.capability.list:
            with self._connection.errors.translating(""):
                self._connection.operator.check()
        self._is_reached = True
