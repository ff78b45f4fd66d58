"""Backends of others, as the command line meets them."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from storage import Entry, File, FileSystemStorage, Storage


class Bucket:
    """An object store by Django's methods alone: no directories, no attributes, a taken name gives another."""

    together: ClassVar[threading.Barrier | None] = None
    """Where set, saves wait here for each other."""
    refused: ClassVar[str | None] = None
    """Where set, saving this name fails as a server would."""

    def __init__(self, location: str) -> None:
        self._files = FileSystemStorage(location)
        self._location = Path(location)
        self._deleting = threading.Lock()

    def open(self, name: str, mode: str = "rb") -> File:
        return self._files.open(name, mode)

    def save(self, name: str, content: Any, max_length: int | None = None) -> str:
        if self.together is not None:
            self.together.wait(20)
        if name == self.refused:
            raise RuntimeError("quota \x1b[31mexceeded")
        return self._files.save(name, content, max_length)

    def delete(self, name: str) -> None:
        with self._deleting:
            self._files.delete(name)
            for directory in list(Path(name).parents)[:-1]:
                if not os.listdir(self._location / directory):
                    (self._location / directory).rmdir()

    def exists(self, name: str) -> bool:
        return (self._location / name).is_file()

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        return self._files.listdir(path) if (self._location / path).is_dir() else ([], [])

    def size(self, name: str) -> int:
        return self._files.size(name)

    def get_modified_time(self, name: str) -> datetime:
        return self._files.get_modified_time(name)

    def url(self, name: str) -> str:
        return f"https://bucket.example/{name}"


class Hanging(FileSystemStorage):
    """A folder whose listing never comes: a thread that is not to be interrupted waits for it."""

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        Path(self.location, "asked").touch()
        answer: tuple[list[str], list[str]] = ThreadPoolExecutor(1).submit(threading.Event().wait).result()
        return answer

    def scandir(self, path: str = "") -> Iterator[Entry]:
        return Storage.scandir(self, path)


class Folding(FileSystemStorage):
    """A folder as macOS and Windows have them: two names that differ by case alone are one."""

    def replace(self, name: str, content: Any, **conditions: Any) -> Entry:
        return super().replace(name.lower(), content, **conditions)

    def set_attributes(self, name: str, **attributes: Any) -> None:
        super().set_attributes(name.lower(), **attributes)


class Waiting(FileSystemStorage):
    """A folder in which a copy waits for somebody to open a FIFO, and to close it."""

    def __init__(self, location: str, fifo: str) -> None:
        super().__init__(location)
        self._fifo = Path(fifo)

    def copy(self, src: str, dst: str) -> None:
        with self._fifo.open() as fifo:
            fifo.read()
        super().copy(src, dst)


class _Native:
    """What a library's own threads hold, and cannot let go of while the interpreter ends."""

    def __del__(
        self, abort: Callable[[], object] = os.abort, is_ending: Callable[[], bool] = sys.is_finalizing
    ) -> None:
        if is_ending():
            abort()


class Native(FileSystemStorage):
    """A backend over such a library."""

    native: ClassVar[_Native | None] = None

    def __init__(self, location: str) -> None:
        super().__init__(location)
        type(self).native = _Native()
