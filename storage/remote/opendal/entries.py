"""What OpenDAL knows of an object, as an `Entry`; and listings, cleared of what cannot be named."""

from __future__ import annotations

import hashlib
import logging
import os
import posixpath
import re
import threading
from collections.abc import Iterable
from typing import Any

from storage.entry import Entry, Kind
from storage.exceptions import SuspiciousFileOperation
from storage.listing import nanoseconds
from storage.names import checked_name, join_name, split_name
from storage.remote.opendal.metadata import UserMetadata, described

_SECOND = 10**9
_BY_TIME = "~"
"""What a version begins with that is no etag."""
_TIMES_ARE_EXACT = frozenset({"fs"})
_ETAGS_ARE_BARE = frozenset({"gcs"})
_REMEMBERED = 10_000
_NOT_NAMES = frozenset({"", ".", ".."})
_NOT_IN_XML = re.compile(r"[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_logger = logging.getLogger(__name__)


def quoted(etag: str) -> str:
    """An etag of a service that gives it in quotes in one answer, and bare in another."""
    return etag if etag.endswith('"') else f'"{etag}"'


def normalised(name: str | os.PathLike[str]) -> str:
    """A name of Django's surface, normalised; SuspiciousFileOperation where it leaves the storage."""
    name = os.fspath(name)
    if not name:
        return name
    normal = posixpath.normpath(name)
    return "" if normal == "." else checked_name(normal)


def storable(name: str) -> str:
    """Return `name` as it is where OpenDAL keeps it so; SuspiciousFileOperation for one that it would change.

    It takes white space off both ends of a path, and puts a replacement for what is no text. What XML has no way to
    write is stored, but servers that list in it (S3 and most others) show something else in its place.
    """
    checked_name(name)
    if _NOT_IN_XML.search(name):
        raise SuspiciousFileOperation(f"{name!r} has a control character, which listings cannot show")
    if name[0].isspace() or name[-1].isspace():
        raise SuspiciousFileOperation(f"{name!r} begins or ends with white space, which OpenDAL would take away")
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise SuspiciousFileOperation(f"{name!r} is no UTF-8, and OpenDAL would change it") from error
    return name


def directory_path(name: str) -> str:
    """A directory's path for OpenDAL; "" is the root."""
    return f"{name}/" if name else "/"


class Entries:
    """How one service's metadata are to be read."""

    def __init__(self, scheme: str, *, attributes: bool = False) -> None:
        """For the service `scheme`; with `attributes` the user metadata of objects are read too."""
        self.attributes = attributes
        self._resolution = 1 if scheme in _TIMES_ARE_EXACT else _SECOND
        self._bare = scheme in _ETAGS_ARE_BARE
        self._guard = threading.Lock()
        self._left_out: set[str] = set()
        self.hidden: set[str] = set()
        """Objects that a listing has shown to be hidden by directories of their names."""

    def entry(self, last: str, metadata: Any) -> Entry:
        """The entry of the object or directory `last`.

        Headers give whole seconds and listings of some servers fractions, one gives etags in quotes that the other
        gives bare: both are brought to one form, or an unchanged file would look changed.
        """
        if metadata.is_dir:
            return Entry(last, Kind.DIRECTORY)
        size, modified, etag = metadata.content_length, metadata.last_modified, metadata.etag
        mtime_ns = None if modified is None else nanoseconds(modified) // self._resolution * self._resolution
        if etag:
            version = etag if self._bare else quoted(etag)
        else:
            version = None if mtime_ns is None else f"{_BY_TIME}{mtime_ns:x}-{size:x}"
        entry = Entry(last, Kind.FILE, size=size, mtime_ns=mtime_ns, version=version)
        return described(entry, metadata.user_metadata or {}) if self.attributes else entry

    def described(self, entry: Entry, metadata: UserMetadata | None) -> Entry:
        """The entry with what the user metadata of its object say, if they are read."""
        return described(entry, metadata or {}) if self.attributes else entry

    def listed(self, path: str, found: Any) -> Entry | None:
        """The entry of something listed right in `path`, "" for that itself; None for what cannot be named.

        See `is_uncertain()` for the size.
        """
        last = self._name_below(path, found.path)
        return None if last is None else self.entry(last, found.metadata)

    def named(self, path: str, found: Any) -> tuple[str, bool] | None:
        """The name of something listed, as seen from `path`, and whether it is a directory; as `listed()` has it."""
        name = self._name_below(path, found.path)
        return None if name is None else (name, found.metadata.is_dir)

    def _name_below(self, path: str, found: str) -> str | None:
        prefix = f"{path}/" if path else ""
        name = found.removeprefix(prefix)
        if not name or found == "/":
            return ""
        plain = name.removesuffix("/")
        odd = found[0].isspace() or plain[-1:].isspace() or _NOT_IN_XML.search(name) is not None
        if odd or not _NOT_NAMES.isdisjoint(plain.split("/")):
            self.leave_out(found, "cannot be named")
            return None
        return plain

    def hide(self, name: str) -> None:
        """An object has the name of a directory, which is what the name stands for."""
        if len(self.hidden) < _REMEMBERED:
            self.hidden.add(name)
        self.leave_out(name, "is hidden by a directory of the same name")

    def leave_out(self, found: str, why: str) -> None:
        """Say once that a listed name is not shown."""
        with self._guard:
            if found in self._left_out or len(self._left_out) >= _REMEMBERED:
                return
            self._left_out.add(found)
        _logger.warning("The object %r %s, and is left out", found, why)


def without_hidden(path: str, entries: Iterable[Entry], left_out: Entries) -> list[Entry]:
    """Each name once: a directory hides an object of its name, which would make all below it unreachable."""
    found: dict[str, Entry] = {}
    for entry in entries:
        known = found.get(entry.name)
        if known is None or (entry.is_dir and not known.is_dir):
            found[entry.name] = entry
        if known is not None and known.is_dir != entry.is_dir:
            left_out.hide(join_name(path, entry.name))
    return list(found.values())


def is_uncertain(entry: Entry) -> bool:
    """Whether a listing that says so little of a file may not know its size either."""
    return entry.is_file and entry.version is None and not entry.size


def is_etag(version: str | None) -> bool:
    """Whether a version is an etag, so that a request can be made for it alone."""
    return version is not None and not version.startswith(_BY_TIME)


def sum_of(content: bytes) -> str:
    """What many services give as the etag of an object that was sent whole: the MD5 of its content."""
    return f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'


def last_of(name: str) -> str:
    """The last component."""
    return split_name(name)[1]
