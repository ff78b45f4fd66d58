"""django-storages' DropboxStorage, by Dropbox' own client.

The backend lists the first page of a directory alone, and takes any error for absence. The client fetches whole files,
so reading is the backend's.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC
from typing import Any, ClassVar

from storage.entry import Entry, Kind
from storage.listing import nanoseconds
from storage.remote.adapters.adapted import Adapted


class DropboxAdapter(Adapted):
    """The version is Dropbox' revision."""

    LISTING: ClassVar = (*Adapted.LISTING, "_full_path")
    CONTENT: ClassVar = (*Adapted.CONTENT, "_chunked_upload")

    def list_entries(self, path: str) -> Iterator[Entry]:
        """All the pages."""
        client = self.wrapped.client
        page = client.files_list_folder(self._path(path))
        while True:
            yield from map(_entry, page.entries)
            if not page.has_more:
                return
            page = client.files_list_folder_continue(page.cursor)

    def look(self, name: str) -> Entry:
        """The metadata."""
        return _entry(self.wrapped.client.files_get_metadata(self._path(name)))

    def exists(self, name: str) -> bool:
        """Whether the name is taken; the backend takes any error for absence."""
        try:
            return self.find(name) is not None
        except NotADirectoryError:
            return False

    def _path(self, name: str) -> str:
        path: str = self.wrapped._full_path(name)
        return "" if path == "/" else path


def _entry(found: Any) -> Entry:
    if not hasattr(found, "rev"):  # only files have revisions
        return Entry(found.name, Kind.DIRECTORY)
    mtime_ns = nanoseconds(found.server_modified.replace(tzinfo=UTC))
    return Entry(found.name, Kind.FILE, size=found.size, mtime_ns=mtime_ns, version=found.rev)
