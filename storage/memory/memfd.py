"""Memfds: anonymous files of the kernel, sparse, grown without copying, and descriptors that can be handed out.

Each costs a descriptor, so they are made up to half of what the process may have.

A descriptor that was handed out may have been mapped, or opened anew by the kernel (FUSE passthrough), and a mapping
outlives every close. So the bytes may move elsewhere only when `sealed()` has shown that nobody is left: a write lease
is refused while another open file or its mapping is there, F_SEAL_WRITE while our own open file is mapped for writing.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import math
import os
import resource
import signal
import sys
from typing import ClassVar

from storage.exceptions import StorageFullError
from storage.ranges import ALLOCATE_KEEP_SIZE
from storage.syscalls import fallocate

PAGE = 4096
CHUNK = 1024**2
_NO_MATTER = 16 * 1024**2
_NONE_LEFT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOSYS})


SPARE = 64
"""How many empty ones are kept for the next files."""


class Memfd:
    """A descriptor of an anonymous file in memory, closed with the last reference to this object.

    `allocated` is how many bytes of it are on somebody's account. `seen_ns` is its time of change when it was last
    looked at: None before it was ever lent to others, and 0 for one that was empty when it was lent. `waits` is whether
    it is in the queue of those that may come back, and `mapped` whether it was found to be in use there. `private` says
    that nobody who was given the descriptor can have mapped it.
    """

    __slots__ = ("allocated", "fd", "mapped", "private", "seen_ns", "waits")

    # The open ones. Adding and discarding are atomic, so that `__del__` needs no lock, whenever the collector runs it.
    _open: ClassVar[set[int]] = set()
    _spare: ClassVar[list[Memfd]] = []
    most: ClassVar[float] = 0
    """How many there may be: half of the descriptors that the process could have when that was last asked."""

    def __init__(self) -> None:
        """A new one, empty; OSError (EMFILE) where the process has no descriptor left."""
        self.fd = -1
        self.allocated = 0
        self.seen_ns: int | None = None
        self.waits = self.mapped = self.private = False
        if sys.platform == "linux":
            self.fd = os.memfd_create("storage", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            Memfd._open.add(self.fd)

    def __del__(self) -> None:
        if self.fd >= 0:
            Memfd._open.discard(self.fd)
            os.close(self.fd)

    @classmethod
    def take(cls) -> Memfd | None:
        """A new one, or None where there are none on this system or too few descriptors are left."""
        if sys.platform != "linux" or not hasattr(os, "memfd_create"):
            return None
        if cls._spare:
            with contextlib.suppress(IndexError):  # another thread was faster
                return cls._spare.pop()
        if len(cls._open) >= cls.most:
            cls.most = _descriptors() // 2
            if len(cls._open) >= cls.most:
                return None
        try:
            return cls()
        except OSError as error:
            if error.errno in _NONE_LEFT:
                return None
            raise

    def give_back(self) -> None:
        """Let the next file have it, for this one's bytes are elsewhere and nobody else can see it."""
        if len(Memfd._spare) < SPARE:
            os.ftruncate(self.fd, 0)
            self.allocated = 0
            self.seen_ns = None
            self.waits = self.mapped = self.private = False
            Memfd._spare.append(self)

    def pread(self, size: int, offset: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer only at the end."""
        data = os.pread(self.fd, min(size, CHUNK), offset)
        if len(data) == size or len(data) < CHUNK:
            return data
        pieces = [data]
        while data and (size := size - len(data)) > 0:
            offset += len(data)
            data = os.pread(self.fd, min(size, CHUNK), offset)
            pieces.append(data)
        return b"".join(pieces)

    def pwrite(self, data: bytes | bytearray | memoryview, offset: int) -> None:
        """All of `data` at `offset`; StorageFullError where the kernel has no more memory for it."""
        try:
            written = os.pwrite(self.fd, data, offset)
            while written < len(data):
                written += os.pwrite(self.fd, memoryview(data)[written:], offset + written)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise StorageFullError("") from error
            raise

    def reserve(self, start: int, end: int, *, keep_size: bool) -> None:
        """Allocate the pages from `start` to `end`; StorageFullError where that is more than there is memory."""
        if end - start > _NO_MATTER and self.holes(start, end) > available_memory():
            raise StorageFullError("")  # the kernel would give it, and then end processes
        try:
            fallocate(self.fd, ALLOCATE_KEEP_SIZE if keep_size else 0, start, end - start)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.ENOMEM):
                raise StorageFullError("") from error
            raise

    def holes(self, start: int, end: int) -> int:
        """How many bytes of whole pages between `start` and `end` are not allocated yet."""
        start, end = start // PAGE * PAGE, -(-end // PAGE) * PAGE
        allocated = 0
        for data, hole in self.extents(start, end):
            allocated += min(-(-hole // PAGE) * PAGE, end) - data
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

    def sealed(self) -> bool:
        """Make it read-only for good, unless somebody else still has it open or mapped: whether that was done."""
        if sys.platform != "linux" or self._open_elsewhere():
            return False
        try:
            fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
        except OSError as error:
            if error.errno == errno.EBUSY:
                return False
            raise
        return True

    def _open_elsewhere(self) -> bool:
        """Whether another open file of it is there, by itself or in a mapping; False where it cannot be told.

        A read-only mapping does not hinder sealing, but is to see what is written to the file later.
        """
        if sys.platform != "linux":
            return False
        try:
            # Its own descriptor is not counted by the lease's rules, for it was never opened; this one is.
            probe = os.open(f"/proc/self/fd/{self.fd}", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # no /proc here
            return False
        try:
            fcntl.fcntl(probe, fcntl.F_SETSIG, signal.SIGURG)  # ignored by default; SIGIO would end the process
            fcntl.fcntl(probe, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        except BlockingIOError:
            return True
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EACCES):  # no leases here
                raise
        finally:
            os.close(probe)
        return False


def available_memory() -> int:
    """How many bytes this machine could still give."""
    import psutil  # only where it is asked for

    return int(psutil.virtual_memory().available)


def _descriptors() -> float:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return math.inf if limit == resource.RLIM_INFINITY else limit
