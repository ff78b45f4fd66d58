"""FsspecStorage: names that hold contents; `directories` has what real directories add."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from storage.base import Condition as Bound, Storage
from storage.drafts import is_draft, refuse_drafts
from storage.entry import Entry, Kind
from storage.exceptions import SuspiciousFileOperation, os_error
from storage.files import File
from storage.names import checked_name, split_name
from storage.remote.fsspec.client import Client
from storage.remote.fsspec.entries import entries_of, entry_of
from storage.remote.fsspec.known import protocol_of
from storage.remote.fsspec.protocol import Condition
from storage.remote.local_copy import local_copy
from storage.remote.ranged_file import RangedFile
from storage.remote.times import moment_of
from storage.remote.whole_file import WholeFile, basis_of

_WRITING = frozenset("wxa+")


class FsspecStorage(Storage):
    """A storage over a protocol of fsspec: "sftp", "smb", "github", "zip", "s3", ...

    Where the protocol has real directories, what is made is a `FsspecDirectoryStorage`; a subclass derives from the
    one that suits its protocol.
    """

    def __new__(cls, protocol: str = "", *args: Any, **kwargs: Any) -> FsspecStorage:
        """Of the class that suits the protocol."""
        if cls is FsspecStorage and protocol_of(protocol).directories:
            from storage.remote.fsspec.directories import FsspecDirectoryStorage

            cls = FsspecDirectoryStorage
        return super().__new__(cls)

    def __init__(
        self,
        protocol: str,
        root: str | None = None,
        *,
        location: str | None = None,
        public_url: str | None = None,
        **options: Any,
    ) -> None:
        """Over `root`, or `location`, a path of the protocol; nothing is connected yet.

        `protocol` may also be the dotted path of a filesystem class. The options are the protocol's own; those that a
        root with "://" tells are taken from it. ImproperlyConfigured when the protocol's package is not installed.
        """
        self._protocol = protocol_of(protocol)
        self._name = protocol
        given = (location if root is None else root) or ""
        kind = self._protocol.kind
        told = kind._get_kwargs_from_urls(given) if "://" in given else {}
        self._root = self._protocol.root(given)
        self._client = Client(self._protocol, {**told, **options})
        self._public_url = public_url

    def __repr__(self) -> str:
        """The protocol and the root; no options, which may be secrets."""
        root = self._root
        if "@" in urlsplit(root).netloc:
            root = root.replace(urlsplit(root).netloc, urlsplit(root).netloc.rpartition("@")[2])
        return f"<{type(self).__name__} {self._name} {root!r}>"

    @property
    def name_forbidden(self) -> str:
        """The characters, besides '/' and NUL, that no name may have on this protocol."""
        return self._protocol.forbidden

    def check_name(self, name: str) -> None:
        """As in the base class; refused is as well what the protocol's class would take for another name."""
        super().check_name(name)
        self._path(name)

    def does_itself(self, operation: str) -> bool:
        """As the class has it; the protocol says whether it copies."""
        return self._protocol.copies if operation == "copy" else super().does_itself(operation)

    def holds(self, condition: Bound) -> bool:
        """As the protocol says; whether the server heeds what it is asked is not tried."""
        return condition in self._protocol.held

    # -- looking

    def stat(self, name: str) -> Entry:
        """What there is under `name`; FileNotFoundError, or NotADirectoryError below a file."""
        if not checked_name(name, allow_root=True):
            return Entry("", Kind.DIRECTORY)
        path = self._path(name)
        try:
            entry = entry_of(self._call(name, lambda fs: self._protocol.info(fs, path), again=True))
        except FileNotFoundError:
            self._require_no_file_above(name)
            raise
        return entry._replace(name=split_name(name)[1])

    def scandir(self, path: str = "") -> Iterator[Entry]:
        """The entries of a directory, in no order, by one listing; FileNotFoundError, or NotADirectoryError for a file.

        The root is there, also when nothing is in it yet.
        """
        checked_name(path, allow_root=True)
        where = self._path(path)
        try:
            listed = self._call(path, lambda fs: self._protocol.list(fs, where), again=True)
        except FileNotFoundError:
            if path:
                self._require_directory(path, path)
                raise
            self._require_container(where)
            listed = []
        is_itself = len(listed) == 1 and str(listed[0]["name"]).strip("/") == where.strip("/")
        if path and (is_itself or not (listed or self._protocol.lists_only_what_is)):
            self._require_directory(path, path)
        entries = entries_of(where, listed, self._protocol.can_name)
        return (entry for entry in entries if not is_draft(entry.name))

    def exists(self, name: str) -> bool:
        """Whether the name is taken, by a directory as well."""
        try:
            return self.find(name) is not None
        except NotADirectoryError:
            return False
        except OSError as error:
            if not self._is_too_long(name, error):  # which is not taken, as Django asks before it cuts it
                raise
            return False

    def _is_too_long(self, name: str, error: OSError) -> bool:
        """Whether it is the name's length that an error may mean; few servers have a word for that."""
        if isinstance(error, ConnectionError | TimeoutError):
            return False
        return error.errno == errno.ENAMETOOLONG or max(map(len, os.fsencode(name).split(b"/"))) > self.name_max

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        """The names in a directory: those of directories, and those of files."""
        entries = list(self.scandir(path))
        return [entry.name for entry in entries if entry.is_dir], [entry.name for entry in entries if not entry.is_dir]

    def size(self, name: str) -> int:
        """The file's size in bytes."""
        return self.stat(name).size

    def get_accessed_time(self, name: str) -> datetime:
        """When the file was last read; NotImplementedError where the protocol does not tell."""
        return moment_of(self.stat(name).atime_ns, f"When {name!r} was read")

    def get_created_time(self, name: str) -> datetime:
        """When the file was made; NotImplementedError where the protocol does not tell."""
        return moment_of(self.stat(name).btime_ns, f"When {name!r} was made")

    def get_modified_time(self, name: str) -> datetime:
        """When the content last changed; NotImplementedError where the protocol does not tell."""
        return moment_of(self.stat(name).mtime_ns, f"When {name!r} was changed")

    def url(self, name: str | None, **parameters: Any) -> str:
        """The URL below `public_url`, or one that the protocol signs; NotImplementedError where there is neither."""
        path = self._path(name or "")
        if self._public_url is not None:
            base = self._public_url if self._public_url.endswith("/") else f"{self._public_url}/"
            return urljoin(base, quote(name or ""))
        return str(self._call(name or "", lambda fs: fs.sign(path, **parameters)))

    # -- contents

    def open_version(self, name: str, entry: Entry) -> File:
        """The file that was shown as `entry`, opened "rb" without a request; each read is one."""
        return self._ranged(name, entry, "rb")

    def _open(self, name: str, mode: str = "rb") -> File:
        """Any of the builtin open()'s modes; what is written is stored whole when it is closed."""
        if not _WRITING.isdisjoint(mode):
            return self._whole(checked_name(name), mode)
        return self._opened(name, mode)

    def _whole(self, name: str, mode: str) -> File:
        before, if_version, if_absent = basis_of(name, mode, self.find, lambda: self._opened(name, "rb"))

        def store(content: File) -> None:
            self.replace(name, content, if_version=if_version, if_absent=if_absent)

        return WholeFile(name, mode, before, store)

    def _opened(self, name: str, mode: str) -> File:
        return self._ranged(name, self._look_at_file(name), mode)

    def _ranged(self, name: str, entry: Entry, mode: str) -> File:
        path = self._path(name)

        def fetch(entry: Entry, start: int, end: int) -> bytes:
            data: bytes = self._call(name, lambda fs: self._protocol.fetch(fs, path, entry, start, end), again=True)
            return data

        return RangedFile(name, entry, fetch, lambda: self._look_at_file(name), mode=mode)

    def _look_at_file(self, name: str) -> Entry:
        entry = self.stat(name)
        if entry.is_dir:
            raise os_error(errno.EISDIR, name)
        return entry

    def _save(self, name: str, content: Any) -> str:
        self._require_no_file_above(name)
        with local_copy(content) as source:
            while not self._store_new(name, source):
                name = self.get_available_name(name)
        return name

    def _store_new(self, name: str, source: str) -> bool:
        """Whether the name was free, so that it is stored."""
        try:
            self._store(name, source, Condition(absent=True))
        except FileExistsError:
            return False
        return True

    def replace(self, name: str, content: Any, *, if_version: str | None = None, if_absent: bool = False) -> Entry:
        """Store the content under exactly this name, and return the new entry; the conditions as in the base class.

        What was there stays there until all of the content is. Whether the protocol holds the condition, or a look
        before, its class in this package says.
        """
        checked_name(name)
        self._check_condition(name, if_version, if_absent)
        with local_copy(content) as source:
            self._store(name, source, Condition(if_version, if_absent))
        self._changed("save", name)
        return self.stat(name)

    def _store(self, name: str, source: str, condition: Condition) -> None:
        path = self._path(name)
        try:
            self._call(name, lambda fs: self._protocol.put(fs, source, path, condition))
        except FileNotFoundError:
            if not self._protocol.directories:
                raise
            self._make_above(name)
            self._call(name, lambda fs: self._protocol.put(fs, source, path, condition))

    def _make_above(self, name: str) -> None:
        """Make the directories, and the root, that a file needs."""
        raise NotImplementedError

    def delete(self, name: str) -> None:
        """Delete the file; nothing happens when there is none, IsADirectoryError for a directory."""
        if not name:
            raise ValueError("The name must be given to delete().")
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            self.unlink(name)

    def unlink(self, name: str) -> None:
        """Delete what is not a directory; FileNotFoundError, IsADirectoryError."""
        path = self._path(checked_name(name))
        if self.stat(name).is_dir:
            raise os_error(errno.EISDIR, name)
        self._call(name, lambda fs: self._protocol.delete(fs, path))
        self._changed("delete", name)

    def _copy(self, src: str, dst: str, *, if_absent: bool) -> None:
        """By the server, where it can; it has no conditions for that."""
        if not self._protocol.copies:
            super()._copy(src, dst, if_absent=if_absent)
            return
        source, target = self._path(checked_name(src)), self._path(checked_name(dst))
        if self.stat(src).is_dir:
            raise os_error(errno.EISDIR, src)
        if src == dst and not if_absent:
            return
        self._check_condition(dst, None, if_absent)
        self._call(src, lambda fs: self._protocol.copy(fs, source, target))
        self._changed("save", dst)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    # -- how it is done

    def _call(self, name: str, function: Any, *, again: bool = False) -> Any:
        return self._client.call(name, function, again=again)

    def _path(self, name: str) -> str:
        """The protocol's path of a plain name; SuspiciousFileOperation for one that it cannot hold."""
        refuse_drafts(checked_name(name, allow_root=True))
        if self._protocol.can_name(name):
            return "/".join(filter(None, (self._root.rstrip("/"), name))) if self._root != "/" else f"/{name}"
        raise SuspiciousFileOperation(f"{name!r} has what the protocol {self._name} cannot hold in a name")

    def _require_container(self, path: str) -> None:
        """Raise an OSError where the bucket is missing that `path` is in."""
        container = self._protocol.container(path)
        if container:
            try:
                self._call("", lambda fs: self._protocol.info(fs, container))
            except FileNotFoundError as error:
                raise OSError(errno.EIO, "The container does not exist", container) from error

    def _require_no_file_above(self, name: str) -> None:
        """Raise NotADirectoryError where a file is in the way of `name`."""
        above = split_name(name)[0]
        if above:
            entry = self.find(above)
            if entry is not None and not entry.is_dir:
                raise os_error(errno.ENOTDIR, name)
