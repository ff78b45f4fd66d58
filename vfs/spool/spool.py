"""Bytes on local disk that a storage does not have yet, or that were fetched to be changed.

A storage that takes whole objects only is written through here: an open file's content is a `SpoolFile`, and
`storage.replace()` gets it when the file is flushed. A note beside it (vfs.spool.journal) says what is to become of it.
A `Spool` is the folder of one mount, of which nobody else makes use while the lock beside it is held.
"""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import itertools
import os
import secrets
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from storage import extents
from vfs.spool.journal import SUFFIX, NewerFormatError, Note, sync_directory

CHUNK = 1 << 20
"""Bytes copied at a time."""
RESERVE = 64 << 20
"""Bytes of the disk that contents leave free, if that is not more than a hundredth: notes find room when it is full."""
_CONTENT = "content-"


class Room:
    """How much a spool may hold, and holds; in bytes of contents, holes included."""

    def __init__(self, directory: Path, limit: int | None = None) -> None:
        """In `directory`, up to `limit` if that is given, and what its disk has less a reserve."""
        self.limit = limit
        self.used = 0
        self._directory = directory
        self._lock = threading.Lock()
        disk = os.statvfs(directory)
        self._reserve = min(RESERVE, disk.f_blocks * disk.f_frsize // 100)
        self._unseen = self._reserve
        """Bytes that were taken since the disk was looked at."""
        self._expecting: set[SpoolFile] = set()
        """Contents of which some is yet to come, which the disk does not count before."""

    def take(self, count: int) -> None:
        """So many bytes more; OSError (ENOSPC) if that is too much."""
        with self._lock:
            if self.limit is not None and self.used + count > self.limit:
                raise OSError(errno.ENOSPC, f"the spool is full: it may hold {self.limit} bytes", str(self._directory))
            self._unseen += count
            if self._unseen * 4 >= self._reserve:
                self._look(count)
            self.used += count

    def give_back(self, count: int) -> None:
        """So many bytes less."""
        with self._lock:
            self.used -= count

    def expect(self, content: SpoolFile) -> None:
        """What `content` has taken and does not fill yet is to come: nobody else may have that room."""
        with self._lock:
            self._expecting.add(content)

    def forget(self, content: SpoolFile) -> None:
        """Nothing more of `content` is to come."""
        with self._lock:
            self._expecting.discard(content)

    @property
    def is_tight(self) -> bool:
        """Whether more than half of the limit is taken."""
        return self.limit is not None and self.used * 2 > self.limit

    def _look(self, count: int) -> None:
        disk = os.statvfs(self._directory)
        expected = sum(content.unfilled() for content in self._expecting)
        if disk.f_bavail * disk.f_frsize < count + expected + self._reserve:
            raise OSError(errno.ENOSPC, "the disk of the spool is full", str(self._directory))
        self._unseen = 0


class SpoolFile:
    """The content of one open file, in a file of the spool; all offsets and sizes in bytes."""

    def __init__(self, path: Path, room: Room, *, left: bool = False) -> None:
        """A new empty file at `path`, or one that another process has `left` there; FileExistsError."""
        self._fd = -1
        self._fd = os.open(path, os.O_RDWR if left else os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        self._lock = threading.Lock()
        self._users = 0
        self.path = path
        self._note_path = f"{path}{SUFFIX}"
        self.is_noted = left
        self._room = room
        self._taken = 0
        if left:
            self._taken = self.size()
            with room._lock:  # it is there, whatever the limit says
                room.used += self._taken

    def __enter__(self) -> int:
        """The descriptor of the content, which stays open within the block."""
        with self._lock:
            if self._fd < 0:
                self._fd = os.open(self.path, os.O_RDWR)
            self._users += 1
            return self._fd

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1

    def rest(self) -> None:
        """Have no descriptor open until it is used again, if it is to stay: thousands may wait for a storage."""
        with self._lock:
            if self.is_noted and not self._users:
                self._close()

    def pread(self, size: int, offset: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer only at the end."""
        with self as fd:
            data = os.pread(fd, size, offset)
            while len(data) < size and (more := os.pread(fd, size - len(data), offset + len(data))):
                data += more
        return data

    def pwrite(self, data: bytes | memoryview, offset: int) -> int:
        """Write all of `data` at `offset`; OSError (ENOSPC) when the spool or its disk is full."""
        view, written = memoryview(data), 0
        self.make_room(offset + len(view))
        with self as fd:
            while written < len(view):
                written += os.pwrite(fd, view[written:], offset + written)
        return written

    def truncate(self, size: int) -> None:
        """Cut or extend with zeros; OSError (ENOSPC) beyond the limit of the spool."""
        self.make_room(size)
        with self as fd:
            # ext4 brings all of a file to the disk, at the next close(2) of it, that was cut to nothing.
            if size or (found := os.fstat(fd)).st_size or found.st_blocks:
                os.ftruncate(fd, size)
        self._room.give_back(self._taken - size)
        self._taken = size

    def expect(self, size: int) -> None:
        """Be of `size`, of zeros until the rest has come; OSError (ENOSPC) if there will be no room for that."""
        self._room.expect(self)
        self.truncate(size)

    def has_come(self) -> None:
        """What was expected is there, or will not be."""
        self._room.forget(self)

    def unfilled(self) -> int:
        """How many bytes more of the disk it needs to be filled."""
        try:
            return max(0, self._taken - os.stat(self.path).st_blocks * 512)
        except FileNotFoundError:  # it was removed this very moment
            return 0

    def make_room(self, size: int) -> None:
        """Before the content grows up to `size`; OSError (ENOSPC)."""
        if size > self._taken:
            self._room.take(size - self._taken)
            self._taken = size

    def size(self) -> int:
        """The length of the content."""
        with self as fd:
            return os.fstat(fd).st_size

    def fill(self, chunks: Iterable[bytes]) -> None:
        """Replace the content by `chunks`; on an error the file is left empty."""
        offset = 0
        try:
            for chunk in chunks:
                offset += self.pwrite(chunk, offset)
        except BaseException:
            self.truncate(0)
            raise

    def fill_from(self, other: SpoolFile, size: int) -> None:
        """Replace the content by the first `size` bytes of `other`; on an error the file is left empty."""
        try:
            self.make_room(min(size, other.size()))
            with other as source, self as target:
                if extents.copy_range(source, 0, target, 0, size) == min(size, other.size()):
                    return
        except NotImplementedError:
            pass  # this filesystem copies through us
        except BaseException:
            self.truncate(0)
            raise
        self.fill(other.pread(min(CHUNK, size - at), at) for at in range(0, min(size, other.size()), CHUNK))

    def chunks(self) -> Iterator[bytes]:
        """The content in pieces."""
        offset = 0
        while chunk := self.pread(CHUNK, offset):
            yield chunk
            offset += len(chunk)

    def note(self, note: Note, *, sync: bool = False) -> None:
        """Say on disk what is to become of it; with `sync` both are there to stay when this returns."""
        if sync:
            with self as fd:
                os.fsync(fd)
        note.write(self._note_path, sync=sync)
        self.is_noted = True

    def change_note(self, *, sync: bool, **changes: Any) -> None:
        """Say otherwise what is to become of it, where something is said at all; as `note()`."""
        note = Note.read(Path(self._note_path)) if self.is_noted else None
        if note is not None:
            self.note(dataclasses.replace(note, **changes), sync=sync)

    def forget(self) -> None:
        """Nothing is to become of it any more."""
        if self.is_noted:
            with suppress(FileNotFoundError):
                os.unlink(self._note_path)
            self.is_noted = False

    def keep(self) -> Path:
        """Close but leave content and note on disk; returns where the content is."""
        self._close()
        return self.path

    def remove(self) -> None:
        """Delete it; who has it open reads on, unless it rested and there is no descriptor for it."""
        self.forget()  # first: a note is never without its content
        with suppress(OSError), self:
            pass  # a descriptor stays, as nothing opens it again
        self.path.unlink(missing_ok=True)
        self._room.forget(self)
        self._room.give_back(self._taken)
        self._taken = 0

    def discard(self) -> None:
        """Close and delete."""
        self.remove()
        self._close()

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self._close()  # of one that was removed, when nobody reads it any more


class Spool:
    """The folder (0700) with the spooled contents of one mount, made when it is first needed, and locked from then."""

    def __init__(self, directory: Path | None = None, *, parent: Path | None = None, limit: int | None = None) -> None:
        """A spool in `directory`, by default in a new folder below `parent` (the system's temporary folder).

        Its contents have up to `limit` bytes.
        """
        self._directory = directory
        self._parent = parent
        self._limit = limit
        self._room: Room | None = None
        self._lock = threading.Lock()
        self._held = -1
        self._numbers = itertools.count(1)

    @property
    def directory(self) -> Path:
        """The folder, which exists from now on."""
        with self._lock:
            if self._room is None:
                self._make()
            assert self._directory is not None
            return self._directory

    @property
    def room(self) -> Room:
        """How much there is room for."""
        _ = self.directory
        assert self._room is not None
        return self._room

    def status(self) -> dict[str, int | None]:
        """How many bytes it holds, and may hold if there is a limit."""
        room = self._room
        return {"used": room.used if room is not None else 0, "limit": self._limit}

    def open(self) -> SpoolFile:
        """A new empty file; OSError when there is no room for it."""
        directory = self.directory
        while True:
            with suppress(FileExistsError):
                return SpoolFile(directory / f"{_CONTENT}{next(self._numbers)}", self.room)

    def close(self) -> None:
        """Remove the folder if it holds nothing, and let go of it."""
        if self._room is None or self._directory is None:
            return
        if not any(self._directory.iterdir()):
            self._directory.rmdir()
            _lock_file(self._directory).unlink(missing_ok=True)
        os.close(self._held)
        self._room = None

    # -- what another process has left

    @classmethod
    def left(cls, directory: Path, room: Room | None = None) -> Spool | None:
        """The spool in `directory`, if nobody uses it; its contents count for `room`."""
        spool = cls(directory)
        held = _hold(directory)
        if held < 0:
            return None
        if not directory.is_dir():  # it was finished and removed while the lock was waited for
            os.close(held)
            return None
        spool._held, spool._room = held, room or Room(directory)
        return spool

    def notes(self) -> Iterator[tuple[Path, Note | NewerFormatError | None]]:
        """The contents with a note, None for one that cannot be read; copies without one are deleted.

        For a spool that was left: while it is in use, a content may be about to get its note.
        """
        directory = self.directory
        for path in sorted(directory.glob("*.new")):
            path.unlink()
        for path in sorted(directory.glob(f"{_CONTENT}*[0-9]"), key=lambda path: (len(path.name), path.name)):
            try:
                yield path, Note.read(path.with_suffix(SUFFIX))
            except NewerFormatError as error:
                yield path, error
            except FileNotFoundError:
                path.unlink()
        for path in directory.glob(f"{_CONTENT}*{SUFFIX}"):
            if not path.with_suffix("").exists():
                path.unlink()

    def _make(self) -> None:
        if self._directory is None:
            parent = self._parent or Path(tempfile.gettempdir())
            self._directory = parent / f"mount-{secrets.token_hex(6)}"
        self._directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._held = _hold(self._directory)  # before there is a folder that somebody could take for left behind
        if self._held < 0:
            raise OSError(errno.EBUSY, "another mount uses this spool", str(self._directory))
        self._directory.mkdir(mode=0o700, exist_ok=True)
        sync_directory(self._directory.parent)
        self._room = Room(self._directory, self._limit)

    def resize(self, limit: int | None) -> None:
        """Up to `limit` bytes from now on; what is more already stays."""
        with self._lock:
            self._limit = limit
            if self._room is not None:
                self._room.limit = limit


def _lock_file(directory: Path) -> Path:
    return directory.with_name(f"{directory.name}.lock")


def _hold(directory: Path) -> int:
    """The lock of a spool, as a descriptor that has it for as long as it is open; -1 if another has it."""
    try:
        fd = os.open(_lock_file(directory), os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError:
        return -1
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return -1
    return fd
