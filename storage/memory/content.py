"""The bytes of one file in memory, and the account of all of them.

Most files are small: `bytes`, or a `bytearray` once a part of them is changed. One that grows past `RESIDENT` bytes
moves into a `Memfd`, and so does one whose descriptor is asked for; where there are none left, and on systems without
(macOS), a large content stays a bytearray, up to `BYTEARRAY_MAX`.

Nothing here locks: the tree's lock is held around every call that changes something. Reading a memfd needs no lock:
a reader that holds the `Memfd` object keeps its descriptor open.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections import deque
from typing import TYPE_CHECKING

from storage import extents
from storage.exceptions import StorageFullError
from storage.memory.memfd import CHUNK, PAGE, Memfd
from storage.memory.nodes import Inode
from storage.ranges import ALLOCATE_KEEP_SIZE, ALLOCATE_PUNCH_HOLE
from storage.syscalls import fallocate

if TYPE_CHECKING:
    from storage.memory.regular import RegularFile

RESIDENT = 256 * 1024
BYTEARRAY_MAX = 4 * 1024**3
_OFFSET_MAX = 2**63 - 1


class Budget:
    """Bytes that the contents of one storage hold, and the limit on them (`capacity`, None for no limit).

    `apart` are the contents that are memfds, which the kernel may have written to since they were last measured;
    `closed` are those of them that nobody has open any more, and that may come back into this process.
    """

    __slots__ = ("apart", "capacity", "closed", "used")

    def __init__(self, capacity: int | None = None) -> None:
        """Nothing is held yet."""
        self.capacity = capacity
        self.used = 0
        self.apart: set[Content] = set()
        self.closed: deque[RegularFile] = deque()

    def lacks(self, growth: int) -> bool:
        """Whether `growth` more bytes would pass the limit."""
        return self.capacity is not None and growth > 0 and self.used + growth > self.capacity

    def demand(self, growth: int) -> None:
        """StorageFullError where `growth` more bytes would pass the limit."""
        if self.lacks(growth):
            raise StorageFullError("", f"No space left: {self.used} of {self.capacity} bytes are in use")

    def measured(self) -> int:
        """The bytes that are held, also what was written to the memfds from elsewhere."""
        for content in list(self.apart):
            content.measure()
        return self.used

    def __getstate__(self) -> tuple[int | None]:
        return (self.capacity,)

    def __setstate__(self, state: tuple[int | None]) -> None:
        self.__init__(state[0])  # type: ignore[misc]  # each content charges itself when it is restored


class Content(Inode):
    """An inode with bytes: a sparse array that grows by being written to. Times and versions are a subclass's."""

    __slots__ = ("budget", "data")

    budget: Budget
    data: bytes | bytearray | Memfd

    @property
    def size(self) -> int:
        """The offset past the last byte."""
        data = self.data
        return os.fstat(data.fd).st_size if isinstance(data, Memfd) else len(data)

    def measure(self) -> None:
        """Bring the account up to date with what was written to a memfd from elsewhere."""
        if isinstance(self.data, Memfd):
            self._account(self.data, os.fstat(self.data.fd))

    def pread(self, size: int, offset: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer only at the end."""
        data = self.data
        if isinstance(data, Memfd):
            return data.pread(size, offset)
        if isinstance(data, bytes):
            return data[offset : offset + size]
        with memoryview(data) as view:
            return bytes(view[offset : offset + size])

    def pwrite(self, data: memoryview, offset: int) -> None:
        """All of `data` (of bytes) at `offset`; StorageFullError or OSError (EFBIG) before anything is changed."""
        end = offset + len(data)
        backing = self._backing_for(offset, end)
        if not isinstance(backing, Memfd):
            self._write_resident(backing, data, offset, end)
            return
        self._demand_pages(backing, offset, end)
        backing.pwrite(data, offset)
        self._settle(backing)

    def resize(self, size: int) -> None:
        """Cut or grow (with zeros that take no room in a memfd) to `size` bytes."""
        backing = self._backing_for(size, size)
        if isinstance(backing, Memfd):
            os.ftruncate(backing.fd, size)
            self._settle(backing)
        elif size > len(backing):
            self._write_resident(backing, memoryview(b""), size, size)
        elif size < len(backing):
            self.budget.used -= len(backing) - size
            self.data = bytes(backing[:size])

    def copy_from(self, source: Content) -> None:
        """Become equal to `source`, holes included; this content is new and empty."""
        backing = source.data
        if not isinstance(backing, Memfd):
            self.pwrite(memoryview(backing), 0)
            return
        size = source.size
        self.resize(size)
        for start, end in backing.extents(0, size):
            self.copy_range_from(source, start, start, end - start)

    def copy_range_from(self, source: Content, offset: int, start: int, size: int) -> int:
        """Copy up to `size` bytes of `source`, from `offset` on, to `start`; returns how many, fewer only at its end.

        That can come sooner than the caller has seen it: a descriptor that was lent is cut off without the tree's lock.
        """
        origin, backing = source.data, self._backing_for(start, start + size)
        done = 0
        if isinstance(origin, Memfd) and isinstance(backing, Memfd):
            self._demand_pages(backing, start, start + size)
            with contextlib.suppress(NotImplementedError):
                done = extents.copy_range(origin.fd, offset, backing.fd, start, size)
            self._settle(backing)
        while done < size:
            data = source.pread(min(size - done, CHUNK), offset + done)
            if not data:
                break
            self.pwrite(memoryview(data), start + done)
            done += len(data)
        return done

    def punch(self, start: int, end: int) -> None:
        """Make the bytes from `start` to `end` zeros that take no room, as far as there are any."""
        backing = self.data
        if not isinstance(backing, Memfd):
            end = min(end, -(-len(backing) // PAGE) * PAGE)
            if end - start >= PAGE:
                backing = self.into_memfd(0) or backing
        if isinstance(backing, Memfd):
            fallocate(backing.fd, ALLOCATE_PUNCH_HOLE | ALLOCATE_KEEP_SIZE, start, end - start)
            self._settle(backing)
        elif start < (end := min(end, len(backing))):
            self._write_resident(backing, memoryview(bytes(end - start)), start, end)

    def reserve(self, start: int, end: int, *, keep_size: bool) -> None:
        """Have room for the bytes from `start` to `end`, and unless `keep_size` be that long; StorageFullError.

        Bytes in this process need no room before they are there.
        """
        backing = self.data if end <= RESIDENT else self._backing_for(end, end)
        if isinstance(backing, Memfd):
            self._demand_pages(backing, start, end)
            backing.reserve(start, end, keep_size=keep_size)
            self._settle(backing)
        elif end > len(backing) and not keep_size:
            self._write_resident(backing, memoryview(b""), end, end)

    def free(self) -> None:
        """Give the room back; what still reads the memfd keeps it."""
        self._replace(b"")

    def into_memfd(self, end: int) -> Memfd | None:
        """Move the bytes, of which there will be `end`, into a memfd; None where none is to be had."""
        data = self.data
        if isinstance(data, Memfd):
            return data
        if end > _OFFSET_MAX:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        self.budget.demand(-(-len(data) // PAGE) * PAGE - len(data))
        if (memfd := Memfd.take()) is not None:
            if data:
                memfd.pwrite(data, 0)
                memfd.allocated = -(-len(data) // PAGE) * PAGE
            self._replace(memfd)
            self.budget.apart.add(self)
        return memfd

    def into_bytes(self, memfd: Memfd, size: int) -> None:
        """Move the `size` bytes of the memfd, which was sealed since that was seen, back into this process."""
        data = os.pread(memfd.fd, size + 1, 0)
        if len(data) > size:  # it has grown meanwhile
            data = memfd.pread(os.fstat(memfd.fd).st_size, 0)
        self._replace(data)

    def _replace(self, data: bytes | Memfd) -> None:
        """Keep the bytes in `data` from now on, which holds the same ones, or none."""
        former = self.data
        if isinstance(former, Memfd):
            self.budget.apart.discard(self)
            self.budget.used -= former.allocated
        else:
            self.budget.used -= len(former)
        self.data = data
        self.budget.used += data.allocated if isinstance(data, Memfd) else len(data)

    def _backing_for(self, start: int, end: int) -> bytes | bytearray | Memfd:
        """What can hold bytes from `start` to `end`: the present one, or a memfd that all have moved to.

        They move when they are many, and when there will be a hole in them.
        """
        data = self.data
        if isinstance(data, Memfd):
            if end > _OFFSET_MAX:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
            return data
        if (end <= RESIDENT and start - len(data) < PAGE) or (memfd := self.into_memfd(end)) is None:
            if end > BYTEARRAY_MAX:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
            return data
        return memfd

    def _write_resident(self, present: bytes | bytearray, data: memoryview, offset: int, end: int) -> None:
        size = len(present)
        growth = max(end - size, 0)
        self.budget.demand(growth)
        try:
            if offset == 0 and growth:
                self.data = bytes(data)
            else:
                changing = present if isinstance(present, bytearray) else bytearray(present)
                if offset > size:
                    changing.extend(bytes(offset - size))
                changing[offset:end] = data
                self.data = changing
        except MemoryError as error:
            raise StorageFullError("") from error
        self.budget.used += growth

    def _demand_pages(self, memfd: Memfd, start: int, end: int) -> None:
        """StorageFullError where writing from `start` to `end` would pass the capacity."""
        budget = self.budget
        if budget.capacity is not None and budget.lacks(end - start + 2 * PAGE):
            budget.demand(memfd.holes(start, end))  # holes are counted only where it is close

    def _settle(self, memfd: Memfd) -> None:
        """Bring the account up to date after a change of our own."""
        status = os.fstat(memfd.fd)
        self._account(memfd, status)
        if memfd.seen_ns is not None:
            memfd.seen_ns = status.st_mtime_ns

    def _account(self, memfd: Memfd, status: os.stat_result) -> None:
        allocated = status.st_blocks * 512
        self.budget.used += allocated - memfd.allocated
        memfd.allocated = allocated
