"""An open file of the local filesystem: positional reads and writes go to its descriptor, past the cursor's buffer."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Hashable
from functools import cached_property
from typing import Any, Self

from storage import extents
from storage.entry import Entry
from storage.files import File, only_forwards
from storage.posix import entry_of_stat, identity_of_stat, set_attributes_of_fd
from storage.syscalls import fallocate

Opener = Callable[[str, int], int]
Tell = Callable[[str, Hashable], None]
"""Tells what was done, as `Change` calls it, to the file of that identity."""


class LocalFile(File):
    """A file object of the builtin open().

    Each operation by position sees what was written at the cursor before, and the cursor reads what was written by
    position. It goes on working when the file's name was removed or given to another.
    """

    def __init__(
        self, file: Any, name: str | None = None, opener: Opener | None = None, tell: Tell | None = None
    ) -> None:
        """Wrap `file`; `opener` is how the builtin open() is to open the file's path again, `tell` hears of changes.

        An `io.FileIO` gets a buffer when its cursor is used for the first time: who reads by position needs none.
        """
        if type(file) is io.FileIO:
            self._raw = file
            self.name = name or str(file.name)
            self.mode = file.mode
        else:
            super().__init__(file, name)
        self._opener = opener
        self._tell = tell

    @cached_property
    def file(self) -> Any:
        """The file object with the cursor; the bare one where it was closed before it had one."""
        if self._raw.closed:
            return self._raw
        return io.BufferedRandom(self._raw) if self._raw.writable() else io.BufferedReader(self._raw)

    @property
    def closed(self) -> bool:
        """Whether the file is closed."""
        return self._raw.closed if self._is_bare() else super().closed

    def close(self) -> None:
        """Close the file."""
        if self._is_bare():
            self._raw.close()
            return
        if not self.closed and self.file.writable():
            self.flush()
        super().close()

    def flush(self) -> None:
        """Bring what was written at the cursor to the disk's cache, where others see it."""
        self.file.flush()
        self._told("write")

    def content_fd(self, *, mappable: bool = True) -> int | None:
        """The descriptor whose bytes are this file's content, nothing buffered; None for one of a subclass that is not.

        It belongs to this file: do not close it, and do not use it after close().
        """
        kind: Any = type(self)
        if self._is_bare() and only_forwards(kind):
            return None if self._raw.closed else self._raw.fileno()
        return super().content_fd(mappable=mappable)

    def _is_bare(self) -> bool:
        """Whether the cursor has not been used yet."""
        return "file" not in self.__dict__

    def open(self, mode: str | None = None, *args: Any, **kwargs: Any) -> Self:
        """Go back to the beginning, or open the file of this name again if it was closed.

        ValueError when there is no such file. The further arguments are those of the builtin open().
        """
        if not self.closed or self._opener is None or not self.name:
            return super().open(mode, *args, **kwargs)
        try:
            self.file = open(self.name, mode or self.mode, *args, opener=self._opener, **kwargs)  # type: ignore[call-overload]
        except FileNotFoundError as error:
            raise ValueError("The file cannot be reopened.") from error
        return self

    def pread(self, size: int, offset: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer only at the end of the file. The cursor stays."""
        fd = self._flushed()
        data = os.pread(fd, size, offset)
        if len(data) == size or not data:
            return data
        parts = [data]
        got = len(data)
        while got < size and (data := os.pread(fd, size - got, offset + got)):
            parts.append(data)
            got += len(data)
        return b"".join(parts)

    def pwrite(self, data: bytes | memoryview, offset: int) -> int:
        """Write all of `data` at `offset` and return its length. The cursor stays.

        A file opened for appending appends wherever `offset` is: that is what the system does.
        """
        fd = self._flushed(unread=True)
        length = written = os.pwrite(fd, data, offset)
        if length < len(data):
            rest = memoryview(data)
            while written < len(rest):
                written += os.pwrite(fd, rest[written:], offset + written)
        self._forget_size()
        self._told("write")
        return written

    def truncate(self, size: int | None = None) -> int:
        """Cut the file off after `size` (the cursor's place), or extend it with zeros; returns the new size."""
        size = self.tell() if size is None else size
        os.ftruncate(self._flushed(unread=True), size)
        self._forget_size()
        self._told("write")
        return size

    def sync(self) -> None:
        """Return when content and attributes are on the disk."""
        os.fsync(self._flushed())

    def stat(self) -> Entry:
        """What the file is now, also after its name was removed or given to another."""
        return entry_of_stat((self.name or "").rpartition("/")[2], os.fstat(self._flushed()))

    def identity(self) -> tuple[int, int]:
        """Device and inode number."""
        return identity_of_stat(os.fstat(self._flushed()))

    def set_attributes(
        self,
        *,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
        atime_ns: int | None = None,
        mtime_ns: int | None = None,
    ) -> None:
        """Change what is given: the owner, then the mode, then the times."""
        fd = self._flushed()  # or the times would change again
        set_attributes_of_fd(fd, mode=mode, uid=uid, gid=gid, atime_ns=atime_ns, mtime_ns=mtime_ns)
        self._told("attributes")

    def allocate(self, mode: int, offset: int, length: int) -> None:
        """Make room for a range, or give it back, by fallocate(2); NotImplementedError for a mode it does not have."""
        fallocate(self._flushed(unread=True), mode, offset, length)
        self._forget_size()
        self._told("write")

    def seek_data(self, offset: int) -> int:
        """Where the first data at or behind `offset` begin; OSError (ENXIO) when none follow."""
        return extents.seek_data(self._flushed(), offset)

    def seek_hole(self, offset: int) -> int:
        """Where the first hole at or behind `offset` begins, at the latest the end; OSError (ENXIO) behind the end."""
        return extents.seek_hole(self._flushed(), offset)

    def copy_range(self, offset: int, target: File, target_offset: int, size: int) -> int:
        """Copy up to `size` bytes inside the kernel; NotImplementedError where it cannot, or `target` is not local.

        Returns how many; 0 only at the end of this file.
        """
        if not isinstance(target, LocalFile):
            raise NotImplementedError(f"{target!r} is no local file")
        copied = extents.copy_range(self._flushed(), offset, target._flushed(unread=True), target_offset, size)
        target._forget_size()
        target._told("write")
        return copied

    def _told(self, action: str) -> None:
        if self._tell is not None:
            self._tell(action, self.identity())

    def _flushed(self, *, unread: bool = False) -> int:
        """The descriptor, after what the cursor has written has gone to it; with `unread`, what was read ahead is
        forgotten.
        """
        if self._is_bare():
            return self._raw.fileno()
        file = self.file
        if file.writable():
            file.flush()  # which drops what a "+" file has read ahead, too
            if unread and isinstance(file, io.TextIOBase) and file.readable():
                file.seek(file.tell())
        fd: int = file.fileno()
        return fd
