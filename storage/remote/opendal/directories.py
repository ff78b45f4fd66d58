"""Directories that stay while nothing is in them: the service's own, or empty objects whose names end with '/'."""

from __future__ import annotations

import errno
from typing import Any

from storage.entry import Entry, Kind
from storage.exceptions import DirectoryNotEmptyError, os_error
from storage.names import checked_name, split_name
from storage.remote.opendal import OpenDALStorage
from storage.remote.opendal.entries import last_of
from storage.remote.opendal.markers import KEPT_BY, Markers
from storage.remote.opendal.metadata import UserMetadata


class DirectoryStorage(OpenDALStorage):
    """An OpenDALStorage with mkdir() and rmdir()."""

    def __init__(self, scheme: str, **options: Any) -> None:
        """See `OpenDALStorage`."""
        super().__init__(scheme, **options)
        self._markers = Markers(self._connection) if scheme in KEPT_BY else None

    def mkdir(
        self,
        name: str,
        *,
        mode: int = 0o777,
        uid: int | None = None,
        gid: int | None = None,
        looked_up: bool = False,
    ) -> Entry:
        """Make a directory, with what can be kept of mode and owner; FileExistsError, FileNotFoundError for the parent.

        Of several who make it at once only one does, where the service holds conditional puts.
        """
        return self._mkdir(name, {"mode": mode, "uid": uid, "gid": gid}, looked_up=looked_up)

    def _mkdir(self, name: str, attributes: dict[str, int | None], *, looked_up: bool) -> Entry:
        """Make a directory, which keeps none of its attributes."""
        return self._make(name, {}, looked_up=looked_up)

    def _make(self, name: str, metadata: UserMetadata, *, looked_up: bool) -> Entry:
        """Make a directory with such metadata, where there is a marker to have them."""
        is_alone = self._markers is not None and self._conditions.holds("if_not_exists", in_parts=False)
        if not looked_up:
            self._require_place(name)
        elif not is_alone and self._lookups.directory(name) is not None:
            raise os_error(errno.EEXIST, name)
        if self._markers is not None and is_alone:
            self._markers.make(name, metadata)
        elif self._markers is not None and metadata:
            self._markers.put(name, metadata)
        else:
            self._make_directories([name])
        self._changed("mkdir", name)
        return Entry(last_of(name), Kind.DIRECTORY)

    def rmdir(self, name: str) -> None:
        """Remove an empty directory; DirectoryNotEmptyError, NotADirectoryError.

        It looks before it removes. A directory of an object store cannot go from under what another writer puts there
        meanwhile, for that shows it again.
        """
        if not self.stat(checked_name(name)).is_dir:
            raise os_error(errno.ENOTDIR, name)
        if any(True for _ in self._lookups.glance(name)):
            raise DirectoryNotEmptyError(name)
        self._remove_directories([name])
        self._changed("rmdir", name)

    def _require_place(self, name: str) -> None:
        """FileExistsError, or FileNotFoundError or NotADirectoryError for what a new directory is to be in."""
        parent, _ = split_name(checked_name(name))
        if self._lookups.find(name) is not None:
            raise os_error(errno.EEXIST, name)
        if parent and self._lookups.directory(parent) is None and not self._lookups.stat(parent).is_dir:
            raise os_error(errno.ENOTDIR, name)
