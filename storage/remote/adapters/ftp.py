"""django-storages' FTPStorage, by ftplib.

The backend takes the lines of `ls -l` apart at spaces, so that "my file" is listed as "file", and says that a file has
0 bytes when the connection is gone. MLSD and MLST have neither fault; a server without them is listed as before.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from storage.entry import Entry
from storage.exceptions import VersionMismatchError
from storage.names import split_name
from storage.remote import ftp
from storage.remote.adapters.adapted import Adapted
from storage.remote.adapters.tree import AdaptedTree, above
from storage.remote.django import DjangoStorage
from storage.remote.fsspec.entries import entry_of


class FTPAdapter(AdaptedTree):
    """The backend's connection, asked by RFC 3659."""

    LISTING: ClassVar = (*Adapted.LISTING, "_get_dir_details", "_start_connection")
    CONTENT: ClassVar = (*Adapted.CONTENT, "_read", "_put_file")
    FORBIDDEN = "\r\n"  # where a command ends

    def list_entries(self, path: str) -> Iterator[Entry]:
        """MLSD, else what the backend makes of LIST."""
        try:
            for last, facts in ftp.list_facts(self._connection, path or "."):
                yield entry_of({**facts, "name": last})
        except ftp.UnknownCommandError:
            directories, files = DjangoStorage.listdir(self, path)
            yield from self._entries(path, directories, files)

    def look(self, name: str) -> Entry:
        """MLST, else the directory's listing."""
        try:
            facts = ftp.facts_of(self._connection, name)
        except ftp.UnknownCommandError:
            directory, last = split_name(name)
            for entry in self.list_entries(directory):
                if entry.name == last:
                    return entry
            raise FileNotFoundError(name) from None
        return entry_of({**facts, "name": name})

    def fetch(self, name: str, entry: Entry, start: int, end: int) -> bytes:
        """A transfer that begins at `start`, of what has the entry's time and size before."""
        if self.look(name).version != entry.version:
            raise VersionMismatchError(name)
        return ftp.read_range(self._connection, name, start, end)

    def send(self, source: str, name: str) -> None:
        """STOR, by the whole path."""
        connection = self._connection
        if above(name):
            self.wrapped._mkremdirs(above(name))
        with open(source, "rb") as content:
            connection.storbinary(f"STOR {name}", content, blocksize=2**18)

    def move(self, src: str, dst: str, replace: bool) -> None:
        """It replaces a file on the servers that run on POSIX."""
        self._connection.rename(src, dst)

    def make_directory(self, name: str, mode: int) -> None:
        """MKD."""
        self._connection.mkd(name)

    def remove_directory(self, name: str) -> None:
        """RMD."""
        self._connection.rmd(name)

    def remove(self, name: str) -> None:
        """DELE."""
        self._connection.delete(name)

    def exists(self, name: str) -> bool:
        """Whether the name is taken; the backend takes some errors for absence."""
        try:
            return self.find(name) is not None
        except NotADirectoryError:
            return False

    def close(self) -> None:
        """Close the connection, which the backend never does."""
        with self._guard:
            if self.wrapped._connection is not None:
                self.wrapped._connection.close()
                self.wrapped._connection = None

    @property
    def _connection(self) -> Any:
        """Checked by the backend, and made anew where it is gone."""
        self.wrapped._start_connection()
        return self.wrapped._connection
