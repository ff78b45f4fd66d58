"""The content of an open node, shared by all handles of it.

There are two kinds. An `InPlaceFile` writes through one storage file straight to the content (memory, local files):
nothing is ever pending. A `SpooledFile` (vfs.content.spooled) works on a copy in the spool, because its storage takes
whole objects only; it is *dirty* from the first change until `save()` has stored it.

A `Handle` is one open(2): it says what its opener may do, and holds nothing else.
"""

from __future__ import annotations

import errno
import os
import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from storage.entry import Entry
from storage.files import File

if TYPE_CHECKING:
    from vfs.names.tree import Node


class OpenFile(ABC):
    """The mutable state of one open node; `lock` guards everything that changes its size or its file."""

    dirty = False
    """Whether the storage lacks something that was written."""
    knows_links = False
    """Whether `entry()` counts the names of the file as they are now."""
    nameless = False
    """Whether it was made without a name, and is still to be given its first."""

    def __init__(self, node: Node) -> None:
        """The state of `node`, with no handle yet."""
        self.node = node
        self.handles = 0
        self.lock = threading.RLock()

    @property
    def is_open(self) -> bool:
        """Whether anybody has it open."""
        return self.handles > 0

    @abstractmethod
    def read(self, size: int, offset: int) -> bytes:
        """Up to `size` bytes from `offset`, fewer only at the end of the file."""

    def read_at_hand(self, size: int, offset: int) -> bytes | memoryview | None:
        """What `read()` would return, where nothing is to be waited for; None where it may have to be."""
        return None

    @abstractmethod
    def write(self, data: bytes | memoryview, offset: int | None) -> int:
        """Write all of `data` at `offset`, or at the true end for None."""

    @abstractmethod
    def truncate(self, size: int) -> None:
        """Cut, or extend with zeros."""

    @abstractmethod
    def size(self) -> int:
        """The size in bytes."""

    @abstractmethod
    def allocate(self, mode: int, offset: int, length: int) -> None:
        """Make room for a range or give it back, as `File.allocate` does."""

    @abstractmethod
    def seek_data(self, offset: int) -> int:
        """Where the first data at or behind `offset` begin; OSError (ENXIO) when none follow."""

    @abstractmethod
    def seek_hole(self, offset: int) -> int:
        """Where the first hole at or behind `offset` begins, at the latest the end; OSError (ENXIO) behind the end."""

    @abstractmethod
    def copy_range(self, offset: int, target: OpenFile, target_offset: int, size: int) -> int:
        """Copy `size` bytes, which are there, to `target` without reading them here, and return how many were.

        NotImplementedError where they have to be read and written.
        """

    @abstractmethod
    def content_fd(self, write: bool, *, mappable: bool = True) -> int | None:
        """A descriptor of the content that the kernel may read and, with `write`, write by itself; None for no such.

        Only one that is `mappable` may be mapped.

        It is open for as long as this file is.
        """

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

    def size(self) -> int:
        """See `OpenFile.size`."""
        return self.file.stat().size

    def allocate(self, mode: int, offset: int, length: int) -> None:
        """See `OpenFile.allocate`."""
        with self.lock:
            self.file.allocate(mode, offset, length)

    def seek_data(self, offset: int) -> int:
        """See `OpenFile.seek_data`."""
        return self.file.seek_data(offset)

    def seek_hole(self, offset: int) -> int:
        """See `OpenFile.seek_hole`."""
        return self.file.seek_hole(offset)

    def copy_range(self, offset: int, target: OpenFile, target_offset: int, size: int) -> int:
        """See `OpenFile.copy_range`: as the storage's files do it."""
        if not isinstance(target, InPlaceFile):
            raise NotImplementedError("the other file is written elsewhere")
        return self.file.copy_range(offset, target.file, target_offset, size)

    def content_fd(self, write: bool, *, mappable: bool = True) -> int | None:
        """See `OpenFile.content_fd`: the storage file's own, if it was opened for what is wanted.

        One that was given out for reading stays open when `reopen()` goes on with another.
        """
        with self.lock:
            return self.file.content_fd(mappable=mappable) if self.writable or not write else None

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
