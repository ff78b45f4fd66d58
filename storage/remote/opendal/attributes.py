"""Storages that keep modes, owners, times and symbolic links in the user metadata of their objects.

Metadata go with an object when it is stored, and a service lets nobody change them afterwards but by storing it again:
S3's own copy of an object onto itself could, but OpenDAL has no way to ask for that. So `set_attributes()` fetches and
stores what is not too large, under the condition that nobody else has meanwhile, and refuses the rest: who wants a mode
for 5 GiB gives it to `replace()`. Content type and foreign metadata stay; what OpenDAL does not tell of an object does
not (Cache-Control, tags, storage class), as whenever an object is overwritten.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

from storage.entry import Entry, Kind
from storage.exceptions import VersionMismatchError, os_error
from storage.files import ContentFile
from storage.names import checked_name
from storage.remote.opendal import OpenDALStorage
from storage.remote.opendal.budget import Budget
from storage.remote.opendal.directories import DirectoryStorage
from storage.remote.opendal.entries import last_of, storable
from storage.remote.opendal.markers import described_directory
from storage.remote.opendal.metadata import metadata_of
from storage.remote.opendal.uploads import Wish

_TURNS = 64
_MEMORY = 32 * 2**20
"""Bytes that all contents may take together which are stored again."""
_TRIES = 3
"""How often attributes are set anew that somebody else's store came between."""


class AttributeStorage(OpenDALStorage):
    """An OpenDALStorage with set_attributes() and symbolic links."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """See `OpenDALStorage`; the option `attributes` is on."""
        super().__init__(*args, **{**options, "attributes": True})
        self._budget = Budget(_MEMORY)
        self._turns = [threading.Lock() for _ in range(_TURNS)]

    @property
    def stores_attributes(self) -> bool:
        """Yes, but not through a subclass's own `save()`."""
        return self._is_unchanged

    def replace(
        self,
        name: str,
        content: Any,
        *,
        if_version: str | None = None,
        if_absent: bool = False,
        looked_up: bool = False,
        attributes: Mapping[str, int] | None = None,
    ) -> Entry:
        """See `OpenDALStorage.replace`; `attributes` are those of `set_attributes()`, and go with the content.

        Without, mode and owner are those of the object that is replaced.
        """
        if attributes is None:
            return super().replace(name, content, if_version=if_version, if_absent=if_absent, looked_up=looked_up)
        headers = {"user_metadata": metadata_of(attributes)}
        return self._store(storable(name), content, Wish(if_version, if_absent, looked_up, headers))

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
        """Change what is given by storing the object again; NotImplementedError for one above `attributes_up_to`."""
        changes = {"mode": mode, "uid": uid, "gid": gid, "atime_ns": atime_ns, "mtime_ns": mtime_ns}
        with self._turns[hash(checked_name(name, allow_root=True)) % _TURNS]:
            for tries_left in reversed(range(_TRIES)):
                try:
                    is_changed = self._set_attributes(name, changes)
                    break
                except VersionMismatchError:
                    if not tries_left:
                        raise
        if is_changed:
            self._changed("attributes", name)

    def symlink(self, target: str, name: str, *, uid: int | None = None, gid: int | None = None) -> None:
        """Make a symbolic link, an object whose content is the target; FileExistsError."""
        now = time.time_ns()
        metadata = metadata_of({"mode": 0o777, "uid": uid, "gid": gid, "mtime_ns": now}, kind=Kind.SYMLINK)
        wish = Wish(if_absent=True, headers={"user_metadata": metadata})
        self._store(storable(checked_name(name)), ContentFile(os.fsencode(target)), wish)

    def readlink(self, name: str) -> str:
        """The target of a symbolic link; OSError (EINVAL) for what is none."""
        entry = self.stat(name)
        if entry.kind is not Kind.SYMLINK:
            raise os_error(errno.EINVAL, name)
        return os.fsdecode(self._content(name, entry))

    def _store(self, name: str, content: Any, wish: Wish) -> Entry:
        """Store with the attributes of the object that is replaced, unless others are given."""
        if not wish.if_absent and not wish.headers and (replaced := self._lookups.object(name)) is not None:
            kept = {"mode": replaced.mode, "uid": replaced.uid, "gid": replaced.gid}
            wish = wish._replace(headers={"user_metadata": metadata_of(kept)})
        return super()._store(name, content, wish)

    def _set_attributes(self, name: str, changes: dict[str, int | None]) -> bool:
        """Store the object again with these, unless it has them; whether that was needed."""
        found = self._lookups.metadata(name) if name else None
        if found is None or found.is_dir:
            return self._set_directory_attributes(name, changes)
        headers, entry = self._headers(found), self._objects.entry(last_of(name), found)
        before = headers["user_metadata"]
        metadata = metadata_of(changes, before)
        if metadata == metadata_of({}, before):
            return False
        if entry.size > self._attributes_up_to:
            limit = f"{self._attributes_up_to} bytes (its option attributes_up_to)"
            raise self._unsupported(f"change the attributes of an object of more than {limit}")
        self._store_again(name, entry, Wish(if_version=entry.version, headers={**headers, "user_metadata": metadata}))
        return True

    def _store_again(self, name: str, entry: Entry, wish: Wish) -> None:
        """Fetch the object that `entry` is of, and store it as wished; one of several parts in pieces."""
        if entry.size > self._part_size:
            with self._file(name, entry, "rb") as content:
                self._uploads.store(name, content, wish)
            return
        with self._budget.taken(entry.size):
            self._uploads.store(name, ContentFile(self._content(name, entry)), wish)

    def _set_directory_attributes(self, name: str, changes: dict[str, int | None]) -> bool:
        """The same for what is no object; NotImplementedError, FileNotFoundError."""
        self._lookups.stat(name)
        raise self._unsupported("keep the attributes of directories")

    def _content(self, name: str, entry: Entry) -> bytes:
        """All of a small object."""
        return self._ranges.read(name, entry, 0, entry.size) if entry.size else b""


class AttributeDirectoryStorage(AttributeStorage, DirectoryStorage):
    """One that keeps empty directories as well, and on S3 their modes, owners and times."""

    dates_directories = False

    def __init__(self, scheme: str, **options: Any) -> None:
        """See `OpenDALStorage`."""
        super().__init__(scheme, **options)
        self._lookups.markers = self._markers

    def _mkdir(self, name: str, attributes: dict[str, int | None], *, looked_up: bool) -> Entry:
        """Make a directory, which on S3 has this mode and owner."""
        now = time.time_ns()
        metadata = metadata_of({**attributes, "mtime_ns": now}, kind=Kind.DIRECTORY)
        entry = self._make(name, metadata, looked_up=looked_up)
        self._lookups.seen.learn_directory(name)
        return entry if self._markers is None else described_directory(entry._replace(mtime_ns=now), metadata)

    def _set_directory_attributes(self, name: str, changes: dict[str, int | None]) -> bool:
        if self._markers is None or not name:
            return super()._set_directory_attributes(name, changes)
        before = self._markers.metadata(name)
        if before is None and self._lookups.directory(name) is None:
            self._lookups.stat(name)
        metadata = metadata_of(changes, before or {}, kind=Kind.DIRECTORY)
        if before is not None and metadata == metadata_of({}, before):
            return False
        self._markers.put(name, metadata)
        return True

    def _copy_directories(self, names: Iterable[tuple[str, str]]) -> None:
        if self._markers is None:
            super()._copy_directories(names)
            return
        for name, made in names:
            self._markers.put(made, self._markers.metadata(name) or {})
