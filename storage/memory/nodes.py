"""What an in-memory tree is made of: inodes of four shapes, each knowing its attributes and how it shows itself.

An inode lives as long as something names it: links (`nlink`) or, for a regular file, open handles (`opens`). The last
of both to go frees the content. Names are not part of an inode: a directory maps them to inodes.
"""

from __future__ import annotations

import errno
import os
from typing import ClassVar

from storage.entry import Entry, Kind
from storage.memory.content import Budget, Content

XATTR_CREATE = 1
XATTR_REPLACE = 2
_XATTR_NAME_MAX = 255
_XATTR_VALUE_MAX = 64 * 1024
_ENOATTR: int = getattr(errno, "ENOATTR", errno.ENODATA)
_DIRECTORY_SIZE = 4096


class Inode:
    """Attributes that every kind has; `mode` is the permission bits alone."""

    __slots__ = ("atime_ns", "btime_ns", "ctime_ns", "gid", "ino", "mode", "mtime_ns", "nlink", "uid", "xattrs")

    kind: ClassVar[Kind]

    def __init__(self, ino: int, mode: int, uid: int, gid: int, now: int) -> None:
        """An inode without a name."""
        self.ino = ino
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.nlink = 0
        self.atime_ns = self.mtime_ns = self.ctime_ns = self.btime_ns = now
        self.xattrs: dict[str, bytes] | None = None

    def entry(self, name: str) -> Entry:
        """This inode as it looks under `name`."""
        return self._entry(name, 0, 0)

    def unused(self) -> None:
        """A link has gone: free what nothing names any more."""

    def set_attributes(
        self, now: int, mode: int | None, uid: int | None, gid: int | None, atime_ns: int | None, mtime_ns: int | None
    ) -> None:
        """Change what is not None; the time of the change is noted even where nothing is."""
        if uid is not None:
            self.uid = uid
        if gid is not None:
            self.gid = gid
        if mode is not None:
            self.mode = mode & 0o7777
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

    def _entry(
        self,
        name: str,
        size: int,
        blocks: int,
        version: str | None = None,
        rdev: int = 0,
        target: str | None = None,
    ) -> Entry:
        return Entry(
            name,
            self.kind,
            size,
            self.mtime_ns,
            self.atime_ns,
            self.ctime_ns,
            self.btime_ns,
            version,
            self.mode,
            self.uid,
            self.gid,
            self.nlink,
            rdev,
            (0, self.ino),
            target,
            blocks,
        )


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
        return self._entry(name, _DIRECTORY_SIZE, 0)

    def within(self, ancestor: Inode) -> bool:
        """Whether this is `ancestor` or lies somewhere below it."""
        directory: Directory | None = self
        while directory is not None:
            if directory is ancestor:
                return True
            directory = directory.parent
        return False


class RegularFile(Inode):
    """A content and who holds it; every change of the bytes goes through here, so that the times and version follow."""

    __slots__ = ("changes", "content", "opens")

    kind = Kind.FILE

    def __init__(self, ino: int, mode: int, uid: int, gid: int, now: int, budget: Budget) -> None:
        """An empty one, without names or handles."""
        super().__init__(ino, mode, uid, gid, now)
        self.content = Content(budget)
        self.opens = 0
        self.changes = 0

    def entry(self, name: str) -> Entry:
        """This file as it looks under `name`."""
        written_ns = self.content.written_elsewhere_ns()
        if written_ns is not None:
            self.changed(max(written_ns, self.ctime_ns))
        size, blocks = self.content.measure()
        return self._entry(name, size, blocks, f"{self.ino}-{self.changes}")

    def write(self, data: memoryview, offset: int, now: int) -> None:
        """All of `data` at `offset`; writing nothing changes nothing."""
        if data:
            self.content.pwrite(data, offset)
            self.changed(now)

    def truncate(self, size: int, now: int) -> None:
        """Cut or grow to `size` bytes."""
        self.content.truncate(size)
        self.changed(now)

    def accessed(self, now: int) -> None:
        """Note a read as `relatime` does: the first one after a change, and then once a day."""
        if self.atime_ns <= self.mtime_ns or self.atime_ns <= self.ctime_ns or now - self.atime_ns > 86_400 * 10**9:
            self.atime_ns = now

    def changed(self, now: int) -> None:
        """Note that the bytes have changed."""
        self.mtime_ns = self.ctime_ns = now
        self.changes += 1

    def __getstate__(self) -> object:
        """What pickle and copy keep: a copy has no open handles."""
        slots = {name: getattr(self, name) for name in (*Inode.__slots__, *RegularFile.__slots__)}
        return None, {**slots, "opens": 0}

    def release(self) -> None:
        """One handle fewer."""
        self.opens -= 1
        self.unused()

    def unused(self) -> None:
        """Free the content where neither a link nor a handle is left."""
        if self.opens == 0 and self.nlink == 0:
            self.content.free()


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
        return self._entry(name, len(os.fsencode(self.target)), 0, target=self.target)


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
        return self._entry(name, 0, 0, rdev=self.rdev)
