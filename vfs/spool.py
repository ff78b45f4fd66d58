"""Bytes on local disk that a storage does not have yet, or that were fetched to be changed.

A storage that takes whole objects only is written through here: an open file's content is a `SpoolFile`, and
`storage.replace()` gets it when the file is flushed. What could not be stored by the last close stays on disk, with a
note beside it (`NAME.json`) that says what it was to become; nothing in this module ever deletes such a pair by
itself.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path

from storage import extents

CHUNK = 1 << 20
"""Bytes copied at a time."""


class SpoolFile:
    """The content of one open file, in a file of the spool; all offsets and sizes in bytes."""

    def __init__(self, directory: Path) -> None:
        """An empty file in `directory`, which must exist."""
        self.fd, path = tempfile.mkstemp(dir=directory, prefix="content-")
        self.path = Path(path)

    def pread(self, size: int, offset: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer only at the end."""
        data = os.pread(self.fd, size, offset)
        while len(data) < size and (more := os.pread(self.fd, size - len(data), offset + len(data))):
            data += more
        return data

    def pwrite(self, data: bytes | memoryview, offset: int) -> int:
        """Write all of `data` at `offset`; OSError (ENOSPC) when the disk of the spool is full."""
        view, written = memoryview(data), 0
        while written < len(view):
            written += os.pwrite(self.fd, view[written:], offset + written)
        return written

    def truncate(self, size: int) -> None:
        """Cut or extend with zeros."""
        os.ftruncate(self.fd, size)

    def size(self) -> int:
        """The length of the content."""
        return os.fstat(self.fd).st_size

    def fill(self, chunks: Iterable[bytes]) -> None:
        """Replace the content by `chunks`; on an error the file is left empty."""
        offset = 0
        try:
            for chunk in chunks:
                offset += self.pwrite(chunk, offset)
        except BaseException:
            self.truncate(0)
            raise

    def fill_from(self, other: SpoolFile, size: int) -> None:
        """Replace the content by the first `size` bytes of `other`; on an error the file is left empty."""
        try:
            if extents.copy_range(other.fd, 0, self.fd, 0, size) == min(size, other.size()):
                return
        except NotImplementedError:
            pass  # this filesystem copies through us
        except BaseException:
            self.truncate(0)
            raise
        self.fill(other.pread(min(CHUNK, size - at), at) for at in range(0, min(size, other.size()), CHUNK))

    def keep(self, **note: object) -> Path:
        """Close but leave the bytes on disk, with `note` beside them; returns where they are."""
        os.fsync(self.fd)
        os.close(self.fd)
        self.path.with_suffix(".json").write_text(json.dumps(note))
        return self.path

    def discard(self) -> None:
        """Close and delete."""
        os.close(self.fd)
        self.path.unlink(missing_ok=True)


class Spool:
    """The folder (0700) with the spooled content of one mount; made when it is first needed."""

    def __init__(self, directory: Path | None = None) -> None:
        """A spool in `directory`, by default a new folder in the user's cache folder."""
        self._directory = directory
        self._made = False
        self._lock = threading.Lock()

    @property
    def directory(self) -> Path:
        """The folder, which exists from now on."""
        with self._lock:
            if not self._made:
                if self._directory is None:
                    parent = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vfs" / "spool"
                    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    self._directory = Path(tempfile.mkdtemp(dir=parent, prefix=f"{os.getpid()}-"))
                else:
                    self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._made = True
            assert self._directory is not None
            return self._directory

    def open(self) -> SpoolFile:
        """A new empty file; OSError when the disk has no room for it."""
        return SpoolFile(self.directory)

    def kept(self) -> list[Path]:
        """The contents that are on disk because no storage has them."""
        if not self._made or self._directory is None:
            return []
        return [path.with_suffix("") for path in self._directory.glob("*.json")]

    def close(self) -> None:
        """Remove the folder if it holds nothing."""
        if self._made and self._directory is not None and not any(self._directory.iterdir()):
            self._directory.rmdir()
            self._made = False
