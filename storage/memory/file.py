"""Open files of the in-memory storage: a cursor each, over content that all handles of the file share.

Nothing is buffered, so what one handle writes the others read at once. As in Django, a handle is not held to the
direction of its mode: one opened with "r" may be written to.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from storage.entry import Entry
from storage.files import File
from storage.memory.nodes import RegularFile
from storage.memory.tree import MemoryTree

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_PEEK = 8192


class MemoryIO(io.BufferedIOBase):
    """A binary file object over one inode; the positional methods need no cursor and move none.

    Make it with the tree's lock held since the inode was found: from then on the inode lives until close().
    """

    def __init__(self, tree: MemoryTree, node: RegularFile, mode: str) -> None:
        """A handle of `node`, its cursor at the beginning, or with "a" in `mode` at the end."""
        self.mode = mode
        self._tree = tree
        self._node = node
        self._append = "a" in mode
        node.opens += 1
        self._position = node.content.size if self._append else 0

    @property
    def node(self) -> RegularFile:
        """The inode; ValueError once closed."""
        if self.closed:
            raise ValueError("I/O operation on closed file.")
        return self._node

    @property
    def size(self) -> int:
        """The size in bytes, as it is now."""
        with self._tree.lock:
            return self.node.content.size

    def pread(self, size: int, offset: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer only at the end."""
        if offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        node = self.node
        memfd = node.content.memfd
        if memfd is not None:  # without the lock: a large read holds nobody up
            data = memfd.pread(size, offset)
        else:
            with self._tree.lock:
                data = node.content.pread(size, offset)
        node.accessed(self._tree.now())
        return data

    def pwrite(self, data: ReadableBuffer, offset: int) -> int:
        """All of `data` at `offset`; StorageFullError with nothing changed."""
        if offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        view = memoryview(data).cast("B")
        with self._tree.lock:
            self.node.write(view, offset, self._tree.now())
        return len(view)

    def content_fd(self) -> int | None:
        """The descriptor of the memfd that is the content, or None."""
        with self._tree.lock:
            return self.node.content.lend()

    def close(self) -> None:
        """Let go of the inode, which ends with its last name and handle."""
        with self._tree.lock:
            if not self.closed:
                super().close()
                self._node.release()

    # io.BufferedIOBase

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
            if self._append:
                self._position = self.size
            written = self.pwrite(data, self._position)
            self._position += written
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
        size = self._position if size is None else size
        if size < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        with self._tree.lock:
            self.node.truncate(size, self._tree.now())
        return size


class MemoryFile(File):
    """An open file of an InMemoryStorage; text without "b" in `mode`, UTF-8, its line ends left as they are."""

    file: Any

    def __init__(self, stream: MemoryIO, name: str, reopen: Callable[[str, str], MemoryIO]) -> None:
        """Wrap `stream`; `reopen(name, mode)` makes another one when the closed file is opened again."""
        self._reopen = reopen
        self._wrap(stream)
        super().__init__(self.file, name)
        self.mode = stream.mode

    def _wrap(self, stream: MemoryIO) -> None:
        self._stream = stream
        if "b" in stream.mode:
            self.file = stream
        else:
            self.file = io.TextIOWrapper(stream, "utf-8", newline="\n", write_through=True)
            if "a" in stream.mode:
                self.file.seek(0, os.SEEK_END)

    def open(self, mode: str | None = None, *args: Any, **kwargs: Any) -> Self:
        """Go back to the beginning, or open the file of this name again if it was closed; ValueError without one."""
        if not self.closed:
            self.seek(0)
            return self
        try:
            self._wrap(self._reopen(self.name or "", mode or self.mode))
        except FileNotFoundError as error:
            raise ValueError("The file cannot be reopened.") from error
        self.mode = self._stream.mode
        return self

    @property
    def size(self) -> int:  # never cached: others write to the same content
        """The size in bytes, as it is now."""
        return self._stream.size

    def pread(self, size: int, offset: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer only at the end. The cursor stays."""
        return self._stream.pread(size, offset)

    def pwrite(self, data: bytes | memoryview, offset: int) -> int:
        """Write all of `data` at `offset`; StorageFullError with nothing changed. The cursor stays."""
        return self._stream.pwrite(data, offset)

    def truncate(self, size: int | None = None) -> int:
        """Cut or grow (with zeros) to `size`, by default the cursor's place; returns it. The cursor stays."""
        return self._stream.truncate(self.tell() if size is None else size)

    def sync(self) -> None:
        """Nothing: what is written is in the storage at once."""

    def stat(self) -> Entry:
        """What is known of the open file, also after its name has gone."""
        with self._stream._tree.lock:
            return self._stream.node.entry((self.name or "").rpartition("/")[2])

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
        tree = self._stream._tree
        with tree.lock:
            self._stream.node.set_attributes(tree.now(), mode, uid, gid, atime_ns, mtime_ns)

    def content_fd(self) -> int | None:
        """The memfd of a content that is large and has no capacity over it; None otherwise."""
        return self._stream.content_fd()
