"""The kernel's FUSE protocol, 7.31 to 7.45, as data: opcodes, flags, and the structures with their sizes.

Source: the interface that Linux declares in include/uapi/linux/fuse.h. Every request is an `IN_HEADER`, the structure
of its opcode and then names, each ended by a NUL; every reply is an `OUT_HEADER` and a structure. All numbers are in
the machine's byte order. A structure that grew is read as far as this file knows it, which is what the protocol's
versions promise.
"""

from __future__ import annotations

import enum
import struct
from struct import Struct

MAJOR = 7
MINOR = 45
"""The newest version that this transport speaks."""
MINOR_MIN = 31
"""The oldest one (Linux 5.4); with those before it the structures were smaller."""
ROOT = 1
"""The node id of the root."""


class Opcode(enum.IntEnum):
    """What the kernel asks for."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    READLINK = 5
    SYMLINK = 6
    MKNOD = 8
    MKDIR = 9
    UNLINK = 10
    RMDIR = 11
    RENAME = 12
    LINK = 13
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    SETXATTR = 21
    GETXATTR = 22
    LISTXATTR = 23
    REMOVEXATTR = 24
    FLUSH = 25
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    FSYNCDIR = 30
    GETLK = 31
    SETLK = 32
    SETLKW = 33
    ACCESS = 34
    CREATE = 35
    INTERRUPT = 36
    BMAP = 37
    DESTROY = 38
    IOCTL = 39
    POLL = 40
    NOTIFY_REPLY = 41
    BATCH_FORGET = 42
    FALLOCATE = 43
    READDIRPLUS = 44
    RENAME2 = 45
    LSEEK = 46
    COPY_FILE_RANGE = 47
    SETUPMAPPING = 48
    REMOVEMAPPING = 49
    SYNCFS = 50
    TMPFILE = 51
    STATX = 52
    COPY_FILE_RANGE_64 = 53


class Init(enum.IntEnum):
    """Bits of what kernel and filesystem agree on by INIT; those from 32 on travel in `flags2`."""

    ASYNC_READ = 1 << 0
    ATOMIC_O_TRUNC = 1 << 3
    BIG_WRITES = 1 << 5
    AUTO_INVAL_DATA = 1 << 12
    DO_READDIRPLUS = 1 << 13
    READDIRPLUS_AUTO = 1 << 14
    ASYNC_DIO = 1 << 15
    WRITEBACK_CACHE = 1 << 16
    PARALLEL_DIROPS = 1 << 18
    MAX_PAGES = 1 << 22
    CACHE_SYMLINKS = 1 << 23
    INIT_EXT = 1 << 30
    PASSTHROUGH = 1 << 37


class Fattr(enum.IntEnum):
    """Bits that say which fields of a SETATTR are meant."""

    MODE = 1 << 0
    UID = 1 << 1
    GID = 1 << 2
    SIZE = 1 << 3
    ATIME = 1 << 4
    MTIME = 1 << 5
    FH = 1 << 6
    ATIME_NOW = 1 << 7
    MTIME_NOW = 1 << 8
    CTIME = 1 << 10


class Fopen(enum.IntEnum):
    """Bits that say how the kernel is to treat an open file."""

    DIRECT_IO = 1 << 0
    KEEP_CACHE = 1 << 1
    CACHE_DIR = 1 << 3
    NOFLUSH = 1 << 5
    PASSTHROUGH = 1 << 7


WRITE_CACHE = 1 << 0
"""In a WRITE: the kernel writes a page back, by whatever handle there is."""


class Notify(enum.IntEnum):
    """What the filesystem tells without being asked."""

    INVAL_INODE = 2
    INVAL_ENTRY = 3
    STORE = 4
    INC_EPOCH = 8
    """Since 7.44."""


def _structure(layout: str, size: int) -> Struct:
    """A structure of the protocol, whose size must come out as the kernel has it."""
    made = Struct("=" + layout)
    if made.size != size:
        raise struct.error(f"{layout!r} has {made.size} bytes instead of {size}")
    return made


_ATTR = "QQQqqqIIIIIIIIII"
_ENTRY = "QQQQII" + _ATTR
_OPEN = "QIi"
_HEADER = "IiQ"
_STATX_TIME = "qIi"

# Requests
IN_HEADER = _structure("IIQQIIIHH", 40)
"""length, opcode, unique, node id, uid, gid, pid, length of extensions, padding."""
INIT_IN = _structure("IIII", 16)
"""major, minor, max_readahead, flags; `flags2` follows where INIT_EXT is among them."""
FLAGS2 = _structure("I", 4)
FORGET_IN = _structure("Q", 8)
FORGET_ONE = _structure("QQ", 16)
BATCH_FORGET_IN = _structure("II", 8)
GETATTR_IN = _structure("IIQ", 16)
SETATTR_IN = _structure("IIQQQqqqIIIIIIII", 88)
"""valid, -, fh, size, lock owner, atime, mtime, ctime, three times ns, mode, -, uid, gid, -."""
MKNOD_IN = _structure("IIII", 16)
MKDIR_IN = _structure("II", 8)
RENAME_IN = _structure("Q", 8)
RENAME2_IN = _structure("QII", 16)
LINK_IN = _structure("Q", 8)
OPEN_IN = _structure("II", 8)
CREATE_IN = _structure("IIII", 16)
"""flags, mode, umask, open flags; a TMPFILE has the same."""
RELEASE_IN = _structure("QIIQ", 24)
FLUSH_IN = _structure("QIIQ", 24)
READ_IN = _structure("QQIIQII", 40)
"""fh, offset, size, read flags, lock owner, flags, -; a READDIR has the same."""
WRITE_IN = _structure("QQIIQII", 40)
"""fh, offset, size, write flags, lock owner, flags, -; the data follow."""
FSYNC_IN = _structure("QII", 16)
SETXATTR_IN = _structure("II", 8)
GETXATTR_IN = _structure("II", 8)
INTERRUPT_IN = _structure("Q", 8)
FALLOCATE_IN = _structure("QQQII", 32)
"""fh, offset, length, mode, -."""
LSEEK_IN = _structure("QQII", 24)
COPY_FILE_RANGE_IN = _structure("QQQQQQQ", 56)
"""fh, offset, node id of the target, its fh, its offset, length, flags."""

# Replies
OUT_HEADER = _structure(_HEADER, 16)
"""length, negative errno, unique."""
INIT_OUT = _structure("IIIIHHIIHHIIH22x", 64)
"""major, minor, max_readahead, flags, max_background, congestion threshold, max_write, time granularity in ns,
max_pages, map alignment, flags2, max_stack_depth, request timeout."""
ENTRY_OUT = _structure(_ENTRY, 128)
"""node id, generation, seconds that name and attributes are good for, their ns, attributes."""
ATTR_OUT = _structure("QII" + _ATTR, 104)
"""Seconds and ns that the attributes are good for, -, attributes: ino, size, blocks, seconds of atime, mtime, ctime,
their ns, mode, nlink, uid, gid, rdev, block size, flags."""
STATX_OUT = _structure("QII16x" + "IIQIIIHxxQQQQ" + 4 * _STATX_TIME + "IIII112x", 288)
"""Seconds and ns that it is good for, flags; mask, block size, attributes, nlink, uid, gid, mode, ino, size, blocks,
mask of attributes; atime, btime, ctime, mtime (seconds, ns, -); rdev and dev, major and minor each."""
OPEN_OUT = _structure(_OPEN, 16)
"""fh, open flags, backing id."""
WRITE_OUT = _structure("II", 8)
STATFS_OUT = _structure("QQQQQIII28x", 80)
"""Blocks, free ones, those for everybody; files, free ones; block size, longest name, fragment size."""
GETXATTR_OUT = _structure("II", 8)
LSEEK_OUT = _structure("Q", 8)
COPY_FILE_RANGE_OUT = _structure("Q", 8)
DIRENT = _structure("QQII", 24)
"""ino, offset of the next entry, length of the name, type; the name follows, filled up to 8 bytes."""

# Notifications
INVAL_INODE_OUT = _structure("Qqq", 24)
"""node id, offset (negative: attributes alone), length (0: to the end)."""
INVAL_ENTRY_OUT = _structure("QII", 16)
"""node id of the directory, length of the name, flags; the name follows with its NUL."""
STORE_OUT = _structure("QQII", 24)
"""node id, offset, size, -; the data follow."""

# The device
BACKING_MAP = _structure("iIQ", 16)
"""descriptor, flags, -."""
BACKING_OPEN = 0x4010E501
BACKING_CLOSE = 0x4004E502
"""ioctl(2) numbers: direction, size and letter (229) packed as _IOW does."""

STATX_BASIC = 0x7FF
STATX_BTIME = 0x800


def padded(length: int) -> int:
    """`length` filled up to the 8 bytes by which the entries of a listing are aligned."""
    return (length + 7) & ~7
