"""What an in-memory tree is made of: inodes, each knowing its attributes and how it shows itself.

An inode lives as long as something names it: links (`nlink`) or, for a regular file (`storage.memory.regular`), open
handles (`opens`). The last of both to go frees the content. Names are not part of an inode: a directory maps them to
inodes.

There may be millions, so they are kept small: equal numbers are one object, and there is none for what is empty.
"""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from storage.entry import Entry, Kind

XATTR_CREATE = 1
XATTR_REPLACE = 2
_XATTR_NAME_MAX = 255
_XATTR_VALUE_MAX = 64 * 1024
_ENOATTR: int = getattr(errno, "ENOATTR", errno.ENODATA)
_DIRECTORY_SIZE = 4096
_MODES = tuple(range(0o10000))
_new = tuple.__new__  # a third less time than Entry(...), and every stat() makes one


class Inode:
    """Attributes that every kind has; `mode` is the permission bits alone."""

    __slots__ = ("atime_ns", "btime_ns", "ctime_ns", "gid", "ino", "mode", "mtime_ns", "nlink", "uid", "xattrs")

    kind: ClassVar[Kind]

    entries: Mapping[str, Inode] = MappingProxyType({})
    """What is in it: nothing, unless it is a directory."""

    def __init__(self, ino: int, mode: int, uid: int, gid: int, now: int) -> None:
        """An inode without a name."""
        self.ino = ino
        self.mode = _MODES[mode & 0o7777]
        self.uid = uid
        self.gid = gid
        self.nlink = 0
        self.atime_ns = self.mtime_ns = self.ctime_ns = self.btime_ns = now
        self.xattrs: dict[str, bytes] | None = None

    @property
    def identity(self) -> tuple[int, int]:
        """As `Entry.identity`: the device, of which there is one, and the number."""
        return 0, self.ino

    def entry(self, name: str) -> Entry:
        """This inode as it looks under `name`."""
        return new_entry(self, name, 0, 0)

    def unused(self) -> None:
        """A link has gone: free what nothing names any more."""

    def set_attributes(
        self, now: int, mode: int | None, uid: int | None, gid: int | None, atime_ns: int | None, mtime_ns: int | None
    ) -> None:
        """Change what is not None; the time of the change is noted even where nothing is."""
        if uid is not None or gid is not None:
            self.uid, self.gid = _shared(self.uid if uid is None else uid, self.gid if gid is None else gid)
        if mode is not None:
            self.mode = _MODES[mode & 0o7777]
        if atime_ns is not None:
            self.atime_ns = atime_ns
        if mtime_ns is not None:
            self.mtime_ns = mtime_ns
        self.ctime_ns = now

    def getxattr(self, key: str) -> bytes:
        """The value of an extended attribute; OSError (ENODATA, on macOS ENOATTR) where there is none."""
        try:
            return (self.xattrs or {})[key]
        except KeyError:
            raise OSError(_ENOATTR, os.strerror(_ENOATTR), key) from None

    def setxattr(self, key: str, value: bytes, flags: int, now: int) -> None:
        """Set an extended attribute; `flags` as setxattr(2): XATTR_CREATE must be new, XATTR_REPLACE must be there."""
        if len(os.fsencode(key)) > _XATTR_NAME_MAX or not key:
            raise OSError(errno.ERANGE, os.strerror(errno.ERANGE), key)
        if len(value) > _XATTR_VALUE_MAX:
            raise OSError(errno.E2BIG, os.strerror(errno.E2BIG), key)
        if flags & XATTR_CREATE and key in (self.xattrs or {}):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), key)
        if flags & XATTR_REPLACE:
            self.getxattr(key)
        self.xattrs = {**(self.xattrs or {}), key: bytes(value)}
        self.ctime_ns = now

    def removexattr(self, key: str, now: int) -> None:
        """Remove an extended attribute; OSError (ENODATA, on macOS ENOATTR) where there is none."""
        self.getxattr(key)
        self.xattrs = {name: value for name, value in (self.xattrs or {}).items() if name != key}
        self.ctime_ns = now


class Directory(Inode):
    """Names mapped to inodes, in the order in which they were made; `nlink` is 2 and one for each subdirectory."""

    __slots__ = ("entries", "parent")

    kind = Kind.DIRECTORY

    def __init__(self, ino: int, mode: int, uid: int, gid: int, now: int) -> None:
        """An empty one, in no other yet."""
        super().__init__(ino, mode, uid, gid, now)
        self.nlink = 1  # "."; its name in the parent is the second
        self.entries: dict[str, Inode] = {}
        self.parent: Directory | None = None

    def entry(self, name: str) -> Entry:
        """This directory as it looks under `name`."""
        return new_entry(self, name, _DIRECTORY_SIZE, 0)

    def within(self, ancestor: Inode) -> bool:
        """Whether this is `ancestor` or lies somewhere below it."""
        directory: Directory | None = self
        while directory is not None:
            if directory is ancestor:
                return True
            directory = directory.parent
        return False


class Symlink(Inode):
    """A name in place of a file."""

    __slots__ = ("target",)

    kind = Kind.SYMLINK

    def __init__(self, ino: int, uid: int, gid: int, now: int, target: str) -> None:
        """A link to `target`, whatever that is."""
        super().__init__(ino, 0o777, uid, gid, now)
        self.target = target

    def entry(self, name: str) -> Entry:
        """This link, not what it points to, as it looks under `name`."""
        return new_entry(self, name, len(os.fsencode(self.target)), 0, target=self.target)


class Special(Inode):
    """A pipe, a socket or a device: attributes alone, the kernel does the rest."""

    __slots__ = ("kind", "rdev")

    def __init__(self, ino: int, mode: int, uid: int, gid: int, now: int, kind: Kind, rdev: int) -> None:
        """One of this kind; `rdev` is a device's number, 0 otherwise."""
        super().__init__(ino, mode, uid, gid, now)
        self.kind = kind  # type: ignore[misc]  # the one class of several kinds
        self.rdev = rdev

    def entry(self, name: str) -> Entry:
        """This special file as it looks under `name`."""
        return new_entry(self, name, 0, 0, rdev=self.rdev)


def owner(uid: int | None, gid: int | None) -> tuple[int, int]:
    """The owner and the group of a new inode: those given, else the process's."""
    return _shared(os.geteuid() if uid is None else uid, os.getegid() if gid is None else gid)


@functools.lru_cache(maxsize=1024)
def _shared(uid: int, gid: int) -> tuple[int, int]:
    """The same numbers, mostly the same objects as others have."""
    return uid, gid


def new_entry(
    node: Inode,
    name: str,
    size: int,
    blocks: int,
    version: str | None = None,
    rdev: int = 0,
    target: str | None = None,
) -> Entry:
    """`node` as it looks under `name`."""
    return _new(
        Entry,
        (
            name,
            node.kind,
            size,
            node.mtime_ns,
            node.atime_ns,
            node.ctime_ns,
            node.btime_ns,
            version,
            node.mode,
            node.uid,
            node.gid,
            node.nlink,
            rdev,
            (0, node.ino),
            target,
            blocks,
            False,
        ),
    )
