"""WholeFile: a file opened for writing on a storage that takes whole objects alone.

What is written is collected in a local temporary file, which begins as what is stored where the mode keeps that. It is
stored whole by close(), over the version that it was made from; a `with` block that fails stores nothing.
"""

from __future__ import annotations

import errno
import io
import tempfile
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple, NoReturn, Self

from storage.entry import Entry
from storage.exceptions import os_error
from storage.files import File

_IN_MEMORY = 2**20
"""Content of up to so many bytes does without a file on the disk."""


class Basis(NamedTuple):
    """What a file opened for writing begins with, and what it requires of the storage when it is stored."""

    before: File | None = None
    if_version: str | None = None
    if_absent: bool = False


def basis_of(name: str, mode: str, find: Callable[[str], Entry | None], read: Callable[[], File]) -> Basis:
    """The basis of a file opened in a mode that writes; ValueError for what is no mode.

    FileNotFoundError for "r+" of what is missing, FileExistsError for "x" of what is there. `find` says what there is,
    and `read` opens it.
    """
    kind = mode.replace("b", "").replace("t", "")
    if kind not in ("r+", "w", "w+", "a", "a+", "x", "x+"):
        raise ValueError(f"invalid mode: {mode!r}")
    if "w" in kind:
        return Basis()
    if "r" not in kind:
        is_there = find(name) is not None
        if "x" in kind and is_there:
            raise os_error(errno.EEXIST, name)
        if not is_there:
            return Basis(if_absent=True)
    before = read()
    return Basis(before, before.stat().version)


class WholeFile(File):
    """A file opened "wb", "xb", "ab", "r+b" or so; as text without the "b"."""

    def __init__(self, name: str, mode: str, before: File | None, store: Callable[[File], object]) -> None:
        """Begin with the content of `before`, which is closed; close() gives `store` what there is by then.

        That is not called where there was something before, and nothing was written.
        """
        self.name = name
        self.mode = mode
        self._store = store
        self._is_dirty = before is None
        self._content: Any = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)
        try:
            if before is not None:
                self._begin(before)
        except BaseException:
            self._content.close()
            raise
        text = "b" not in mode
        self.file: Any = io.TextIOWrapper(self._content, "utf-8", newline="\n") if text else self._content
        if text and "a" in mode:
            self.file.seek(0, io.SEEK_END)

    def _begin(self, before: File) -> None:
        with before:
            for chunk in before.chunks(2**20):
                self._content.write(chunk)
        self._content.seek(0, io.SEEK_END if "a" in self.mode else io.SEEK_SET)

    @property
    def closed(self) -> bool:
        """Whether it was stored or given up."""
        return bool(self._content.closed)

    def readable(self) -> bool:
        """Whether the mode says so."""
        return not self.closed and ("r" in self.mode or "+" in self.mode)

    def writable(self) -> bool:
        """Yes, until it is closed."""
        return not self.closed

    def write(self, data: Any) -> int:
        """Write at the cursor."""
        self._is_dirty = True
        written: int = self.file.write(data)
        return written

    def writelines(self, lines: Any) -> None:
        """Write each."""
        for line in lines:
            self.write(line)

    def truncate(self, size: int | None = None) -> int:
        """Cut or grow (with zeros) to `size`, by default the cursor's place; returns it."""
        self._is_dirty = True
        return super().truncate(size)

    @property
    def size(self) -> int:
        """The size in bytes by now."""
        self.file.flush()
        return self._size_by_seeking()

    def open(self, mode: str | None = None, *args: Any, **kwargs: Any) -> Self:
        """Go back to the beginning; ValueError once it is closed."""
        if self.closed:
            raise ValueError("The file cannot be reopened.")
        self.seek(0)
        return self

    def close(self) -> None:
        """Store what was written; where that fails the file is closed, and the storage as it was."""
        if self.closed:
            return
        try:
            self.file.flush()
            if self._is_dirty:
                self._content.seek(0)
                self._store(File(self._content, self.name))
        finally:
            self._content.close()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Close, or, where the block has failed, forget what was written."""
        if exc_type is None:
            self.close()
        else:
            self._content.close()

    def content_fd(self, *, mappable: bool = True) -> None:
        """None: what is written to the copy is not stored by that."""
        return

    def __getstate__(self) -> NoReturn:
        """An open file cannot be copied: TypeError, as of any other."""
        raise TypeError(f"cannot pickle {type(self).__name__!r} object")
