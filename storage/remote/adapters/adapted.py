"""Adapted: a foreign backend whose client is asked for more than Django's methods."""

from __future__ import annotations

import errno
import functools
import logging
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, ClassVar, TypeVar

from storage.base import Condition
from storage.drafts import is_draft, refuse_drafts
from storage.entry import Entry, Kind
from storage.exceptions import SuspiciousFileOperation, VersionMismatchError, os_error
from storage.files import File
from storage.names import split_name
from storage.remote.django import DjangoStorage, plain
from storage.remote.errors import translating
from storage.remote.local_copy import local_copy
from storage.remote.ranged_file import RangedFile
from storage.remote.times import moment_of

Result = TypeVar("Result")

_logger = logging.getLogger(__name__)


class Adapted(DjangoStorage):
    """The common part: `list_entries` and `look` are an adapter's own; `fetch` and `put` where the client has them."""

    LISTING: ClassVar[tuple[str, ...]] = ("listdir", "exists", "size", "get_modified_time", "_normalize_name")
    """Methods of the backend that the listing goes past."""
    CONTENT: ClassVar[tuple[str, ...]] = ("open", "save", "_open", "_save")
    """Methods of the backend that ranges and conditions go past."""

    FORBIDDEN: ClassVar[str] = ""
    """Characters that the backend or its service loses in names."""

    reads_ranges: ClassVar[bool] = False
    stores: ClassVar[bool] = False
    HELD: ClassVar[tuple[str, ...]] = ("if_absent", "if_version")
    """Which conditions of a `put()` are the server's to hold."""

    @classmethod
    def suits(cls, wrapped: Any, known: type[Any]) -> bool:
        """Whether `wrapped` lists as the class `known`, from which it is derived."""
        return unchanged(wrapped, known, cls.LISTING)

    def __init__(self, wrapped: Any, known: type[Any]) -> None:
        """Around a backend object, of the class `known` or one derived from it; it is not called yet."""
        super().__init__(wrapped)
        as_they_are = unchanged(wrapped, known, self.CONTENT) and not getattr(wrapped, "gzip", False)
        self._ranges = self.reads_ranges and as_they_are
        self._stores = self.stores and as_they_are

    # -- what an adapter does, in one request or one for each page; errors are translated by the caller

    def list_entries(self, path: str) -> Iterable[Entry]:
        """What is in a directory, by last components; nothing, or FileNotFoundError, where there is none."""
        raise NotImplementedError

    def look(self, name: str) -> Entry:
        """What there is under a name; FileNotFoundError."""
        raise NotImplementedError

    def fetch(self, name: str, entry: Entry, start: int, end: int) -> bytes:
        """The bytes from `start` to `end` of the version that `entry` shows; VersionMismatchError if it has gone."""
        raise NotImplementedError

    def put(self, name: str, source: str, if_version: str | None, if_absent: bool) -> None:
        """Store the local file `source` under exactly this name, if the condition holds.

        FileExistsError, or VersionMismatchError, which is also how the client's own "precondition failed" arrives.
        """
        raise NotImplementedError

    # -- what becomes of it

    def does_itself(self, operation: str) -> bool:
        """As the class has it, where its methods are not gone past."""
        own = {"stat": True, "replace": self._stores, "open_version": self._ranges}.get(operation)
        return super().does_itself(operation) if own is None else own

    def holds(self, condition: Condition) -> bool:
        """As the adapter says; whether the server heeds what it is asked is not tried."""
        return self._stores and condition in self.HELD

    def stat(self, name: str) -> Entry:
        """What there is under `name`; FileNotFoundError, or NotADirectoryError below a file."""
        if not self._plain(name, allow_root=True):
            return Entry("", Kind.DIRECTORY)
        try:
            return self._asked(name, lambda: self.look(name))
        except FileNotFoundError:
            above = split_name(name)[0]
            entry = self.find(above) if above else None
            if entry is not None and not entry.is_dir:
                raise os_error(errno.ENOTDIR, name) from None
            raise

    def scandir(self, path: str = "") -> Iterator[Entry]:
        """The entries of a directory, in no order, by one listing; FileNotFoundError, or NotADirectoryError."""
        self._plain(path, allow_root=True)
        try:
            found = self._asked(path, lambda: list(self.list_entries(path)))
        except FileNotFoundError as error:
            if not path:
                raise OSError(errno.EIO, "The root of the storage does not exist") from error
            found = []
        if path and not found:
            self._require_directory(path, path)
        return self._usable(path, found)

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        """The names in a directory: those of directories, and those of files; the errors are those of `scandir()`."""
        entries = list(self.scandir(path))
        return [entry.name for entry in entries if entry.is_dir], [entry.name for entry in entries if not entry.is_dir]

    def size(self, name: str) -> int:
        """The file's size in bytes; FileNotFoundError."""
        return self.stat(str(name)).size

    def get_accessed_time(self, name: str) -> datetime:
        """When the file was last read; NotImplementedError where the service does not tell."""
        return moment_of(self.stat(str(name)).atime_ns, f"When {name!r} was read")

    def get_created_time(self, name: str) -> datetime:
        """When the file was made; NotImplementedError where the service does not tell."""
        return moment_of(self.stat(str(name)).btime_ns, f"When {name!r} was made")

    def get_modified_time(self, name: str) -> datetime:
        """When the content last changed."""
        return moment_of(self.stat(str(name)).mtime_ns, f"When {name!r} was changed")

    def open(self, name: str, mode: str = "rb") -> File:
        """Open the file: for reading, one whose reads are requests for ranges, where the client has them."""
        name = self._plain(name)
        if mode != "rb" or not self._ranges:
            return super().open(name, mode)
        return self.open_version(name, self._look_at_file(name))

    def open_version(self, name: str, entry: Entry) -> File:
        """The file that was shown as `entry`, opened "rb"; without a request where reads are ranges."""
        name = self._plain(name)
        if not self._ranges or entry.version is None:
            return super().open(name, "rb")
        return RangedFile(name, entry, functools.partial(self._fetched, name), lambda: self._look_at_file(name))

    def save(self, name: str | None, content: Any, max_length: int | None = None) -> str:
        """Store the content under `name`, or an alternative if that is taken, and return the name that it got.

        It is complete before the backend sees it: what fails while it is read would stay there, cut off.
        """
        name = self._plain(content.name if name is None else name)
        with local_copy(content) as source, open(source, "rb") as opened:
            file = File(opened, name)
            if hasattr(content, "content_type"):  # of an upload by a form
                file.content_type = content.content_type  # type: ignore[attr-defined]
            return super().save(name, file, max_length)

    def replace(self, name: str, content: Any, *, if_version: str | None = None, if_absent: bool = False) -> Entry:
        """Store the content under exactly this name; the conditions as in the base class, held by the server."""
        if not self._stores:
            return super().replace(name, content, if_version=if_version, if_absent=if_absent)
        self._plain(name)
        self._check_condition(name, if_version, if_absent)
        with local_copy(content) as source:
            try:
                self._asked(name, lambda: self.put(name, source, if_version, if_absent))
            except (FileNotFoundError, VersionMismatchError) as error:
                if if_absent:
                    raise os_error(errno.EEXIST, name) from error
                if if_version is not None:
                    raise VersionMismatchError(name) from error
                raise
        self._changed("save", name)
        return self.stat(name)

    @property
    def name_forbidden(self) -> str:
        """The characters, besides '/' and NUL, that no name may have."""
        return f"\\{self.FORBIDDEN}"

    def check_name(self, name: str) -> None:
        """As in the base class; names of what is being stored are refused as well."""
        super().check_name(name)
        refuse_drafts(name)

    def _plain(self, name: str, *, allow_root: bool = False) -> str:
        name = plain(name, allow_root=allow_root)
        if not set(self.FORBIDDEN).isdisjoint(name):
            raise SuspiciousFileOperation(f"{name!r} has a character that would be lost")
        refuse_drafts(name)
        return name

    def _look_at_file(self, name: str) -> Entry:
        entry = self.stat(name)
        if entry.is_dir:
            raise os_error(errno.EISDIR, name)
        return entry

    def _fetched(self, name: str, entry: Entry, start: int, end: int) -> bytes:
        data = self._asked(name, lambda: self.fetch(name, entry, start, end))
        if len(data) != end - start:
            raise VersionMismatchError(name)
        return data

    def _usable(self, path: str, found: Iterable[Entry]) -> Iterator[Entry]:
        """Each name once, a directory before a file; what cannot be named is left out with a line in the log."""
        usable: dict[str, Entry] = {}
        for entry in found:
            if entry.name in ("", ".", "..") or not {"/", "\0", *self.name_forbidden}.isdisjoint(entry.name):
                _logger.warning("%r in the listing of %r cannot be named as a file, and is left out", entry.name, path)
            elif not is_draft(entry.name) and (entry.name not in usable or entry.is_dir):
                usable[entry.name] = entry
        return iter(usable.values())

    def _asked(self, name: str, ask: Callable[[], Result]) -> Result:
        """What the client answers, in its turn where it serves one call at a time."""
        with self._guard, translating(name):
            return ask()


def unchanged(wrapped: Any, known: type[Any], methods: Iterable[str]) -> bool:
    """Whether an object has these methods from the class `known`, as far as that has them."""
    return all(getattr(type(wrapped), name, None) is getattr(known, name, None) for name in methods)
