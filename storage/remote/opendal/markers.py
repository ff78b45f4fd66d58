"""Attributes of directories, in the user metadata of the objects that keep them: `name/`, as s3fs has them.

OpenDAL makes such an object, and neither reads nor writes what is in its metadata; but it signs requests for them.
"""

from __future__ import annotations

import errno
import secrets
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from storage.entry import Entry, Kind
from storage.exceptions import VersionMismatchError, os_error
from storage.listing import nanoseconds
from storage.remote.opendal.connection import Connection
from storage.remote.opendal.entries import directory_path, last_of, storable
from storage.remote.opendal.metadata import MARK, UserMetadata, described
from storage.remote.opendal.signed import Signed

KEPT_BY = frozenset({"s3"})
"""The services whose markers are read and written here."""
_METADATA = "x-amz-meta-"
_TYPE = "application/x-directory"


class Markers:
    """The markers of one storage."""

    def __init__(self, connection: Connection) -> None:
        """Over a connection to a service of `KEPT_BY`."""
        self._signed = Signed(connection)

    def entry(self, name: str) -> Entry | None:
        """The entry of a directory, by one request; None for one that has no marker."""
        headers = self._signed.head(directory_path(storable(name)), name)
        if headers is None:
            return None
        stored_ns = nanoseconds(parsedate_to_datetime(headers["last-modified"])) if "last-modified" in headers else None
        return described_directory(Entry(last_of(name), Kind.DIRECTORY, mtime_ns=stored_ns), _metadata_in(headers))

    def metadata(self, name: str) -> UserMetadata | None:
        """The user metadata of a directory; None for one that has no marker."""
        found = self._found(name)
        return None if found is None else {key: value for key, value in found.items() if key != MARK}

    def put(self, name: str, metadata: UserMetadata) -> None:
        """Make a directory's marker, or make it anew."""
        self._put(name, metadata)

    def make(self, name: str, metadata: UserMetadata) -> None:
        """Make a directory's marker; FileExistsError where it has one."""
        mark = secrets.token_hex(8)
        try:
            self._put(name, {**metadata, MARK: mark}, if_not_exists=True)
        except VersionMismatchError as error:
            # A first try may have made it, and only its answer was lost.
            if (self._found(name) or {}).get(MARK) != mark:
                raise os_error(errno.EEXIST, name) from error

    def _put(self, name: str, metadata: UserMetadata, **conditions: bool) -> None:
        path = directory_path(storable(name))
        self._signed.put_empty(path, name, content_type=_TYPE, user_metadata=dict(metadata), **conditions)

    def _found(self, name: str) -> dict[str, str] | None:
        headers = self._signed.head(directory_path(storable(name)), name)
        return None if headers is None else _metadata_in(headers)


def described_directory(entry: Entry, metadata: UserMetadata) -> Entry:
    """The entry of a directory with what the metadata of its marker say; it is one whatever mode they have."""
    return described(entry, metadata)._replace(kind=entry.kind)


def _metadata_in(headers: Mapping[str, str]) -> dict[str, str]:
    return {key.removeprefix(_METADATA): value for key, value in headers.items() if key.startswith(_METADATA)}
