"""SMB, as fsspec reaches it by the package smbprotocol.

fsspec's class locks each file that it opens, asks for every name of a listing by itself, and follows links, so the
package's own client is asked. Windows has no names with some characters, or that end with a dot or a space.
"""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from stat import FILE_ATTRIBUTE_DIRECTORY, FILE_ATTRIBUTE_REPARSE_POINT, S_ISDIR, S_ISLNK
from typing import Any

from storage.entry import Entry
from storage.exceptions import VersionMismatchError
from storage.remote.fsspec.entries import Info, entry_of
from storage.remote.fsspec.errors import translating
from storage.remote.fsspec.protocol import TreeProtocol

_SHARED = "rwd"
"""Others may do with an open file what they like."""
_CHUNK = 2**20


class SMB(TreeProtocol):
    """One call at a time."""

    session = True
    exclusive = True
    pinned = True
    forbidden = '"*:<>?\\|' + "".join(map(chr, range(1, 32)))

    def list(self, fs: Any, path: str) -> list[Info]:
        """With what the listing itself tells of each."""
        import smbclient

        with smbclient.scandir(_unc(fs, path), **_login(fs)) as found:
            return [_listed(f"{path}/{entry.name}", entry.smb_info) for entry in found]

    def info(self, fs: Any, path: str) -> Info:
        """Not following links."""
        import smbclient

        return _info(path, smbclient.lstat(_unc(fs, path), **_login(fs)))

    def fetch(self, fs: Any, path: str, entry: Entry, start: int, end: int) -> bytes:
        """From a handle, through which nobody can put another file in the place."""
        import smbclient

        with smbclient.open_file(_unc(fs, path), "rb", share_access=_SHARED, **_login(fs)) as file:
            if entry_of(self.info(fs, path)).version != entry.version:
                raise VersionMismatchError(path)
            file.seek(start)
            data: bytes = file.read(end - start)
        if len(data) != end - start:
            raise VersionMismatchError(path)
        return data

    def send(self, fs: Any, source: str, draft: str, path: str) -> None:
        """In pieces."""
        import smbclient

        with (
            open(source, "rb") as content,
            smbclient.open_file(_unc(fs, draft), "xb", share_access=_SHARED, **_login(fs)) as file,
        ):
            while chunk := content.read(_CHUNK):
                file.write(chunk)

    def copy(self, fs: Any, src: str, dst: str) -> None:
        """By the server."""
        import smbclient

        smbclient.copyfile(_unc(fs, src), _unc(fs, dst), **_login(fs))

    def rename(self, fs: Any, src: str, dst: str, *, replace: bool) -> None:
        """The protocol's own rename replaces files, and no directories: an empty one is removed before."""
        import smbclient

        login = _login(fs)
        if replace and S_ISDIR(smbclient.lstat(_unc(fs, src), **login).st_mode):
            with contextlib.suppress(FileNotFoundError), translating(dst):
                smbclient.rmdir(_unc(fs, dst), **login)
            replace = False
        (smbclient.replace if replace else smbclient.rename)(_unc(fs, src), _unc(fs, dst), **login)

    def mkdir(self, fs: Any, path: str, mode: int) -> None:
        """Without the mode, which SMB has not."""
        import smbclient

        smbclient.mkdir(_unc(fs, path), **_login(fs))

    def rmdir(self, fs: Any, path: str) -> None:
        """One command."""
        import smbclient

        smbclient.rmdir(_unc(fs, path), **_login(fs))

    def delete(self, fs: Any, path: str) -> None:
        """One command."""
        import smbclient

        smbclient.remove(_unc(fs, path), **_login(fs))


def _listed(path: str, found: Any) -> Info:
    """Of what a listing tells of a name."""
    is_link = found.file_attributes & FILE_ATTRIBUTE_REPARSE_POINT
    is_directory = found.file_attributes & FILE_ATTRIBUTE_DIRECTORY
    return {
        "name": path,
        "type": "link" if is_link else "directory" if is_directory else "file",
        "size": found.end_of_file,
        "mtime": found.last_write_time,
        "atime": found.last_access_time,
        "ctime": found.creation_time,
        "ino": found.file_id,
    }


def _info(path: str, status: Any) -> Info:
    """Of what is told of one; in microseconds, as listings are."""
    kind = "directory" if S_ISDIR(status.st_mode) else "link" if S_ISLNK(status.st_mode) else "file"
    return {
        "name": path,
        "type": kind,
        "size": status.st_size,
        "mtime": _moment(status.st_mtime_ns),
        "atime": _moment(status.st_atime_ns),
        "ctime": _moment(status.st_ctime_ns),  # as Windows has it: when it was made
        "ino": status.st_ino,
    }


def _moment(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=nanoseconds // 1000)


def _unc(fs: Any, path: str) -> str:
    return f"\\\\{fs.host}{path}".replace("/", "\\")


def _login(fs: Any) -> dict[str, Any]:
    """What a connection that died is made again with."""
    found = {"port": fs.port, "username": fs.username, "password": fs.password, "encrypt": fs.encrypt}
    return {name: value for name, value in found.items() if value is not None}
