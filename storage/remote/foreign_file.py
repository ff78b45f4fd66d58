"""The files that foreign backends open for reading, made fit for positional reads.

What those files have in common is little: `read()` from the beginning works. Some fetch at the first read and then
forget a `seek()` that came before it; some fetch everything at once; all raise errors of their own. So reading in order
goes straight to them, and the first movement of the cursor fetches the whole content into a local copy, by a second
opening that is read in order too.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections.abc import Callable
from functools import cached_property
from typing import Any, Self

from storage.entry import Entry, Kind
from storage.files import File
from storage.names import split_name
from storage.remote.errors import translating

_IN_MEMORY = 2**20
"""A copy of up to so many bytes stays in memory."""


class ForeignFile(File):
    """A file opened "rb" by a foreign backend.

    `reopen` opens the same file again; `guard` is held during each call of the backend.
    """

    def __init__(
        self, file: Any, name: str, reopen: Callable[[], Any], guard: contextlib.AbstractContextManager[Any]
    ) -> None:
        """Wrap the file; nothing is read yet."""
        self.file = file
        self.name = name
        self.mode = "rb"
        self._reopen = reopen
        self._guard = guard
        self._position = 0
        self._is_copy = False
        self._is_closed = False

    @property
    def closed(self) -> bool:
        """Whether close() was called; the wrapped file may have to fetch its content to tell."""
        return self._is_closed

    @cached_property
    def size(self) -> int:
        """The size in bytes, as the backend tells it."""
        with self._guard, translating(self.name or ""):
            return super().size

    def stat(self) -> Entry:
        """Name and size."""
        return Entry(split_name(self.name or "")[1], Kind.FILE, size=self.size)

    def open(self, mode: str | None = None, *args: Any, **kwargs: Any) -> Self:
        """Go back to the beginning, or open the file again if it was closed."""
        if self.closed:
            with self._guard, translating(self.name or ""):
                self.file = self._reopen()
            self._position, self._is_copy, self._is_closed = 0, False, False
        self.seek(0)
        return self

    def read(self, size: int | None = -1) -> bytes:
        """Up to `size` bytes at the cursor; all that is left for a negative size or None."""
        # Without an argument is the one way to ask for everything that all of them understand.
        arguments = () if size is None or size < 0 else (size,)
        with self._guard, translating(self.name or ""):
            data: bytes = self.file.read(*arguments)
        self._position += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as one read goes."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def readline(self, size: int | None = -1) -> bytes:
        """One line at the cursor."""
        self._fetch()
        line: bytes = self.file.readline(-1 if size is None else size)
        self._position += len(line)
        return line

    def readlines(self, hint: int = -1) -> list[bytes]:
        """The lines from the cursor on."""
        self._fetch()
        lines: list[bytes] = self.file.readlines(hint)
        self._position = self.file.tell()
        return lines

    def tell(self) -> int:
        """The cursor."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the cursor; the first movement fetches the whole content."""
        if whence == os.SEEK_SET and offset == self._position:
            return offset
        self._fetch()
        self._position = self.file.seek(offset, whence)
        return self._position

    def seekable(self) -> bool:
        """Yes, at the price of a copy."""
        return not self.closed

    def readable(self) -> bool:
        """Yes."""
        return not self.closed

    def writable(self) -> bool:
        """No."""
        return False

    def write(self, data: bytes | memoryview) -> int:
        """io.UnsupportedOperation."""
        raise io.UnsupportedOperation("the file is open for reading only")

    def flush(self) -> None:
        """Nothing: it is read-only."""

    def content_fd(self, *, mappable: bool = True) -> None:
        """None: the content is elsewhere."""
        return

    def close(self) -> None:
        """Close the backend's file, or the copy."""
        if not self._is_closed:
            self._is_closed = True
            with self._guard, translating(self.name or ""):
                self.file.close()

    def _fetch(self) -> None:
        """Have the whole content in a local copy, with its cursor where ours is."""
        if self._is_copy:
            return
        if self.closed:
            raise ValueError("I/O operation on closed file.")
        copy = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)
        try:
            with self._guard, translating(self.name or ""):
                if self._position > 0:  # what has been read of it is gone
                    self.file.close()
                    self.file = self._reopen()
                while data := self.file.read(self.DEFAULT_CHUNK_SIZE):
                    copy.write(data)
                self.file.close()
            copy.seek(self._position)
        except BaseException:
            copy.close()
            raise
        self.file, self._is_copy = copy, True
