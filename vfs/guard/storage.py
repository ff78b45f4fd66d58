"""The storage that a mount talks to in place of one that waits for a network; see `vfs.guard`."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from typing import Any, TypeVar

from storage.base import Condition, Storage, overrides
from storage.changes import Callback, Subscription
from storage.entry import Change, Entry
from storage.files import File
from storage.remote.wire import COPIED_A_SECOND, Wire
from vfs.guard.calls import Calls, HungError, TakenError, progress_of_this_call
from vfs.guard.circuit import Circuit, is_outage
from vfs.watch.metrics import Requests, Traffic

PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6)
"""Seconds before what only reads is tried again, more or less a half."""
BRIDGED = sum(PAUSES)
"""Seconds after which it is not: a backend's client may have tried as long by itself."""
MOVING = 20.0
"""How much longer the rename of a directory may take: some servers copy all that is in it, and say nothing."""

GRACE = 5.0
"""Seconds more for a storage that ends its calls by itself, which is better than to leave them."""

T = TypeVar("T")
logger = logging.getLogger("vfs")


class Guard:
    """How calls of one backend are made."""

    def __init__(self, seconds: float, circuit: Circuit | None = None, *, asks_here: bool = False) -> None:
        """Calls fail after `seconds` without progress.

        `asks_here` says that they do so by themselves: those which change nothing need no thread of their own then.
        """
        self.calls = Calls(seconds + GRACE if asks_here else seconds, Wire())
        self.circuit = circuit or Circuit()
        self.asks_here = asks_here
        self.requests = Requests()
        """What was asked of the backend, each attempt by itself, by method; errors by their class."""
        self.traffic = Traffic()
        self._closed = threading.Event()

    def wait_for(self, seconds: float, deadline: float | None) -> None:
        """New calls fail after `seconds`; `deadline` is that by which a storage ends its own, None for never."""
        self.asks_here = deadline is not None and deadline <= seconds
        self.calls.seconds = seconds + GRACE if self.asks_here else seconds

    def ask(self, method: str, function: Callable[[], T], size: int = 0) -> T:
        """What a call returns that changes nothing, and brings `size` bytes; tried again after a short outage."""
        end = time.monotonic() + BRIDGED
        for pause in PAUSES:
            try:
                return self._asked(method, function, size)
            except Exception as error:
                late = isinstance(error, HungError) or time.monotonic() >= end
                if late or not is_outage(error) or self.circuit.is_open:
                    raise
            if self._closed.wait(pause * random.uniform(0.5, 1.5)):  # noqa: S311 - clients are not to come in step
                break
        return self._asked(method, function, size)

    def change(
        self,
        method: str,
        function: Callable[[], T],
        *names: str,
        size: int = 0,
        moves: Callable[[], Entry] | None = None,
    ) -> T:
        """What a call returns that may change `names`; made once.

        It has time for a copy of what `moves` says that it is, as that is said.
        """

        def needs() -> float:
            assert moves is not None
            entry = self._counted("stat", moves)
            return self.calls.seconds * MOVING if entry.is_dir else (entry.size or 0) / COPIED_A_SECOND

        asks = None if moves is None else needs
        self.calls.refuse_taken(names)  # before the circuit is entered, which lets one call alone try for all
        return self._counted(method, lambda: self.calls.make(function, changes=names, size=size, needs=asks))

    def _asked(self, method: str, function: Callable[[], T], size: int) -> T:
        return self._counted(method, function) if self.asks_here else self.change(method, function, size=size)

    def _counted(self, method: str, call: Callable[[], T]) -> T:
        """What a call returns, of whose end the circuit is told."""
        self.circuit.enter()
        began = time.monotonic_ns()
        try:
            value = call()
        except TakenError:  # it says nothing of the backend
            raise
        except Exception as error:
            self.requests.errors[method, type(error).__name__] += 1
            logger.debug("%s failed: %s: %s", method, type(error).__name__, error)
            if is_outage(error):
                waited = (time.monotonic_ns() - began) / 10**9
                self.circuit.failed(error, waited=waited, hung=waited >= self.calls.seconds / 2)
            else:
                self.circuit.succeeded()
            raise
        finally:
            self.requests[method].add(time.monotonic_ns() - began)
        self.circuit.succeeded()
        return value

    def close(self) -> None:
        """Try nothing again, and let the threads go."""
        self._closed.set()
        self.calls.close()


class GuardedStorage(Storage):
    """Django's surface of a guarded storage; the rest is added for each by `guarded()`."""

    def __init__(self, storage: Storage, guard: Guard) -> None:
        """In front of `storage`."""
        self.storage = storage
        self.guard = guard
        self.blocking = True
        self._root: Entry | None = None
        """What was said of the root last: while the mount is there, so is its root."""
        self.name_max = storage.name_max
        self.takes_looked_up = storage.takes_looked_up
        self.dates_directories = storage.dates_directories

    @property
    def name_forbidden(self) -> str:
        """As the storage has it."""
        return self.storage.name_forbidden

    def check_name(self, name: str) -> None:
        """As the storage does."""
        self.storage.check_name(name)

    @property
    def stores_attributes(self) -> bool:
        """As the storage does."""
        return self.storage.stores_attributes

    @property
    def renames_directories(self) -> bool:
        """As the storage does."""
        return self.storage.renames_directories

    def does_itself(self, operation: str) -> bool:
        """As the storage does."""
        return self.storage.does_itself(operation)

    def holds(self, condition: Condition) -> bool | None:
        """As the storage does."""
        return self.guard.ask("holds", lambda: self.storage.holds(condition))

    def open(self, name: str, mode: str = "rb") -> File:
        """Open a file of the storage, whose reads are guarded as well."""
        return GuardedFile(self.guard.ask("open", lambda: self.storage.open(name, mode)), self.guard)

    def save(self, name: str | None, content: Any, max_length: int | None = None) -> str:
        """Store under a free name like `name`; what is read of the content is progress."""
        return self.guard.change(
            "save", lambda: self.storage.save(name, _watched(content, self.guard.traffic), max_length), name or ""
        )

    def delete(self, name: str) -> None:
        """Delete what is called `name`."""
        self.guard.change("delete", lambda: self.storage.delete(name), name)

    def exists(self, name: str) -> bool:
        """Whether there is anything called `name`."""
        return self.guard.ask("exists", lambda: self.storage.exists(name))

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        """The names of directories and files in `path`."""
        return self.guard.ask("listdir", lambda: self.storage.listdir(path))

    def size(self, name: str) -> int:
        """The size in bytes."""
        return self.guard.ask("size", lambda: self.storage.size(name))

    def get_modified_time(self, name: str) -> Any:
        """When it was changed last."""
        return self.guard.ask("get_modified_time", lambda: self.storage.get_modified_time(name))

    def url(self, name: str | None) -> str:
        """Where it can be fetched."""
        return self.storage.url(name)

    def subscribe(self, callback: Callback) -> Subscription:
        """Tell `callback` of what others change through the storage itself, beside the mount."""

        def tell(change: Change) -> None:
            if not self.guard.calls.is_here:
                callback(change)

        return self.storage.subscribe(tell)

    def close(self) -> None:
        """Close the storage."""
        self.guard.close()
        self.storage.close()


class GuardedFile(File):
    """An open file of a guarded storage."""

    def __init__(self, file: File, guard: Guard) -> None:
        """In front of `file`."""
        super().__init__(file, file.name)
        self.ranged = file.ranged
        self._guard = guard

    @cached_property
    def size(self) -> int:
        """The size in bytes."""
        return self._guard.ask("size", lambda: int(self.file.size))

    def pread(self, size: int, offset: int) -> bytes:
        """Up to `size` bytes from `offset`; tried again after a short outage if it is a request of its own."""
        call = self._guard.ask if self.ranged else self._guard.change
        data: bytes = call("pread", lambda: self.file.pread(size, offset), size=size)
        count = len(data)
        self._guard.traffic.read += count
        return data

    def stream(self, offset: int) -> Any:
        """As the file has it, where the storage ends its calls by itself."""
        if not self._guard.asks_here:
            return None
        began = time.monotonic_ns()
        source = self.file.stream(offset)
        return _Stream(source, self._guard, began) if source is not None else None

    def read(self, size: int | None = -1) -> bytes:
        """Up to `size` bytes at the cursor."""
        wanted = self.size if size is None or size < 0 else size
        data: bytes = self._guard.change("read", lambda: self.file.read(-1 if size is None else size), size=wanted)
        count = len(data)
        self._guard.traffic.read += count
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move the cursor, which some backends fetch the whole content for."""
        position: int = self._guard.change("seek", lambda: self.file.seek(offset, whence))
        return position

    def stat(self) -> Entry:
        """What is known of the open file."""
        entry: Entry = self._guard.ask("stat", self.file.stat)
        return entry

    def close(self) -> None:
        """Close the file, which for one that is read in parts is no request."""
        if self.ranged:
            self.file.close()
        else:
            self._guard.calls.make(self.file.close)


class _Stream:
    """An answer that goes on, whose bytes are counted; its latency is that of the first of them."""

    def __init__(self, source: Any, guard: Guard, began: int) -> None:
        self._source = source
        self._guard = guard
        self._began = began
        """When it was asked for (time.monotonic_ns); 0 once it has begun to come."""

    def read(self, size: int, /) -> bytes | bytearray:
        try:
            data: bytes | bytearray = self._source.read(size)
        except Exception as error:
            self._guard.requests.errors["stream", type(error).__name__] += 1
            raise
        finally:
            if self._began:
                self._guard.requests["stream"].add(time.monotonic_ns() - self._began)
                self._began = 0
        count = len(data)
        self._guard.traffic.read += count
        return data

    def close(self) -> None:
        self._source.close()


class _Watched:
    """A content whose reads are progress of the call that stores it; in all else the content itself."""

    def __init__(self, content: Any, tell: Callable[[int], None], traffic: Traffic) -> None:
        self._content = content
        self._tell = tell
        self._traffic = traffic

    def read(self, *size: int) -> Any:
        data = self._content.read(*size)
        count = len(data)
        self._tell(count)
        self._traffic.written += count
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)


def _watched(content: Any, traffic: Traffic) -> File:
    return File(_Watched(content, progress_of_this_call(), traffic), getattr(content, "name", None))


def _entries(scan: Callable[[str], Iterator[Entry]], path: str) -> list[Entry]:
    """All entries of a directory; each is progress."""
    tell = progress_of_this_call()
    entries = []
    for entry in scan(path):
        tell(0)
        entries.append(entry)
    return entries


class _Extended(GuardedStorage):
    """The extended surface, of which a guarded storage gets what its storage has."""

    def stat(self, name: str) -> Entry:
        if name:
            return self.guard.ask("stat", lambda: self.storage.stat(name))
        try:
            self._root = self.guard.ask("stat", lambda: self.storage.stat(""))
        except OSError as error:
            if self._root is None or not is_outage(error):
                raise
        return self._root

    def scandir(self, path: str = "") -> Iterator[Entry]:
        return iter(self.guard.ask("scandir", lambda: _entries(self.storage.scandir, path)))

    def glance(self, path: str = "") -> Iterator[Entry]:
        return iter(self.guard.ask("glance", lambda: _entries(self.storage.glance, path)))

    def open_version(self, name: str, entry: Entry) -> File:
        return GuardedFile(self.guard.ask("open_version", lambda: self.storage.open_version(name, entry)), self.guard)

    def replace(self, name: str, content: Any, **wishes: Any) -> Entry:
        return self.guard.change(
            "replace", lambda: self.storage.replace(name, _watched(content, self.guard.traffic), **wishes), name
        )

    def copy(self, src: str, dst: str) -> None:
        self.guard.change("copy", lambda: self.storage.copy(src, dst), dst, moves=partial(self.storage.stat, src))

    def rename(self, src: str, dst: str, flags: int = 0, **seen: Any) -> Entry | None:
        what = partial(self.storage.stat, src)
        return self.guard.change("rename", lambda: self.storage.rename(src, dst, flags, **seen), src, dst, moves=what)

    def rename_version(self, src: str, entry: Entry, dst: str, flags: int = 0) -> None:
        self.guard.change(
            "rename_version",
            lambda: self.storage.rename_version(src, entry, dst, flags),
            src,
            dst,
            moves=partial(self.storage.stat, src),
        )

    def unlink(self, name: str) -> None:
        self.guard.change("unlink", lambda: self.storage.unlink(name), name)

    def mkdir(self, name: str, **wishes: Any) -> Entry | None:
        return self.guard.change("mkdir", lambda: self.storage.mkdir(name, **wishes), name)

    def rmdir(self, name: str) -> None:
        self.guard.change("rmdir", lambda: self.storage.rmdir(name), name)

    def symlink(self, target: str, name: str, *, uid: int | None = None, gid: int | None = None) -> None:
        self.guard.change("symlink", lambda: self.storage.symlink(target, name, uid=uid, gid=gid), name)

    def readlink(self, name: str) -> str:
        return self.guard.ask("readlink", lambda: self.storage.readlink(name))

    def link(self, src: str, dst: str) -> None:
        self.guard.change("link", lambda: self.storage.link(src, dst), dst)

    def mknod(self, name: str, mode: int, rdev: int = 0, *, uid: int | None = None, gid: int | None = None) -> None:
        self.guard.change("mknod", lambda: self.storage.mknod(name, mode, rdev, uid=uid, gid=gid), name)

    def set_attributes(self, name: str, **changes: int | None) -> None:
        self.guard.change("set_attributes", lambda: self.storage.set_attributes(name, **changes), name)

    def getxattr(self, name: str, key: str) -> bytes:
        return self.guard.ask("getxattr", lambda: self.storage.getxattr(name, key))

    def setxattr(self, name: str, key: str, value: bytes, flags: int = 0) -> None:
        self.guard.change("setxattr", lambda: self.storage.setxattr(name, key, value, flags), name)

    def listxattr(self, name: str) -> list[str]:
        return self.guard.ask("listxattr", lambda: self.storage.listxattr(name))

    def removexattr(self, name: str, key: str) -> None:
        self.guard.change("removexattr", lambda: self.storage.removexattr(name, key), name)

    def usage(self) -> Any:
        return self.guard.ask("usage", self.storage.usage)


def guarded(storage: Storage, seconds: float, circuit: Circuit | None = None) -> Storage:
    """`storage`, whose calls fail after `seconds` without progress; itself if it waits for nothing.

    What it has of the extended surface is guarded as a whole; for the rest stand the defaults, over guarded calls.
    """
    if not storage.blocking:
        return storage
    kind = type(storage)
    has = {
        name: method for name, method in vars(_Extended).items() if not name.startswith("_") and overrides(kind, name)
    }
    made: type[GuardedStorage] = type(f"Guarded{kind.__name__}", (GuardedStorage,), has)
    asks_here = storage.deadline is not None and storage.deadline <= seconds
    return made(storage, Guard(seconds, circuit, asks_here=asks_here))
