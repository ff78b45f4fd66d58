"""File: one open file of a storage, whatever stands behind it.

Django's part wraps any file-like object and iterates over its content in chunks and lines. The part on top of it is
what a filesystem asks of an open file: positional reads and writes that leave the cursor alone, so that several
handles can share one file, and its size, times and content after its name has gone. The defaults here work over any
seekable binary file; storages override them where the file can do better.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import re
import threading
from collections.abc import Generator, Hashable, Iterator
from functools import cached_property
from operator import attrgetter
from types import TracebackType
from typing import Any, Self

from storage.entry import Entry, Kind
from storage.names import split_name
from storage.posix import entry_of_stat, set_attributes_of_fd
from storage.ranges import RangesMixin

__all__ = ("ContentFile", "File", "FileProxyMixin")

_LINE_END_TEXT = re.compile("\r\n|\r|\n")
_LINE_END_BYTES = re.compile(b"\r\n|\r|\n")


def _forwarded(attribute: str) -> Any:
    """An attribute that is the wrapped file's."""
    return property(attrgetter(f"file.{attribute}"))


class FileProxyMixin:
    """Forward the methods of a file to the one in the attribute `file`."""

    file: Any

    encoding = _forwarded("encoding")
    fileno = _forwarded("fileno")
    flush = _forwarded("flush")
    isatty = _forwarded("isatty")
    newlines = _forwarded("newlines")
    read = _forwarded("read")
    readinto = _forwarded("readinto")
    readline = _forwarded("readline")
    readlines = _forwarded("readlines")
    seek = _forwarded("seek")
    tell = _forwarded("tell")
    truncate = _forwarded("truncate")
    write = _forwarded("write")
    writelines = _forwarded("writelines")

    @property
    def closed(self) -> bool:
        """Whether the file is closed, or was never there."""
        return not self.file or self.file.closed

    def readable(self) -> bool:
        """Whether it can be read; a file that does not say can be."""
        return self._able("readable", default=True)

    def writable(self) -> bool:
        """Whether it can be written; a file that does not say is asked for its mode."""
        return self._able("writable", default="w" in getattr(self.file, "mode", ""))

    def seekable(self) -> bool:
        """Whether it has a cursor that can be moved; a file that does not say has."""
        return self._able("seekable", default=True)

    def _able(self, ability: str, default: bool) -> bool:
        if self.closed:
            return False
        answer = getattr(self.file, ability, None)
        return default if answer is None else answer()

    def __iter__(self) -> Iterator[Any]:
        """The lines, as the wrapped file splits them."""
        return iter(self.file)


class File(RangesMixin, FileProxyMixin):
    """An open file with a name, over any file-like object.

    `name` is the one given, else the object's own; `mode` is there only when the object has one.
    """

    DEFAULT_CHUNK_SIZE = 64 * 2**10
    ranged = False
    """Whether `pread()` is a request of its own for just these bytes, which many threads may make at once, of the
    version that `stat()` tells; VersionMismatchError once the object has changed, FileNotFoundError when it is gone."""
    mode: str

    def __init__(self, file: Any, name: str | None = None) -> None:
        """Wrap `file`, which stays the caller's until close()."""
        self.file = file
        self.name: str | None = getattr(file, "name", None) if name is None else name
        if hasattr(file, "mode"):
            self.mode = file.mode

    def __str__(self) -> str:
        """The name, or nothing."""
        return self.name or ""

    def __repr__(self) -> str:
        """The class and the name."""
        return f"<{type(self).__name__}: {self or 'None'}>"

    def __bool__(self) -> bool:
        """Whether it has a name."""
        return bool(self.name)

    def __len__(self) -> int:
        """The size."""
        return self.size

    def __getstate__(self) -> dict[str, Any]:
        """What pickle and copy keep: everything but the lock."""
        return {key: value for key, value in self.__dict__.items() if key != "_cursor_lock"}

    @cached_property
    def size(self) -> int:
        """The size in bytes (of a text file: what its cursor counts); AttributeError when it cannot be found out."""
        if hasattr(self.file, "size"):
            return int(self.file.size)
        if hasattr(self.file, "name"):
            # A descriptor's number, or the name of a file that has gone, is no path: ask the cursor.
            with contextlib.suppress(OSError, TypeError):
                return os.path.getsize(self.file.name)
        if hasattr(self.file, "tell") and hasattr(self.file, "seek"):
            return self._size_by_seeking()
        raise AttributeError("Unable to determine the file's size.")

    def _size_by_seeking(self) -> int:
        here = self.file.tell()
        self.file.seek(0, os.SEEK_END)
        size: int = self.file.tell()
        self.file.seek(here)
        return size

    def chunks(self, chunk_size: int | None = None) -> Iterator[Any]:
        """The content from the beginning, in pieces of `chunk_size` (DEFAULT_CHUNK_SIZE)."""
        with contextlib.suppress(AttributeError, io.UnsupportedOperation):
            self.seek(0)
        while data := self.read(chunk_size or self.DEFAULT_CHUNK_SIZE):
            yield data

    def multiple_chunks(self, chunk_size: int | None = None) -> bool:
        """Whether `chunks()` would yield more than one."""
        return self.size > (chunk_size or self.DEFAULT_CHUNK_SIZE)

    def __iter__(self) -> Iterator[Any]:
        r"""The lines from the beginning with their ends, which may be \n, \r\n or \r."""
        rest: Any = None
        for chunk in self.chunks():
            text = chunk if rest is None else rest + chunk
            # What is left over has no end of line in it, but for a \r that a \n may follow.
            unseen = max(len(text) - len(chunk) - 1, 0)
            rest = yield from _complete_lines(text, unseen)
        if rest:
            yield rest

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def open(self, mode: str | None = None, *args: Any, **kwargs: Any) -> Self:
        """Go back to the beginning, or open the file of this name again if it was closed.

        ValueError when there is no such file. The further arguments are those of the builtin open().
        """
        if not self.closed:
            self.seek(0)
        elif self.name and os.path.exists(self.name):
            self.file = open(self.name, mode or self.mode, *args, **kwargs)
        else:
            raise ValueError("The file cannot be reopened.")
        return self

    def close(self) -> None:
        """Close the wrapped file."""
        self.file.close()

    def pread(self, size: int, offset: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer only at the end of the file. The cursor stays (binary files only)."""
        parts = []
        with self._at(offset):
            while size > 0 and (data := self.read(size)):
                parts.append(data)
                size -= len(data)
        return b"".join(parts)

    def stream(self, offset: int) -> Any:
        """What is from `offset` on as one answer of the backend, with `read(size)` and `close()`; None without such.

        It goes on when the file is closed, and is of the version that the file is of.
        """
        return

    def pwrite(self, data: bytes | memoryview, offset: int) -> int:
        """Write all of `data` at `offset` and return its length. The cursor stays (binary files only)."""
        rest = memoryview(data)
        with self._at(offset):
            while rest:
                rest = rest[self.write(rest) :]
        self._forget_size()
        return len(data)

    def truncate(self, size: int | None = None) -> int:
        """Cut the file off after `size` (the cursor's place), or extend it with zeros; returns the new size."""
        size = self.tell() if size is None else size
        with self._at(size):
            self.file.truncate(size)
            missing = size - self.seek(0, os.SEEK_END)
            if missing > 0:  # files of the system grow by themselves, a BytesIO does not
                self.write(bytes(missing))
        self._forget_size()
        return size

    def sync(self) -> None:
        """Flush, and return when a local file's content is on the disk."""
        self.flush()
        fd = self.content_fd()
        if fd is not None:
            os.fsync(fd)

    def stat(self) -> Entry:
        """What is known of the open file, also after its name was removed or given to another."""
        last = split_name(self.name or "")[1]
        fd = self.content_fd()
        if fd is not None:
            return entry_of_stat(last, os.fstat(fd))
        with self._at(0):
            return Entry(last, Kind.FILE, size=self.seek(0, os.SEEK_END))

    def identity(self) -> Hashable | None:
        """`stat().identity`, where that alone is quicker to tell."""
        return self.stat().identity

    def set_attributes(
        self,
        *,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
        atime_ns: int | None = None,
        mtime_ns: int | None = None,
    ) -> None:
        """Change what is given: the owner, then the mode, then the times; NotImplementedError if it has none."""
        fd = self.content_fd()
        if fd is None:
            raise NotImplementedError(f"{self!r} keeps no attributes")
        set_attributes_of_fd(fd, mode=mode, uid=uid, gid=gid, atime_ns=atime_ns, mtime_ns=mtime_ns)

    def content_fd(self, *, mappable: bool = True) -> int | None:
        """The descriptor whose bytes are this file's content, nothing buffered; None if there is none.

        It belongs to this file: do not close it, and do not use it after close(). Who does not ask for one that is
        `mappable` must not map it either.
        """
        raw = _unwrapped(self)
        if type(raw) is not io.FileIO or raw.closed:
            return None
        self.flush()
        return raw.fileno()

    @contextlib.contextmanager
    def _at(self, offset: int) -> Iterator[None]:
        """Hold the cursor at `offset`, and put it back."""
        # Made on demand, because a subclass need not call __init__; setdefault is atomic.
        lock: threading.Lock = self.__dict__.setdefault("_cursor_lock", threading.Lock())
        with lock:
            here = self.tell()
            self.seek(offset)
            try:
                yield
            finally:
                self.seek(here)

    def _forget_size(self) -> None:
        self.__dict__.pop("size", None)


class ContentFile(File):
    """A file of content in hand, str or bytes; it has no name unless one is given, and close() does nothing."""

    def __init__(self, content: str | bytes, name: str | None = None) -> None:
        """Hold `content`; str makes a text file."""
        super().__init__(io.StringIO(content) if isinstance(content, str) else io.BytesIO(content), name=name)
        self.size = len(content)

    def __str__(self) -> str:
        """A constant."""
        return "Raw content"

    def __bool__(self) -> bool:
        """Always True: the content needs no name."""
        return True

    def open(self, mode: str | None = None, *args: Any, **kwargs: Any) -> Self:
        """Go back to the beginning."""
        self.seek(0)
        return self

    def close(self) -> None:
        """Nothing: the content stays readable."""

    def write(self, data: str | bytes | memoryview) -> int:
        """Write at the cursor."""
        self._forget_size()
        written: int = self.file.write(data)
        return written


def _complete_lines(text: Any, start: int) -> Generator[Any, None, Any]:
    r"""Yield the lines of `text` that are complete, and return the rest; before `start` there is no end but a \r."""
    pattern: re.Pattern[Any] = _LINE_END_TEXT if isinstance(text, str) else _LINE_END_BYTES
    begin = 0
    for match in pattern.finditer(text, start):
        end = match.end()
        if end == len(text) and match.group() in ("\r", b"\r"):
            break  # the next chunk may begin with the \n that belongs to it
        yield text[begin:end]
        begin = end
    return text[begin:]


def _unwrapped(file: Any) -> Any:
    """The innermost file, as long as every layer hands bytes through unchanged.

    A layer with methods of its own (encryption, compression) is where it stops.
    """
    while True:
        kind: Any = type(file)
        if only_forwards(kind):
            file = file.file
        elif kind is io.TextIOWrapper:
            file = file.buffer
        elif kind in (io.BufferedReader, io.BufferedWriter, io.BufferedRandom):
            file = file.raw
        else:
            return file


@functools.cache
def only_forwards(cls: Any) -> bool:
    """Whether a class reads and writes by Django's FileProxyMixin (or ours) and nothing else."""
    for method in ("read", "readinto", "write", "seek"):
        owner = next((base for base in cls.__mro__ if method in vars(base)), object)
        if owner.__name__ != "FileProxyMixin" or owner.__module__ not in (__name__, "django.core.files.utils"):
            return False
    return True
