"""DjangoStorage: the extended surface for any backend written for Django.

The backend is only known by Django's methods, and those are not the same everywhere. What is done about it:

- `save()` may store under another name: `replace()` looks at the name that came back, and undoes it.
- `delete()` says nothing when there is nothing, removes whole trees on some backends and swallows errors on others: so
  the entry is looked at before, and `unlink()` also afterwards.
- `exists()` of a directory is False on object stores: the parent's listing tells what a name is.
- `listdir()` of Azure returns every name below, in full; of a missing directory, some return nothing.
- `open()` fetches whole objects, and writing through it loses data on several: content is written by `save()` alone.
- SFTP and FTP check no names, and their connections serve one call at a time.
- Errors are of all kinds: see `storage.remote.errors`.

What the clients of well-known backends can do beside is in `storage.remote.adapters`.
"""

from __future__ import annotations

import contextlib
import copy
import errno
import logging
import sys
import threading
from collections.abc import Iterable, Iterator
from datetime import datetime, tzinfo
from itertools import filterfalse
from typing import Any

from storage.base import Storage
from storage.entry import Entry
from storage.exceptions import SuspiciousFileOperation, os_error
from storage.files import File
from storage.filesystem import FileSystemStorage
from storage.names import checked_name
from storage.remote.errors import translating
from storage.remote.foreign_file import ForeignFile
from storage.times import aware, shown, zone

_logger = logging.getLogger(__name__)
_ONE_CALL_AT_A_TIME = {"FTPStorage": ("_connection",), "SFTPStorage": ("_ssh", "_sftp")}
"""Backends with a single connection, which takes one call at a time, and the attributes that they have it in."""
_OF_THE_PROCESS = ("FileSystemStorage", "InMemoryStorage")
"""Django's own classes, whose naive times are of the process's zone."""
_REQUIRED = ("open", "save", "delete", "exists", "listdir", "size")


def adapt(storage: Any) -> Storage:
    """The storage with the extended surface: itself if it is ours, a native one or a wrapper around it otherwise.

    TypeError for what is no storage at all.
    """
    if storage.__class__ is not type(storage):  # a lazy object, Django's or ours; asking for its class sets it up
        storage = getattr(storage, "_wrapped", storage)
    if isinstance(storage, Storage):
        return storage
    missing = [method for method in _REQUIRED if not callable(getattr(storage, method, None))]
    if missing or isinstance(storage, type):
        raise TypeError(f"{storage!r} is not a storage: it has no {', '.join(missing) or 'instance'}")
    if _is_djangos(storage, "FileSystemStorage"):
        return FileSystemStorage(
            location=storage.location,
            base_url=storage.base_url,
            file_permissions_mode=storage.file_permissions_mode,
            directory_permissions_mode=storage.directory_permissions_mode,
            allow_overwrite=getattr(storage, "_allow_overwrite", False),
        )
    from storage.remote.adapters import adapter_of

    return adapter_of(storage) or DjangoStorage(storage)


def _is_djangos(storage: Any, name: str) -> bool:
    """Whether it is exactly Django's own class: a subclass may do anything to the content."""
    return _is_djangos_class(type(storage), name)


def _is_djangos_class(cls: type, name: str) -> bool:
    return cls.__name__ == name and cls.__module__.startswith("django.core.files.storage")


def _apart(backend: Any, connection: Iterable[str]) -> Any:
    """A copy of a backend object that connects by itself, as who has the object may use it meanwhile, in any thread."""
    made = copy.copy(backend)
    for name in connection:
        setattr(made, name, None)
    return made


class DjangoStorage(Storage):
    """A foreign backend, `wrapped`, as a `Storage`.

    Names are plain ones as everywhere in the extended surface, without backslashes, which Django's `save()` changes;
    SuspiciousFileOperation for others, before the backend sees them.
    """

    def __init__(self, wrapped: Any) -> None:
        """Wrap a backend object; it is not called yet."""
        connection = next(filter(None, (_ONE_CALL_AT_A_TIME.get(cls.__name__) for cls in type(wrapped).__mro__)), ())
        self.wrapped = _apart(wrapped, connection) if connection else wrapped
        self.blocking = not _is_djangos(wrapped, "InMemoryStorage")
        # Re-entrant, because the content being saved may be a file of the same backend.
        self._guard: contextlib.AbstractContextManager[Any] = (
            threading.RLock() if connection else contextlib.nullcontext()
        )

    def __repr__(self) -> str:
        """Both classes."""
        return f"<{type(self).__name__} of {type(self.wrapped).__name__}>"

    def does_itself(self, operation: str) -> bool:
        """As the class has it, but for what is made of several of the backend's methods here too."""
        return operation not in ("stat", "unlink") and super().does_itself(operation)

    def open(self, name: str, mode: str = "rb") -> File:
        """Open the file as the backend does; opened "rb", it can be read at any place, at the price of a local copy.

        On some backends a missing file is noticed only by the first read.
        """
        name = plain(name)
        foreign = self._call("open", name, mode)
        file = File(foreign, name)
        if mode != "rb" or file.content_fd() is not None:
            return file
        return ForeignFile(foreign, name, lambda: self._call("open", name, mode), self._guard)

    def save(self, name: str | None, content: Any, max_length: int | None = None) -> str:
        """Store the content under `name`, or an alternative if that is taken, and return the name that it got."""
        name = plain(content.name if name is None else name)
        if not hasattr(content, "chunks"):
            content = File(content, name)
        limit = {} if max_length is None else {"max_length": max_length}
        stored: str = self._call("save", name, content, **limit)
        self._changed("save", stored)
        return stored

    def delete(self, name: str) -> None:
        """Delete the file; nothing happens when there is none, IsADirectoryError for a directory."""
        if not name:
            raise ValueError("The name must be given to delete().")
        entry = self.find(plain(name))
        if entry is not None:
            self._delete(name, entry)

    def unlink(self, name: str) -> None:
        """Delete the file; FileNotFoundError, IsADirectoryError, PermissionError if it is still there afterwards."""
        self._delete(name, self.stat(name))
        if self.exists(name):
            raise PermissionError(errno.EACCES, "The backend did not delete the file", name)

    def _delete(self, name: str, entry: Entry) -> None:
        if entry.is_dir:
            raise os_error(errno.EISDIR, name)
        self._call("delete", name)
        self._changed("delete", name)

    def exists(self, name: str) -> bool:
        """Whether the backend says so; object stores say it of files alone. `stat()` knows better."""
        return bool(self._call("exists", plain(name, allow_root=True)))

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        """The names in a directory: those of directories, and those of files."""
        path = plain(path, allow_root=True)
        try:
            directories, files = self._call("listdir", path)
        except FileExistsError as error:  # how Django's InMemoryStorage says that a file is no directory
            raise os_error(errno.ENOTDIR, path) from error
        return list(directories), list(self._without_location(path, files))

    def _without_location(self, path: str, files: list[str]) -> Iterator[str]:
        """Azure lists names from the container's root, its own `location` included."""
        location = str(getattr(self.wrapped, "location", None) or "").strip("/")
        prefix = f"{location}/" if location else ""
        for name in files:
            yield name.removeprefix(prefix) if name.startswith(f"{prefix}{path}") and "/" in name else name

    def stat(self, name: str) -> Entry:
        """What there is under `name`; FileNotFoundError, or NotADirectoryError below a file."""
        return super().stat(plain(name, allow_root=True))

    def _components(self, path: str) -> tuple[list[str], list[str]]:
        """The names that can be used; a listing does not fail for one that cannot."""
        directories, files = super()._components(path)
        for name in filter(_has_backslash, directories + files):
            _logger.warning("%r in the listing of %r has a backslash, and is left out", name, path)
        return list(filterfalse(_has_backslash, directories)), list(filterfalse(_has_backslash, files))

    def size(self, name: str) -> int:
        """The file's size in bytes."""
        return int(self._call("size", plain(name)))

    def get_accessed_time(self, name: str) -> datetime:
        """When the file was last read."""
        return self._time("get_accessed_time", name)

    def get_created_time(self, name: str) -> datetime:
        """When the file was made."""
        return self._time("get_created_time", name)

    def get_modified_time(self, name: str) -> datetime:
        """When the content last changed."""
        return self._time("get_modified_time", name)

    def _time(self, method: str, name: str) -> datetime:
        moment: datetime = self._call(method, plain(name))
        return shown(moment if moment.tzinfo is not None else aware(moment, _zone_of(self.wrapped)))

    def path(self, name: str) -> str:
        """The local path, where the backend has one."""
        path: str = self._call("path", plain(name, allow_root=True))
        return path

    def url(self, name: str | None, *args: Any, **kwargs: Any) -> str:
        """The URL, by the backend; further arguments are its own."""
        with self._guard, translating(str(name)):
            url: str = self.wrapped.url(name, *args, **kwargs)
            return url

    def is_name_available(self, name: str, max_length: int | None = None) -> bool:
        """Whether the backend would store a new file under this name."""
        return bool(self._call("is_name_available", name, max_length=max_length))

    def get_valid_name(self, name: str) -> str:
        """A file name like `name` that suits the backend."""
        return str(self._call("get_valid_name", name))

    def get_alternative_name(self, file_root: str, file_ext: str) -> str:
        """The backend's other name for a file whose name is taken."""
        return str(self._call("get_alternative_name", file_root, file_ext))

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        """The name under which the backend would store a new file."""
        return str(self._call("get_available_name", name, max_length=max_length))

    def generate_filename(self, filename: str) -> str:
        """The backend's valid name for `save()`."""
        return str(self._call("generate_filename", filename))

    def close(self) -> None:
        """Close the backend's connection, where it has a close()."""
        close = getattr(self.wrapped, "close", None)
        if callable(close):
            with self._guard, translating(""):
                close()

    def _call(self, method: str, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method of the backend; NotImplementedError where it has none."""
        function = getattr(self.wrapped, method, None)
        if function is None:
            raise NotImplementedError(f"{type(self.wrapped).__name__} has no {method}()")
        with self._guard, translating(name):
            return function(name, *args, **kwargs)


def _zone_of(backend: Any) -> tzinfo | None:
    """The zone of a backend's naive times; None for the process's.

    It is Django's, by `make_naive()`, but for Django's own classes, which know of no other than the process's.
    """
    timezone = sys.modules.get("django.utils.timezone")
    if timezone is None or isinstance(backend, Storage) or not sys.modules["django.conf"].settings.configured:
        return zone()
    if any(_is_djangos_class(cls, name) for cls in type(backend).__mro__ for name in _OF_THE_PROCESS):
        return None
    found: tzinfo = timezone.get_default_timezone()
    return found


def _has_backslash(name: str) -> bool:
    return "\\" in name


def plain(name: str, *, allow_root: bool = False) -> str:
    """The name, where it is plain and without a backslash; SuspiciousFileOperation otherwise."""
    name = checked_name(str(name), allow_root=allow_root)
    if _has_backslash(name):
        raise SuspiciousFileOperation(f"{name!r} has a backslash, which Django's backends take for a separator")
    return name
