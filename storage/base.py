"""Storage: the base class of every backend, Django's surface and the operations of a filesystem on top of it.

Django's methods come from `DjangoAPI`. Each operation here has a complete default over those methods alone, slow but
right, and a backend overrides what it can do in one request. Operations that nothing of Django's can stand in for
(directories, links, attributes) raise NotImplementedError.

The names that they take are plain: '/'-separated, relative to the root, which is ""; anything else is a
SuspiciousFileOperation. None of them follows a symbolic link.
"""

from __future__ import annotations

import contextlib
import errno
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

from storage.api import DjangoAPI
from storage.changes import Subscription
from storage.entry import Entry, Kind, Usage
from storage.exceptions import (
    DirectoryNotEmptyError,
    SuspiciousFileOperation,
    SuspiciousOperation,
    VersionMismatchError,
    os_error,
)
from storage.files import File
from storage.listing import components
from storage.names import checked_name, join_name, split_name
from storage.times import nanoseconds_of

__all__ = ("RENAME_EXCHANGE", "RENAME_NOREPLACE", "Storage", "Subscription")

RENAME_NOREPLACE = 1
"""Fail with FileExistsError where the new name is taken."""
RENAME_EXCHANGE = 2
"""Swap the two names."""

Condition = Literal["if_absent", "if_version"]
"""What a `replace()` may be bound to."""

_REQUESTS_AT_ONCE = 8
_logger = logging.getLogger(__name__)


class Storage(DjangoAPI):
    """The base class of storages."""

    blocking: bool = True
    """Whether a call may wait for a network."""

    deadline: float | None = None
    """Seconds in which a call that changes nothing has ended by itself, come what may; None where that is not known."""

    takes_looked_up: bool = False
    """Whether some operations take `looked_up`, what the caller has just seen, and need not look at that themselves.

    For `replace()` it is True: no directory has the name. For `mkdir()` it is True: the name is free, and in a
    directory. For `rename()` of what is no directory it is the entry of that: no directory has the other name.
    """

    dates_directories: bool = True
    """Whether a directory that has a time of change gets another when an entry is made or removed in it."""

    name_max: int = 255
    """How many bytes one component of a name may have."""

    @property
    def stores_attributes(self) -> bool:
        """Whether `replace()` takes `attributes`, a dictionary for `set_attributes()`, to go with the content."""
        return False

    @property
    def in_place(self) -> bool:
        """Whether what is written to `open(name, "r+b")` is the content itself, so that `save()` is not needed."""
        return False

    @property
    def name_forbidden(self) -> str:
        r"""The characters, besides '/' and NUL, that no name may have: Django's `save()` takes "\\" for a separator."""
        return "" if self.in_place else "\\"

    def check_name(self, name: str) -> None:
        """SuspiciousFileOperation, without a request, for a name that the backend could not keep as it is."""
        if not ({"\0", *self.name_forbidden} - {"/"}).isdisjoint(name):
            raise SuspiciousFileOperation(f"{name!r} has a character that the storage cannot keep")

    @property
    def renames_directories(self) -> bool:
        """Whether `rename()` of a directory is one step, however much there is below it."""
        return type(self).mkdir is not Storage.mkdir

    def does_itself(self, operation: str) -> bool:
        """Whether the backend does an operation of the extended surface, and a `rename()` in one step.

        Otherwise it is made of others, or refused. By what the class overrides, unless the backend knows better.
        """
        return overrides(type(self), operation)

    def holds(self, condition: Condition) -> bool | None:
        """Whether it is the backend that refuses a `replace()` under a lost condition, so that nobody can slip in.

        Where only trying tells, it is tried, with an object that goes again. None where nobody knows.
        """
        return None if self.does_itself("replace") else False

    def stat(self, name: str) -> Entry:
        """What there is under `name`; FileNotFoundError, or NotADirectoryError below a file.

        By the parent's listing, for that is the one thing which tells a directory from a file on every backend.
        """
        checked_name(name, allow_root=True)
        if not name:
            return Entry("", Kind.DIRECTORY)
        parent, last = split_name(name)
        directories, files = self._components(parent)
        if last in directories:
            return Entry(last, Kind.DIRECTORY)
        if last in files:
            return self._file_entry(name)
        if parent and not directories and not files:
            self._require_directory(parent, name)
        raise os_error(errno.ENOENT, name)

    def find(self, name: str) -> Entry | None:
        """`stat()`, or None where there is nothing; NotADirectoryError below a file."""
        try:
            return self.stat(name)
        except FileNotFoundError:
            return None

    def scandir(self, path: str = "") -> Iterator[Entry]:
        """The entries of a directory, in no order; FileNotFoundError, or NotADirectoryError for a file.

        By one listing, then size and time of each file, several at once where that means to wait.
        """
        checked_name(path, allow_root=True)
        directories, files = self._components(path)
        if path and not directories and not files:
            self._require_directory(path, path)
        return self._entries(path, directories, files)

    def glance(self, path: str = "") -> Iterator[Entry]:
        """`scandir()` by no more than a listing: an entry of which `stat()` may tell more is `Entry.partial`.

        It is for who wants to know what there is, and what is as it was. A backend that overrides `scandir()`, and asks
        for each entry there, overrides this as well.
        """
        return self.scandir(path)

    def walk(self, path: str = "") -> Iterator[tuple[str, list[Entry], list[Entry]]]:
        """Each directory from `path` down, as (its name, its directories, its other entries).

        What the caller removes from the list of directories is not entered.
        """
        pending = [path]
        while pending:
            directory = pending.pop()
            directories: list[Entry] = []
            others: list[Entry] = []
            for entry in self.scandir(directory):
                (directories if entry.is_dir else others).append(entry)
            yield directory, directories, others
            pending.extend(join_name(directory, entry.name) for entry in reversed(directories))

    def replace(self, name: str, content: Any, *, if_version: str | None = None, if_absent: bool = False) -> Entry:
        """Store the content under exactly this name, whether it is taken or not, and return the new entry.

        With `if_version` only over that version (VersionMismatchError), with `if_absent` only where nothing is
        (FileExistsError). IsADirectoryError over a directory; SuspiciousFileOperation for a name that the backend
        would change. The default looks before it stores, which another writer can slip in between.
        """
        checked_name(name)
        self._check_condition(name, if_version, if_absent)
        stored = self.save(name, content)
        if stored == name:
            return self.stat(name)
        if if_absent and self.find(name) is not None:  # somebody was faster
            self.delete(stored)
            raise os_error(errno.EEXIST, name)
        self._move_into_place(name, stored, content)
        return self.stat(name)

    def copy(self, src: str, dst: str) -> None:
        """Copy a file, over `dst` where that is one; IsADirectoryError for directories."""
        self._copy(src, dst, if_absent=False)

    def rename(self, src: str, dst: str, flags: int = 0) -> Entry | None:
        """Give a file or directory another name, over what has that name, by the rules of rename(2).

        Returns the new entry, or None where that is not known without a request.

        `flags` is 0, RENAME_NOREPLACE or RENAME_EXCHANGE; NotImplementedError for one that the backend cannot do. The
        default copies and deletes, and cannot exchange. Of a directory it copies every file before it deletes the
        first, and takes back what it has copied when one fails; a backend that has mkdir() must rename its
        directories itself.
        """
        if flags & ~RENAME_NOREPLACE:
            raise self._unsupported("rename this way")
        if self.stat(src).is_dir:
            self._rename_directory(src, dst, flags)
        elif src != dst or flags:
            self._copy(src, dst, if_absent=bool(flags & RENAME_NOREPLACE))
            self.unlink(src)
        return None

    def rename_version(self, src: str, entry: Entry, dst: str, flags: int = 0) -> None:
        """`rename()` of the file that `stat()` has shown as `entry`; VersionMismatchError if it is another by now.

        When it has returned `dst` is that version, though it may be shown as a new one. The default looks at `src` just
        before or, where it copies, before it deletes that; then both are there when it fails.
        """
        if type(self).rename is not Storage.rename or flags & ~RENAME_NOREPLACE:
            self._require_version(src, entry)
            self.rename(src, dst, flags)
        elif src != dst or flags:
            self._copy(src, dst, if_absent=bool(flags & RENAME_NOREPLACE))
            self._require_version(src, entry)
            self.unlink(src)

    def open_version(self, name: str, entry: Entry) -> File:
        """The file that `stat()` or a listing has shown as `entry`, opened "rb".

        A backend whose files are `File.ranged` makes no request for it: each read is one for the version of `entry`.
        The default opens what is there by now.
        """
        return self.open(name, "rb")

    def unlink(self, name: str) -> None:
        """Delete what is not a directory; FileNotFoundError, IsADirectoryError."""
        if self.stat(name).is_dir:
            raise os_error(errno.EISDIR, name)
        self.delete(name)

    def create(self, name: str, *, mode: int = 0o666, uid: int | None = None, gid: int | None = None) -> File:
        """Make an empty file with exactly this mode and owner, opened "r+b"; FileExistsError."""
        raise self._unsupported("create")

    def tmpfile(self, directory: str, *, mode: int = 0o666, uid: int | None = None, gid: int | None = None) -> File:
        """Make an empty file without a name, opened "r+b", on what holds `directory`; `File.link()` gives it a name."""
        raise self._unsupported("tmpfile")

    def mkdir(self, name: str, *, mode: int = 0o777, uid: int | None = None, gid: int | None = None) -> Entry | None:
        """Make a directory with exactly this mode and owner; FileExistsError, FileNotFoundError for the parent.

        Returns its entry, or None where that is not known without a request.
        """
        raise self._unsupported("mkdir")

    def rmdir(self, name: str) -> None:
        """Remove an empty directory; DirectoryNotEmptyError, NotADirectoryError."""
        raise self._unsupported("rmdir")

    def symlink(self, target: str, name: str, *, uid: int | None = None, gid: int | None = None) -> None:
        """Make a symbolic link called `name`; FileExistsError."""
        raise self._unsupported("symlink")

    def readlink(self, name: str) -> str:
        """The target of a symbolic link."""
        raise self._unsupported("readlink")

    def link(self, src: str, dst: str) -> None:
        """Give the file `src` a second name; FileExistsError."""
        raise self._unsupported("link")

    def mknod(self, name: str, mode: int, rdev: int = 0, *, uid: int | None = None, gid: int | None = None) -> None:
        """Make an entry of the kind that the type bits of `mode` say: a file, FIFO, socket or device."""
        raise self._unsupported("mknod")

    def set_attributes(
        self,
        name: str,
        *,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
        atime_ns: int | None = None,
        mtime_ns: int | None = None,
    ) -> None:
        """Change what is given: the owner, then the mode, then the times."""
        raise self._unsupported("set_attributes")

    def getxattr(self, name: str, key: str) -> bytes:
        """The extended attribute `key`; OSError ENODATA when it is not set."""
        raise self._unsupported("getxattr")

    def setxattr(self, name: str, key: str, value: bytes, flags: int = 0) -> None:
        """Set an extended attribute; `flags` is os.XATTR_CREATE or os.XATTR_REPLACE."""
        raise self._unsupported("setxattr")

    def listxattr(self, name: str) -> list[str]:
        """The names of the extended attributes."""
        raise self._unsupported("listxattr")

    def removexattr(self, name: str, key: str) -> None:
        """Remove an extended attribute; OSError ENODATA when it is not set."""
        raise self._unsupported("removexattr")

    def usage(self) -> Usage:
        """How full the storage is."""
        raise self._unsupported("usage")

    def close(self) -> None:
        """Release connections; the storage is not used afterwards."""

    def _components(self, path: str) -> tuple[list[str], list[str]]:
        """The names of the directories and of the files in `path`; both empty where it is missing."""
        try:
            directories, files = self.listdir(path)
        except FileNotFoundError:
            return [], []
        return components(path, directories, files)

    def _require_directory(self, path: str, name: str) -> None:
        """Raise what stands in the way of `name`, unless `path` is a directory."""
        entry = self.find(path)
        if entry is None:
            raise os_error(errno.ENOENT, name)
        if not entry.is_dir:
            raise os_error(errno.ENOTDIR, name)

    def _require_version(self, name: str, entry: Entry) -> None:
        """Raise VersionMismatchError where `name` is not, or no longer, what `entry` describes."""
        found = self.stat(name)
        if (found.version, found.size) != (entry.version, entry.size):
            raise VersionMismatchError(name)

    def _entries(self, path: str, directories: list[str], files: list[str]) -> Iterator[Entry]:
        for last in directories:
            yield Entry(last, Kind.DIRECTORY)
        names = [join_name(path, last) for last in files]
        if not self.blocking or len(names) < 2:
            yield from filter(None, map(self._file_entry_or_none, names))
            return
        pool = ThreadPoolExecutor(min(len(names), _REQUESTS_AT_ONCE), thread_name_prefix="storage-scandir")
        try:
            yield from filter(None, pool.map(self._file_entry_or_none, names))
        finally:
            pool.shutdown(cancel_futures=True)

    def _file_entry_or_none(self, name: str) -> Entry | None:
        """The entry of a listed file, or None if it went away since, or has a name that the backend refuses."""
        try:
            return self._file_entry(name)
        except FileNotFoundError:
            return None
        except SuspiciousOperation as error:
            _logger.warning("%r is listed but cannot be used, and is left out: %s", name, error)
            return None

    def _file_entry(self, name: str) -> Entry:
        """The entry of a file by its size and time of change; the other times would cost two requests more."""
        size = self.size(name)
        mtime_ns: int | None = None
        with contextlib.suppress(NotImplementedError):
            mtime_ns = nanoseconds_of(self.get_modified_time(name))
        version = None if mtime_ns is None else f"{mtime_ns:x}-{size:x}"
        return Entry(split_name(name)[1], Kind.FILE, size=size, mtime_ns=mtime_ns, version=version)

    def _check_condition(self, name: str, if_version: str | None, if_absent: bool) -> None:
        entry = self.find(name)
        if entry is not None and entry.is_dir:
            raise os_error(errno.EISDIR, name)
        if if_absent and entry is not None:
            raise os_error(errno.EEXIST, name)
        if if_version is not None and (entry is None or entry.version != if_version):
            raise VersionMismatchError(name)

    def _move_into_place(self, name: str, alternative: str, content: Any) -> None:
        """Store again under the name that `save()` found taken; the alternative stays until that succeeded."""
        replaced = self.find(name) is not None
        try:
            if replaced:
                self.delete(name)
            stored = self._save_again(name, alternative, content)
        except BaseException as error:
            if replaced:
                error.add_note(f"The new content of {name!r} is kept as {alternative!r}")
            else:
                self.delete(alternative)
            raise
        self.delete(alternative)
        if stored != name:
            self.delete(stored)
            raise SuspiciousFileOperation(f"The storage keeps {name!r} under another name, {stored!r}")

    def _save_again(self, name: str, alternative: str, content: Any) -> str:
        """Save what was saved as `alternative`; from there, if the content cannot be read a second time."""
        if File(content).closed or not File(content).seekable():
            with self.open(alternative) as copy:
                return self.save(name, copy)
        content.seek(0)
        return self.save(name, content)

    def _copy(self, src: str, dst: str, *, if_absent: bool) -> None:
        if self.stat(src).is_dir:
            raise os_error(errno.EISDIR, src)
        if src == dst and not if_absent:
            return
        with self.open(src) as content:
            self.replace(dst, content, if_absent=if_absent)

    def _rename_directory(self, src: str, dst: str, flags: int) -> None:
        if type(self).mkdir is not Storage.mkdir:
            raise self._unsupported("rename directories")
        if dst.startswith(f"{src}/"):
            raise os_error(errno.EINVAL, dst)
        if src == dst and not flags:
            return
        with contextlib.suppress(FileNotFoundError):
            self._check_replaceable(dst, flags)
        names = [join_name(path, entry.name) for path, _, others in self.walk(src) for entry in others]
        with contextlib.ExitStack() as undo:
            for name in names:
                copy = f"{dst}{name[len(src) :]}"
                self._copy(name, copy, if_absent=True)
                undo.callback(self.unlink, copy)
            undo.pop_all()
        for name in names:
            self.unlink(name)

    def _check_replaceable(self, name: str, flags: int) -> None:
        """Raise what keeps a directory from taking the place of `name`; FileNotFoundError when the place is free."""
        if self.stat(name).is_dir and not flags:
            if any(True for _ in self.scandir(name)):
                raise DirectoryNotEmptyError(name)
        else:
            raise os_error(errno.EEXIST if flags else errno.ENOTDIR, name)

    def _unsupported(self, operation: str) -> NotImplementedError:
        return NotImplementedError(f"{type(self).__name__} cannot {operation}")


def overrides(kind: type[Storage], method: str) -> bool:
    """Whether a class of storages has a method of its own, and not the base class's default."""
    return getattr(kind, method) is not getattr(Storage, method)
