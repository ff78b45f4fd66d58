"""From requests to verbs: one method for each opcode, which takes a `Request` and returns the body of its reply.

A translation table and nothing more. Node ids are inode numbers (1 is the root), handles are numbers of this module's
own. What a method raises, the session's guard turns into an errno.
"""

from __future__ import annotations

import errno
import itertools
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from vfs.attributes import Attributes
from vfs.openfile import Handle
from vfs.transports.kernel import protocol
from vfs.transports.kernel.directory import OpenDirectory
from vfs.transports.kernel.notifications import content_read, inode_changed
from vfs.transports.kernel.opened import NO_FILE, OpenModes
from vfs.transports.kernel.protocol import Fattr, Opcode
from vfs.transports.kernel.request import Request, stale
from vfs.tree import Node

if TYPE_CHECKING:
    from vfs.filesystem import FileSystem

BLOCK_SIZE = 4096
"""Bytes in a block of statfs, and the size of transfers that stat(2) recommends."""
SECOND = 10**9
_MODES = 0o7777
_SETATTR_ANSWER = Fattr.MODE | Fattr.UID | Fattr.GID | Fattr.SIZE | Fattr.ATIME | Fattr.MTIME


class Timeouts:
    """For how long the kernel may believe what it was told, in seconds and ns."""

    def __init__(self, entry: float, attributes: float) -> None:
        """Names for `entry` seconds, attributes for `attributes`."""
        self.entry, self.entry_ns = divmod(int(entry * SECOND), SECOND)
        self.attributes, self.attributes_ns = divmod(int(attributes * SECOND), SECOND)


class Operations:
    """The kernel's requests as calls of a filesystem's verbs."""

    def __init__(
        self,
        filesystem: FileSystem,
        modes: OpenModes,
        timeouts: Timeouts,
        notify: Callable[[bytes], None],
        *,
        xattrs: bool,
    ) -> None:
        """Over the verbs of `filesystem`; without `xattrs` there is no answer to what is asked of them.

        `notify` sends a message to the kernel, one that does not wait there for anything.
        """
        self.filesystem = filesystem
        self.notify = notify
        self.modes = modes
        self.timeouts = timeouts
        self._nodes = filesystem.tree.by_ino
        self._root = filesystem.root
        self._handles: dict[int, Handle] = {}
        self._directories: dict[int, OpenDirectory] = {}
        self._numbers = itertools.count(1)
        self._missing = protocol.ENTRY_OUT.pack(0, 0, timeouts.entry, 0, timeouts.entry_ns, 0, *(0,) * 16)
        self.table = self._table(xattrs)

    def _table(self, xattrs: bool) -> dict[int, Callable[[Request], bytes]]:
        """The method of each opcode; what is not in it, the kernel is told once that there is no such thing."""
        table: dict[int, Callable[[Request], bytes]] = {
            Opcode.LOOKUP: self.lookup,
            Opcode.GETATTR: self.getattr,
            Opcode.STATX: self.statx,
            Opcode.SETATTR: self.setattr,
            Opcode.READLINK: self.readlink,
            Opcode.SYMLINK: self.symlink,
            Opcode.MKNOD: self.mknod,
            Opcode.MKDIR: self.mkdir,
            Opcode.UNLINK: self.unlink,
            Opcode.RMDIR: self.rmdir,
            Opcode.RENAME: self.rename,
            Opcode.RENAME2: self.rename2,
            Opcode.LINK: self.link,
            Opcode.OPEN: self.open,
            Opcode.CREATE: self.create,
            Opcode.TMPFILE: self.tmpfile,
            Opcode.READ: self.read,
            Opcode.WRITE: self.write,
            Opcode.FLUSH: self.flush,
            Opcode.RELEASE: self.release,
            Opcode.FSYNC: self.fsync,
            Opcode.FSYNCDIR: self.fsyncdir,
            Opcode.FALLOCATE: self.fallocate,
            Opcode.LSEEK: self.lseek,
            Opcode.COPY_FILE_RANGE: self.copy_file_range,
            Opcode.COPY_FILE_RANGE_64: self.copy_file_range_64,
            Opcode.OPENDIR: self.opendir,
            Opcode.READDIR: self.readdir,
            Opcode.READDIRPLUS: self.readdirplus,
            Opcode.RELEASEDIR: self.releasedir,
            Opcode.STATFS: self.statfs,
        }
        if xattrs:
            table |= {
                Opcode.GETXATTR: self.getxattr,
                Opcode.SETXATTR: self.setxattr,
                Opcode.LISTXATTR: self.listxattr,
                Opcode.REMOVEXATTR: self.removexattr,
            }
        return table

    # -- numbers to nodes and handles, attributes to bytes

    def node(self, nodeid: int) -> Node:
        """The node of that number; OSError (ESTALE) for one that is not known."""
        if nodeid == protocol.ROOT:
            return self._root
        try:
            return self._nodes[nodeid]
        except KeyError:
            raise stale() from None

    def nodeid(self, node: Node) -> int:
        """The number of `node`."""
        return protocol.ROOT if node is self._root else node.ino

    def _handle(self, number: int) -> Handle:
        try:
            return self._handles[number]
        except KeyError:
            raise stale() from None

    def _entry(self, node: Node, attributes: Attributes) -> bytes:
        timeouts = self.timeouts
        return protocol.ENTRY_OUT.pack(
            self.nodeid(node),
            0,
            timeouts.entry,
            *self._valid(node, timeouts),
            *packed(attributes),
        )

    def _attributes(self, node: Node, attributes: Attributes) -> bytes:
        seconds, _, ns = self._valid(node, self.timeouts)
        return protocol.ATTR_OUT.pack(seconds, ns, 0, *packed(attributes))

    def _valid(self, node: Node, timeouts: Timeouts) -> tuple[int, int, int]:
        """Seconds that attributes are good for, and the ns of name and attributes."""
        if node.file is not None and self.modes.is_mappable(node.file):
            return 0, timeouts.entry_ns, 0
        return timeouts.attributes, timeouts.entry_ns, timeouts.attributes_ns

    # -- names

    def lookup(self, request: Request) -> bytes:
        """What a directory has under a name; where there is nothing, that is believed for a while as well."""
        try:
            return self._entry(*self.filesystem.lookup(self.node(request.nodeid), request.name()))
        except FileNotFoundError:
            if not self.timeouts.entry and not self.timeouts.entry_ns:
                raise
            return self._missing

    def forget(self, nodeid: int, count: int) -> None:
        """The kernel takes back `count` lookups of a node."""
        node = self._nodes.get(nodeid)
        if node is not None and nodeid != protocol.ROOT:
            self.modes.forget(node)
            self.filesystem.forget(node, count)

    def symlink(self, request: Request) -> bytes:
        """A symbolic link: its name, then what it points to."""
        name, target = request.names(2)
        return self._entry(*self.filesystem.symlink(self.node(request.nodeid), name, target, request.caller))

    def readlink(self, request: Request) -> bytes:
        """Where a symbolic link points."""
        return os.fsencode(self.filesystem.readlink(self.node(request.nodeid)))

    def mknod(self, request: Request) -> bytes:
        """A file, fifo, socket or device."""
        mode, device, _umask, _ = request.read(protocol.MKNOD_IN)
        made = self.filesystem.mknod(self.node(request.nodeid), request.name(16), mode, device, request.caller)
        return self._entry(*made)

    def mkdir(self, request: Request) -> bytes:
        """A directory; the kernel has taken the caller's umask off the mode."""
        mode, _umask = request.read(protocol.MKDIR_IN)
        made = self.filesystem.mkdir(self.node(request.nodeid), request.name(8), mode & _MODES, request.caller)
        return self._entry(*made)

    def unlink(self, request: Request) -> bytes:
        """Take a file's name."""
        self.filesystem.unlink(self.node(request.nodeid), request.name())
        return b""

    def rmdir(self, request: Request) -> bytes:
        """Remove an empty directory."""
        self.filesystem.rmdir(self.node(request.nodeid), request.name())
        return b""

    def rename(self, request: Request) -> bytes:
        """Move a name to another directory or name."""
        (directory,) = request.read(protocol.RENAME_IN)
        return self._rename(request, directory, 0, protocol.RENAME_IN.size)

    def rename2(self, request: Request) -> bytes:
        """The same with the flags of renameat2(2)."""
        directory, flags, _ = request.read(protocol.RENAME2_IN)
        return self._rename(request, directory, flags, protocol.RENAME2_IN.size)

    def _rename(self, request: Request, directory: int, flags: int, skip: int) -> bytes:
        old, new = request.names(2, skip)
        self.filesystem.rename(self.node(request.nodeid), old, self.node(directory), new, flags)
        return b""

    def link(self, request: Request) -> bytes:
        """One more name for a file."""
        (nodeid,) = request.read(protocol.LINK_IN)
        return self._entry(*self.filesystem.link(self.node(nodeid), self.node(request.nodeid), request.name(8)))

    # -- attributes

    def getattr(self, request: Request) -> bytes:
        """What stat(2) shows."""
        node = self.node(request.nodeid)
        return self._attributes(node, self.filesystem.getattr(node))

    def statx(self, request: Request) -> bytes:
        """The same with the time of birth, where it is known."""
        node = self.node(request.nodeid)
        shown = self.filesystem.getattr(node)
        seconds, _, ns = self._valid(node, self.timeouts)
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

    def setattr(self, request: Request) -> bytes:
        """Change what `valid` names of mode, owner, size and times."""
        valid, _, _, size, _, *times, mode, _, uid, gid, _ = request.read(protocol.SETATTR_IN)
        atime, mtime, _, atime_ns, mtime_ns, _ = times
        node = self.node(request.nodeid)
        now = time.time_ns() if valid & (Fattr.ATIME_NOW | Fattr.MTIME_NOW) else 0
        if not valid & _SETATTR_ANSWER:  # a change of ctime alone follows by itself
            return self._attributes(node, self.filesystem.getattr(node))
        attributes = self.filesystem.setattr(
            node,
            mode=mode & _MODES if valid & Fattr.MODE else None,
            uid=uid if valid & Fattr.UID else None,
            gid=gid if valid & Fattr.GID else None,
            size=size if valid & Fattr.SIZE else None,
            atime_ns=_time(atime * SECOND + atime_ns, now, valid & Fattr.ATIME, valid & Fattr.ATIME_NOW),
            mtime_ns=_time(mtime * SECOND + mtime_ns, now, valid & Fattr.MTIME, valid & Fattr.MTIME_NOW),
        )
        return self._attributes(node, attributes)

    # -- open files

    def open(self, request: Request) -> bytes:
        """Open a file that is known."""
        flags, _ = request.read(protocol.OPEN_IN)
        handle = self.filesystem.open(self.node(request.nodeid), flags, request.caller)
        reply = self._opened(handle, request.nodeid)
        if self.modes.is_mappable(handle.file):
            self.notify(inode_changed(request.nodeid, content=False))
        return reply

    def create(self, request: Request) -> bytes:
        """Make and open a file."""
        flags, mode, _umask, _ = request.read(protocol.CREATE_IN)
        parent = self.node(request.nodeid)
        node, attributes, handle = self.filesystem.create(parent, request.name(16), mode, flags, request.caller)
        entry = self._entry(node, attributes)  # of which nothing is mapped yet
        return entry + self._opened(handle)

    def tmpfile(self, request: Request) -> bytes:
        """Make and open a file without a name."""
        flags, mode, _umask, _ = request.read(protocol.CREATE_IN)
        node, attributes, handle = self.filesystem.tmpfile(self.node(request.nodeid), mode, flags, request.caller)
        opened = self._opened(handle)
        return self._entry(node, attributes) + opened

    def _opened(self, handle: Handle, nodeid: int = 0) -> bytes:
        flags, backing, content = self.modes.open(handle)
        if content:
            self.notify(content_read(nodeid, content))
        number = next(self._numbers)
        self._handles[number] = handle
        return protocol.OPEN_OUT.pack(number, flags, backing)

    def read(self, request: Request) -> bytes:
        """Bytes from an offset; fewer only at the end."""
        number, offset, size, *_ = request.read(protocol.READ_IN)
        return self.filesystem.read(self._handle(number), size, offset)

    def write(self, request: Request) -> bytes:
        """Bytes to an offset."""
        number, offset, size, flags, *_ = request.read(protocol.WRITE_IN)
        data = request.rest(protocol.WRITE_IN.size)[:size]
        mapped = bool(flags & protocol.WRITE_CACHE)
        written = self.filesystem.write(self._handle(number), data, offset, mapped=mapped)
        return protocol.WRITE_OUT.pack(written, 0)

    def flush(self, request: Request) -> bytes:
        """A descriptor was closed."""
        number, *_ = request.read(protocol.FLUSH_IN)
        self.filesystem.flush(self._handle(number), request.caller)
        return b""

    def release(self, request: Request) -> bytes:
        """The last descriptor of an open file was closed; nobody waits for it."""
        number, *_ = request.read(protocol.RELEASE_IN)
        self.close(number)
        return b""

    def only_lets_go(self, request: Request) -> bool:
        """Whether a request gives up the last handle of a file that has nothing to store, which takes no time.

        It must not be overtaken by the next open: that is to see what the storage has by then.
        """
        if request.opcode != Opcode.RELEASE:
            return False
        handle = self._handles.get(request.read(protocol.RELEASE_IN)[0])
        if handle is None:
            return True
        file = handle.file
        if file.handles > 1 or file.dirty or not file.lock.acquire(blocking=False):
            return False
        file.lock.release()
        return True

    def close(self, number: int) -> None:
        """Give up the handle of that number."""
        handle = self._handles.pop(number, None)
        if handle is not None:
            self.modes.release(handle)
            self.filesystem.release(handle)

    def fsync(self, request: Request) -> bytes:
        """Bring a file to the storage."""
        number, *_ = request.read(protocol.FSYNC_IN)
        self.filesystem.fsync(self._handle(number))
        return b""

    def fsyncdir(self, request: Request) -> bytes:
        """A directory has nothing to sync: what made or took an entry returned when it was done."""
        return b""

    def fallocate(self, request: Request) -> bytes:
        """Room for bytes, or holes in their place."""
        number, offset, length, mode, _ = request.read(protocol.FALLOCATE_IN)
        self.filesystem.allocate(self._handle(number), mode, offset, length)
        return b""

    def lseek(self, request: Request) -> bytes:
        """Where data or a hole begins."""
        number, offset, whence, _ = request.read(protocol.LSEEK_IN)
        return protocol.LSEEK_OUT.pack(self.filesystem.seek(self._handle(number), offset, whence))

    def copy_file_range(self, request: Request) -> bytes:
        """Copy between two open files; the reply of this one has room for 32 bits."""
        return protocol.WRITE_OUT.pack(self._copy(request, most=1 << 30), 0)

    def copy_file_range_64(self, request: Request) -> bytes:
        """Copy between two open files."""
        return protocol.COPY_FILE_RANGE_OUT.pack(self._copy(request, most=1 << 62))

    def _copy(self, request: Request, most: int) -> int:
        source, offset, _, target, target_offset, size, _ = request.read(protocol.COPY_FILE_RANGE_IN)
        return self.filesystem.copy_range(
            self._handle(source), offset, self._handle(target), target_offset, min(size, most)
        )

    # -- directories

    def opendir(self, request: Request) -> bytes:
        """Open a directory; its listing is made when it is read."""
        number = next(self._numbers)
        self._directories[number] = OpenDirectory(self.filesystem, self.node(request.nodeid))
        return protocol.OPEN_OUT.pack(number, 0, NO_FILE)

    def readdir(self, request: Request) -> bytes:
        """Names, types and inode numbers from an offset."""
        number, offset, size, *_ = request.read(protocol.READ_IN)
        return self._directories[number].names(offset, size)

    def readdirplus(self, request: Request) -> bytes:
        """The same, with what a lookup of each would answer."""
        number, offset, size, *_ = request.read(protocol.READ_IN)
        return self._directories[number].entries(offset, size, self._entry)

    def releasedir(self, request: Request) -> bytes:
        """A directory was closed."""
        number, *_ = request.read(protocol.RELEASE_IN)
        self._directories.pop(number, None)
        return b""

    # -- the whole

    def statfs(self, request: Request) -> bytes:
        """How full the storage is."""
        usage = self.filesystem.statfs()
        free = usage.free // BLOCK_SIZE
        return protocol.STATFS_OUT.pack(
            usage.total // BLOCK_SIZE,
            free,
            free,
            usage.files or 0,
            usage.files_free or 0,
            BLOCK_SIZE,
            self.filesystem.storage.name_max,
            BLOCK_SIZE,
        )

    def getxattr(self, request: Request) -> bytes:
        """An extended attribute, or how long it is."""
        size, _ = request.read(protocol.GETXATTR_IN)
        return _sized(self.filesystem.getxattr(self.node(request.nodeid), request.name(8)), size)

    def setxattr(self, request: Request) -> bytes:
        """Set an extended attribute: its name, then the value."""
        size, flags = request.read(protocol.SETXATTR_IN)
        key, value = bytes(request.rest(protocol.SETXATTR_IN.size)).split(b"\0", 1)
        self.filesystem.setxattr(self.node(request.nodeid), os.fsdecode(key), value[:size], flags)
        return b""

    def listxattr(self, request: Request) -> bytes:
        """The names of the extended attributes, or how long they are together."""
        size, _ = request.read(protocol.GETXATTR_IN)
        names = self.filesystem.listxattr(self.node(request.nodeid))
        return _sized(b"".join(os.fsencode(name) + b"\0" for name in names), size)

    def removexattr(self, request: Request) -> bytes:
        """Remove an extended attribute."""
        self.filesystem.removexattr(self.node(request.nodeid), request.name())
        return b""

    # -- replies that nobody took

    def undo(self, opcode: int, body: bytes) -> None:
        """Give up what a reply handed out: the process that asked is gone."""
        if opcode in _ENTRIES:
            self._forget_entry(body, 0)
        if opcode == Opcode.READDIRPLUS:
            for offset in OpenDirectory.offsets(body):
                self._forget_entry(body, offset)
        elif opcode == Opcode.OPENDIR:
            self._directories.pop(protocol.OPEN_OUT.unpack_from(body)[0], None)
        elif opcode in _OPENS:
            self.close(protocol.OPEN_OUT.unpack_from(body, len(body) - protocol.OPEN_OUT.size)[0])

    def _forget_entry(self, body: bytes, offset: int) -> None:
        nodeid, *_ = protocol.ENTRY_OUT.unpack_from(body, offset)
        if nodeid:
            self.forget(nodeid, 1)

    def close_all(self) -> None:
        """The mount is gone, and with it whoever had a file open."""
        for number in list(self._handles):
            self.close(number)
        self._directories.clear()


_OPENS = frozenset({Opcode.OPEN, Opcode.CREATE, Opcode.TMPFILE})
_ENTRIES = frozenset(
    {Opcode.LOOKUP, Opcode.SYMLINK, Opcode.MKNOD, Opcode.MKDIR, Opcode.LINK, Opcode.CREATE, Opcode.TMPFILE}
)


def packed(shown: Attributes) -> tuple[int, ...]:
    """Attributes as the fields that end ENTRY_OUT and ATTR_OUT."""
    atime, atime_ns = divmod(shown.atime_ns, SECOND)
    mtime, mtime_ns = divmod(shown.mtime_ns, SECOND)
    ctime, ctime_ns = divmod(shown.ctime_ns, SECOND)
    return (
        shown.ino,
        shown.size,
        shown.blocks,
        atime,
        mtime,
        ctime,
        atime_ns,
        mtime_ns,
        ctime_ns,
        shown.mode,
        shown.nlink,
        shown.uid,
        shown.gid,
        shown.rdev & 0xFFFF_FFFF,
        BLOCK_SIZE,
        0,
    )


def _time(value: int, now: int, given: int, is_now: int) -> int | None:
    return now if is_now else value if given else None


def _sized(data: bytes, size: int) -> bytes:
    """An attribute's bytes, or for a `size` of 0 their number; OSError (ERANGE) where they are more."""
    if not size:
        return protocol.GETXATTR_OUT.pack(len(data), 0)
    if len(data) > size:
        raise OSError(errno.ERANGE, os.strerror(errno.ERANGE))
    return data
