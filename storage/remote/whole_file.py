"""WholeFile: a file opened for writing on a storage that takes whole objects alone.

What is written is collected in a local temporary file, which begins as what is stored where the mode keeps that, and is
stored whole by close(). A `with` block that fails stores nothing.
"""

from __future__ import annotations

import contextlib
import errno
import io
import shutil
import tempfile
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from storage.exceptions import os_error
from storage.files import File

if TYPE_CHECKING:
    from storage.base import Storage

_IN_MEMORY = 2**20
"""Content of up to so many bytes does without a file on the disk."""


class WholeFile(File):
    """A file opened "wb", "xb", "ab", "r+b" or so, of `storage`; as text without the "b"."""

    def __init__(self, storage: Storage, name: str, mode: str) -> None:
        """Make what close() will store; FileNotFoundError for "r+" of what is missing, FileExistsError for "x"."""
        self.name = name
        self.mode = mode
        self._storage = storage
        self._exclusive = "x" in mode
        if self._exclusive and storage.find(name) is not None:
            raise os_error(errno.EEXIST, name)
        self._content: Any = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)
        try:
            self._begin()
        except BaseException:
            self._content.close()
            raise
        self.file = self._content if "b" in mode else io.TextIOWrapper(self._content, encoding="utf-8", newline="")

    def _begin(self) -> None:
        if "r" in self.mode or "a" in self.mode:
            missing = contextlib.suppress(FileNotFoundError) if "a" in self.mode else contextlib.nullcontext()
            with missing, self._storage.open(self.name or "", "rb") as stored:
                shutil.copyfileobj(stored, self._content)
        if "r" in self.mode:
            self._content.seek(0)

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return bool(self._content.closed)

    def readable(self) -> bool:
        """Whether the mode says so."""
        return not self.closed and ("r" in self.mode or "+" in self.mode)

    def writable(self) -> bool:
        """Yes, until it is closed."""
        return not self.closed

    def open(self, mode: str | None = None, *args: Any, **kwargs: Any) -> Self:
        """Go back to the beginning; ValueError once it is closed."""
        if self.closed:
            raise ValueError("The file cannot be reopened.")
        self.seek(0)
        return self

    def close(self) -> None:
        """Store the content; what could not be stored is lost, and the error says so."""
        if self.closed:
            return
        try:
            self.file.flush()
            self._content.seek(0)
            self._storage.replace(self.name or "", File(self._content), if_absent=self._exclusive)
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
