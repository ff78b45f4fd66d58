"""Data, holes and copies of ranges in files that the system has: what `storage.ranges` asks, of open descriptors.

Offsets and sizes are bytes, and no descriptor's cursor has moved when a function returns.
"""

from __future__ import annotations

import errno
import os
import sys
import threading

from storage.ranges import size_behind

_KERNEL_CHUNK = 2**30
_CANNOT = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM})
_cursors = threading.Lock()


def seek_data(fd: int, offset: int) -> int:
    """Where the first data at or behind `offset` begin; OSError (ENXIO) when none follow."""
    if sys.platform in ("linux", "darwin"):
        return _sought(fd, offset, os.SEEK_DATA)
    size_behind(offset, os.fstat(fd).st_size)
    return offset


def seek_hole(fd: int, offset: int) -> int:
    """Where the first hole at or behind `offset` begins, at the latest the end; OSError (ENXIO) behind the end."""
    if sys.platform in ("linux", "darwin"):
        return _sought(fd, offset, os.SEEK_HOLE)
    return size_behind(offset, os.fstat(fd).st_size)


def copy_range(source: int, offset: int, target: int, target_offset: int, size: int) -> int:
    """Copy up to `size` bytes inside the kernel, which shares the blocks where the filesystem can; returns how many.

    OSError (EINVAL) for two ranges of one file that overlap; NotImplementedError where the kernel cannot copy between
    these files, and nothing has been copied.
    """
    if sys.platform != "linux":
        raise NotImplementedError("This system cannot copy ranges of files.")
    size = min(size, os.fstat(source).st_size - offset)  # or a file would go on copying what it has just been given
    if overlap(offset, target_offset, size) and os.path.sameopenfile(source, target):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    copied = 0
    try:
        while copied < size:
            part = min(size - copied, _KERNEL_CHUNK)
            got = os.copy_file_range(source, target, part, offset + copied, target_offset + copied)
            if not got:
                break
            copied += got
    except OSError as error:
        if not copied and error.errno in _CANNOT:
            raise NotImplementedError("The kernel cannot copy between these files.") from error
        if not copied:
            raise
    return copied


def overlap(offset: int, other: int, size: int) -> bool:
    """Whether two ranges of `size` bytes, of one file, have a byte in common."""
    return abs(offset - other) < size


def _sought(fd: int, offset: int, whence: int) -> int:
    """What lseek() answers, with the cursor back where it was."""
    with _cursors:
        here = os.lseek(fd, 0, os.SEEK_CUR)
        try:
            return os.lseek(fd, offset, whence)
        finally:
            os.lseek(fd, here, os.SEEK_SET)
