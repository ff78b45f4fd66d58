"""Files opened for writing: a local copy, stored whole when it is closed."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from typing import Any, NoReturn

from storage.files import File


class PendingFile(File):
    """What is written goes to an unnamed local file; close() stores it, unless nothing was written to an old one."""

    def __init__(self, name: str, mode: str, before: File | None, store: Callable[[File], object]) -> None:
        """Begin with the content of `before`, which is closed; `store` is given the finished content by close()."""
        self.name = name
        self.mode = mode
        self._store = store
        self._is_dirty = before is None
        self._content = tempfile.TemporaryFile()
        try:
            if before is not None:
                with before:
                    for chunk in before.chunks(2**20):
                        self._content.write(chunk)
                self._content.seek(0, io.SEEK_END if "a" in mode else io.SEEK_SET)
        except BaseException:
            self._content.close()
            raise
        text = "b" not in mode
        self.file: Any = io.TextIOWrapper(self._content, "utf-8", newline="\n") if text else self._content
        if text and "a" in mode:
            self.file.seek(0, io.SEEK_END)

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
            self.file.close()

    def content_fd(self, *, mappable: bool = True) -> None:
        """None: what is written to the copy is not stored by that."""
        return

    def __getstate__(self) -> NoReturn:
        """An open file cannot be copied: TypeError, as of any other."""
        raise TypeError(f"cannot pickle {type(self).__name__!r} object")
