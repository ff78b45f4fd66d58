"""The content of an open node whose storage takes whole objects: a copy in the spool, fetched late and stored whole.

A new file may be *promised* to be a copy of another, as `cp` asks by copy_file_range(2). Nothing is fetched for that
before somebody reads or changes either of them; where nobody does, the storage is asked to make the copy itself, if
it still has what the promise was made of. Otherwise the original is fetched, which it can be as long as it is open:
that is why a promise is one handle more on it.

Locks: whoever holds those of a copy and of its original took that of the copy first.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from storage import extents
from storage.entry import Entry
from storage.files import File
from storage.ranges import ALLOCATE_KEEP_SIZE, ALLOCATE_PUNCH_HOLE, ALLOCATE_UNSHARE_RANGE, ALLOCATE_ZERO_RANGE
from storage.syscalls import fallocate
from vfs.openfile import Handle, OpenFile
from vfs.spool import CHUNK, SpoolFile

if TYPE_CHECKING:
    from storage.base import Storage
    from vfs.tree import Node


class SpooledFile(OpenFile):
    """A node whose content is copied to the spool when it is needed, and stored whole when it is flushed."""

    def __init__(
        self, node: Node, storage: Storage, content: SpoolFile, source: File | None, stored: Entry | None = None
    ) -> None:
        """Over `source`, the storage's file opened for reading, or new and dirty for None; `content` is empty yet.

        `stored` is what the storage said of it before it was opened.
        """
        super().__init__(node)
        self._storage = storage
        self._source = source
        self._is_begun = False
        self._content = content
        self._size = 0
        """Of the content, for who asks while it is being stored, or was closed a moment ago."""
        self._stored = stored
        """What the storage said when it had just this content."""
        self._promise: Promise | None = None
        self._copies: set[SpooledFile] = set()
        """Those that are promised to be copies of this one."""
        self.dirty = source is None
        self.mtime_ns = time.time_ns()

    def read(self, size: int, offset: int) -> bytes:
        """See `OpenFile.read`."""
        self.secure()
        return self._content.pread(size, offset)

    def write(self, data: bytes | memoryview, offset: int | None) -> int:
        """See `OpenFile.write`."""
        with self._changing():
            self.secure()
            self._changed()
            try:
                return self._content.pwrite(data, self._content.size() if offset is None else offset)
            finally:
                self._size = self._content.size()

    def truncate(self, size: int) -> None:
        """See `OpenFile.truncate`; nothing is fetched for a cut to zero."""
        with self._changing():
            if size == 0:
                self._drop_source()
                self._drop_promise()
            self.secure()
            self._changed()
            self._content.truncate(size)
            self._size = size

    def size(self) -> int:
        """See `OpenFile.size`; what is not fetched has the size that the storage said."""
        with self.lock:
            if self._source is not None and self._stored is not None:
                return self._stored.size
            if self._promise is None:
                self.secure()
            return self._size

    def allocate(self, mode: int, offset: int, length: int) -> None:
        """See `OpenFile.allocate`: the room is on the disk of the spool."""
        with self._changing():
            self.secure()
            size = self._content.size()
            fallocate(self._content.fd, mode, offset, length)
            self._size = self._content.size()
            if self._size != size or _changes_content(mode, offset < size):
                self._changed()

    def seek_data(self, offset: int) -> int:
        """See `OpenFile.seek_data`; nothing is fetched to look for holes."""
        if self._is_fetched():
            return extents.seek_data(self._content.fd, offset)
        self._require_inside(offset)
        return offset

    def seek_hole(self, offset: int) -> int:
        """See `OpenFile.seek_hole`; nothing is fetched to look for holes."""
        if self._is_fetched():
            return extents.seek_hole(self._content.fd, offset)
        return self._require_inside(offset)

    def copy_range(self, offset: int, target: OpenFile, target_offset: int, size: int) -> int:
        """See `OpenFile.copy_range`: from spool to spool."""
        if not isinstance(target, SpooledFile):
            raise NotImplementedError("the other file is not spooled")
        self.secure()
        with target._changing():
            target.secure()
            target._changed()
            try:
                return extents.copy_range(self._content.fd, offset, target._content.fd, target_offset, size)
            finally:
                target._size = target._content.size()

    def content_fd(self, write: bool, *, mappable: bool = True) -> None:
        """See `OpenFile.content_fd`: None, because what the kernel wrote by itself nobody would know to store.

        Not for reading either: a file is passed through for all its handles or for none.
        """
        return

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
        if self._is_fetched():
            return
        with self.lock:
            if self._source is not None:
                if self._is_begun:  # and broke off: what is left of it is not the content
                    self._source.seek(0)
                self._is_begun = True
                self._content.fill(_chunks(self._source))
                self._size = self._content.size()
                self._drop_source()
            if self._promise is not None:
                self._promise.source.secure()
                self._content.fill_from(self._promise.source._content, self._promise.size)
                self._size = self._content.size()
                self._drop_promise()

    def promise(self, source: SpooledFile, offset: int, size: int, release: Callable[[Handle], None]) -> bool:
        """Become a copy of `source` up to `offset` + `size` without fetching it, and say whether that was possible.

        It is for a file that is empty, or a copy of all up to `offset` already, and a source that is what the storage
        has. The source has one handle more until the promise is kept or dropped; then `release` is given that.
        """
        with self._changing():
            if self._promise is not None:
                if self._promise.source is not source or self._promise.size != offset:
                    return False
                self._promise.size += size
            else:
                if self._source is not None or self._size or offset:
                    return False
                with source.lock:
                    if source.dirty or source._stored is None or source._stored.version is None:
                        return False
                    source.handles += 1
                    source._copies.add(self)
                    self._promise = Promise(source, source._stored, size, release)
            self._changed()
            self._size = self._promise.size
            return True

    @property
    def promised_of(self) -> Node | None:
        """The node of which this is to be a copy."""
        promise = self._promise
        return promise.source.node if promise is not None else None

    def save(self, name: str, stored: Callable[[Entry], None], original: tuple[Node, str] | None = None) -> None:
        """Store the content under `name` if it is dirty, and tell `stored` the storage's entry.

        `original` is where that lies of which it is a promised copy. It stays dirty until `stored` has returned: a
        lookup must not take the new object for another file.
        """
        with self.lock:
            if not self.dirty:
                return
            entry = self._copied_by_storage(name, *original) if original is not None else None
            if entry is None:
                self.secure()
                with _reader(self._content) as content:
                    entry = self._storage.replace(name, File(content))
            stored(entry)
            self.dirty = False
            self._stored = self.node.entry or entry

    def keep(self, **note: object) -> str:
        """Leave the unsaved content in the spool with `note` beside it; returns its path."""
        with self.lock:
            self.secure()
            return str(self._content.keep(**note))

    def close(self) -> None:
        """See `OpenFile.close`; what is still dirty is lost, so `keep()` it instead."""
        with self.lock:
            self._drop_source()
            self._drop_promise()
            self._content.discard()

    def _copied_by_storage(self, name: str, source: Node, source_name: str) -> Entry | None:
        """Have the storage make the promised copy, and return its entry; None where it cannot or it would be another.

        The promise stays, for who reads on.
        """
        promise = self._promise
        if promise is None or promise.source.node is not source or promise.size != promise.stored.size:
            return None
        try:
            if self._storage.stat(source_name).version != promise.stored.version:
                return None
            self._storage.copy(source_name, name)
        except (FileNotFoundError, NotImplementedError):
            return None
        return self._storage.stat(name)

    def _is_fetched(self) -> bool:
        return self._source is None and self._promise is None

    def _require_inside(self, offset: int) -> int:
        size = self.size()
        if not 0 <= offset < size:
            raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
        return size

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """A block with the lock held, in which no copy is promised of this file as it was."""
        while True:
            for copy in tuple(self._copies):
                copy.secure()  # which takes its own lock first
            with self.lock:
                if not self._copies:
                    yield
                    return

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

    def _drop_promise(self) -> None:
        promise, self._promise = self._promise, None
        if promise is not None:
            with promise.source.lock:
                promise.source._copies.discard(self)
            promise.release(Handle(promise.source, os.O_RDONLY, 0))


class Promise:
    """That a file is a copy of the first `size` bytes of `source` as the storage had it in `stored`."""

    __slots__ = ("release", "size", "source", "stored")

    def __init__(self, source: SpooledFile, stored: Entry, size: int, release: Callable[[Handle], None]) -> None:
        """With what is to be called when `source` is not needed any more."""
        self.source = source
        self.stored = stored
        self.size = size
        self.release = release


def _changes_content(mode: int, inside: bool) -> bool:
    """Whether an allocation in this mode changes what is read of the range, part of which is `inside` the file."""
    if mode & (ALLOCATE_PUNCH_HOLE | ALLOCATE_ZERO_RANGE):
        return inside
    return bool(mode & ~(ALLOCATE_KEEP_SIZE | ALLOCATE_UNSHARE_RANGE))


def _chunks(file: File) -> Iterator[bytes]:
    """The content of a file that was just opened; without a seek, which some backends ignore before the first read."""
    while chunk := file.read(CHUNK):
        yield chunk


def _reader(content: SpoolFile) -> IO[bytes]:
    """The spooled content as a file object with a cursor of its own, whatever the storage does to it."""
    return open(content.path, "rb")
