"""A remote storage that counts: requests, the bytes that they bring, and how many are under way at once.

`Bucket` is in memory. `FolderBucket` is for the daemon of a mount: the test puts objects into a folder behind its back,
and reads in a file there what it was asked for.
"""

from __future__ import annotations

import errno
import io
import os
import threading
import time
from collections.abc import Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

from storage import ContentFile, File, Storage
from storage.entry import Entry, Kind
from storage.exceptions import VersionMismatchError
from storage.names import split_name


class Blob:
    """The content of an object."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)

    def read(self, size: int, offset: int) -> bytes:
        return self.data[offset : offset + size]


class Pages(Blob):
    """A huge content that nobody holds: each page of 4096 bytes is its number, again and again."""

    def __init__(self, size: int) -> None:
        self.size = size

    def read(self, size: int, offset: int) -> bytes:
        first, end = offset // 4096, min(offset + size, self.size)
        pages = b"".join(page.to_bytes(8, "big") * 512 for page in range(first, -(-end // 4096)))
        return pages[offset - first * 4096 : end - first * 4096]


class RangedFile(File):
    """An object opened "rb": each `pread()` is a request."""

    ranged = True

    def __init__(self, bucket: Bucket, name: str, entry: Entry) -> None:
        super().__init__(io.BytesIO(), name)
        self._bucket = bucket
        self._entry = entry

    def stat(self) -> Entry:
        return self._entry

    def pread(self, size: int, offset: int) -> bytes:
        assert not self.file.closed
        return self._bucket.get(self.name or "", self._entry.version, size, offset)

    def read(self, size: int | None = -1) -> bytes:
        wanted = self._entry.size if size is None or size < 0 else size
        data = self.pread(min(wanted, self._entry.size - self.file.tell()), self.file.tell())
        self.file.seek(len(data), os.SEEK_CUR)
        return data


class Bucket(Storage):
    """Objects by flat names, whose versions are counted."""

    def __init__(self) -> None:
        self.objects: MutableMapping[str, tuple[str, Blob]] = {}
        self.requests: list[tuple[int, int]] = []
        """(offset, size) of each read, in the order in which they began."""
        self.under_way = self.most_under_way = 0
        self.latency = 0.0
        self.before: Callable[[int, int], None] = lambda size, offset: None
        self._versions = 0
        self._lock = threading.Lock()

    @property
    def fetched(self) -> int:
        """The bytes that were read."""
        return sum(size for _, size in self.requests)

    def count(self, *request: object) -> None:
        """A request is made."""

    def put(self, name: str, blob: Blob | bytes) -> None:
        with self._lock:
            self._versions += 1
            self.objects[name] = f"v{self._versions}", blob if isinstance(blob, Blob) else Blob(blob)

    def get(self, name: str, version: str | None, size: int, offset: int) -> bytes:
        self.count("get", name, offset, size)
        with self._lock:
            self.requests.append((offset, size))
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            self.before(size, offset)
            time.sleep(self.latency)
            if name not in self.objects:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
            now, blob = self.objects[name]
            if now != version:
                raise VersionMismatchError(name)
            return blob.read(size, offset)
        finally:
            with self._lock:
                self.under_way -= 1

    def open_version(self, name: str, entry: Entry) -> RangedFile:
        return RangedFile(self, name, entry)

    def _open(self, name: str, mode: str = "rb") -> File:
        return RangedFile(self, name, self.stat(name))

    def _save(self, name: str, content: Any) -> str:
        self.put(name, b"".join(content.chunks()))
        return name

    def replace(self, name: str, content: Any, **conditions: Any) -> Entry:
        self.save_as(name, content)
        return self.stat(name)

    def save_as(self, name: str, content: Any) -> None:
        self._save(name, content if hasattr(content, "chunks") else ContentFile(content))

    def delete(self, name: str) -> None:
        self.objects.pop(name, None)

    def exists(self, name: str) -> bool:
        return name in self.objects

    def size(self, name: str) -> int:
        return self.objects[name][1].size

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        entries = list(self.scandir(path))
        return [it.name for it in entries if it.is_dir], [it.name for it in entries if it.is_file]

    def stat(self, name: str) -> Entry:
        self.count("head", name)
        if name in self.objects:
            return self._entry(name)
        if not name or any(key.startswith(f"{name}/") for key in self.objects):
            return Entry(split_name(name)[1] if name else "", Kind.DIRECTORY)
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)

    def scandir(self, path: str = "") -> Iterator[Entry]:
        self.count("list", path)
        prefix = f"{path}/" if path else ""
        directories = set()
        for name in list(self.objects):
            if name.startswith(prefix):
                first, slash, _ = name[len(prefix) :].partition("/")
                if not slash:
                    yield self._entry(name)
                elif first not in directories:
                    directories.add(first)
                    yield Entry(first, Kind.DIRECTORY)

    def _entry(self, name: str) -> Entry:
        version, blob = self.objects[name]
        return Entry(split_name(name)[1], Kind.FILE, blob.size, mtime_ns=int(version[1:]), version=version)


class FileBlob(Blob):
    """A content that is a file, of which only what is read is looked at."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = path.stat().st_size

    def read(self, size: int, offset: int) -> bytes:
        with open(self.path, "rb", buffering=0) as file:
            return os.pread(file.fileno(), size, offset)


class Folder(MutableMapping[str, tuple[str, Blob]]):
    """The files of a folder as objects; the version is the time of change."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __getitem__(self, name: str) -> tuple[str, Blob]:
        path = self.path / name
        if not name or not path.is_file():
            raise KeyError(name)
        return f"v{path.stat().st_mtime_ns}", FileBlob(path)

    def __setitem__(self, name: str, value: tuple[str, Blob]) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.parent / f"new-{threading.get_ident()}"
        new.write_bytes(value[1].data)
        new.replace(path)

    def __delitem__(self, name: str) -> None:
        (self.path / name).unlink()

    def __iter__(self) -> Iterator[str]:
        for directory, _, files in os.walk(self.path):
            for file in files:
                yield os.path.relpath(os.path.join(directory, file), self.path)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class FolderBucket(Bucket):
    """Objects in `location`/objects, and requests in `location`/requests: one a line, words between tabs."""

    def __init__(self, location: str) -> None:
        super().__init__()
        self.location = Path(location)
        (self.location / "objects").mkdir(parents=True, exist_ok=True)
        self.objects = Folder(self.location / "objects")

    def count(self, *request: object) -> None:
        with open(self.location / "requests", "a") as file:
            file.write("\t".join(map(str, request)) + "\n")

    def counted(self) -> list[list[str]]:
        """The requests since this was asked last."""
        path = self.location / "requests"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [line.split("\t") for line in lines]
