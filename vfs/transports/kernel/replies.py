"""Bodies of replies: attributes, entries and usage as the kernel's structures."""

from __future__ import annotations

import errno
import os

from storage.entry import Usage
from vfs.names.attributes import Attributes
from vfs.transports.kernel import protocol

BLOCK_SIZE = 4096
"""Bytes in a block of statfs, and the size of transfers that stat(2) recommends."""
SECOND = 10**9


class Replies:
    """The bodies that say for how long the kernel may believe them."""

    def __init__(self, entry_timeout: float, attr_timeout: float) -> None:
        """Names are good for `entry_timeout` seconds, attributes for `attr_timeout`."""
        self._entry, self._entry_ns = divmod(int(entry_timeout * SECOND), SECOND)
        self._believed = divmod(int(attr_timeout * SECOND), SECOND)
        self.missing = b""
        """What to answer a lookup of nothing, which is believed as a name is; empty where it is not."""
        if self._entry or self._entry_ns:
            self.missing = protocol.ENTRY_OUT.pack(0, 0, self._entry, 0, self._entry_ns, 0, *(0,) * 16)

    def entry(self, nodeid: int, shown: Attributes, *, believed: bool) -> bytes:
        """A node under a name; without `believed` its attributes are asked for each time."""
        seconds, ns = self._believed if believed else (0, 0)
        return protocol.ENTRY_OUT.pack(nodeid, 0, self._entry, seconds, self._entry_ns, ns, *_packed(shown))

    def attributes(self, shown: Attributes, *, believed: bool) -> bytes:
        """The attributes of a node."""
        seconds, ns = self._believed if believed else (0, 0)
        return protocol.ATTR_OUT.pack(seconds, ns, 0, *_packed(shown))

    def statx(self, shown: Attributes, *, believed: bool) -> bytes:
        """The same, with the time of birth where it is known."""
        seconds, ns = self._believed if believed else (0, 0)
        times = (shown.atime_ns, shown.btime_ns or 0, shown.ctime_ns, shown.mtime_ns)
        return protocol.STATX_OUT.pack(
            seconds,
            ns,
            0,
            protocol.STATX_BASIC | (protocol.STATX_BTIME if shown.btime_ns is not None else 0),
            BLOCK_SIZE,
            0,
            shown.nlink,
            shown.uid,
            shown.gid,
            shown.mode,
            shown.ino,
            shown.size,
            shown.blocks,
            0,
            *(part for value in times for part in (*divmod(value, SECOND), 0)),
            os.major(shown.rdev),
            os.minor(shown.rdev),
            0,
            0,
        )


def statfs(usage: Usage, name_max: int) -> bytes:
    """How full a storage is."""
    free = usage.free // BLOCK_SIZE
    files, files_free = usage.files or 0, usage.files_free or 0
    blocks = usage.total // BLOCK_SIZE
    return protocol.STATFS_OUT.pack(blocks, free, free, files, files_free, BLOCK_SIZE, name_max, BLOCK_SIZE)


def sized(data: bytes, size: int) -> bytes:
    """An extended attribute's bytes, or for a `size` of 0 their number; OSError (ERANGE) where they are more."""
    if not size:
        return protocol.GETXATTR_OUT.pack(len(data), 0)
    if len(data) > size:
        raise OSError(errno.ERANGE, os.strerror(errno.ERANGE))
    return data


def _packed(shown: Attributes) -> tuple[int, ...]:
    """Attributes as the fields that end ENTRY_OUT and ATTR_OUT."""
    ino, mode, nlink, uid, gid, rdev, size, blocks, atime, mtime, ctime, _ = shown
    atime, atime_ns = divmod(atime, SECOND)
    mtime, mtime_ns = divmod(mtime, SECOND)
    ctime, ctime_ns = divmod(ctime, SECOND)
    times = (atime, mtime, ctime, atime_ns, mtime_ns, ctime_ns)
    return (ino, size, blocks, *times, mode, nlink, uid, gid, rdev & 0xFFFF_FFFF, BLOCK_SIZE, 0)
