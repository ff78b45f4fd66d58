"""The same done to many things, one after the other or several at once."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from vfs.cli.errors import CancelledError, warn
from vfs.cli.progress import Progress

if TYPE_CHECKING:
    from storage.base import Storage

JOBS = 8
"""How many requests are under way at once where that means to wait for a network."""

_THREADS = "vfs-crew"

Item = TypeVar("Item")


def jobs_for(storages: Iterable[Storage]) -> int:
    """How many things to do at once: several where one of the storages may wait for a network."""
    return JOBS if any(storage.blocking for storage in storages) else 1


class Crew:
    """Some threads, or none, that work through a list."""

    def __init__(self, jobs: int) -> None:
        """With one job everything is done in the caller's thread."""
        self._jobs = jobs
        self.cancelled = threading.Event()

    def work(self, function: Callable[[Item], None], items: Sequence[Item]) -> None:
        """Call `function` with each item; the first exception, Ctrl-C included, ends it all and is raised."""
        if self._jobs <= 1 or len(items) < 2:
            for item in items:
                function(item)
            return
        pool = ThreadPoolExecutor(min(self._jobs, len(items)), thread_name_prefix=_THREADS)
        try:
            for future in [pool.submit(function, item) for item in items]:
                future.result()
        except BaseException as error:
            self.cancelled.set()
            pool.shutdown(wait=False, cancel_futures=True)
            if isinstance(error, KeyboardInterrupt):
                warn("waiting for the requests that are under way; Ctrl-C again to give them up")
            pool.shutdown()  # a second Ctrl-C ends this
            raise
        pool.shutdown()


def is_unfinished() -> bool:
    """Whether threads of a crew are still busy, because waiting for them was interrupted."""
    return any(thread.name.startswith(_THREADS) for thread in threading.enumerate())


class Counted(io.BufferedIOBase):
    """A file that is being read to be stored elsewhere: tells how far it is, and stops when the work is cancelled."""

    def __init__(self, file: BinaryIO, progress: Progress, cancelled: threading.Event) -> None:
        """Read `file`, which stays the caller's to close."""
        self._file = file
        self._progress = progress
        self._cancelled = cancelled
        self._position = 0
        self._told = 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """As the file is; a backend may want to read it twice."""
        return bool(self._file.seekable())

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go elsewhere."""
        self._file.seek(offset, whence)
        self._position = self._file.tell()
        return self._position

    def tell(self) -> int:
        """Where the next read begins."""
        return self._position

    def read(self, size: int | None = -1, /) -> bytes:
        """As the file's; CancelledError when nobody wants it any more."""
        if self._cancelled.is_set():
            raise CancelledError
        data: bytes = self._file.read(-1 if size is None else size)
        self._position += len(data)
        if self._position > self._told:  # what is read a second time is no progress
            self._progress.moved(self._position - self._told)
            self._told = self._position
        return data

    def read1(self, size: int = -1, /) -> bytes:
        """As `read()`."""
        return self.read(size)
