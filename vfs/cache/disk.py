"""What was fetched, on disk: for this mount, and for the next one of the same storage.

A piece is a file of its own, of at most a MiB, whose name says where it begins, how long it is, and its checksum; it
comes under that name when it is complete. So whatever happens to the daemon or to the machine, a file is right or is
seen to be wrong, and is deleted then: there is no index to mend. The pieces of a content are in a folder that is named
by a hash of the storage, the name and the version, which is why another mount finds them and never takes one for
another.

It is a cache: what cannot be written is not kept, and when pieces come faster than the disk takes them some are left
out. One thread writes. Those that were not used for the longest time go when the budget is spent; across mounts, the
time of change of the file says when it was used.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import logging
import os
import queue
import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from weakref import WeakSet

from vfs.cache.pieces import Pieces
from vfs.content.gaps import Range
from vfs.private_folders import make_private
from vfs.watch.metrics import Hits

logger = logging.getLogger("vfs")

SIZE = 10 << 30
"""Bytes on disk, unless somebody has another idea."""
PIECE = 1 << 20
"""Bytes of a file, at most."""
MOST_PIECES = 1 << 16
"""Files, whatever their size: each costs some memory."""
QUEUE = 16 << 20
"""Bytes that wait to be written, at most."""
FOLDER = "vfs-blocks"
"""What it is called, below the folder that is given."""
_NEW = ".new"


class Stored(NamedTuple):
    """A piece on disk."""

    start: int
    end: int
    checksum: int

    @property
    def file_name(self) -> str:
        """What its file is called, in the folder of its content."""
        return f"{self.start:x}-{self.end - self.start:x}-{self.checksum:08x}"

    @classmethod
    def parse(cls, file_name: str) -> Stored | None:
        """The piece that a file has, None for a file of something else."""
        try:
            start, size, checksum = (int(part, 16) for part in file_name.split("-"))
        except ValueError:
            return None
        return cls(start, start + size, checksum)


class DiskContent:
    """The pieces of one content that are on disk."""

    def __init__(self, disk: DiskCache, folder: str) -> None:
        """As they are found in `folder`, below that of the cache."""
        self.folder = folder
        self.hits = disk.hits
        self._disk = disk
        self._lock = threading.Lock()
        self._is_forgotten = False
        self._pieces: Pieces[Stored] = Pieces()
        for file_name in _names_in(disk.directory / folder):
            piece = Stored.parse(file_name)
            if piece is not None:
                self._pieces.add(piece)

    def parts(self, start: int, end: int) -> list[Range]:
        """The range in parts, of which each is in one piece on disk, or not on disk at all."""
        with self._lock:
            here = [(max(piece.start, start), min(piece.end, end)) for piece in self._pieces.within(start, end)]
            return sorted(here + self._pieces.gaps(start, end))

    def has(self, start: int, end: int) -> bool:
        """Whether anything of a range is on disk."""
        with self._lock:
            return bool(self._pieces.within(start, end))

    def load(self, start: int, end: int) -> bytes | None:
        """The bytes of a part, None if they are not on disk."""
        with self._lock:
            found = self._pieces.within(start, end)
        if len(found) != 1 or found[0].start > start or found[0].end < end:
            return None
        piece = found[0]
        data = self._disk.load(self.folder, piece)
        if data is None:
            with self._lock:
                self._pieces.remove(piece)
            return None
        return data[start - piece.start : end - piece.start]

    def store(self, start: int, data: bytes | bytearray) -> None:
        """Have the bytes written, soon, if there is time for it."""
        self._disk.put(self, start, data)

    def add(self, piece: Stored) -> bool:
        """A piece is about to be on disk; False if it overlaps one that is there, or is not to be kept."""
        with self._lock:
            return not self._is_forgotten and self._pieces.add(piece)

    def remove(self, piece: Stored) -> None:
        """A piece is not on disk."""
        with self._lock:
            self._pieces.remove(piece)

    def forget(self) -> None:
        """Nothing of it is on disk, nor to be written."""
        with self._lock:
            self._is_forgotten = True
            self._pieces = Pieces()


class DiskCache:
    """A folder of pieces, which one mount uses at a time."""

    def __init__(self, directory: Path, limit: int = SIZE, identity: str = "") -> None:
        """Below `directory`, up to `limit` bytes, of the storage with that `identity`.

        OSError: EBUSY when another mount uses it, others when it cannot be made or belongs to somebody else.
        """
        self.directory = directory / FOLDER
        make_private(self.directory)
        self.limit = limit
        self.hits = Hits()
        """Whether what was to be fetched was here."""
        self._lock_file = _locked(self.directory / "lock")
        self._identity = identity
        self._lock = threading.Lock()
        self._used = 0
        self._files: OrderedDict[tuple[str, Stored], None] = OrderedDict()
        self._is_full = False
        self._waiting = 0
        self._contents: WeakSet[DiskContent] = WeakSet()
        """Those that somebody reads, or that are to be written."""
        self._writing = threading.Lock()
        """Held while a piece is written, and while what is on disk of a name is forgotten."""
        self._work: queue.SimpleQueue[tuple[DiskContent, int, bytes | bytearray] | None] = queue.SimpleQueue()
        self._is_closed = threading.Event()
        self._threads = [
            threading.Thread(target=target, name="vfs-disk-cache", daemon=True) for target in (self._find, self._write)
        ]
        for thread in self._threads:
            thread.start()

    def content(self, name: str, version: str) -> DiskContent:
        """What is on disk of an object's version."""
        content = DiskContent(self, f"{self._stem(name)}.{_digest(version)}")
        with self._lock:
            self._contents.add(content)
        return content

    def forget(self, name: str) -> None:
        """Keep nothing of what was read of an object, in whatever version."""
        stem = self._stem(name)
        first, second = stem.split("/")
        with self._writing:
            with self._lock:
                contents = [content for content in self._contents if content.folder.startswith(stem)]
            for content in contents:
                content.forget()
            for found in _names_in(self.directory / first):
                if found.startswith(second):
                    self._remove_all(f"{first}/{found}")

    def _stem(self, name: str) -> str:
        """What the folders of an object's versions begin with."""
        digest = _digest(self._identity, name)
        return f"{digest[:2]}/{digest[2:]}"

    def load(self, folder: str, piece: Stored) -> bytes | None:
        """The bytes of a piece; None, and it is forgotten, if they are not what they were."""
        path = self.directory / folder / piece.file_name
        try:
            data = path.read_bytes()
            os.utime(path)
        except OSError as error:
            logger.debug("not read from the cache on disk: %s", error)
            data = b""
        if len(data) == piece.end - piece.start and zlib.crc32(data) == piece.checksum:
            self._count(folder, piece)
            return data
        self._remove(folder, piece)
        return None

    def put(self, content: DiskContent, start: int, data: bytes | bytearray) -> None:
        """Have the bytes written, unless too many wait already."""
        with self._lock:
            if self._waiting + len(data) > QUEUE or self._is_closed.is_set():
                return
            self._waiting += len(data)
        self._work.put((content, start, data))

    def resize(self, limit: int) -> None:
        """Up to `limit` bytes from now on; those that are too many go at once."""
        self.limit = limit
        self._make_room(0)

    def status(self) -> dict[str, int]:
        """How many bytes there are, and may be."""
        return {"disk": self._used, "disk_limit": self.limit}

    def close(self) -> None:
        """Write what waits to be written, and let another mount have the folder."""
        self._is_closed.set()
        self._work.put(None)
        for thread in self._threads:
            thread.join()
        os.close(self._lock_file)

    # -- in the thread that writes

    def _write(self) -> None:
        while (work := self._work.get()) is not None:
            content, start, data = work
            try:
                for at in range(0, len(data), PIECE):
                    self._write_piece(content, start + at, memoryview(data)[at : at + PIECE])
            except OSError as error:
                self._failed(error)
            finally:
                with self._lock:
                    self._waiting -= len(data)
            del work, data  # or they would stay until the next comes

    def _write_piece(self, content: DiskContent, start: int, data: memoryview) -> None:
        piece = Stored(start, start + len(data), zlib.crc32(data))
        with self._writing:
            self._write_new(content, piece, data)

    def _write_new(self, content: DiskContent, piece: Stored, data: memoryview) -> None:
        if not content.add(piece):
            return
        try:
            self._make_room(len(data))
            folder = self.directory / content.folder
            for directory in (folder.parent, folder):
                directory.mkdir(mode=0o700, exist_ok=True)
            new = self.directory / _NEW
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb", buffering=0) as file:
                file.write(data)
            new.replace(folder / piece.file_name)
        except BaseException:
            content.remove(piece)
            raise
        self._count(content.folder, piece)
        self._is_full = False

    def _count(self, folder: str, piece: Stored) -> None:
        """A piece is on disk, and used; it may not have been found yet."""
        with self._lock:
            if (folder, piece) not in self._files:
                self._used += piece.end - piece.start
            self._files[folder, piece] = None
            self._files.move_to_end((folder, piece))

    def _failed(self, error: OSError) -> None:
        """Say so once, until it works again; where the disk is full, some of what is ours there goes."""
        if not self._is_full:
            logger.warning("not kept in the cache on disk: %s", error)
        self._is_full = True
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            self._make_room(self.limit - self._used + QUEUE)

    def _make_room(self, size: int) -> None:
        while True:
            with self._lock:
                if not self._files or (self._used + size <= self.limit and len(self._files) < MOST_PIECES):
                    return
                folder, piece = next(iter(self._files))
            self._remove(folder, piece)

    def _remove(self, folder: str, piece: Stored) -> None:
        with self._lock:
            if (folder, piece) in self._files:
                del self._files[folder, piece]
                self._used -= piece.end - piece.start
        path = self.directory / folder / piece.file_name
        with contextlib.suppress(OSError):  # it is gone, or the folder has others
            path.unlink()
            path.parent.rmdir()

    def _remove_all(self, folder: str) -> None:
        for file_name in _names_in(self.directory / folder):
            piece = Stored.parse(file_name)
            if piece is not None:
                self._remove(folder, piece)

    # -- in the thread that finds what is there

    def _find(self) -> None:
        """Learn what earlier mounts have left: it counts, and goes first. A close waits for that: the limit holds."""
        found: list[tuple[int, str, Stored]] = []
        for folder, file_name, entry in self._walk():
            piece = Stored.parse(file_name)
            if piece is not None:
                with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                    found.append((entry.stat().st_mtime_ns, folder, piece))
        with self._lock:
            for _, folder, piece in sorted(found, reverse=True):
                if (folder, piece) not in self._files:
                    self._files[folder, piece] = None
                    self._files.move_to_end((folder, piece), last=False)
                    self._used += piece.end - piece.start
        self._make_room(0)

    def _walk(self) -> Iterator[tuple[str, str, os.DirEntry[str]]]:
        for first in _names_in(self.directory):
            for second in _names_in(self.directory / first):
                with contextlib.suppress(OSError), os.scandir(self.directory / first / second) as entries:
                    for entry in entries:
                        yield f"{first}/{second}", entry.name, entry


def _digest(*words: str) -> str:
    return hashlib.blake2b(b"\0".join(map(os.fsencode, words)), digest_size=16).hexdigest()


def _names_in(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:  # there is none, or it is a file
        return []


def _locked(path: Path) -> int:
    """A descriptor that holds the lock; OSError (EBUSY) if another process has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise OSError(
            errno.EBUSY, "it is used by another mount; each needs its own", str(path.parent.parent)
        ) from error
    return descriptor
