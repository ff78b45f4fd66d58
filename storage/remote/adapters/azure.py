"""django-storages' AzureStorage, by azure-storage-blob."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from storage.entry import Entry, Kind
from storage.exceptions import SuspiciousFileOperation
from storage.listing import nanoseconds
from storage.names import split_name
from storage.remote.adapters.adapted import Adapted
from storage.remote.django import plain


class AzureAdapter(Adapted):
    """The backend lists all that is below a directory, by one name each; here it is what is in it.

    It takes dots and slashes off both ends of a name, so that ".profile" would be stored as "profile": refused.
    """

    LISTING: ClassVar = (*Adapted.LISTING, "list_all", "_get_valid_path")
    CONTENT: ClassVar = (*Adapted.CONTENT, "_get_content_settings_parameters")
    FORBIDDEN = "".join(map(chr, range(1, 32))) + "\x7f"  # they get lost on the way, and the rest is another name
    reads_ranges = True
    stores = True

    def list_entries(self, path: str) -> Iterator[Entry]:
        """A listing with a delimiter."""
        prefix = self._prefix(path)
        for found in self.wrapped.client.walk_blobs(prefix or None, delimiter="/", timeout=self.wrapped.timeout):
            if found.name.endswith("/"):
                yield Entry(found.name[len(prefix) : -1], Kind.DIRECTORY)
            else:
                yield _entry(found.name[len(prefix) :], found)

    def look(self, name: str) -> Entry:
        """The blob's properties, and, where there is none, a listing of one blob below."""
        blob = self.wrapped.client.get_blob_client(self._key(name))
        try:
            return _entry(split_name(name)[1], blob.get_blob_properties(timeout=self.wrapped.timeout))
        except Exception as error:
            if getattr(error, "status_code", None) != 404 or not self._is_directory(name):
                raise
        return Entry(split_name(name)[1], Kind.DIRECTORY)

    def fetch(self, name: str, entry: Entry, start: int, end: int) -> bytes:
        """One download of a range, if the etag still matches."""
        stream = self.wrapped.client.download_blob(
            self._key(name),
            offset=start,
            length=end - start,
            timeout=self.wrapped.timeout,
            **_condition(entry.version),
        )
        data: bytes = stream.readall()
        return data

    def put(self, name: str, source: str, if_version: str | None, if_absent: bool) -> None:
        """An upload, whose blocks become the blob under the condition."""
        with open(source, "rb") as content:
            self.wrapped.client.upload_blob(
                self._key(name),
                content,
                content_settings=self._settings(name, content),
                max_concurrency=self.wrapped.upload_max_conn,
                timeout=self.wrapped.timeout,
                overwrite=not if_absent,
                **_condition(if_version),
            )

    def save(self, name: str | None, content: Any, max_length: int | None = None) -> str:
        """Store the content under `name`, or an alternative if that is taken; not under one that would be changed."""
        self._key(plain(content.name if name is None else name))
        return super().save(name, content, max_length)

    def _is_directory(self, name: str) -> bool:
        found = self.wrapped.client.list_blobs(self._prefix(name), results_per_page=1, timeout=self.wrapped.timeout)
        return any(True for _ in found)

    def _settings(self, name: str, content: Any) -> Any:
        from azure.storage.blob import ContentSettings

        return ContentSettings(**self.wrapped._get_content_settings_parameters(name, content))

    def _key(self, name: str) -> str:
        key: str = self.wrapped._normalize_name(name)
        if self.wrapped._get_valid_path(name) != key:
            raise SuspiciousFileOperation(f"The backend would store {name!r} under another name")
        return key

    def _prefix(self, path: str) -> str:
        if path:
            return f"{self._key(path)}/"
        location = str(self.wrapped.location or "").strip("/")
        return f"{location}/" if location else ""


def _condition(version: str | None) -> dict[str, Any]:
    if version is None:
        return {}
    from azure.core import MatchConditions

    return {"etag": f'"{version}"', "match_condition": MatchConditions.IfNotModified}


def _entry(name: str, blob: Any) -> Entry:
    return Entry(
        name,
        Kind.FILE,
        size=blob.size,
        mtime_ns=nanoseconds(blob.last_modified),
        btime_ns=nanoseconds(blob.creation_time) if blob.creation_time else None,
        version=blob.etag.strip('"'),
    )
