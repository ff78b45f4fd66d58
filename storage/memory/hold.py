"""A hold on an inode: what every open file of the in-memory storage has, and can do without a cursor."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, NoReturn

from storage.memory.memfd import Memfd
from storage.memory.regular import RegularFile

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from storage.memory import InMemoryStorage


class Hold:
    """A hold on an inode, which lives until `_let_go()`; what can be done with it needs no cursor and moves none."""

    _inode: RegularFile | None = None
    _told: str
    """The name under which the storage's subscribers are told of changes; "" for a file that never had one."""

    def _hold(self, storage: InMemoryStorage, node: RegularFile, told: str) -> None:
        """Take hold of `node`; the tree's lock is held since it was found."""
        self._storage = storage
        self._tree = storage._tree
        self._told = told
        self._inode = node
        node.opens += 1

    def _let_go(self) -> None:
        """Let go of the inode, which ends with its last name and hold."""
        with self._tree.lock:
            node, self._inode = self._inode, None
            if node is not None:
                node.release()

    @property
    def node(self) -> RegularFile:
        """The inode; ValueError once closed."""
        return self._inode or closed()

    @property
    def size(self) -> int:
        """The size in bytes, as it is now."""
        with self._tree.lock:
            return (self._inode or closed()).size

    def pread(self, size: int, offset: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer only at the end. The cursor stays."""
        if offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        node = self._inode or closed()
        tree = self._tree
        backing = node.data
        if isinstance(backing, bytes):
            data = backing[offset : offset + size]
        elif isinstance(backing, Memfd):  # without the lock: a large read holds nobody up
            data = backing.pread(size, offset)
        else:
            with tree.lock:
                data = node.pread(size, offset)
        node.accessed(tree.now())
        return data

    def pwrite(self, data: ReadableBuffer, offset: int) -> int:
        """Write all of `data` at `offset`; StorageFullError with nothing changed. The cursor stays."""
        written = self._put(data, offset)
        self._wrote()
        return written

    def _put(self, data: ReadableBuffer, offset: int) -> int:
        """`pwrite()`, of which nobody is told yet."""
        if offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        view = memoryview(data)
        if view.nbytes != len(view):
            view = view.cast("B")
        tree = self._tree
        with tree.lock:
            (self._inode or closed()).write(view, offset, tree.now())
        return len(view)

    def resize(self, size: int) -> int:
        """Cut or grow (with zeros) to `size`, and return it. The cursor stays."""
        if size < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        tree = self._tree
        with tree.lock:
            (self._inode or closed()).truncate(size, tree.now())
        self._wrote()
        return size

    def _wrote(self) -> None:
        """Tell the subscribers, if the file has a name that they could know; no lock is held."""
        if self._storage._subscriptions and self._told:
            self._storage._changed("write", self._told, identity=self.node.identity)


def closed() -> NoReturn:
    """Raise the ValueError of what is done with a closed file."""
    raise ValueError("I/O operation on closed file.")
