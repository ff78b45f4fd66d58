"""C values as libfuse has them, and the kernel's requests, to and from those of Python."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import Any

from vfs.names.attributes import Attributes
from vfs.transports.fusepy.library import fuse

UTIME_NOW = (1 << 30) - 1
UTIME_OMIT = (1 << 30) - 2
RENAME = 12
"""The kernel's opcode."""
BLOCK_SIZE = 4096
"""Bytes in a block of statfs."""


def rename_request(buffer: Any) -> tuple[int, bytes]:
    """Opcode and new name of the request in `buffer`: a header of 40 bytes, the new directory's number, two names."""
    (opcode,) = struct.unpack_from("=I", buffer, 4)
    if opcode != RENAME:
        return opcode, b""
    names = buffer.raw[48 : struct.unpack_from("=I", buffer, 0)[0]]
    return opcode, names.split(b"\0")[1]


def fill_stat(out: Any, attributes: Attributes) -> None:
    """Write attributes into a C `struct stat`."""
    shown = out.contents
    ctypes.memset(out, 0, ctypes.sizeof(fuse.c_stat))
    shown.st_ino, shown.st_mode, shown.st_nlink = attributes.ino, attributes.mode, attributes.nlink
    shown.st_uid, shown.st_gid, shown.st_rdev = attributes.uid, attributes.gid, attributes.rdev
    shown.st_size, shown.st_blocks, shown.st_blksize = attributes.size, attributes.blocks, BLOCK_SIZE
    for time_spec, value in (
        (shown.st_atimespec, attributes.atime_ns),
        (shown.st_mtimespec, attributes.mtime_ns),
        (shown.st_ctimespec, attributes.ctime_ns),
    ):
        time_spec.tv_sec, time_spec.tv_nsec = divmod(value, 10**9)


def owner(value: int) -> int | None:
    """A uid or gid as chown(2) takes it: all bits set leaves it as it is."""
    return None if value == ctypes.c_uint(-1).value else value


def nanoseconds(time_spec: Any, now: int) -> int | None:
    """A time of utimensat(2) in ns: `now` for UTIME_NOW or no time at all, None for UTIME_OMIT."""
    if time_spec is None or time_spec.tv_nsec == UTIME_NOW:
        return now
    return None if time_spec.tv_nsec == UTIME_OMIT else int(time_spec.tv_sec * 10**9 + time_spec.tv_nsec)


def copied(data: bytes, out: Any, size: int) -> int:
    """An attribute's bytes into the caller's buffer, or only their number when it asks for that; OSError (ERANGE)."""
    if size:
        if len(data) > size:
            raise OSError(errno.ERANGE, os.strerror(errno.ERANGE))
        ctypes.memmove(out, data, len(data))
    return len(data)
