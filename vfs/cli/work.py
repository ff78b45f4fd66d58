"""The same done to many things, one after the other or several at once."""

from __future__ import annotations

import io
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from vfs.cli.errors import CancelledError, warn
from vfs.cli.progress import Progress

if TYPE_CHECKING:
    from storage.base import Storage

JOBS = 8
"""How many requests are under way at once where that means to wait for a network."""

MOMENT = 0.5
"""Seconds after which a Ctrl-C is noticed in any case."""

Item = TypeVar("Item")

_INTERRUPT = object()


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
        """Call `function` with each item; the first exception, Ctrl-C included, ends it all and is raised.

        After a Ctrl-C the requests that are under way are waited for, until a second one.
        """
        if self._jobs <= 1 or len(items) < 2:
            for item in items:
                function(item)
            return
        told: SimpleQueue[Any] = SimpleQueue()
        rest = iter(items)
        taking = threading.Lock()

        def member() -> None:
            try:
                while not self.cancelled.is_set():
                    with taking:
                        item = next(rest, None)
                    if item is None:
                        break
                    function(item)
                told.put(None)
            except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
                told.put(error)

        count = min(self._jobs, len(items))
        with _interrupts_told_to(told):
            for number in range(count):
                # At the end of the process nobody waits for a daemon thread whose request hangs.
                threading.Thread(target=member, name=f"vfs {number}", daemon=True).start()
            self._wait_for(count, told)

    def _wait_for(self, members: int, told: SimpleQueue[Any]) -> None:
        """Return when all members have ended; raise the first exception of one, or KeyboardInterrupt."""
        failure: BaseException | None = None
        while members:
            message = _next_of(told)
            if message is _INTERRUPT:
                if isinstance(failure, KeyboardInterrupt):
                    raise failure
                failure = KeyboardInterrupt()
                self.cancelled.set()
                warn("waiting for the requests that are under way; Ctrl-C again to give them up")
                continue
            members -= 1
            if message is not None:
                failure = failure or message
                self.cancelled.set()
        if failure is not None:
            raise failure


def _next_of(queue: SimpleQueue[Any]) -> Any:
    """The next message, also that of a Ctrl-C which came the very moment before the wait, and did not end it."""
    while True:
        with suppress(Empty):
            return queue.get(timeout=MOMENT)


@contextmanager
def _interrupts_told_to(queue: SimpleQueue[Any]) -> Iterator[None]:
    """Put Ctrl-C into a queue meanwhile, as an exception might come inside one of the locks that threads share."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, lambda *_: queue.put(_INTERRUPT))  # which is made for use in signal handlers
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


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
