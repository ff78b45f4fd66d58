"""FTP by fsspec's own class.

It takes whatever a server says for "not found", aborts a transfer in a way that servers answer differently, and asks
for the listing of the directory to describe one name. So only its connection is used, and its reading of `ls -l` where
the server knows nothing better.
"""

from __future__ import annotations

from typing import Any

from storage.entry import Entry
from storage.exceptions import VersionMismatchError
from storage.remote import ftp
from storage.remote.fsspec.entries import Info
from storage.remote.fsspec.protocol import TreeProtocol


class FTP(TreeProtocol):
    """One call at a time on each connection, of which servers allow a few."""

    session = True
    connections = 4
    forbidden = "\r\n"  # where a command ends
    lists_only_what_is = False  # some servers list nothing, and call it a success
    pinned = True

    def close(self, fs: Any) -> None:
        """The control connection."""
        fs.ftp.close()

    def list(self, fs: Any, path: str) -> list[Info]:
        """By MLSD, or the lines of `ls -l` where the server has only these."""
        try:
            listed = ftp.list_facts(fs.ftp, path or "/")
        except ftp.UnknownCommandError:
            return super().list(fs, path)
        return [{**facts, "name": f"{path.rstrip('/')}/{last}"} for last, facts in listed]

    def info(self, fs: Any, path: str) -> Info:
        """By MLST, else by the listing of the directory."""
        try:
            return {**ftp.facts_of(fs.ftp, path), "name": path}
        except ftp.UnknownCommandError:
            return super().info(fs, path)

    def fetch(self, fs: Any, path: str, entry: Entry, start: int, end: int) -> bytes:
        """As much of a transfer that begins at `start` as is wanted."""
        if self.entry(fs, path).version != entry.version:
            raise VersionMismatchError(path)
        data = ftp.read_range(fs.ftp, path, start, end)
        if len(data) != end - start:
            raise VersionMismatchError(path)
        return data

    def send(self, fs: Any, source: str, draft: str, path: str) -> None:
        """In one transfer."""
        with open(source, "rb") as content:
            fs.ftp.storbinary(f"STOR {draft}", content, blocksize=2**18)

    def rename(self, fs: Any, src: str, dst: str, *, replace: bool) -> None:
        """It replaces a file on the servers that run on POSIX."""
        fs.ftp.rename(src, dst)

    def mkdir(self, fs: Any, path: str, mode: int) -> None:
        """One command."""
        fs.ftp.mkd(path)

    def rmdir(self, fs: Any, path: str) -> None:
        """One command."""
        fs.ftp.rmd(path)

    def delete(self, fs: Any, path: str) -> None:
        """One command."""
        fs.ftp.delete(path)
