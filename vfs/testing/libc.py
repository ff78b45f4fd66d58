"""Calls of the system that Python does not have, or has in another way than programs in C: for tests alone."""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOREPLACE, EXCHANGE = 1, 2
"""renameat2(2)'s flags."""
KEEP_SIZE, PUNCH_HOLE, COLLAPSE_RANGE, ZERO_RANGE, INSERT_RANGE = 0x01, 0x02, 0x08, 0x10, 0x20
"""fallocate(2)'s modes."""
_AT_FDCWD = -100
_AT_SYMLINK_FOLLOW = 0x400
_libc = ctypes.CDLL(None, use_errno=True)
if hasattr(_libc, "fallocate"):  # Linux
    _libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int64]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_libc.msync.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_FAILED = ctypes.c_void_p(-1).value
_MS_SYNC = 4
_AT_SYMLINK_NOFOLLOW = 0x100
_STATX_BTIME = 0x800


def _check(failed: bool, what: object = "") -> None:
    if failed:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(what))


def rename2(old: Path, new: Path, flags: int) -> None:
    """renameat2(2)."""
    _check(_libc.renameat2(_AT_FDCWD, os.fsencode(old), _AT_FDCWD, os.fsencode(new), flags) != 0, old)


def give_name(descriptor: int, path: Path) -> None:
    """linkat(2) of an open file, as open(2) has it in its manual; Python 3.11's os.link() follows no links."""
    source = f"/proc/self/fd/{descriptor}".encode()
    _check(_libc.linkat(_AT_FDCWD, source, _AT_FDCWD, os.fsencode(path), _AT_SYMLINK_FOLLOW) != 0, path)


def birth_ns(path: Path) -> int | None:
    """When a file was made, by statx(2); None where the filesystem does not say."""
    found = ctypes.create_string_buffer(256)
    _check(_libc.statx(_AT_FDCWD, os.fsencode(path), _AT_SYMLINK_NOFOLLOW, _STATX_BTIME, found) != 0, path)
    (mask,) = struct.unpack_from("I", found)
    seconds, nanoseconds = struct.unpack_from("qI", found, 80)
    return seconds * 10**9 + nanoseconds if mask & _STATX_BTIME else None


def fallocate(descriptor: int, mode: int, offset: int, length: int) -> None:
    """fallocate(2), without the zeros that glibc's posix_fallocate writes where it is refused."""
    _check(_libc.fallocate(descriptor, mode, offset, length) != 0)


class SharedMapping:
    """A shared mapping as C has it: unlike Python's it keeps no descriptor open."""

    def __init__(self, descriptor: int, length: int, *, writes: bool = True) -> None:
        """Map the first `length` bytes."""
        self.length = length
        protection = mmap.PROT_READ | (mmap.PROT_WRITE if writes else 0)
        found = _libc.mmap(None, length, protection, mmap.MAP_SHARED, descriptor, 0)
        _check(found == _FAILED)
        self._address: int = found

    def __getitem__(self, part: slice) -> bytes:
        start, stop, _ = part.indices(self.length)
        return ctypes.string_at(self._address + start, stop - start)

    def store(self, data: bytes, offset: int) -> None:
        """Change the memory."""
        assert offset + len(data) <= self.length
        ctypes.memmove(self._address + offset, data, len(data))

    def sync(self) -> None:
        """msync(2), which returns when the file has it."""
        _check(_libc.msync(self._address, self.length, _MS_SYNC) != 0)

    def close(self) -> None:
        """Take the mapping away."""
        _check(_libc.munmap(self._address, self.length) != 0)


@contextmanager
def mapped(path: Path, length: int, *, writes: bool = True) -> Iterator[SharedMapping]:
    """A mapping of a file whose descriptor is closed already."""
    descriptor = os.open(path, os.O_RDWR if writes else os.O_RDONLY)
    try:
        mapping = SharedMapping(descriptor, length, writes=writes)
    finally:
        os.close(descriptor)
    try:
        yield mapping
    finally:
        mapping.close()
