"""WebDAV by webdav4."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from typing import Any

from storage.entry import Entry
from storage.exceptions import VersionMismatchError, os_error
from storage.remote.fsspec.protocol import TreeProtocol


class WebDAV(TreeProtocol):
    """Ranges and renames are requests of webdav4's client: its filesystem class streams, and copies to rename."""

    shared = True
    forbidden = "#?%" + "".join(map(chr, range(1, 32))) + "\x7f"  # the client takes or refuses them as parts of a URL
    pinned = True

    def fetch(self, fs: Any, path: str, entry: Entry, start: int, end: int) -> bytes:
        """By one request for the range; the answer's etag says of which version it is."""
        try:
            response = fs.client.request("GET", path, headers={"Range": f"bytes={start}-{end - 1}"})
        except Exception as error:
            if getattr(error, "status_code", None) == 416:
                raise VersionMismatchError(path) from error
            raise
        data: bytes = response.content if response.status_code == 206 else response.content[start:end]
        etag = response.headers.get("etag")
        version = self.entry(fs, path).version if etag is None else etag.removeprefix("W/").strip('"')
        if version != entry.version or len(data) != end - start:
            raise VersionMismatchError(path)
        return data

    def send(self, fs: Any, source: str, draft: str, path: str) -> None:
        """Without a look at the directory, which is there or it is FileNotFoundError."""
        with open(source, "rb") as content, _conflicts(draft):
            fs.client.upload_fileobj(content, draft, overwrite=True)

    def rename(self, fs: Any, src: str, dst: str, *, replace: bool) -> None:
        """Of the server; it is asked to fail where there is something, unless to `replace`."""
        with _conflicts(dst):
            fs.client.move(src, dst, overwrite=replace)

    def copy(self, fs: Any, src: str, dst: str) -> None:
        """Of the server."""
        with _conflicts(dst):
            fs.client.copy(src, dst, overwrite=True)

    def mkdir(self, fs: Any, path: str, mode: int) -> None:
        """One request."""
        with _conflicts(path):
            fs.client.mkdir(path)

    def rmdir(self, fs: Any, path: str) -> None:
        """The storage has looked that it is empty: the protocol deletes whatever is in it."""
        fs.client.remove(path)

    def delete(self, fs: Any, path: str) -> None:
        """One request."""
        fs.client.remove(path)

    def close(self, fs: Any) -> None:
        """The connections of the HTTP client."""
        fs.client.http.close()


@contextlib.contextmanager
def _conflicts(path: str) -> Iterator[None]:
    """Status 409 says that the directory is missing; the client says so in two ways."""
    try:
        yield
    except Exception as error:
        if type(error).__name__ == "ResourceConflict" or getattr(error, "status_code", None) == 409:
            raise os_error(errno.ENOENT, path) from error
        raise
