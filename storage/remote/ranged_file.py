"""RangedFile: an object elsewhere, read by ranges.

A client that can fetch any part of an object needs no local copy of it: `pread()` is one such fetch, and reading in
order goes through a buffer. What is read is one version, the one of the entry that the file was made with: a fetch that
finds another raises VersionMismatchError, which is the fetch's to notice.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from functools import cached_property
from typing import Any, NoReturn, Self

from storage.entry import Entry
from storage.files import File

_BUFFER = 4 * 2**20
"""What reading in order fetches at a time, at least."""

Fetch = Callable[[Entry, int, int], bytes]
"""The bytes of a version from one offset to another, which is behind it and not behind the end."""
Answer = Callable[[Entry, int], Any]
"""All of a version from an offset on, see `File.stream()`."""


class RangedFile(File):
    """A file opened for reading, whose bytes `fetch` gets; of a text file, `pread()` gives bytes all the same."""

    ranged = True

    def __init__(
        self,
        name: str,
        entry: Entry,
        fetch: Fetch,
        look: Callable[[], Entry],
        *,
        mode: str = "rb",
        answer: Answer = lambda entry, offset: None,
    ) -> None:
        """Of the version that `entry` describes; nothing is fetched yet.

        `look` tells what has the name by then. `answer` is for `stream()`.
        """
        self.name = name
        self.mode = mode
        self._entry = entry
        self._fetch = fetch
        self._look = look
        self._answer = answer
        self._is_closed = False

    @cached_property
    def file(self) -> Any:
        """The file object with a cursor, made when it is first used."""
        reader = io.BufferedReader(_Cursor(self), min(_BUFFER, max(self.size, 1)))
        return reader if "b" in self.mode else io.TextIOWrapper(reader, "utf-8", newline="\n")

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._is_closed

    @property
    def size(self) -> int:
        """The size in bytes of the version that is open."""
        return self._entry.size

    def stat(self) -> Entry:
        """The version that is open."""
        self._require_open()
        return self._entry

    def pread(self, size: int, offset: int) -> bytes:
        """Up to `size` bytes from `offset`, by one fetch; fewer only at the end."""
        self._require_open()
        end = min(offset + size, self.size)
        return self._fetch(self._entry, offset, end) if offset < end else b""

    def stream(self, offset: int) -> Any:
        """What is from `offset` on as one answer, where the client has such."""
        self._require_open()
        return self._answer(self._entry, offset)

    def open(self, mode: str | None = None, *args: Any, **kwargs: Any) -> Self:
        """Go back to the beginning, or open what has the name by now if it was closed; ValueError where nothing has."""
        if not self.closed:
            self.seek(0)
            return self
        try:
            self._entry = self._look()
        except FileNotFoundError as error:
            raise ValueError("The file cannot be reopened.") from error
        self.__dict__.pop("file", None)
        self._is_closed = False
        return self

    def close(self) -> None:
        """Refuse what follows."""
        if "file" in self.__dict__:
            self.file.close()
        self._is_closed = True

    def content_fd(self, *, mappable: bool = True) -> None:
        """None: the content is elsewhere."""
        return

    def __getstate__(self) -> NoReturn:
        """An open file cannot be copied: TypeError, as of any other."""
        raise TypeError(f"cannot pickle {type(self).__name__!r} object")

    def _require_open(self) -> None:
        if self._is_closed:
            raise ValueError("I/O operation on closed file.")


class _Cursor(io.RawIOBase):
    """A place in an object."""

    def __init__(self, file: RangedFile) -> None:
        self._file = file
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._file.size}[whence]
        if start + offset < 0:
            raise ValueError(f"negative seek value {start + offset}")
        self._position = start + offset
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        data = self._file.pread(len(view), self._position)
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def readall(self) -> bytes:
        """All that is left at once, where the default would go by small pieces."""
        data = self._file.pread(self._file.size, self._position)
        self._position += len(data)
        return data
