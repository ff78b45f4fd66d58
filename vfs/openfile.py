"""The content of an open node, shared by all handles of it.

There are two kinds. An `InPlaceFile` writes through one storage file straight to the content (memory, local files):
nothing is ever pending. A `SpooledFile` works on a copy in the spool, because its storage takes whole objects only;
it is *dirty* from the first change until `save()` has stored it.

A `Handle` is one open(2): it says what its opener may do, and holds nothing else.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING

from storage.entry import Entry
from storage.files import File
from vfs.spool import CHUNK, SpoolFile

if TYPE_CHECKING:
    from storage.base import Storage
    from vfs.tree import Node


class OpenFile(ABC):
    """The mutable state of one open node; `lock` guards everything that changes its size or its file."""

    dirty = False
    """Whether the storage lacks something that was written."""
    knows_links = False
    """Whether `entry()` counts the names of the file as they are now."""

    def __init__(self, node: Node) -> None:
        """The state of `node`, with no handle yet."""
        self.node = node
        self.handles = 0
        self.lock = threading.RLock()

    @abstractmethod
    def read(self, size: int, offset: int) -> bytes:
        """Up to `size` bytes from `offset`, fewer only at the end of the file."""

    @abstractmethod
    def write(self, data: bytes | memoryview, offset: int | None) -> int:
        """Write all of `data` at `offset`, or at the true end for None."""

    @abstractmethod
    def truncate(self, size: int) -> None:
        """Cut, or extend with zeros."""

    @abstractmethod
    def entry(self, known: Entry | None) -> Entry:
        """The attributes as this file makes them, `known` being what the storage said last."""

    @abstractmethod
    def sync(self) -> None:
        """Bring what is in place to stable storage."""

    @abstractmethod
    def secure(self) -> None:
        """Make sure that the content outlives the loss of its name."""

    @abstractmethod
    def close(self) -> None:
        """Give up all resources."""


class InPlaceFile(OpenFile):
    """A node whose content is changed where it is, through a `File` with pread and pwrite."""

    knows_links = True

    def __init__(self, node: Node, file: File, writable: bool) -> None:
        """Over `file`, opened for reading or, if `writable`, for both."""
        super().__init__(node)
        self.file = file
        self.writable = writable
        self._former: list[File] = []

    def reopen(self, file: File) -> None:
        """Go on with `file`, which is open for writing too."""
        with self.lock:
            self._former.append(self.file)  # somebody may be reading from it
            self.file, self.writable = file, True

    def read(self, size: int, offset: int) -> bytes:
        """See `OpenFile.read`."""
        return self.file.pread(size, offset)

    def write(self, data: bytes | memoryview, offset: int | None) -> int:
        """See `OpenFile.write`."""
        if offset is not None:
            return self.file.pwrite(data, offset)
        with self.lock:
            return self.file.pwrite(data, self.file.stat().size)

    def truncate(self, size: int) -> None:
        """See `OpenFile.truncate`."""
        with self.lock:
            self.file.truncate(size)

    def entry(self, known: Entry | None) -> Entry:
        """See `OpenFile.entry`: the file's own, whatever its name is by now."""
        return self.file.stat()

    def sync(self) -> None:
        """See `OpenFile.sync`."""
        if self.writable:
            self.file.sync()

    def secure(self) -> None:
        """See `OpenFile.secure`: an open file needs no name."""

    def close(self) -> None:
        """See `OpenFile.close`."""
        for file in (*self._former, self.file):
            file.close()


class SpooledFile(OpenFile):
    """A node whose content is copied to the spool when it is needed, and stored whole when it is flushed."""

    def __init__(self, node: Node, storage: Storage, content: SpoolFile, source: File | None) -> None:
        """Over `source`, the storage's file opened for reading, or new and dirty for None; `content` is empty yet."""
        super().__init__(node)
        self._storage = storage
        self._source = source
        self._is_begun = False
        self._content = content
        self._size = 0
        """Of the content, for who asks while it is being stored, or was closed a moment ago."""
        self.dirty = source is None
        self.mtime_ns = time.time_ns()

    def read(self, size: int, offset: int) -> bytes:
        """See `OpenFile.read`."""
        self.secure()
        return self._content.pread(size, offset)

    def write(self, data: bytes | memoryview, offset: int | None) -> int:
        """See `OpenFile.write`."""
        with self.lock:
            self.secure()
            self._changed()
            try:
                return self._content.pwrite(data, self._content.size() if offset is None else offset)
            finally:
                self._size = self._content.size()

    def truncate(self, size: int) -> None:
        """See `OpenFile.truncate`; nothing is fetched for a cut to zero."""
        with self.lock:
            if size == 0:
                self._drop_source()
            self.secure()
            self._changed()
            self._content.truncate(size)
            self._size = size

    def entry(self, known: Entry | None) -> Entry:
        """See `OpenFile.entry`: size and time of the copy once it is ahead of the storage."""
        if known is None:
            known = Entry("", self.node.kind, ctime_ns=self.mtime_ns)
        if not self.dirty:
            return known
        return known._replace(size=self._size, mtime_ns=self.mtime_ns, blocks=None)

    def sync(self) -> None:
        """See `OpenFile.sync`: storing the content is what syncs it."""

    def secure(self) -> None:
        """See `OpenFile.secure`: fetch the content, unless it is here."""
        if self._source is None:
            return
        with self.lock:
            if self._source is not None:
                if self._is_begun:  # and broke off: what is left of it is not the content
                    self._source.seek(0)
                self._is_begun = True
                self._content.fill(_chunks(self._source))
                self._size = self._content.size()
                self._drop_source()

    def save(self, name: str, stored: Callable[[Entry], None]) -> None:
        """Store the content under `name` if it is dirty, and tell `stored` the storage's entry.

        It stays dirty until that has returned: a lookup must not take the new object for another file.
        """
        with self.lock:
            if not self.dirty:
                return
            self.secure()
            with _reader(self._content) as content:
                entry = self._storage.replace(name, File(content))
            stored(entry)
            self.dirty = False

    def keep(self, **note: object) -> str:
        """Leave the unsaved content in the spool with `note` beside it; returns its path."""
        with self.lock:
            return str(self._content.keep(**note))

    def close(self) -> None:
        """See `OpenFile.close`; what is still dirty is lost, so `keep()` it instead."""
        with self.lock:
            self._drop_source()
            self._content.discard()

    def _changed(self) -> None:
        self.dirty = True
        self.mtime_ns = time.time_ns()
        kept = self.node.kept
        if kept is not None:
            kept.mtime_ns = kept.ctime_ns = None

    def _drop_source(self) -> None:
        if self._source is not None:
            self._source.close()
            self._source = None


def _chunks(file: File) -> Iterator[bytes]:
    """The content of a file that was just opened; without a seek, which some backends ignore before the first read."""
    while chunk := file.read(CHUNK):
        yield chunk


def _reader(content: SpoolFile) -> IO[bytes]:
    """The spooled content as a file object with a cursor of its own, whatever the storage does to it."""
    return open(content.path, "rb")


class Handle:
    """One open(2) of a node."""

    __slots__ = ("append", "file", "node", "pid", "readable", "writable")

    def __init__(self, file: OpenFile, flags: int, pid: int) -> None:
        """A handle on `file` with open(2)'s `flags`, opened by process `pid`."""
        self.file = file
        self.node = file.node
        mode = flags & os.O_ACCMODE
        self.readable = mode != os.O_WRONLY
        self.writable = mode != os.O_RDONLY
        self.append = bool(flags & os.O_APPEND)
        self.pid = pid

    def require(self, *, write: bool) -> None:
        """OSError (EBADF) unless the handle was opened for that."""
        if not (self.writable if write else self.readable):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
