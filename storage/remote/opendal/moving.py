"""Copies and renames: made by the service, and never without a full copy somewhere."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, wait
from typing import Any

from storage.base import RENAME_NOREPLACE, Storage
from storage.entry import Entry
from storage.exceptions import VersionMismatchError, os_error
from storage.remote.opendal.connection import Connection
from storage.remote.opendal.entries import directory_path, is_etag, storable
from storage.remote.opendal.lookups import Lookups
from storage.remote.opendal.metadata import MARK
from storage.remote.opendal.uploads import Uploads, Wish
from storage.remote.ranged_file import RangedFile

COPIED_WHOLE = 5 * 2**30
"""Bytes above which S3 copies in parts only, and OpenDAL then leaves out the metadata."""
_COPIED_IN_PARTS = frozenset({"s3", "tos"})
_HEADERS = ("content_type", "content_disposition", "content_encoding")


class Moving(Storage):
    """The part of the storage that copies, renames and removes objects."""

    _connection: Connection
    _attributes: bool
    """Whether user metadata are to be kept at any price."""
    _lookups: Lookups
    _uploads: Uploads

    def _file(self, name: str, entry: Entry, mode: str) -> RangedFile:
        """The object as `entry` describes it, opened."""
        raise NotImplementedError

    @property
    def renames_directories(self) -> bool:
        """No: their objects are copied, and then deleted."""
        return False

    def copy(self, src: str, dst: str) -> None:
        """Copy an object, over `dst` where that is one; IsADirectoryError.

        By the service where it can; OpenDAL has it copy objects above 5 GiB in parts. Those come without their
        metadata, so where attributes are kept they go through this machine.
        """
        self._copy(src, dst, if_absent=False)

    def rename(self, src: str, dst: str, flags: int = 0, *, looked_up: Entry | None = None) -> Entry | None:
        """Give an object or directory another name, over what has that name, by the rules of rename(2).

        Where the service cannot rename, copies are made before the first original is deleted; an original that
        somebody has replaced meanwhile is not deleted: VersionMismatchError, and both are there. One that was just
        `looked_up` is copied, and deleted as this version, without another look, unless it is another by now.
        RENAME_NOREPLACE looks before, which another writer can slip in between.
        """
        if flags & ~RENAME_NOREPLACE:
            raise self._unsupported("rename this way")
        storable(src), storable(dst)
        made = None
        if looked_up is None or flags or not self._is_moved_as(src, dst, looked_up):
            entry = self.stat(src)
            if entry.is_dir:
                self._rename_directory(src, dst, flags)
            elif src != dst or flags:
                self._require_free(dst, directory_only=not flags)
                self._move(src, dst, entry)
        elif src != dst:
            made = self._uploads.entry_of_copy(dst, looked_up)
        if src != dst:
            self._changed("rename", src, dst)
        return made

    def rename_version(self, src: str, entry: Entry, dst: str, flags: int = 0) -> None:
        """Rename the object that was shown as `entry`, over what has that name; VersionMismatchError for another.

        A service that renames by itself is looked at just before. Where it copies, the original is looked at after
        that, and deleted as this version only: so the copy is one of it.
        """
        if flags & ~RENAME_NOREPLACE:
            raise self._unsupported("rename this way")
        if src == dst and not flags:
            return
        self._require_free(storable(dst), directory_only=not flags)
        if self._connection.capability.rename:
            self._require_version(src, entry)
            self._move(src, dst, entry)
        else:
            self._copied(storable(src), dst, entry)
            self._require_version(src, entry)  # not every service heeds the condition of a deletion
            self._remove(src, entry)
        self._changed("rename", src, dst)

    def _copy(self, src: str, dst: str, *, if_absent: bool) -> None:
        entry = self.stat(storable(src))
        if entry.is_dir:
            raise os_error(errno.EISDIR, src)
        if src == dst and not if_absent:
            return
        self._require_free(storable(dst), directory_only=not if_absent)
        self._copied(src, dst, entry)
        self._changed("save", dst)

    def _is_moved_as(self, src: str, dst: str, entry: Entry) -> bool:
        """Whether an object was renamed by a copy, without a look, as the version of `entry`; else it is yet to be.

        If it is another by now the copy is one of that, and is made again after a look.
        """
        if src == dst or entry.is_dir or not is_etag(entry.version) or self._connection.capability.rename:
            return False
        try:
            self._move(src, dst, entry)
        except VersionMismatchError:
            return False
        return True

    def _move(self, src: str, dst: str, entry: Entry) -> None:
        """Rename an object; the entry is the source's."""
        if self._connection.capability.rename:
            with self._connection.errors.translating(src):
                self._connection.operator.rename(src, dst)
            return
        self._copied(src, dst, entry)
        self._remove(src, entry)

    def _copied(self, src: str, dst: str, entry: Entry | None = None) -> Entry:
        """Copy an object, whose entry is looked up unless it is given, and return that.

        The copy may be of a later version; then the original is not removed as this one.
        """
        entry = entry or self._lookups.stat(src)
        if self._connection.capability.copy and not self._loses_metadata(entry):
            with self._connection.errors.translating(src):
                self._connection.copy(src, dst, entry.size)
        else:
            headers = self._headers(self._lookups.metadata(src)) if self._attributes else {}
            with self._file(src, entry, "rb") as content:
                self._uploads.store(dst, content, Wish(headers=headers))
        return entry

    def _loses_metadata(self, entry: Entry) -> bool:
        """Whether the service's copy of an object would not have the metadata that matter here."""
        return self._attributes and self._connection.scheme in _COPIED_IN_PARTS and entry.size > COPIED_WHOLE

    def _headers(self, found: Any) -> dict[str, Any]:
        """What an object has beside its content, by OpenDAL's metadata of it, to be given to a put as far as it can."""
        if found is None:
            return {}
        capability = self._connection.capability
        able = [name for name in _HEADERS if getattr(capability, f"write_with_{name}") and getattr(found, name)]
        metadata = {key: value for key, value in (found.user_metadata or {}).items() if key != MARK}
        return {**{name: getattr(found, name) for name in able}, "user_metadata": metadata}

    def _remove(self, name: str, entry: Entry | None = None) -> None:
        """Delete an object; with an entry only that version of it, VersionMismatchError for another."""
        version = entry.version if entry is not None else None
        if is_etag(version):
            with contextlib.suppress(NotImplementedError):
                self._remove_version(name, version)
                return
        if entry is not None and self._lookups.stat(name).version != version:
            raise VersionMismatchError(name)
        with self._connection.errors.translating(name):
            self._connection.operator.delete(name)

    def _remove_version(self, name: str, version: str | None) -> None:
        """Delete an object by a request that is refused for another version."""
        try:
            with self._connection.errors.translating(name):
                self._connection.operator.delete(name, if_match=version)
        except VersionMismatchError:
            # Nothing is there where a first try has deleted it, and only its answer was lost.
            if self._lookups.object(name) is not None:
                raise

    def _rename_directory(self, src: str, dst: str, flags: int) -> None:
        """Copy all that is below, then delete it; what was copied is taken back when a copy fails."""
        if dst.startswith(f"{src}/"):
            raise os_error(errno.EINVAL, dst)
        if src == dst and not flags:
            return
        with contextlib.suppress(FileNotFoundError):
            self._check_replaceable(dst, flags)
        directories, objects = self._lookups.names_below(src)
        copies = [f"{dst}{name[len(src) :]}" for name in objects]
        try:
            self._copy_directories([(name, f"{dst}{name[len(src) :]}") for name in directories])
            entries = self._all(self._copied, zip(objects, copies, strict=True))
        except BaseException:
            self._all(self._quietly_removed, ((copy,) for copy in copies))
            raise
        self._all(self._remove, zip(objects, entries, strict=True))
        self._remove_directories(directories)

    def _quietly_removed(self, name: str) -> None:
        with contextlib.suppress(OSError):
            self._remove(name)

    def _copy_directories(self, names: Iterable[tuple[str, str]]) -> None:
        """Make directories with all that is kept of others, each given with the one that it is like."""
        self._make_directories(made for _, made in names)

    def _make_directories(self, names: Iterable[str]) -> None:
        """Make directories that stay while they are empty."""
        for name in names:
            with self._connection.errors.translating(name):
                self._connection.operator.create_dir(directory_path(name))

    def _remove_directories(self, names: Iterable[str]) -> None:
        """Remove what keeps directories while they are empty, from below; where something is in one it stays."""
        for name in sorted(names, reverse=True):
            if any(True for _ in self._lookups.glance(name)):  # some services would remove that too
                continue
            with self._connection.errors.translating(name):
                self._connection.operator.delete(directory_path(name))

    def _require_free(self, name: str, *, directory_only: bool) -> None:
        """Raise where `name` is a directory, or anything unless `directory_only`."""
        if directory_only:
            if self._lookups.directory(name) is not None:
                raise os_error(errno.EISDIR, name)
        elif self._lookups.find(name) is not None:
            raise os_error(errno.EEXIST, name)

    def _all(self, do: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]) -> list[Any]:
        """The results of so many calls, several at once; the first error ends it, when all that runs has ended."""
        calls = [self._connection.mover_pool.submit(do, *one) for one in arguments]
        for call in wait(calls, return_when=FIRST_EXCEPTION).not_done:
            call.cancel()
        wait(calls)
        return [call.result() for call in calls if not call.cancelled()]
