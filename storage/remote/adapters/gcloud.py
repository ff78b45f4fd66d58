"""django-storages' GoogleCloudStorage, by google-cloud-storage."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator
from typing import Any, ClassVar

from storage.entry import Entry, Kind
from storage.exceptions import VersionMismatchError
from storage.listing import nanoseconds
from storage.names import split_name
from storage.remote.adapters.adapted import Adapted


class GoogleCloudAdapter(Adapted):
    """The version is the generation, which reads and stores can name."""

    LISTING: ClassVar = (*Adapted.LISTING, "_get_blob", "get_created_time")
    CONTENT: ClassVar = (*Adapted.CONTENT, "_compress_content")
    reads_ranges = True
    stores = True

    def list_entries(self, path: str) -> Iterator[Entry]:
        """A listing with a delimiter."""
        prefix = self._prefix(path)
        listing = self.wrapped.bucket.list_blobs(prefix=prefix, delimiter="/")
        for blob in listing:
            if blob.name != prefix:  # the directory's own marker
                yield _entry(blob.name[len(prefix) :], blob)
        for name in listing.prefixes:  # complete when the blobs are
            yield Entry(name[len(prefix) : -1], Kind.DIRECTORY)

    def look(self, name: str) -> Entry:
        """The object's description, and, where there is none, a listing of one object below."""
        blob = self.wrapped.bucket.get_blob(self._key(name))
        if blob is not None:
            return _entry(split_name(name)[1], blob)
        if any(True for _ in self.wrapped.bucket.list_blobs(prefix=self._prefix(name), max_results=1)):
            return Entry(split_name(name)[1], Kind.DIRECTORY)
        raise FileNotFoundError(name)

    def fetch(self, name: str, entry: Entry, start: int, end: int) -> bytes:
        """One download of a range of this generation; when that is gone, another may be there."""
        blob = self.wrapped.bucket.blob(self._key(name), generation=int(entry.version or 0))
        try:
            # As it is stored: a range of compressed content is no range of the other.
            data: bytes = blob.download_as_bytes(start=start, end=end - 1, raw_download=True, checksum=None)
        except Exception as error:
            if getattr(error, "code", None) == 404 and self.wrapped.bucket.get_blob(self._key(name)) is not None:
                raise VersionMismatchError(name) from error
            raise
        return data

    def put(self, name: str, source: str, if_version: str | None, if_absent: bool) -> None:
        """An upload with the backend's parameters, and the generation that may be there: none is 0."""
        blob = self.wrapped.bucket.blob(self._key(name), chunk_size=self.wrapped.blob_chunk_size)
        parameters = self.wrapped.get_object_parameters(name)
        guessed, encoding = mimetypes.guess_type(name)
        if encoding is not None:
            parameters.setdefault("content_encoding", encoding)
        upload: dict[str, Any] = {
            "predefined_acl": parameters.pop("acl", self.wrapped.default_acl),
            "content_type": parameters.pop("content_type", guessed),
        }
        for key, value in parameters.items():
            setattr(blob, key, value)
        if if_absent or if_version is not None:
            upload["if_generation_match"] = 0 if if_absent else int(if_version or 0)
        blob.upload_from_filename(source, **upload)

    def _key(self, name: str) -> str:
        key: str = self.wrapped._normalize_name(name)
        return key

    def _prefix(self, path: str) -> str:
        key = self._key(path).rstrip("/")
        return f"{key}/" if key else ""


def _entry(name: str, blob: Any) -> Entry:
    return Entry(
        name,
        Kind.FILE,
        size=blob.size or 0,
        mtime_ns=nanoseconds(blob.updated),
        btime_ns=nanoseconds(blob.time_created),
        version=str(blob.generation),
    )
