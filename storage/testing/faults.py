"""FaultyStorage: a storage before another, which fails when and as it is told to.

It has what the other has of the extended surface, but never writes in place: contents go through `save()` or
`replace()`, where they can fail as they do on a real server. Errors are raised before the other is asked, so what
failed was not done; a content that is cut off or finds no room is read up to there.
"""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

from storage.base import Condition, Storage, overrides
from storage.changes import Callback, Subscription
from storage.entry import Entry
from storage.exceptions import StorageFullError
from storage.files import File
from storage.remote.django import adapt

_ALWAYS = (
    *("open", "delete", "exists", "listdir", "size", "url", "path"),
    *("get_accessed_time", "get_created_time", "get_modified_time"),
)
_EXTENDED = (
    *("stat", "scandir", "glance", "copy", "rename", "unlink", "open_version", "mkdir", "rmdir"),
    *("symlink", "readlink", "link", "mknod", "set_attributes", "getxattr", "setxattr", "listxattr", "removexattr"),
    "usage",
)
_WITH_CONTENT = ("save", "replace")
_OF_FILES = ("read", "pread", "write", "close")
_WITH_TWO = frozenset({"copy", "rename", "link"})


class Fault:
    """What happens to some calls; made by `FaultyStorage.fail()` and `.delay()`."""

    def __init__(
        self,
        operations: tuple[str, ...],
        name: str,
        times: int | None,
        *,
        error: BaseException | type[BaseException] | None = None,
        seconds: float = 0.0,
    ) -> None:
        """For these operations (all if there are none) on names like `name`, the next `times` that there are."""
        unknown = set(operations).difference(_ALWAYS, _EXTENDED, _WITH_CONTENT, _OF_FILES)
        if unknown:
            raise ValueError(f"there is no operation {', '.join(sorted(unknown))}")
        self.operations = operations
        self.name = name
        self.left = times
        """How often it will still strike; None for always."""
        self.struck = 0
        """How often it has."""
        self._error = error
        self._seconds = seconds
        self._lock = threading.Lock()

    def stop(self) -> None:
        """Strike no more."""
        with self._lock:
            self.left = 0

    def strike(self, operation: str, names: tuple[str, ...]) -> None:
        """Wait or raise, if this call is meant."""
        if (self.operations and operation not in self.operations) or not any(
            fnmatchcase(name, self.name) for name in names or ("",)
        ):
            return
        with self._lock:
            if self.left == 0:
                return
            self.left = None if self.left is None else self.left - 1
            self.struck += 1
        time.sleep(self._seconds)
        if self._error is not None:
            raise copy.copy(self._error) if isinstance(self._error, BaseException) else self._error()


class FaultyStorage(Storage):
    """A storage that answers as `storage` does, but for the faults."""

    storage: Storage

    def __new__(cls, storage: Any) -> FaultyStorage:
        """Of a class of its own, which has the operations that the class of `storage` has."""
        adapted = adapt(storage)
        has = (name for name in _EXTENDED if overrides(type(adapted), name))
        made = type(cls.__name__, (cls,), {name: _asking(name) for name in (*_ALWAYS, *has)})
        faulty: FaultyStorage = super().__new__(made)
        faulty.storage = adapted
        return faulty

    def __init__(self, storage: Any) -> None:
        """Before `storage`, which may be any Django backend."""
        self.dates_directories = self.storage.dates_directories
        self.calls: list[tuple[str, ...]] = []
        """The operation and the names of each call, in order."""
        self.room: int | None = None
        """Bytes that may yet be stored, beyond which there is a StorageFullError; None for no limit."""
        self._faults: list[Fault] = []

    def fail(
        self,
        error: BaseException | type[BaseException],
        *operations: str,
        name: str = "*",
        times: int | None = None,
    ) -> Fault:
        """Have calls raise `error`.

        Args:
            error: an exception, or a class of such.
            operations: methods of storages ("save", "open", "replace", ...), and of the files that they open ("read",
                "pread", "write", "close"); none for all.
            name: a pattern of names, as the shell has them.
            times: how often; None for always.
        """
        return self._add(Fault(operations, name, times, error=error))

    def delay(self, seconds: float, *operations: str, name: str = "*", times: int | None = None) -> Fault:
        """Have calls come so much later; the rest as `fail()`."""
        return self._add(Fault(operations, name, times, seconds=seconds))

    def heal(self) -> None:
        """Have no faults any more, and room for all."""
        self._faults.clear()
        self.room = None

    def count(self, operation: str) -> int:
        """How often an operation was called."""
        return sum(call[0] == operation for call in self.calls)

    def strike(self, operation: str, *names: str) -> None:
        """Let the faults strike that are meant for a call."""
        self.calls.append((operation, *names))
        for fault in list(self._faults):
            fault.strike(operation, names)

    def subscribe(self, callback: Callback) -> Subscription:
        """As the storage does."""
        return self.storage.subscribe(callback)

    def does_itself(self, operation: str) -> bool:
        """As the storage does."""
        return self.storage.does_itself(operation)

    def holds(self, condition: Condition) -> bool | None:
        """As the storage does."""
        return self.storage.holds(condition)

    def close(self) -> None:
        """Close the storage."""
        self.storage.close()

    def save(self, name: str | None, content: Any, max_length: int | None = None) -> str:
        """Store under a free name, as far as there is room, unless a fault strikes."""
        self.strike("save", str(content.name if name is None else name))
        return self.storage.save(name, self._limited(content), max_length)

    def replace(self, name: str, content: Any, **wishes: Any) -> Entry:
        """Store under exactly this name, as far as there is room, unless a fault strikes."""
        self.strike("replace", name)
        return self.storage.replace(name, self._limited(content), **wishes)

    def ask(self, operation: str, *words: Any, **named: Any) -> Any:
        """Call the storage, unless a fault strikes."""
        names = words[:2] if operation in _WITH_TWO else words[:1]
        self.strike(operation, *(name for name in names if isinstance(name, str)))
        found = getattr(self.storage, operation)(*words, **named)
        return FaultyFile(found, self) if isinstance(found, File) else found

    def _limited(self, content: Any) -> File:
        return File(_Limited(self, content), getattr(content, "name", None))

    def _add(self, fault: Fault) -> Fault:
        self._faults.append(fault)
        return fault


def _asking(operation: str) -> Callable[..., Any]:
    def method(self: FaultyStorage, *words: Any, **named: Any) -> Any:
        return self.ask(operation, *words, **named)

    method.__name__ = operation
    method.__doc__ = getattr(Storage, operation).__doc__
    return method


class FaultyFile(File):
    """An open file of a faulty storage."""

    def __init__(self, file: File, storage: FaultyStorage) -> None:
        """Over `file`."""
        super().__init__(file, file.name)
        self.ranged = file.ranged
        self._storage = storage

    def read(self, *size: int) -> Any:
        """As the file does, unless a fault strikes."""
        self._storage.strike("read", str(self))
        return self.file.read(*size)

    def pread(self, size: int, offset: int) -> bytes:
        """As the file does, unless a fault strikes."""
        self._storage.strike("pread", str(self))
        data: bytes = self.file.pread(size, offset)
        return data

    def write(self, data: Any) -> int:
        """As the file does, unless a fault strikes."""
        self._storage.strike("write", str(self))
        written: int = self.file.write(data)
        return written

    def stat(self) -> Any:
        """What is known of the open file."""
        return self.file.stat()

    def close(self) -> None:
        """Close the file, and then let a fault strike."""
        self.file.close()
        self._storage.strike("close", str(self))


class _Limited:
    """A content that is read as long as there is room for it; in all else the content itself."""

    def __init__(self, storage: FaultyStorage, content: Any) -> None:
        self._storage = storage
        self._content = content

    def read(self, *size: int) -> Any:
        data = self._content.read(*size)
        if self._storage.room is not None:
            if len(data) > self._storage.room:
                raise StorageFullError(str(self._content))
            self._storage.room -= len(data)
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)
