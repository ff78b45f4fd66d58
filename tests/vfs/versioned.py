"""A folder as an object store would be: whole objects, versions, conditions that hold, no directories of its own."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Any

from storage import FileSystemStorage, Storage
from storage.entry import Entry
from storage.exceptions import VersionMismatchError
from storage.files import File

_LOCK = threading.Lock()


class VersionedStorage(FileSystemStorage):
    """Content goes through `save()` alone, which replaces in one step; a condition and its store are one, too.

    `stored` has the names of what was stored, in order. `faults` is a folder with an errno's name in the file `replace`
    for an error of each upload.
    """

    blocking = True
    mkdir = Storage.mkdir
    rmdir = Storage.rmdir
    rename = Storage.rename
    symlink = Storage.symlink
    mknod = Storage.mknod

    def __init__(self, location: Any = None, faults: str = "", **options: Any) -> None:
        super().__init__(location, allow_overwrite=True, **options)
        self.faults = Path(faults) if faults else None
        self.stored: list[str] = []

    def save(self, name: str | None, content: Any, max_length: int | None = None) -> str:
        return super().save(name, content, max_length)

    def replace(self, name: str, content: Any, *, if_version: str | None = None, if_absent: bool = False) -> Entry:
        self._fail("replace")
        with _LOCK:
            found = self.find(name)
            if if_absent and found is not None:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
            if if_version is not None and (found is None or found.version != if_version):
                raise VersionMismatchError(name)
            self.save(name, File(content))
            self.stored.append(name)
        return self.stat(name)

    def unlink(self, name: str) -> None:
        super().unlink(name)
        for above in Path(name).parents[:-1]:
            if any(Path(self.location, above).iterdir()):
                break
            Path(self.location, above).rmdir()

    def _fail(self, method: str) -> None:
        fault = self.faults / method if self.faults is not None else None
        if fault is not None and fault.exists():
            code: int = getattr(errno, fault.read_text())
            raise OSError(code, os.strerror(code))


class RangedStorage(VersionedStorage):
    """The same, read in parts of the version that was opened."""

    def open(self, name: str, mode: str = "rb") -> File:
        return RangedFile(self, name, self.stat(name)) if mode == "rb" else super().open(name, mode)

    def open_version(self, name: str, entry: Entry) -> File:
        return RangedFile(self, name, entry)


class RangedFile(File):
    ranged = True

    def __init__(self, storage: RangedStorage, name: str, entry: Entry) -> None:
        super().__init__(VersionedStorage.open(storage, name).file, name)
        self._storage = storage
        self._entry = entry

    def stat(self) -> Entry:
        return self._entry

    def content_fd(self, *, mappable: bool = True) -> None:
        return None

    def pread(self, size: int, offset: int) -> bytes:
        if self._storage.stat(self.name or "").version != self._entry.version:
            raise VersionMismatchError(self.name)
        return os.pread(self.file.fileno(), size, offset)
