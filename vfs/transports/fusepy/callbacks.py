"""One callback for each operation that libfuse's high-level interface has: paths and C values in, verbs called.

A method that has the name of an operation is that operation; it returns a number where the operation has one, and else
nothing. What it raises is the guard's business.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vfs.callers import Caller
from vfs.content.openfile import Handle
from vfs.filesystem import FileSystem
from vfs.names.attributes import Attributes
from vfs.names.tree import NamelessError, Node
from vfs.transports.fusepy.library import Library, fuse
from vfs.transports.fusepy.values import BLOCK_SIZE, RENAME, copied, fill_stat, nanoseconds, owner, rename_request

_HIDDEN = b"/.fuse_hidden"
"""What the names of libfuse for open files without a name begin with."""


class Callbacks:
    """The operations of one mount."""

    def __init__(self, filesystem: FileSystem, library: Library) -> None:
        """Of `filesystem`, for requests that `library` hands on."""
        self._filesystem = filesystem
        self._library = library
        self.handles: dict[int, Handle | Node] = {}
        """Open files and directories, by the number that libfuse has for each."""
        self.request = threading.local()
        """`buffer` of it is the kernel's request that a thread answers."""
        self._numbers = itertools.count(1)
        self._hidden: dict[tuple[Node, str], Node] = {}
        """Nodes by the directory and name that libfuse alone knows them by, each of both with a lookup counted."""

    # -- from paths and numbers to nodes and handles

    def _walk(self, parts: list[str]) -> Node:
        """The node at `parts`, each of which the kernel has looked up before."""
        names, node = self._filesystem.names, self._filesystem.root
        for part in parts:
            node = names.tree.child(node, part) or names.find(node, part)
        return node

    def _parent(self, path: bytes) -> tuple[Node, str]:
        *above, name = os.fsdecode(path).split("/")[1:]
        return self._walk(above), name

    @contextmanager
    def _at(self, path: bytes) -> Iterator[Node]:
        """The node at `path`, asked for anew, with a lookup counted for the length of the block."""
        known = self._filesystem.root if path == b"/" else self._hidden_at(path)
        if known is not None:
            yield known
            return
        node, _ = self._filesystem.lookup(*self._parent(path))
        try:
            yield node
        finally:
            self._filesystem.forget(node)

    def _hidden_at(self, path: bytes | None) -> Node | None:
        """The node that libfuse alone knows by `path`; None for what the storage has, or the mount."""
        return self._hidden.get(self._parent(path)) if path is not None and _HIDDEN in path else None

    def _made(self, made: tuple[Node, Attributes]) -> None:
        """libfuse looks up what was made by itself, so the lookup that the verb counted is taken back."""
        self._filesystem.forget(made[0])

    def caller(self) -> Caller:
        """Who has sent the request that this thread answers."""
        context = self._library.context().contents
        return Caller(context.uid, context.gid, context.pid)

    def _number(self, handle: Handle | Node) -> int:
        number = next(self._numbers)
        self.handles[number] = handle
        return number

    def _handle(self, info: Any) -> Handle:
        handle = self.handles[info.contents.fh]
        assert isinstance(handle, Handle)
        return handle

    def paths(self, name: str, arguments: tuple[Any, ...]) -> tuple[str, ...]:
        """The storage's names of what a request is about."""
        if name == "rename":
            paths = arguments[:2]
        elif name in ("symlink", "link"):
            paths = arguments[1:2]
        elif arguments[0] is not None:
            paths = arguments[:1]
        else:
            handle = self.handles[arguments[-1].contents.fh]
            try:
                return (self._filesystem.tree.path(handle.node if isinstance(handle, Handle) else handle),)
            except NamelessError:
                return ()
        return tuple(os.fsdecode(path).removeprefix("/") for path in paths)

    # -- attributes

    def getattr(self, path: bytes, out: Any) -> None:
        known = self._filesystem.root if path == b"/" else self._hidden_at(path)
        if known is not None:
            fill_stat(out, self._attributes(path, known))
            return
        node, attributes = self._filesystem.lookup(*self._parent(path))
        self._filesystem.forget(node)
        fill_stat(out, attributes)

    def fgetattr(self, path: bytes | None, out: Any, info: Any) -> None:
        fill_stat(out, self._attributes(path, self._handle(info).node))

    def _attributes(self, path: bytes | None, node: Node) -> Attributes:
        """The attributes of `node`, with a link more for libfuse to take away where it has hidden a file itself."""
        attributes = self._filesystem.getattr(node)
        return attributes._replace(nlink=attributes.nlink + 1) if self._hidden_at(path) else attributes

    def chmod(self, path: bytes, mode: int) -> None:
        with self._at(path) as node:
            self._filesystem.setattr(node, mode=mode & 0o7777)

    def chown(self, path: bytes, uid: int, gid: int) -> None:
        with self._at(path) as node:
            self._filesystem.setattr(node, uid=owner(uid), gid=owner(gid))

    def utimens(self, path: bytes, times: Any) -> None:
        now = time.time_ns()
        atime, mtime = (times.contents.actime, times.contents.modtime) if times else (None, None)
        with self._at(path) as node:
            self._filesystem.setattr(node, atime_ns=nanoseconds(atime, now), mtime_ns=nanoseconds(mtime, now))

    def truncate(self, path: bytes, size: int) -> None:
        with self._at(path) as node:
            self._filesystem.setattr(node, size=size)

    def ftruncate(self, _path: bytes | None, size: int, info: Any) -> None:
        self._filesystem.setattr(self._handle(info).node, size=size)

    # -- names

    def mknod(self, path: bytes, mode: int, device: int) -> None:
        self._made(self._filesystem.mknod(*self._parent(path), mode, device, self.caller()))

    def mkdir(self, path: bytes, mode: int) -> None:
        self._made(self._filesystem.mkdir(*self._parent(path), mode & 0o7777, self.caller()))

    def symlink(self, target: bytes, path: bytes) -> None:
        self._made(self._filesystem.symlink(*self._parent(path), os.fsdecode(target), self.caller()))

    def link(self, source: bytes, path: bytes) -> None:
        with self._at(source) as node:
            self._made(self._filesystem.link(node, *self._parent(path)))

    def unlink(self, path: bytes) -> None:
        place = self._parent(path)
        hidden = self._hidden.pop(place, None)
        if hidden is None:
            self._filesystem.unlink(*place)
        else:
            self._filesystem.forget(hidden)
            self._filesystem.forget(place[0])

    def rmdir(self, path: bytes) -> None:
        self._filesystem.rmdir(*self._parent(path))

    def rename(self, old: bytes, new: bytes) -> None:
        if _HIDDEN in new and not self._is_asked_for(new):
            self._hide(old, new)
        else:
            self._filesystem.rename(*self._parent(old), *self._parent(new))

    def _is_asked_for(self, new: bytes) -> bool:
        """Whether the kernel's request is to rename to `new`; else libfuse hides an open file."""
        opcode, newname = rename_request(self.request.buffer)
        return opcode == RENAME and newname == new.rpartition(b"/")[2]

    def _hide(self, old: bytes, new: bytes) -> None:
        """libfuse will know the open file at `old` as `new`. An unlink is due now; a rename follows by itself."""
        node, _ = self._filesystem.lookup(*self._parent(old))
        if rename_request(self.request.buffer)[0] != RENAME:
            self._filesystem.unlink(*self._parent(old))
        parent, name = self._parent(new)
        self._hidden[self._filesystem.tree.remember(parent), name] = node

    def readlink(self, path: bytes, out: Any, size: int) -> None:
        with self._at(path) as node:
            target = os.fsencode(self._filesystem.readlink(node))[: size - 1]
        ctypes.memmove(out, target + b"\0", len(target) + 1)

    # -- directories

    def opendir(self, path: bytes, info: Any) -> None:
        if path == b"/":
            node = self._filesystem.tree.remember(self._filesystem.root)
        else:
            node, _ = self._filesystem.lookup(*self._parent(path))
        info.contents.fh = self._number(node)

    def readdir(self, _path: bytes | None, buffer: int, fill: Any, _offset: int, info: Any) -> None:
        node = self.handles[info.contents.fh]
        assert isinstance(node, Node)
        fill(buffer, b".", None, 0)
        fill(buffer, b"..", None, 0)
        shown = fuse.c_stat()
        for line in self._filesystem.readdir(node):
            shown.st_ino, shown.st_mode = line.ino, line.kind.value
            if fill(buffer, os.fsencode(line.name), ctypes.byref(shown), 0):
                raise MemoryError("libfuse has no room for the listing")

    def releasedir(self, _path: bytes | None, info: Any) -> None:
        node = self.handles.pop(info.contents.fh)
        assert isinstance(node, Node)
        self._filesystem.forget(node)

    # -- open files

    def create(self, path: bytes, mode: int, info: Any) -> None:
        node, _, handle = self._filesystem.create(*self._parent(path), mode, info.contents.flags, self.caller())
        self._filesystem.forget(node)
        info.contents.fh = self._number(handle)

    def open(self, path: bytes, info: Any) -> None:
        with self._at(path) as node:
            info.contents.fh = self._number(self._filesystem.open(node, info.contents.flags, self.caller()))

    def read(self, _path: bytes | None, out: Any, size: int, offset: int, info: Any) -> int:
        data = self._filesystem.read(self._handle(info), size, offset)
        ctypes.memmove(out, data, len(data))
        return len(data)

    def write(self, _path: bytes | None, data: Any, size: int, offset: int, info: Any) -> int:
        mapped = bool(info.contents.writepage)
        return self._filesystem.write(self._handle(info), ctypes.string_at(data, size), offset, mapped=mapped)

    def flush(self, _path: bytes | None, info: Any) -> None:
        self._filesystem.flush(self._handle(info), self.caller())

    def fsync(self, _path: bytes | None, _data_only: int, info: Any) -> None:
        self._filesystem.fsync(self._handle(info))

    def release(self, _path: bytes | None, info: Any) -> None:
        handle = self.handles.pop(info.contents.fh)
        assert isinstance(handle, Handle)
        self._filesystem.release(handle)

    # -- the whole, and extended attributes

    def statfs(self, _path: bytes, out: Any) -> None:
        usage = self._filesystem.statfs()
        shown = out.contents
        shown.f_bsize = shown.f_frsize = BLOCK_SIZE
        shown.f_blocks = usage.total // BLOCK_SIZE
        shown.f_bfree = shown.f_bavail = usage.free // BLOCK_SIZE
        shown.f_files = usage.files or 0
        shown.f_ffree = shown.f_favail = usage.files_free or 0
        shown.f_namemax = self._filesystem.storage.name_max

    def getxattr(self, path: bytes, key: bytes, out: Any, size: int, *_: int) -> int:
        with self._at(path) as node:
            return copied(self._filesystem.getxattr(node, os.fsdecode(key)), out, size)

    def setxattr(self, path: bytes, key: bytes, value: Any, size: int, flags: int, *_: int) -> None:
        with self._at(path) as node:
            self._filesystem.setxattr(node, os.fsdecode(key), ctypes.string_at(value, size), flags)

    def listxattr(self, path: bytes, out: Any, size: int) -> int:
        with self._at(path) as node:
            names = self._filesystem.listxattr(node)
        return copied(b"".join(os.fsencode(name) + b"\0" for name in names), out, size)

    def removexattr(self, path: bytes, key: bytes) -> None:
        with self._at(path) as node:
            self._filesystem.removexattr(node, os.fsdecode(key))
