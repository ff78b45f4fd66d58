"""The bytes of one file in memory, and the account of all of them.

Most files are small: a `bytearray`. One that grows past `RESIDENT` bytes moves into a memfd, an anonymous file of the
kernel: sparse (100 GB of nothing cost nothing), grown without copying, and a descriptor that can be handed to whoever
wants the content itself. A memfd costs a descriptor, so they are used up to half of what the process may have; past
that, and where there is no memfd (macOS), a large content stays a bytearray, up to `BYTEARRAY_MAX`.

Nothing here locks: the tree's lock is held around every call that changes something. Reading a memfd needs no lock:
a reader that holds the `Memfd` object keeps its descriptor open.
"""

from __future__ import annotations

import errno
import math
import os
import resource
import threading

from storage.exceptions import StorageFullError

RESIDENT = 256 * 1024
BYTEARRAY_MAX = 4 * 1024**3
_PAGE = 4096
_OFFSET_MAX = 2**63 - 1
_CHUNK = 1024**2


class Budget:
    """Bytes that the contents of one storage hold, and the limit on them (`capacity`, None for no limit)."""

    __slots__ = ("capacity", "used")

    def __init__(self, capacity: int | None = None) -> None:
        """Nothing is held yet."""
        self.capacity = capacity
        self.used = 0

    def lacks(self, growth: int) -> bool:
        """Whether `growth` more bytes would pass the limit."""
        return self.capacity is not None and growth > 0 and self.used + growth > self.capacity

    def demand(self, growth: int) -> None:
        """StorageFullError where `growth` more bytes would pass the limit."""
        if self.lacks(growth):
            raise StorageFullError("", f"No space left: {self.used} of {self.capacity} bytes are in use")

    def __getstate__(self) -> tuple[int | None]:
        return (self.capacity,)

    def __setstate__(self, state: tuple[int | None]) -> None:
        self.capacity = state[0]
        self.used = 0  # each content charges itself when it is restored


class Memfd:
    """A descriptor of an anonymous file in memory, closed with the last reference to this object."""

    __slots__ = ("fd",)

    _open = 0
    _counting = threading.Lock()

    def __init__(self) -> None:
        """A new one, empty; OSError (EMFILE) where the process has no descriptor left."""
        self.fd = -1
        self.fd = os.memfd_create("storage")
        with Memfd._counting:
            Memfd._open += 1

    def __del__(self) -> None:
        if self.fd >= 0:
            with Memfd._counting:
                Memfd._open -= 1
            os.close(self.fd)

    @classmethod
    def take(cls) -> Memfd | None:
        """A new one, or None where there are none on this system or too few descriptors are left."""
        if not hasattr(os, "memfd_create") or cls._open >= _descriptors() // 2:
            return None
        try:
            return cls()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOSYS):
                return None
            raise

    def pread(self, size: int, offset: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer only at the end."""
        data = os.pread(self.fd, min(size, _CHUNK), offset)
        if len(data) == size or len(data) < _CHUNK:
            return data
        pieces = [data]
        while data and (size := size - len(data)) > 0:
            offset += len(data)
            data = os.pread(self.fd, min(size, _CHUNK), offset)
            pieces.append(data)
        return b"".join(pieces)

    def pwrite(self, data: memoryview, offset: int) -> None:
        """All of `data` at `offset`; StorageFullError where the kernel has no more memory for it."""
        try:
            while data:
                written = os.pwrite(self.fd, data, offset)
                data = data[written:]
                offset += written
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise StorageFullError("") from error
            raise

    def holes(self, start: int, end: int) -> int:
        """How many bytes of whole pages between `start` and `end` are not allocated yet."""
        start, end = start // _PAGE * _PAGE, -(-end // _PAGE) * _PAGE
        allocated = 0
        for data, hole in self.extents(start, end):
            allocated += min(-(-hole // _PAGE) * _PAGE, end) - data
        return end - start - allocated

    def extents(self, start: int, end: int) -> list[tuple[int, int]]:
        """The (first, past the last) offsets of the stretches between `start` and `end` that hold data."""
        found = []
        while start < end:
            try:
                data = os.lseek(self.fd, start, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:  # nothing but a hole up to the end
                    break
                raise
            if data >= end:
                break
            start = min(os.lseek(self.fd, data, os.SEEK_HOLE), end)
            found.append((data, start))
        return found


class Content:
    """The bytes of one regular file: a sparse array that grows by being written to."""

    __slots__ = ("_budget", "_data", "_lent_mtime_ns", "allocated")

    def __init__(self, budget: Budget) -> None:
        """An empty content, on the account of `budget`."""
        self._budget = budget
        self._data: bytearray | Memfd = bytearray()
        self._lent_mtime_ns: int | None = None
        self.allocated = 0

    @property
    def memfd(self) -> Memfd | None:
        """What holds the bytes once there are many; keep the object while the descriptor is used."""
        return self._data if isinstance(self._data, Memfd) else None

    @property
    def size(self) -> int:
        """The offset past the last byte."""
        data = self._data
        return len(data) if isinstance(data, bytearray) else os.fstat(data.fd).st_size

    def measure(self) -> tuple[int, int]:
        """(size, blocks of 512 bytes), in one go."""
        data = self._data
        if isinstance(data, bytearray):
            size = len(data)
            return size, -(-size // 512)
        status = os.fstat(data.fd)
        self._account(status.st_blocks * 512)
        return status.st_size, status.st_blocks

    def pread(self, size: int, offset: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer only at the end."""
        data = self._data
        if isinstance(data, bytearray):
            return memoryview(data)[offset : offset + size].tobytes()
        return data.pread(size, offset)

    def pwrite(self, data: memoryview, offset: int) -> None:
        """All of `data` (of bytes) at `offset`; StorageFullError or OSError (EFBIG) before anything is changed."""
        end = offset + len(data)
        backing = self._backing_for(end)
        self._demand(backing, offset, end)
        if isinstance(backing, bytearray):
            try:
                if offset > len(backing):
                    backing.extend(bytes(offset - len(backing)))
                backing[offset:end] = data
            except MemoryError as error:
                raise StorageFullError("") from error
        else:
            backing.pwrite(data, offset)
        self._settle()

    def truncate(self, size: int) -> None:
        """Cut or grow (with zeros that take no room in a memfd) to `size` bytes."""
        backing = self._backing_for(size)
        self._demand(backing, size, size)
        if not isinstance(backing, bytearray):
            os.ftruncate(backing.fd, size)
        elif size <= len(backing):
            del backing[size:]
        else:
            try:
                backing.extend(bytes(size - len(backing)))
            except MemoryError as error:
                raise StorageFullError("") from error
        self._settle()

    def copy_from(self, source: Content) -> None:
        """Become equal to `source`, holes included; this content is new and empty."""
        if (memfd := source.memfd) is None:
            self.pwrite(memoryview(source._data), 0)  # type: ignore[arg-type]  # a bytearray, as there is no memfd
            return
        size = source.size
        self.truncate(size)
        for start, end in memfd.extents(0, size):
            for offset in range(start, end, _CHUNK):
                self.pwrite(memoryview(memfd.pread(min(_CHUNK, end - offset), offset)), offset)

    def free(self) -> None:
        """Give the room back; what still reads the memfd keeps it."""
        self._data = bytearray()
        self._account(0)

    def lend(self) -> int | None:
        """The descriptor of the memfd for others to write to, or None for a small content.

        None under a capacity too: what is written to the descriptor is not asked whether there is room.
        """
        if (memfd := self.memfd) is None or self._budget.capacity is not None:
            return None
        if self._lent_mtime_ns is None:
            self._lent_mtime_ns = os.fstat(memfd.fd).st_mtime_ns
        return memfd.fd

    def written_elsewhere_ns(self) -> int | None:
        """When somebody wrote to the lent descriptor, if since the last call or our own last write."""
        if self._lent_mtime_ns is None or (memfd := self.memfd) is None:
            return None
        mtime_ns = os.fstat(memfd.fd).st_mtime_ns
        if mtime_ns == self._lent_mtime_ns:
            return None
        self._lent_mtime_ns = mtime_ns
        return mtime_ns

    def _backing_for(self, end: int) -> bytearray | Memfd:
        """What can hold `end` bytes: the present one, or a memfd that the bytes have moved to."""
        data = self._data
        if not isinstance(data, bytearray):
            if end > _OFFSET_MAX:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
            return data
        if end <= RESIDENT or (memfd := self._moved_to(data, end)) is None:
            if end > BYTEARRAY_MAX:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
            return data
        return memfd

    def _moved_to(self, data: bytearray, end: int) -> Memfd | None:
        if end > _OFFSET_MAX:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        self._budget.demand(-(-len(data) // _PAGE) * _PAGE - self.allocated)
        if (memfd := Memfd.take()) is not None:
            memfd.pwrite(memoryview(data), 0)
            self._data = memfd
            self._settle()
        return memfd

    def _demand(self, backing: bytearray | Memfd, start: int, end: int) -> None:
        """StorageFullError where writing from `start` to `end` would pass the capacity."""
        if self._budget.capacity is None:
            return
        if isinstance(backing, bytearray):
            self._budget.demand(end - len(backing))
        elif self._budget.lacks(end - start + 2 * _PAGE):  # holes are counted only where it is close
            self._budget.demand(backing.holes(start, end))

    def _settle(self) -> None:
        """Bring the account up to date after a change of our own."""
        data = self._data
        if isinstance(data, bytearray):
            self._account(len(data))
            return
        status = os.fstat(data.fd)
        self._account(status.st_blocks * 512)
        if self._lent_mtime_ns is not None:
            self._lent_mtime_ns = status.st_mtime_ns

    def _account(self, allocated: int) -> None:
        self._budget.used += allocated - self.allocated
        self.allocated = allocated

    def __getstate__(self) -> tuple[Budget, bytes]:
        return self._budget, self.pread(self.size, 0)

    def __setstate__(self, state: tuple[Budget, bytes]) -> None:
        budget, data = state
        self.__init__(budget)  # type: ignore[misc]  # the state is what the constructor and one write make
        self.pwrite(memoryview(data), 0)


def _descriptors() -> float:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return math.inf if limit == resource.RLIM_INFINITY else limit
