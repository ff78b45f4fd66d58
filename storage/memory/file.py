"""Open files of the in-memory storage: a cursor each, over content that all handles of the file share.

Nothing is buffered, so what one handle writes the others read at once. As in Django, a handle is not held to the
direction of its mode: one opened with "r" may be written to.

A filesystem opens a file for every open(2), and works by position. So a `MemoryFile` is little more than a hold on an
inode, and the file object with a cursor, `MemoryFile.file`, is made when it is first asked for, with a hold of its own.
"""

from __future__ import annotations

import errno
import io
import os
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn, Self

from storage.entry import Entry
from storage.files import File
from storage.memory.hold import Hold, closed
from storage.memory.ranges import HeldRanges
from storage.memory.regular import RegularFile

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from storage.memory import InMemoryStorage

_PEEK = 8192


class MemoryIO(Hold, io.BufferedIOBase):
    """A binary file object with a cursor over one inode."""

    def __init__(self, storage: InMemoryStorage, node: RegularFile, mode: str, told: str) -> None:
        """A handle of `node`, its cursor at the beginning, or with "a" at the end; the tree's lock is held."""
        self._hold(storage, node, told)
        self.mode = mode
        self._append = "a" in mode
        self._position = node.size if self._append else 0

    def close(self) -> None:
        """Let go of the inode."""
        if not self.closed:
            super().close()
            self._let_go()

    def readable(self) -> bool:
        """Always."""
        return True

    def writable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Up to `size` bytes (all) from the cursor."""
        if size is None or size < 0:
            size = max(self.size - self._position, 0)
        data = self.pread(size, self._position)
        self._position += len(data)
        return data

    read1 = read

    def peek(self, size: int = 0, /) -> bytes:
        """Some bytes from the cursor, which stays; with it readline() need not go byte by byte."""
        return self.pread(max(size, _PEEK), self._position)

    def write(self, data: ReadableBuffer, /) -> int:
        """All of `data` at the cursor, or in append mode at the true end."""
        with self._tree.lock:
            start = self.size if self._append else self._position
            written = self._put(data, start)
            self._position = start + written
        self._wrote()
        return written

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move the cursor, also past the end; OSError (EINVAL) for a place before the beginning."""
        if whence == os.SEEK_CUR:
            offset += self._position
        elif whence == os.SEEK_END:
            offset += self.size
        elif whence != os.SEEK_SET:
            raise ValueError(f"invalid whence ({whence}, should be 0, 1 or 2)")
        if offset < 0 or self.closed:
            _ = self.node  # the better error, once closed
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._position = offset
        return offset

    def tell(self) -> int:
        """Where the cursor is."""
        _ = self.node
        return self._position

    def truncate(self, size: int | None = None, /) -> int:
        """Cut or grow (with zeros) to `size`, by default the cursor's place; returns it. The cursor stays."""
        return self.resize(self._position if size is None else size)


class MemoryFile(HeldRanges, File):
    """An open file of an InMemoryStorage; text without "b" in `mode`, UTF-8, its line ends left as they are."""

    def __init__(self, storage: InMemoryStorage, node: RegularFile, mode: str, name: str | None, told: str) -> None:
        """A handle of `node`, opened as `name`, which the tree knows as `told`; the tree's lock is held."""
        self._hold(storage, node, told)
        self.mode = mode
        self.name = name

    @cached_property
    def file(self) -> Any:
        """The file object with a cursor, made at the first use of that."""
        with self._tree.lock:
            if self._inode is None:
                return _closed_stream()
            stream = MemoryIO(self._storage, self._inode, self.mode, self._told)
        if "b" in self.mode:
            return stream
        text: Any = io.TextIOWrapper(stream, "utf-8", newline="\n", write_through=True)
        if "a" in self.mode:
            text.seek(0, os.SEEK_END)
        return text

    @property
    def closed(self) -> bool:
        """Whether it is closed, by itself or by way of its file object."""
        return self._inode is None or ("file" in self.__dict__ and self.file.closed)

    def open(self, mode: str | None = None, *args: Any, **kwargs: Any) -> Self:
        """Go back to the beginning, or open the file of this name again if it was closed; ValueError without one."""
        if not self.closed:
            self.seek(0)
            return self
        try:
            other = self._storage._opened(self.name or "", mode or self.mode)
        except FileNotFoundError as error:
            raise ValueError("The file cannot be reopened.") from error
        self.close()
        self.__dict__.pop("file", None)
        self.mode, self._told = other.mode, other._told
        self._inode, other._inode = other._inode, None
        return self

    def close(self) -> None:
        """Let go of the inode, which ends with its last name and handle."""
        if "file" in self.__dict__:
            self.file.close()
        self._let_go()

    def __del__(self) -> None:
        if self._inode is not None:
            self._let_go()

    def __getstate__(self) -> NoReturn:
        """An open file cannot be copied: TypeError, as of any other."""
        raise TypeError(f"cannot pickle {type(self).__name__!r} object")

    size = Hold.size  # never cached: others write to the same content

    def truncate(self, size: int | None = None) -> int:
        """Cut or grow (with zeros) to `size`, by default the cursor's place; returns it. The cursor stays."""
        return self.resize(self.tell() if size is None else size)

    def sync(self) -> None:
        """Nothing: what is written is in the storage at once."""

    def stat(self) -> Entry:
        """What is known of the open file, also after its name has gone."""
        name = self.name or ""
        with self._tree.lock:
            return (self._inode or closed()).entry(name[name.rfind("/") + 1 :])

    def set_attributes(
        self,
        *,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
        atime_ns: int | None = None,
        mtime_ns: int | None = None,
    ) -> None:
        """Change what is given."""
        tree = self._tree
        with tree.lock:
            node = self._inode or closed()
            node.set_attributes(tree.now(), mode, uid, gid, atime_ns, mtime_ns)
        if self._told:
            self._storage._changed("attributes", self._told, identity=node.identity)

    def link(self, name: str) -> None:
        """Give a file of `tmpfile()` its first name; FileExistsError. Other files: NotImplementedError."""
        if self.name is not None:
            super().link(name)
        with self._tree.lock:
            self._tree.enter(self._tree.free_place(name), self._inode or closed(), self._tree.now())
        self.name = self._told = self.file._told = name
        self._storage._changed("save", name)

    def content_fd(self, *, mappable: bool = True) -> int | None:
        """The descriptor of a memfd that is the content from now on; None under a capacity, or where there is none.

        Others may write to it and, unless it is not `mappable`, map it, also beyond close(): the storage sees and keeps
        what they do. With one that nobody maps it has less to do when the file is closed.
        """
        with self._tree.lock:
            return (self._inode or closed()).lend(mappable=mappable)


def _closed_stream() -> io.BytesIO:
    stream = io.BytesIO()
    stream.close()
    return stream
