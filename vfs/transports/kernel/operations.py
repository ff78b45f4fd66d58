"""From requests to verbs: one method for each opcode, which takes a `Request` and returns the body of its reply.

A translation table and nothing more. Node ids are inode numbers (1 is the root), handles are numbers of this module's
own. What a method raises, the session's guard turns into an errno.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from vfs.content.openfile import Handle
from vfs.names.attributes import Attributes
from vfs.names.tree import Node
from vfs.transports.kernel import protocol
from vfs.transports.kernel.directory import OpenDirectory
from vfs.transports.kernel.handles import Handles
from vfs.transports.kernel.opened import OpenModes
from vfs.transports.kernel.protocol import Fattr, Opcode
from vfs.transports.kernel.replies import SECOND, Replies, sized, statfs
from vfs.transports.kernel.request import Request, stale

if TYPE_CHECKING:
    from vfs.filesystem import FileSystem

Body = bytes | memoryview
Verb = Callable[[Request], Body]
"""What answers the requests of one opcode: the body of the reply; it raises what becomes an errno."""

_MODES = 0o7777
_SETATTR_ANSWER = Fattr.MODE | Fattr.UID | Fattr.GID | Fattr.SIZE | Fattr.ATIME | Fattr.MTIME


class Operations:
    """The kernel's requests as calls of a filesystem's verbs."""

    def __init__(
        self,
        filesystem: FileSystem,
        modes: OpenModes,
        replies: Replies,
        notify: Callable[[bytes], object],
        *,
        xattrs: bool,
    ) -> None:
        """Over the verbs of `filesystem`; without `xattrs` there is no answer to what is asked of them.

        `notify` sends a message to the kernel, one that does not wait there for anything.
        """
        self.filesystem = filesystem
        self.handles = Handles(filesystem, modes, notify)
        self._modes = modes
        self.replies = replies
        self._nodes = filesystem.tree.by_ino
        self._root = filesystem.root
        self.table = self._table(xattrs)

    def _table(self, xattrs: bool) -> dict[int, Verb]:
        """The method of each opcode; what is not in it, the kernel is told once that there is no such thing."""
        table: dict[int, Verb] = {
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

    def _entry(self, node: Node, shown: Attributes) -> bytes:
        return self.replies.entry(self.nodeid(node), shown, believed=self.handles.is_believed(node))

    def _attributes(self, node: Node, shown: Attributes) -> bytes:
        return self.replies.attributes(shown, believed=self.handles.is_believed(node))

    # -- names

    def lookup(self, request: Request) -> bytes:
        """What a directory has under a name; where there is nothing, that is believed for a while as well."""
        try:
            return self._entry(*self.filesystem.lookup(self.node(request.nodeid), request.name()))
        except FileNotFoundError:
            if not self.replies.missing:
                raise
            return self.replies.missing

    def forget(self, nodeid: int, count: int) -> None:
        """The kernel takes back `count` lookups of a node."""
        node = self._nodes.get(nodeid)
        if node is not None and nodeid != protocol.ROOT:
            self._modes.forget(node)
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
        return self.replies.statx(shown, believed=self.handles.is_believed(node))

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
        return self.handles.open(handle, request.nodeid)

    def create(self, request: Request) -> bytes:
        """Make and open a file."""
        flags, mode, _umask, _ = request.read(protocol.CREATE_IN)
        parent = self.node(request.nodeid)
        return self._created(*self.filesystem.create(parent, request.name(16), mode, flags, request.caller))

    def tmpfile(self, request: Request) -> bytes:
        """Make and open a file without a name."""
        flags, mode, _umask, _ = request.read(protocol.CREATE_IN)
        return self._created(*self.filesystem.tmpfile(self.node(request.nodeid), mode, flags, request.caller))

    def _created(self, node: Node, shown: Attributes, handle: Handle) -> bytes:
        entry = self._entry(node, shown)  # of which nothing is mapped yet
        try:
            return entry + self.handles.open(handle)
        except BaseException:
            self.filesystem.forget(node)
            raise

    def read(self, request: Request) -> bytes:
        """Bytes from an offset; fewer only at the end."""
        number, offset, size, *_ = request.read(protocol.READ_IN)
        return self.filesystem.read(self.handles.file(number), size, offset)

    def read_at_hand(self, request: Request) -> Body | None:
        """The same where it waits for nothing; None where it may have to."""
        number, offset, size, *_ = request.read(protocol.READ_IN)
        return self.filesystem.read_at_hand(self.handles.file(number), size, offset)

    def write(self, request: Request) -> bytes:
        """Bytes to an offset."""
        number, offset, size, flags, *_ = request.read(protocol.WRITE_IN)
        data = request.rest(protocol.WRITE_IN.size)[:size]
        mapped = bool(flags & protocol.WRITE_CACHE)
        written = self.filesystem.write(self.handles.file(number), data, offset, mapped=mapped)
        return protocol.WRITE_OUT.pack(written, 0)

    def flush(self, request: Request) -> bytes:
        """A descriptor was closed."""
        number, *_ = request.read(protocol.FLUSH_IN)
        self.filesystem.flush(self.handles.file(number), request.caller)
        return b""

    def release(self, request: Request) -> bytes:
        """The last descriptor of an open file was closed; nobody waits for it."""
        number, *_ = request.read(protocol.RELEASE_IN)
        self.handles.close(number)
        return b""

    def only_lets_go(self, request: Request) -> bool:
        """Whether a request gives up the last handle of a file that has nothing to store, which takes no time.

        It must not be overtaken by the next open: that is to see what the storage has by then.
        """
        if request.opcode != Opcode.RELEASE or request.length < protocol.IN_HEADER.size + protocol.RELEASE_IN.size:
            return False
        return self.handles.has_nothing_to_store(request.read(protocol.RELEASE_IN)[0])

    def fsync(self, request: Request) -> bytes:
        """Bring a file to the storage."""
        number, *_ = request.read(protocol.FSYNC_IN)
        self.filesystem.fsync(self.handles.file(number))
        return b""

    def fsyncdir(self, request: Request) -> bytes:
        """A directory has nothing to sync: what made or took an entry returned when it was done."""
        return b""

    def fallocate(self, request: Request) -> bytes:
        """Room for bytes, or holes in their place."""
        number, offset, length, mode, _ = request.read(protocol.FALLOCATE_IN)
        self.filesystem.allocate(self.handles.file(number), mode, offset, length)
        return b""

    def lseek(self, request: Request) -> bytes:
        """Where data or a hole begins."""
        number, offset, whence, _ = request.read(protocol.LSEEK_IN)
        return protocol.LSEEK_OUT.pack(self.filesystem.seek(self.handles.file(number), offset, whence))

    def copy_file_range(self, request: Request) -> bytes:
        """Copy between two open files; the reply of this one has room for 32 bits."""
        return protocol.WRITE_OUT.pack(self._copy(request, most=1 << 30), 0)

    def copy_file_range_64(self, request: Request) -> bytes:
        """Copy between two open files."""
        return protocol.COPY_FILE_RANGE_OUT.pack(self._copy(request, most=1 << 62))

    def _copy(self, request: Request, most: int) -> int:
        source, offset, _, target, target_offset, size, _ = request.read(protocol.COPY_FILE_RANGE_IN)
        return self.filesystem.copy_range(
            self.handles.file(source), offset, self.handles.file(target), target_offset, min(size, most)
        )

    # -- directories

    def opendir(self, request: Request) -> bytes:
        """Open a directory; its listing is made when it is read."""
        return self.handles.open_directory(self.node(request.nodeid))

    def readdir(self, request: Request) -> bytes:
        """Names, types and inode numbers from an offset."""
        number, offset, size, *_ = request.read(protocol.READ_IN)
        return self.handles.directory(number).names(offset, size)

    def readdirplus(self, request: Request) -> bytes:
        """The same, with what a lookup of each would answer."""
        number, offset, size, *_ = request.read(protocol.READ_IN)
        return self.handles.directory(number).entries(offset, size, self._entry)

    def releasedir(self, request: Request) -> bytes:
        """A directory was closed."""
        number, *_ = request.read(protocol.RELEASE_IN)
        self.handles.close_directory(number)
        return b""

    # -- the whole

    def statfs(self, request: Request) -> bytes:
        """How full the storage is."""
        return statfs(self.filesystem.statfs(), self.filesystem.storage.name_max)

    def getxattr(self, request: Request) -> bytes:
        """An extended attribute, or how long it is."""
        size, _ = request.read(protocol.GETXATTR_IN)
        return sized(self.filesystem.getxattr(self.node(request.nodeid), request.name(8)), size)

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
        return sized(b"".join(os.fsencode(name) + b"\0" for name in names), size)

    def removexattr(self, request: Request) -> bytes:
        """Remove an extended attribute."""
        self.filesystem.removexattr(self.node(request.nodeid), request.name())
        return b""

    # -- replies that nobody took

    def undo(self, opcode: int, body: Body) -> None:
        """Give up what a reply handed out: the process that asked is gone."""
        if opcode in _ENTRIES:
            self._forget_entry(body, 0)
        if opcode == Opcode.READDIRPLUS:
            for offset in OpenDirectory.offsets(body):
                self._forget_entry(body, offset)
        elif opcode == Opcode.OPENDIR:
            self.handles.close_directory(protocol.OPEN_OUT.unpack_from(body)[0])
        elif opcode in _OPENS:
            self.handles.close(protocol.OPEN_OUT.unpack_from(body, len(body) - protocol.OPEN_OUT.size)[0])

    def _forget_entry(self, body: Body, offset: int) -> None:
        nodeid, *_ = protocol.ENTRY_OUT.unpack_from(body, offset)
        if nodeid:
            self.forget(nodeid, 1)


_OPENS = frozenset({Opcode.OPEN, Opcode.CREATE, Opcode.TMPFILE})
_ENTRIES = frozenset(
    {Opcode.LOOKUP, Opcode.SYMLINK, Opcode.MKNOD, Opcode.MKDIR, Opcode.LINK, Opcode.CREATE, Opcode.TMPFILE}
)


def _time(value: int, now: int, given: int, is_now: int) -> int | None:
    return now if is_now else value if given else None
