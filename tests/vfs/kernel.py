"""Two ways to use a filesystem with paths and descriptors: by its verbs alone, and through a mount.

`Verbs` plays the kernel's part in this process: it walks paths to nodes, counts lookups and takes them back, opens,
flushes and releases. `Mounted` has the same methods over the calls of the system below a directory. A test that is
written for the one runs with the other.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from backends import ObjectStorage, ScanningStorage

from storage import FileSystemStorage, InMemoryStorage, Storage
from storage.remote.django import adapt
from vfs.callers import Caller
from vfs.content.openfile import Handle
from vfs.filesystem import FileSystem
from vfs.names.attributes import Attributes
from vfs.names.tree import Node, Tree
from vfs.spool.spool import Spool

KINDS = ("memory", "files", "scanned", "objects")
"""The storages of `places`, by the same names."""
IN_PLACE = ("memory", "files")
SPOOLED = ("scanned", "objects")
STALE_SECONDS = 5.0
"""For how long ESTALE may come back each time a name is looked up again."""


def storage_of(kind: str, folder: Path) -> Storage:
    """A new storage; what it keeps on disk is below `folder`."""
    match kind:
        case "memory":
            return InMemoryStorage()
        case "files" | "scanned":
            (folder / kind).mkdir()
            cls = FileSystemStorage if kind == "files" else ScanningStorage
            return cls(location=folder / kind)
        case "objects":
            (folder / "faults").mkdir()
            return adapt(ObjectStorage(str(folder / "objects.sqlite"), str(folder / "faults")))
    raise ValueError(kind)


def filesystem_of(kind: str, folder: Path, cache_seconds: float = 0.0) -> FileSystem:
    """A filesystem over a new storage, with its spool below `folder`."""
    return FileSystem(storage_of(kind, folder), cache_seconds=cache_seconds, spool=Spool(folder / "spool"))


class Calls(Protocol):
    """What a program does with paths, '/'-separated and relative, and with descriptors."""

    def open(self, path: str, flags: int, mode: int = 0o644) -> int: ...
    def read(self, fd: int, size: int, offset: int) -> bytes: ...
    def write(self, fd: int, data: bytes, offset: int) -> int: ...
    def ftruncate(self, fd: int, size: int) -> None: ...
    def fsync(self, fd: int) -> None: ...
    def close(self, fd: int) -> None: ...
    def fstat(self, fd: int) -> Attributes: ...
    def stat(self, path: str) -> Attributes: ...
    def truncate(self, path: str, size: int) -> None: ...
    def mkdir(self, path: str) -> None: ...
    def rmdir(self, path: str) -> None: ...
    def unlink(self, path: str) -> None: ...
    def rename(self, old: str, new: str) -> None: ...
    def link(self, old: str, new: str) -> None: ...
    def symlink(self, target: str, path: str) -> None: ...
    def readlink(self, path: str) -> str: ...
    def listdir(self, path: str) -> list[str]: ...


def files_here(filesystem: FileSystem) -> int:
    """How many nodes have a content here, because they are open or not stored yet."""
    return len(filesystem.tree.files())


class Verbs:
    """The calls by the verbs of a filesystem, as the kernel would use them for process `pid`."""

    def __init__(self, filesystem: FileSystem, pid: int = 0) -> None:
        self.filesystem = filesystem
        self.caller = Caller(os.getuid(), os.getgid(), pid or os.getpid())
        self._open: dict[int, Handle] = {}
        self._last = 2

    @contextmanager
    def at(self, path: str) -> Iterator[Node]:
        """The node at `path`, with lookups counted down to it for the length of the block."""
        walked: list[Node] = []
        node = self.filesystem.root
        try:
            for part in path.split("/") if path else ():
                node, _ = self.filesystem.lookup(node, part)
                walked.append(node)
            yield node
        finally:
            for one in walked:
                self.filesystem.forget(one)

    @contextmanager
    def above(self, path: str) -> Iterator[tuple[Node, str]]:
        """The directory that `path` is in, and its last component."""
        parent, _, name = path.rpartition("/")
        with self.at(parent) as node:
            yield node, name

    def handle(self, fd: int) -> Handle:
        return self._open[fd]

    def open(self, path: str, flags: int, mode: int = 0o644) -> int:
        if flags & os.O_CREAT:
            with self.above(path) as (parent, name):
                try:
                    node, _ = self.filesystem.lookup(parent, name)
                except FileNotFoundError:
                    node, _, handle = self.filesystem.create(parent, name, mode, flags, self.caller)
                    return self._number(handle)  # the file is known for as long as it is open
                self.filesystem.forget(node)
                if flags & os.O_EXCL:
                    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        return self._number(self._open_known(path, flags))

    def _open_known(self, path: str, flags: int) -> Handle:
        """Open what is there; after ESTALE the name is looked up again, as the kernel does.

        The kernel does so once, but keeps lookups of a name and changes of its directory apart, which nobody does here.
        """
        until = time.monotonic() + STALE_SECONDS
        while True:
            with self.at(path) as node:
                try:
                    handle = self.filesystem.open(node, flags, self.caller)
                except OSError as error:
                    if error.errno != errno.ESTALE or time.monotonic() > until:
                        raise
                else:
                    self.filesystem.tree.remember(node)
                    return handle

    def _number(self, handle: Handle) -> int:
        self._last += 1
        self._open[self._last] = handle
        return self._last

    def read(self, fd: int, size: int, offset: int) -> bytes:
        return self.filesystem.read(self._open[fd], size, offset)

    def write(self, fd: int, data: bytes, offset: int) -> int:
        return self.filesystem.write(self._open[fd], data, offset)

    def ftruncate(self, fd: int, size: int) -> None:
        self.filesystem.setattr(self._open[fd].node, size=size)

    def fsync(self, fd: int) -> None:
        self.filesystem.fsync(self._open[fd])

    def close(self, fd: int) -> None:
        handle = self._open.pop(fd)
        try:
            self.filesystem.flush(handle, self.caller)
        finally:
            self.filesystem.release(handle)
            self.filesystem.forget(handle.node)

    def fstat(self, fd: int) -> Attributes:
        return self.filesystem.getattr(self._open[fd].node)

    def stat(self, path: str) -> Attributes:
        """The attributes of what is there; after ESTALE the name is looked up again, as the kernel does."""
        until = time.monotonic() + STALE_SECONDS
        while True:
            with self.at(path) as node:
                try:
                    return self.filesystem.getattr(node)
                except OSError as error:
                    if error.errno != errno.ESTALE or time.monotonic() > until:
                        raise

    def truncate(self, path: str, size: int) -> None:
        with self.at(path) as node:
            self.filesystem.setattr(node, size=size)

    def mkdir(self, path: str) -> None:
        with self.above(path) as (parent, name):
            try:
                self.filesystem.forget(self.filesystem.lookup(parent, name)[0])
            except FileNotFoundError:
                self.filesystem.forget(self.filesystem.mkdir(parent, name, 0o755, self.caller)[0])
                return
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)

    def rmdir(self, path: str) -> None:
        with self.above(path) as (parent, name):
            self.filesystem.rmdir(parent, name)

    def unlink(self, path: str) -> None:
        with self.above(path) as (parent, name):
            self.filesystem.unlink(parent, name)

    def rename(self, old: str, new: str, flags: int = 0) -> None:
        with self.above(old) as (parent, name), self.above(new) as (new_parent, new_name):
            self.filesystem.rename(parent, name, new_parent, new_name, flags)

    def link(self, old: str, new: str) -> None:
        with self.at(old) as node, self.above(new) as (parent, name):
            self.filesystem.forget(self.filesystem.link(node, parent, name)[0])

    def symlink(self, target: str, path: str) -> None:
        with self.above(path) as (parent, name):
            self.filesystem.forget(self.filesystem.symlink(parent, name, target, self.caller)[0])

    def readlink(self, path: str) -> str:
        with self.at(path) as node:
            return self.filesystem.readlink(node)

    def listdir(self, path: str) -> list[str]:
        with self.at(path) as node:
            return [entry.name for entry in self.filesystem.readdir(node)]

    def allocate(self, fd: int, mode: int, offset: int, length: int) -> None:
        self.filesystem.allocate(self._open[fd], mode, offset, length)

    def seek(self, fd: int, offset: int, whence: int) -> int:
        return self.filesystem.seek(self._open[fd], offset, whence)

    def copy_range(self, source: int, offset: int, target: int, target_offset: int, size: int) -> int:
        return self.filesystem.copy_range(self._open[source], offset, self._open[target], target_offset, size)

    def tmpfile(self, directory: str, mode: int = 0o644, flags: int = os.O_RDWR) -> int:
        """open(2) with O_TMPFILE."""
        with self.at(directory) as node:
            return self._number(self.filesystem.tmpfile(node, mode, flags, self.caller)[2])

    def link_fd(self, fd: int, path: str) -> None:
        """linkat(2) of /proc/self/fd."""
        with self.above(path) as (parent, name):
            self.filesystem.forget(self.filesystem.link(self._open[fd].node, parent, name)[0])

    # what tests say often

    def put(self, path: str, data: bytes) -> None:
        """Make or overwrite a file, and close it."""
        fd = self.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        try:
            self.write(fd, data, 0)
        finally:
            self.close(fd)

    def get(self, path: str) -> bytes:
        """The content of a file."""
        fd = self.open(path, os.O_RDONLY)
        try:
            return self.read(fd, self.fstat(fd).size + 1, 0)
        finally:
            self.close(fd)

    def close_all(self) -> None:
        """Close what is open, come what may."""
        for fd in list(self._open):
            with suppress(OSError):
                self.close(fd)


class Mounted:
    """The calls through the kernel, below a directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def _at(self, path: str) -> str:
        return f"{self.root}/{path}" if path else str(self.root)

    def open(self, path: str, flags: int, mode: int = 0o644) -> int:
        return os.open(self._at(path), flags, mode)

    def read(self, fd: int, size: int, offset: int) -> bytes:
        return os.pread(fd, size, offset)

    def write(self, fd: int, data: bytes, offset: int) -> int:
        return os.pwrite(fd, data, offset)

    def ftruncate(self, fd: int, size: int) -> None:
        os.ftruncate(fd, size)

    def fsync(self, fd: int) -> None:
        os.fsync(fd)

    def close(self, fd: int) -> None:
        os.close(fd)

    def fstat(self, fd: int) -> Attributes:
        return _attributes(os.fstat(fd))

    def stat(self, path: str) -> Attributes:
        return _attributes(os.lstat(self._at(path)))

    def truncate(self, path: str, size: int) -> None:
        os.truncate(self._at(path), size)

    def mkdir(self, path: str) -> None:
        os.mkdir(self._at(path), 0o755)

    def rmdir(self, path: str) -> None:
        os.rmdir(self._at(path))

    def unlink(self, path: str) -> None:
        os.unlink(self._at(path))

    def rename(self, old: str, new: str) -> None:
        os.rename(self._at(old), self._at(new))

    def link(self, old: str, new: str) -> None:
        os.link(self._at(old), self._at(new))

    def symlink(self, target: str, path: str) -> None:
        os.symlink(target, self._at(path))

    def readlink(self, path: str) -> str:
        return os.readlink(self._at(path))

    def listdir(self, path: str) -> list[str]:
        return os.listdir(self._at(path))


def _attributes(found: os.stat_result) -> Attributes:
    return Attributes(
        found.st_ino,
        found.st_mode,
        found.st_nlink,
        found.st_uid,
        found.st_gid,
        found.st_rdev,
        found.st_size,
        found.st_blocks,
        found.st_atime_ns,
        found.st_mtime_ns,
        found.st_ctime_ns,
    )


def content_of(storage: Storage, name: str) -> bytes | None:
    """What a storage has under a name; None where there is nothing."""
    try:
        with storage.open(name) as file:
            data: bytes = file.read()
            return data
    except FileNotFoundError:
        return None


def nodes_of(tree: Tree) -> list[Node]:
    """All nodes in memory, the root first."""
    return list(tree.by_ino.values())
