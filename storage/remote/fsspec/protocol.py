"""Protocol: what is true of a filesystem of fsspec, and how each thing is asked of it.

The base class knows what fsspec's interface promises, and trusts no more of it than holds everywhere:

- `ls(detail=True)` and `info()` tell name, size and type; what else, `entries` understands.
- `cat_file(start, end)` fetches a part, or all there is where the class ignores the two.
- A file opened "wb" makes what was written so far an object when it is closed, even by an exception.
- `cp`, `mv` and `rm` take patterns, and copy and delete one by one; `cp_file` and `rm_file` do not.
- `exists()` takes any error for absence.

The classes that are known have a subclass each, found by the path of the filesystem class (`known.py`).
"""

from __future__ import annotations

import contextlib
import errno
import inspect
import threading
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from storage.drafts import draft_beside
from storage.entry import Entry
from storage.exceptions import VersionMismatchError, os_error
from storage.remote.fsspec.entries import Info, entry_of
from storage.remote.fsspec.errors import translating

_CHUNK = 8 * 2**20


class Condition(NamedTuple):
    """Over what an object may be stored."""

    version: str | None = None
    """Over this version alone."""
    absent: bool = False
    """Where nothing is."""


class Protocol:
    """Any filesystem of fsspec. `fs` is always the filesystem object; a `path` is one of its own."""

    shared = False
    """Whether many threads may use one object at once."""
    connections = 1
    """How many objects may be made that serve one call each, at a time."""
    session = False
    """Whether an object has a connection that can die."""
    directories = False
    """Whether directories are there without anything in them, and can be made, removed and renamed."""
    forbidden = ""
    """Characters that no name may have."""
    cut_at = ""
    """Where the class cuts a path off, as it would for a version of what is before: no name may have it."""
    lists_only_what_is = True
    """Whether the listing of what is missing is an error."""
    pinned = False
    """Whether `fetch()` itself notices that the object is another version."""
    held: Collection[str] = ()
    """Which conditions of a `put()` are the server's to hold: "if_absent", "if_version"."""

    def __init__(self, kind: type[Any]) -> None:
        """For the filesystem class `kind`."""
        self.kind = kind
        self.shared = self.shared or bool(getattr(kind, "async_impl", False))
        self.copies = _overrides(kind, "cp_file")
        self._honours_ranges = _takes_ranges(kind)

    @property
    def name(self) -> str:
        """What fsspec calls it."""
        names = self.kind.protocol
        return names if isinstance(names, str) else str(names[0])

    def can_name(self, name: str) -> bool:
        """Whether the protocol takes a name as it is."""
        return set(self.forbidden).isdisjoint(name) and not (self.cut_at and self.cut_at in name)

    def connect(self, options: dict[str, Any]) -> Any:
        """A filesystem object that nobody else has, without a cache of listings."""
        from fsspec.dircache import DirCache

        fs = self.kind(**options, skip_instance_cache=True)
        fs.dircache = DirCache(use_listings_cache=False)
        return fs

    def close(self, fs: Any) -> None:
        """Let go of its connections: the class does when the object is no more."""

    def root(self, given: str) -> str:
        """The path of what is given as the root of a storage, which may be nothing."""
        path: str = self.kind._strip_protocol(given) if given else ""
        return path

    # -- looking

    def list(self, fs: Any, path: str) -> list[Info]:
        """What is in a directory, by one request for each page; FileNotFoundError, or the file itself for one."""
        listed: list[Info] = fs.ls(path, detail=True)
        return listed

    def info(self, fs: Any, path: str) -> Info:
        """What there is under a path, a link itself and not what it points to; FileNotFoundError."""
        info: Info = fs.info(path)
        return info

    def container(self, path: str) -> str:
        """What must be there for `path` to be of any use; "" where anything can be made."""
        return ""

    # -- reading

    def fetch(self, fs: Any, path: str, entry: Entry, start: int, end: int) -> bytes:
        """The bytes from `start` to `end` of the version that `entry` shows; VersionMismatchError if it has gone.

        Where the protocol cannot ask for a version, it is looked at afterwards.
        """
        if self._honours_ranges:
            data: bytes = fs.cat_file(path, start=start, end=end)
            if len(data) == entry.size != end - start:  # it ignores them, and has said everything
                self._honours_ranges = False
                data = data[start:end]
        else:
            with fs.open(path, "rb", cache_type="none") as file:
                file.seek(start)
                data = _read(file, end - start)
        if len(data) != end - start or (not self.pinned and self.entry(fs, path).version != entry.version):
            raise VersionMismatchError(path)
        return data

    def entry(self, fs: Any, path: str) -> Entry:
        """What `info()` says, as an entry."""
        return entry_of(self.info(fs, path))

    # -- storing

    def put(self, fs: Any, source: str, path: str, condition: Condition) -> None:
        """Store the local file `source`: all of it or nothing, where the protocol can.

        FileExistsError and VersionMismatchError when the condition was found to fail; FileNotFoundError when the
        directory is missing.
        """
        self.check(fs, path, condition)
        with open(source, "rb") as content, _writing(fs, path) as file:
            while chunk := content.read(_CHUNK):
                file.write(chunk)

    def check(self, fs: Any, path: str, condition: Condition) -> None:
        """Look whether the condition holds, for protocols that cannot make it one of the request."""
        if condition == Condition():
            return
        try:
            with translating(path):
                version = self.entry(fs, path).version
        except FileNotFoundError:
            if condition.version is not None:
                raise VersionMismatchError(path) from None
            return
        if condition.absent:
            raise os_error(errno.EEXIST, path)
        if version != condition.version:
            raise VersionMismatchError(path)

    def copy(self, fs: Any, src: str, dst: str) -> None:
        """Copy a file over there, whatever is at `dst`; only where `copies` says so."""
        fs.cp_file(src, dst)

    # -- names

    def delete(self, fs: Any, path: str) -> None:
        """Delete a file."""
        fs.rm_file(path)

    def mkdir(self, fs: Any, path: str, mode: int) -> None:
        """Make a directory in one that is there."""
        fs.mkdir(path, create_parents=False)

    def rmdir(self, fs: Any, path: str) -> None:
        """Remove an empty directory."""
        fs.rmdir(path)

    def rename(self, fs: Any, src: str, dst: str, *, replace: bool) -> None:
        """Rename a file or directory at once, over a file or an empty directory with `replace`, where it is known."""
        raise NotImplementedError

    def readlink(self, fs: Any, path: str) -> str:
        """Where a symbolic link points."""
        raise NotImplementedError


class TreeProtocol(Protocol):
    """One with real directories and a rename of its own: what is stored gets its name when it is complete."""

    directories = True
    exclusive = False
    """Whether a rename that is not to replace fails where there is something, whoever was faster."""

    def __init__(self, kind: type[Any]) -> None:
        """With a lock for what the server does not do at once."""
        super().__init__(kind)
        self.held = ("if_absent",) if self.exclusive else ()
        self._naming = threading.Lock()

    def put(self, fs: Any, source: str, path: str, condition: Condition) -> None:
        """Send it under another name beside, and rename that."""
        self.check(fs, path, condition)
        draft = draft_beside(path)
        try:
            self.send(fs, source, draft, path)
            with self._naming if condition != Condition() and not self.exclusive else contextlib.nullcontext():
                self.check(fs, path, condition)  # once more, after what may have taken long
                self._give_name(fs, draft, path, condition)
        except BaseException:
            with contextlib.suppress(Exception):  # the first error is the one to tell
                self.delete(fs, draft)
            raise

    def _give_name(self, fs: Any, draft: str, path: str, condition: Condition) -> None:
        try:
            self.rename(fs, draft, path, replace=not condition.absent)
        except Exception:
            self.check(fs, path, condition)  # of what came in between SFTP says no more than "Failure"
            raise

    def send(self, fs: Any, source: str, draft: str, path: str) -> None:
        """Store the local file `source` as `draft`, which is to become `path`."""
        fs.put_file(source, draft)


@contextlib.contextmanager
def _writing(fs: Any, path: str) -> Iterator[Any]:
    """A file to write; if the block fails, it does not become an object."""
    file = fs.open(path, "wb", block_size=_CHUNK)
    try:
        yield file
    except BaseException:
        with contextlib.suppress(Exception):  # what has failed already is the error to tell
            file.discard()
        with contextlib.suppress(AttributeError):
            file.closed = True  # so that neither close() nor the collector stores what is there
        raise
    file.close()


def _read(file: Any, size: int) -> bytes:
    parts = []
    while size > 0 and (data := file.read(size)):
        parts.append(data)
        size -= len(data)
    return b"".join(parts)


def _overrides(kind: type[Any], method: str) -> bool:
    """Whether a filesystem class has a method of its own, synchronous or not."""
    from fsspec.asyn import AsyncFileSystem
    from fsspec.spec import AbstractFileSystem

    for name in (method, f"_{method}"):
        inherited = [getattr(base, name, None) for base in (AbstractFileSystem, AsyncFileSystem)]
        if getattr(kind, name, None) not in inherited:
            return True
    return False


def _takes_ranges(kind: type[Any]) -> bool:
    """Whether the method that fetches knows of a start and an end; one that swallows them as keywords ignores them."""
    method = getattr(kind, "_cat_file", None) if getattr(kind, "async_impl", False) else None
    return {"start", "end"} <= inspect.signature(method or kind.cat_file).parameters.keys()
