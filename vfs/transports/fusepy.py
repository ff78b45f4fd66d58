"""The fusepy transport: libfuse 2 through ctypes, on Linux, macOS and BSD.

libfuse's high-level interface speaks paths, the core speaks nodes: `_at()` walks a path to its node, which costs
a dict lookup for each component that is known. fusepy lends its bindings (structures, callback types, the library);
its class `FUSE` is not used, because it decodes names as strict UTF-8, rounds times, returns garbage as success for a
SystemExit, and installs signal handlers of its own. So a callback here takes C values and gives a C int, through the
one guard of `Transport`.

Choices that are not obvious:
- An open file that is unlinked or replaced: libfuse renames it to `.fuse_hidden...` first, so that it has a path for
  a fstat() that
  the kernel sends without a handle. Here that name exists for libfuse alone (`_hidden`): the storage sees the unlink
  or the rename that was asked for, atomic as ever. To tell the two apart one must know the kernel's request, so the
  loop is ours.
- `attr_timeout=0`: libfuse has one kernel inode for each path, so what one hard link changes would stay invisible
  through another.
- A file that is replaced while its open(2) waits is looked up again: see `Replies`.
- `atomic_o_trunc`: else the kernel truncates by path before it opens, which would store an empty object first.
- without `xattr` no callback for it is given, and one ENOSYS keeps the kernel from asking again before each write.
"""

from __future__ import annotations

import ctypes
import errno
import itertools
import os
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vfs.attributes import Attributes
from vfs.callers import Caller
from vfs.filesystem import FileSystem
from vfs.openfile import Handle
from vfs.options import MountOptions
from vfs.transports.base import MountError, Transport
from vfs.transports.libfuse import Arguments, Library, Replies, fuse
from vfs.tree import Node

UTIME_NOW = (1 << 30) - 1
UTIME_OMIT = (1 << 30) - 2
MAX_WRITE = 1 << 17
"""Bytes in a write request: the most that libfuse 2 takes."""
RENAME = 12
"""The kernel's opcode."""
THREADS = 10
"""How many requests are served at once where a storage may wait for a network."""
BLOCK_SIZE = 4096
"""Bytes in a block of statfs."""


class FusepyTransport(Transport):
    """One mount through libfuse 2."""

    name = "fusepy"

    def __init__(
        self, filesystem: FileSystem, mountpoint: Path, options: MountOptions, source: str, *, shared: bool = False
    ) -> None:
        """See `Transport`."""
        super().__init__(filesystem, mountpoint, options, source, shared=shared)
        self._library = Library()
        self._replies = Replies(self._library)
        self._handles: dict[int, Handle | Node] = {}
        self._numbers = itertools.count(1)
        self._operations = self._callbacks()
        self._channel: int | None = None
        self._fuse: int | None = None
        self._hidden: dict[bytes, Node] = {}
        """Nodes by the path that libfuse alone knows them by, each with a lookup counted."""
        self._request = threading.local()

    # -- life

    def mount(self) -> None:
        """See `Transport.mount`."""
        words = [b"vfs", b"-o", ",".join(self._mount_options()).encode()]
        argv = (ctypes.c_char_p * len(words))(*words)
        arguments = Arguments(len(words), argv, 0)
        path = os.fsencode(self.mountpoint)
        self._channel = self._library.mount(path, ctypes.byref(arguments))
        if not self._channel:
            raise MountError(
                f"libfuse could not mount at {str(self.mountpoint)!r}; its own words are above or in the log"
            )
        os.set_inheritable(self._library.descriptor(self._channel), False)  # who has it keeps the mount alive
        self._fuse = self._library.new(
            self._channel,
            ctypes.byref(arguments),
            ctypes.byref(self._operations),
            ctypes.sizeof(self._operations),
            None,
        )
        if not self._fuse:
            self._library.unmount(path, self._channel)
            raise MountError("libfuse refused the mount options")

    def serve(self) -> None:
        """See `Transport.serve`."""
        several = self.filesystem.storage.blocking if self.options.threads is None else self.options.threads
        others = [
            threading.Thread(target=self._answer_requests, name=f"vfs-request-{number}", daemon=True)
            for number in range(1, THREADS if several else 1)
        ]
        for thread in others:
            thread.start()
        try:
            self._answer_requests()
            for thread in others:
                thread.join()
        finally:
            self._library.unmount(os.fsencode(self.mountpoint), self._channel)
            self._library.destroy(self._fuse)

    def _answer_requests(self) -> None:
        """libfuse's loop, with a note of the request that is being answered."""
        library, channel = self._library, ctypes.c_void_p(self._channel)
        session = library.session(self._fuse)
        size = library.buffer_size(channel)
        replies = self._replies.channel(channel)
        self._request.buffer = buffer = ctypes.create_string_buffer(size)
        while not library.exited(session):
            length = library.receive(ctypes.byref(channel), buffer, size)
            if length > 0:
                checked = self._replies.expect(buffer)
                library.process(session, buffer, length, replies if checked else channel)
            elif length != -errno.EINTR:
                library.exit(session)  # unmounted, or the device is gone

    def leave(self) -> None:
        """See `Transport.leave`: close the device."""
        if self._channel:
            os.close(self._library.descriptor(self._channel))

    def _mount_options(self) -> list[str]:
        options = self.options
        own = 0.0 if self.shared else 1.0  # nothing can be invalidated
        entry = own if options.entry_timeout is None else options.entry_timeout
        attributes = 0.0 if options.attr_timeout is None else options.attr_timeout
        words = [
            f"fsname={self.source}",
            "subtype=vfs",
            "default_permissions",
            "use_ino",
            "big_writes",
            "atomic_o_trunc",
            "auto_cache",
            f"max_write={MAX_WRITE}",
            f"entry_timeout={entry}",
            f"attr_timeout={attributes}",
        ]
        if os.uname().sysname == "Darwin":  # macFUSE has neither
            words = [word for word in words if word not in {"big_writes", "atomic_o_trunc"}]
        words += ["ro"] * options.ro + ["allow_other"] * options.allow_other
        return words

    def _callbacks(self) -> fuse.fuse_operations:
        """The table of callbacks: each method here that has the name of an operation, behind the guard."""
        table = fuse.fuse_operations()
        left_out = set() if self.options.xattr else {"getxattr", "setxattr", "listxattr", "removexattr"}
        for name, prototype, *_ in fuse.fuse_operations._fields_:
            if name == "init":
                table.init = prototype(self._initialised)
            method = getattr(self, f"_{name}", None)
            if method is not None and name not in left_out:
                setattr(table, name, prototype(self._guarded(name, method)))
        table.flag_nullpath_ok = 1
        table.flag_utime_omit_ok = 1
        return table

    def _guarded(self, name: str, method: Callable[..., int | None]) -> Callable[..., int]:
        guard = self.guard
        return lambda *arguments: guard(name, lambda: method(*arguments) or 0)

    def _initialised(self, _connection: int) -> int:
        self.ready.set()
        return 0

    # -- from paths and numbers to nodes and handles

    def _walk(self, parts: list[str]) -> Node:
        """The node at `parts`, each of which the kernel has looked up before."""
        names, node = self.filesystem.names, self.filesystem.root
        for part in parts:
            node = names.tree.child(node, part) or names.find(node, part)
        return node

    def _parent(self, path: bytes) -> tuple[Node, str]:
        *above, name = os.fsdecode(path).split("/")[1:]
        return self._walk(above), name

    @contextmanager
    def _at(self, path: bytes) -> Iterator[Node]:
        """The node at `path`, asked for anew, with a lookup counted for the length of the block."""
        if path == b"/" or path in self._hidden:
            yield self._hidden.get(path, self.filesystem.root)
            return
        node, _ = self.filesystem.lookup(*self._parent(path))
        try:
            yield node
        finally:
            self.filesystem.forget(node)

    def _made(self, made: tuple[Node, Attributes]) -> None:
        """libfuse looks up what was made by itself, so the lookup that the verb counted is taken back."""
        self.filesystem.forget(made[0])

    def _caller(self) -> Caller:
        context = self._library.context().contents
        return Caller(context.uid, context.gid, context.pid)

    def _number(self, handle: Handle | Node) -> int:
        number = next(self._numbers)
        self._handles[number] = handle
        return number

    def _handle(self, info: Any) -> Handle:
        handle = self._handles[info.contents.fh]
        assert isinstance(handle, Handle)
        return handle

    # -- attributes

    def _getattr(self, path: bytes, out: Any) -> None:
        if path == b"/" or path in self._hidden:
            _fill(out, self._attributes(path, self._hidden.get(path, self.filesystem.root)))
            return
        node, attributes = self.filesystem.lookup(*self._parent(path))
        self.filesystem.forget(node)
        _fill(out, attributes)

    def _fgetattr(self, path: bytes | None, out: Any, info: Any) -> None:
        _fill(out, self._attributes(path, self._handle(info).node))

    def _attributes(self, path: bytes | None, node: Node) -> Attributes:
        """The attributes of `node`, with a link more for libfuse to take away where it has hidden a file itself."""
        attributes = self.filesystem.getattr(node)
        return attributes._replace(nlink=attributes.nlink + 1) if path in self._hidden else attributes

    def _chmod(self, path: bytes, mode: int) -> None:
        with self._at(path) as node:
            self.filesystem.setattr(node, mode=mode & 0o7777)

    def _chown(self, path: bytes, uid: int, gid: int) -> None:
        with self._at(path) as node:
            self.filesystem.setattr(node, uid=_id(uid), gid=_id(gid))

    def _utimens(self, path: bytes, times: Any) -> None:
        now = time.time_ns()
        atime, mtime = (times.contents.actime, times.contents.modtime) if times else (None, None)
        with self._at(path) as node:
            self.filesystem.setattr(node, atime_ns=_nanoseconds(atime, now), mtime_ns=_nanoseconds(mtime, now))

    def _truncate(self, path: bytes, size: int) -> None:
        with self._at(path) as node:
            self.filesystem.setattr(node, size=size)

    def _ftruncate(self, _path: bytes | None, size: int, info: Any) -> None:
        self.filesystem.setattr(self._handle(info).node, size=size)

    # -- names

    def _mknod(self, path: bytes, mode: int, device: int) -> None:
        self._made(self.filesystem.mknod(*self._parent(path), mode, device, self._caller()))

    def _mkdir(self, path: bytes, mode: int) -> None:
        self._made(self.filesystem.mkdir(*self._parent(path), mode & 0o7777, self._caller()))

    def _symlink(self, target: bytes, path: bytes) -> None:
        self._made(self.filesystem.symlink(*self._parent(path), os.fsdecode(target), self._caller()))

    def _link(self, source: bytes, path: bytes) -> None:
        with self._at(source) as node:
            self._made(self.filesystem.link(node, *self._parent(path)))

    def _unlink(self, path: bytes) -> None:
        if path in self._hidden:
            self.filesystem.forget(self._hidden.pop(path))
        else:
            self.filesystem.unlink(*self._parent(path))

    def _rmdir(self, path: bytes) -> None:
        self.filesystem.rmdir(*self._parent(path))

    def _rename(self, old: bytes, new: bytes) -> None:
        if b"/.fuse_hidden" in new and not self._is_asked_for(new):
            self._hide(old, new)
        else:
            self.filesystem.rename(*self._parent(old), *self._parent(new))

    def _is_asked_for(self, new: bytes) -> bool:
        """Whether the kernel's request is to rename to `new`; else libfuse hides an open file."""
        opcode, newname = _rename_request(self._request.buffer)
        return opcode == RENAME and newname == new.rpartition(b"/")[2]

    def _hide(self, old: bytes, new: bytes) -> None:
        """libfuse will know the open file at `old` as `new`. An unlink is due now; a rename follows by itself."""
        node, _ = self.filesystem.lookup(*self._parent(old))
        if _rename_request(self._request.buffer)[0] != RENAME:
            self.filesystem.unlink(*self._parent(old))
        self._hidden[new] = node

    def _readlink(self, path: bytes, out: Any, size: int) -> None:
        with self._at(path) as node:
            target = os.fsencode(self.filesystem.readlink(node))[: size - 1]
        ctypes.memmove(out, target + b"\0", len(target) + 1)

    # -- directories

    def _opendir(self, path: bytes, info: Any) -> None:
        if path == b"/":
            node = self.filesystem.tree.remember(self.filesystem.root)
        else:
            node, _ = self.filesystem.lookup(*self._parent(path))
        info.contents.fh = self._number(node)

    def _readdir(self, _path: bytes | None, buffer: int, fill: Any, _offset: int, info: Any) -> None:
        node = self._handles[info.contents.fh]
        assert isinstance(node, Node)
        fill(buffer, b".", None, 0)
        fill(buffer, b"..", None, 0)
        shown = fuse.c_stat()
        for line in self.filesystem.readdir(node):
            shown.st_ino, shown.st_mode = line.ino, line.kind.value
            if fill(buffer, os.fsencode(line.name), ctypes.byref(shown), 0):
                raise MemoryError("libfuse has no room for the listing")

    def _releasedir(self, _path: bytes | None, info: Any) -> None:
        node = self._handles.pop(info.contents.fh)
        assert isinstance(node, Node)
        self.filesystem.forget(node)

    # -- open files

    def _create(self, path: bytes, mode: int, info: Any) -> None:
        node, _, handle = self.filesystem.create(*self._parent(path), mode, info.contents.flags, self._caller())
        self.filesystem.forget(node)
        info.contents.fh = self._number(handle)

    def _open(self, path: bytes, info: Any) -> None:
        with self._at(path) as node:
            info.contents.fh = self._number(self.filesystem.open(node, info.contents.flags, self._caller()))

    def _read(self, _path: bytes | None, out: Any, size: int, offset: int, info: Any) -> int:
        data = self.filesystem.read(self._handle(info), size, offset)
        ctypes.memmove(out, data, len(data))
        return len(data)

    def _write(self, _path: bytes | None, data: Any, size: int, offset: int, info: Any) -> int:
        mapped = bool(info.contents.writepage)
        return self.filesystem.write(self._handle(info), ctypes.string_at(data, size), offset, mapped=mapped)

    def _flush(self, _path: bytes | None, info: Any) -> None:
        self.filesystem.flush(self._handle(info), self._caller())

    def _fsync(self, _path: bytes | None, _data_only: int, info: Any) -> None:
        self.filesystem.fsync(self._handle(info))

    def _release(self, _path: bytes | None, info: Any) -> None:
        handle = self._handles.pop(info.contents.fh)
        assert isinstance(handle, Handle)
        self.filesystem.release(handle)

    # -- the whole

    def _statfs(self, _path: bytes, out: Any) -> None:
        usage = self.filesystem.statfs()
        shown = out.contents
        shown.f_bsize = shown.f_frsize = BLOCK_SIZE
        shown.f_blocks = usage.total // BLOCK_SIZE
        shown.f_bfree = shown.f_bavail = usage.free // BLOCK_SIZE
        shown.f_files = usage.files or 0
        shown.f_ffree = shown.f_favail = usage.files_free or 0
        shown.f_namemax = self.filesystem.storage.name_max

    def _getxattr(self, path: bytes, key: bytes, out: Any, size: int, *_: int) -> int:
        with self._at(path) as node:
            return _copy(self.filesystem.getxattr(node, os.fsdecode(key)), out, size)

    def _setxattr(self, path: bytes, key: bytes, value: Any, size: int, flags: int, *_: int) -> None:
        with self._at(path) as node:
            self.filesystem.setxattr(node, os.fsdecode(key), ctypes.string_at(value, size), flags)

    def _listxattr(self, path: bytes, out: Any, size: int) -> int:
        with self._at(path) as node:
            names = self.filesystem.listxattr(node)
        return _copy(b"".join(os.fsencode(name) + b"\0" for name in names), out, size)

    def _removexattr(self, path: bytes, key: bytes) -> None:
        with self._at(path) as node:
            self.filesystem.removexattr(node, os.fsdecode(key))


def _rename_request(buffer: Any) -> tuple[int, bytes]:
    """Opcode and new name of the request in `buffer`: a header of 40 bytes, the new directory's number, two names."""
    (opcode,) = struct.unpack_from("=I", buffer, 4)
    if opcode != RENAME:
        return opcode, b""
    names = buffer.raw[48 : struct.unpack_from("=I", buffer, 0)[0]]
    return opcode, names.split(b"\0")[1]


def _fill(out: Any, attributes: Attributes) -> None:
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


def _id(value: int) -> int | None:
    """A uid or gid as chown(2) takes it: all bits set leaves it as it is."""
    return None if value == ctypes.c_uint(-1).value else value


def _nanoseconds(time_spec: Any, now: int) -> int | None:
    """A time of utimensat(2) in ns: `now` for UTIME_NOW or no time at all, None for UTIME_OMIT."""
    if time_spec is None or time_spec.tv_nsec == UTIME_NOW:
        return now
    return None if time_spec.tv_nsec == UTIME_OMIT else int(time_spec.tv_sec * 10**9 + time_spec.tv_nsec)


def _copy(data: bytes, out: Any, size: int) -> int:
    """An attribute's bytes into the caller's buffer, or only their number when it asks for that; OSError (ERANGE)."""
    if size:
        if len(data) > size:
            raise OSError(errno.ERANGE, os.strerror(errno.ERANGE))
        ctypes.memmove(out, data, len(data))
    return len(data)
