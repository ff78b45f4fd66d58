"""django-storages' SFTPStorage, by paramiko."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from storage.entry import Entry, Kind
from storage.exceptions import VersionMismatchError
from storage.names import split_name
from storage.remote.adapters.adapted import Adapted
from storage.remote.adapters.tree import AdaptedTree, above

_SECOND = 10**9


class SFTPAdapter(AdaptedTree):
    """A listing tells the attributes of each file, links not followed; one handle is read by many small requests.

    Times are whole seconds, so that a file rewritten with as many bytes within a second shows the same version.
    """

    HELD: ClassVar[tuple[str, ...]] = ("if_absent",)
    LISTING: ClassVar = (*Adapted.LISTING, "_isdir_attr", "_remote_path", "_path_exists")
    CONTENT: ClassVar = (*Adapted.CONTENT, "_read", "_mkdir", "_chown")

    def list_entries(self, path: str) -> Iterator[Entry]:
        """READDIR, until all are told."""
        for found in self.wrapped.sftp.listdir_attr(self._path(path)):
            yield _entry(found.filename, found)

    def look(self, name: str) -> Entry:
        """LSTAT."""
        return _entry(split_name(name)[1], self.wrapped.sftp.lstat(self._path(name)))

    def fetch(self, name: str, entry: Entry, start: int, end: int) -> bytes:
        """Of a handle whose attributes are the entry's."""
        with self.wrapped.sftp.open(self._path(name), "rb") as file:
            if _entry(entry.name, file.stat()).version != entry.version:
                raise VersionMismatchError(name)
            return b"".join(file.readv([(start, end - start)]))

    def send(self, source: str, name: str) -> None:
        """With the mode and owner that the backend is told to give."""
        wrapped, path = self.wrapped, self._path(name)
        if not wrapped._path_exists(self._path(above(name))):
            wrapped._mkdir(self._path(above(name)).rstrip("/"))
        wrapped.sftp.put(source, path)
        if wrapped.file_mode is not None:
            wrapped.sftp.chmod(path, wrapped.file_mode)
        if wrapped.uid or wrapped.gid:
            wrapped._chown(path, uid=wrapped.uid, gid=wrapped.gid)

    def move(self, src: str, dst: str, replace: bool) -> None:
        """The protocol's own rename refuses to replace, OpenSSH's extension does it."""
        rename = self.wrapped.sftp.posix_rename if replace else self.wrapped.sftp.rename
        rename(self._path(src), self._path(dst))

    def make_directory(self, name: str, mode: int) -> None:
        """With the mode, whatever the server's umask is."""
        self.wrapped.sftp.mkdir(self._path(name), mode)
        self.wrapped.sftp.chmod(self._path(name), mode)

    def remove_directory(self, name: str) -> None:
        """RMDIR."""
        self.wrapped.sftp.rmdir(self._path(name))

    def remove(self, name: str) -> None:
        """REMOVE."""
        self.wrapped.sftp.remove(self._path(name))

    def _path(self, name: str) -> str:
        path: str = self.wrapped._remote_path(name)
        return path or "."


def _entry(name: str, found: Any) -> Entry:
    mtime_ns = int(found.st_mtime) * _SECOND
    try:
        kind = Kind.of_mode(found.st_mode)
    except (TypeError, ValueError):  # a server need not tell the type
        kind = Kind.FILE
    if kind is Kind.DIRECTORY:
        return Entry(name, kind, mtime_ns=mtime_ns)
    return Entry(
        name,
        kind,
        size=found.st_size or 0,
        mtime_ns=mtime_ns,
        atime_ns=int(found.st_atime) * _SECOND,
        version=f"{mtime_ns:x}-{found.st_size:x}",
    )
