"""Copying the content of one local file to another, by the kernel where it can."""

from __future__ import annotations

import errno
import fcntl
import os
import sys

_FICLONE = 0x40049409
_CHUNK = 2**20
_KERNEL_CHUNK = 2**30
_CANNOT = frozenset(
    {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTTY, errno.EBADF, errno.EPERM, errno.ETXTBSY}
)


def copy_content(source: int, target: int) -> None:
    """Copy the content of the descriptor `source`, whose cursor is at the start, to the empty file `target`.

    The extents are shared where the filesystem can share them (reflink), else copied inside the kernel where that is
    possible, else through this process.
    """
    if sys.platform == "linux":
        if _clone(source, target):
            return
        _copy_in_kernel(source, target)
    # Also what the kernel's copy leaves: files of /proc look empty to it.
    while data := os.read(source, _CHUNK):
        write_all(target, data)


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write all of `data` at the cursor."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _clone(source: int, target: int) -> bool:
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
        return False
    return True


def _copy_in_kernel(source: int, target: int) -> None:
    try:
        while os.copy_file_range(source, target, _KERNEL_CHUNK):
            pass
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
