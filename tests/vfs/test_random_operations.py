"""Random operations on files, each answer compared with that of a model which is simple enough to be right.

This is fsx's idea: files under a few names are read, written, cut, mapped, appended to, synced, renamed, linked and
unlinked through several descriptors, thousands of times, while the directory of some has now one name and now another.
It runs on every storage, by the verbs in this process and
through mounts. A failure shows the seed and the last operations; `VFS_TEST_SEED` repeats it, and `VFS_TEST_STEPS` says
how many operations to do.
"""

from __future__ import annotations

import mmap
import os
import random
from collections import deque
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from kernel import Calls, Mounted, Verbs, files_here
from places import Place

from services.s3 import Bucket
from storage import OpenDALStorage
from vfs.filesystem import FileSystem
from vfs.spool.spool import Spool

SEED = int(os.environ.get("VFS_TEST_SEED") or random.SystemRandom().randrange(1 << 32))
STEPS = int(os.environ.get("VFS_TEST_STEPS") or 3000)
MOST = 150_000
"""Bytes that a file has at most: more than a request of the kernel carries."""
NAMES = ("a", "b", "D/a", "D/b")
"""What the model calls the files; D is a directory, by whichever of its names."""
DIRECTORIES = ("d", "e")
DESCRIPTORS = 5
SHOWN = 15
"""How many of the last operations a failure shows."""
WEIGHTS = {
    "read": 6,
    "write": 6,
    "append": 2,
    "truncate": 2,
    "ftruncate": 2,
    "map_read": 2,
    "map_write": 2,
    "open": 5,
    "close": 4,
    "fsync": 1,
    "rename": 1,
    "rename_directory": 1,
    "unlink": 1,
    "link": 1,
    "look": 2,
}


@dataclass(eq=False)
class File:
    """What a file should be."""

    content: bytearray = field(default_factory=bytearray)
    names: set[str] = field(default_factory=set)

    def write(self, data: bytes, offset: int) -> None:
        self.content.extend(bytes(max(0, offset - len(self.content))))
        self.content[offset : offset + len(data)] = data

    def truncate(self, size: int) -> None:
        del self.content[size:]
        self.content.extend(bytes(size - len(self.content)))


@dataclass(eq=False)
class Descriptor:
    """An open file: the real descriptor, and the file of the model behind it."""

    fd: int
    file: File
    append: bool


class Fsx:
    """Random operations by `calls`, which of all operations can do those in `able`."""

    def __init__(self, calls: Calls, seed: int, able: set[str]) -> None:
        self.calls = calls
        self.chance = random.Random(seed)
        self.files: dict[str, File] = {}
        self.directory, self.other = DIRECTORIES
        self.descriptors: list[Descriptor] = []
        self.log: deque[str] = deque(maxlen=SHOWN)
        self.operations = [name for name in WEIGHTS if name in able for _ in range(WEIGHTS[name])]

    def run(self, steps: int) -> None:
        """Do so many operations, then close everything and look at what is left."""
        self.calls.mkdir(self.directory)
        for number in range(steps):
            operation = self.chance.choice(self.operations)
            self.log.append(f"{number}: {operation}")
            getattr(self, f"_{operation}")()
        while self.descriptors:
            self._close()
        for name in sorted(self.files):
            self._compare(name)

    # -- choosing, and saying what was chosen

    def _say(self, *words: object) -> None:
        self.log[-1] += "".join(f" {word}" for word in words)

    def _descriptor(self, *, writes: bool = False) -> Descriptor | None:
        """An open file, or None; for a write not one that appends."""
        fitting = [one for one in self.descriptors if not (writes and one.append)]
        if not fitting:
            return None
        chosen = self.chance.choice(fitting)
        self._say("fd", chosen.fd, *sorted(chosen.file.names))
        return chosen

    def _name(self) -> str | None:
        """The name of a file, or None when there is none."""
        if not self.files:
            return None
        name = self.chance.choice(sorted(self.files))
        self._say(name)
        return name

    def _path(self, name: str) -> str:
        """What a file is called now."""
        return name.replace("D", self.directory)

    def _span(self, limit: int) -> tuple[int, int]:
        """An offset below `limit` and a size, often small, sometimes large, sometimes at the edge of a page."""
        offset = self.chance.randrange(limit)
        if self.chance.random() < 0.3:
            offset -= offset % 4096
        size = self.chance.randrange(1, self.chance.choice((16, 5000, 70_000)))
        self._say(f"{size} at {offset}")
        return offset, size

    # -- the operations

    def _read(self) -> None:
        if one := self._descriptor():
            offset, size = self._span(len(one.file.content) + 100)
            assert self.calls.read(one.fd, size, offset) == one.file.content[offset : offset + size]

    def _write(self) -> None:
        if one := self._descriptor(writes=True):
            offset, size = self._span(MOST - 70_000)
            data = self.chance.randbytes(size)
            assert self.calls.write(one.fd, data, offset) == size
            one.file.write(data, offset)

    def _append(self) -> None:
        appending = [one for one in self.descriptors if one.append]
        if appending:
            one = self.chance.choice(appending)
            self._say("fd", one.fd, *sorted(one.file.names))
            _, size = self._span(1)
            if len(one.file.content) + size <= MOST:
                data = self.chance.randbytes(size)
                assert self.calls.write(one.fd, data, 0) == size  # wherever it is told to write
                one.file.write(data, len(one.file.content))

    def _truncate(self) -> None:
        if name := self._name():
            size = self._size()
            self.calls.truncate(self._path(name), size)
            self.files[name].truncate(size)

    def _ftruncate(self) -> None:
        if one := self._descriptor():
            size = self._size()
            self.calls.ftruncate(one.fd, size)
            one.file.truncate(size)

    def _size(self) -> int:
        size = self.chance.choice((0, self.chance.randrange(100), self.chance.randrange(MOST)))
        self._say("to", size)
        return size

    def _map_read(self) -> None:
        one = self._descriptor()
        if one and one.file.content:
            with mmap.mmap(one.fd, len(one.file.content), prot=mmap.PROT_READ) as mapping:
                offset, size = self._span(len(one.file.content))
                assert mapping[offset : offset + size] == one.file.content[offset : offset + size]

    def _map_write(self) -> None:
        one = self._descriptor()
        if one and one.file.content:
            with mmap.mmap(one.fd, len(one.file.content)) as mapping:
                offset, size = self._span(len(one.file.content))
                data = self.chance.randbytes(min(size, len(one.file.content) - offset))
                mapping[offset : offset + len(data)] = data
                if self.chance.random() < 0.5:
                    mapping.flush()
            one.file.write(data, offset)

    def _open(self) -> None:
        name = self.chance.choice(NAMES)
        flags = os.O_RDWR | os.O_CREAT
        flags |= self.chance.choice((0, 0, os.O_APPEND)) | self.chance.choice((0, 0, 0, os.O_TRUNC))
        self._say(name, *(word for word in ("O_APPEND", "O_TRUNC") if flags & getattr(os, word)))
        if len(self.descriptors) == DESCRIPTORS:
            return
        file = self.files.setdefault(name, File(names={name}))
        fd = self.calls.open(self._path(name), flags)
        self._say("is fd", fd)
        if flags & os.O_TRUNC:
            file.truncate(0)
        self.descriptors.append(Descriptor(fd, file, bool(flags & os.O_APPEND)))

    def _close(self) -> None:
        if one := self._descriptor():
            self.descriptors.remove(one)
            self.calls.close(one.fd)

    def _fsync(self) -> None:
        if one := self._descriptor():
            self.calls.fsync(one.fd)

    def _rename(self) -> None:
        if name := self._name():
            new = self.chance.choice(NAMES)
            self._say("to", new)
            self.calls.rename(self._path(name), self._path(new))
            if self.files.get(new) is not self.files[name]:  # two names of one file: nothing happens
                self._lose(new)
                self.files[new] = file = self.files.pop(name)
                file.names ^= {name, new}

    def _rename_directory(self) -> None:
        self._say(self.directory, "to", self.other)
        self.calls.rename(self.directory, self.other)
        self.directory, self.other = self.other, self.directory

    def _unlink(self) -> None:
        if name := self._name():
            self.calls.unlink(self._path(name))
            self._lose(name)

    def _lose(self, name: str) -> None:
        if file := self.files.pop(name, None):
            file.names.discard(name)

    def _link(self) -> None:
        free = sorted(set(NAMES) - set(self.files))
        name = self._name() if free else None
        if name:
            self._say("as", free[0])
            self.calls.link(self._path(name), self._path(free[0]))
            self.files[free[0]] = self.files[name]
            self.files[name].names.add(free[0])

    def _look(self) -> None:
        found = [*self.calls.listdir(""), *(f"D/{leaf}" for leaf in self.calls.listdir(self.directory))]
        assert sorted(found) == sorted([self.directory, *self.files])
        for name, file in self.files.items():
            about = self.calls.stat(self._path(name))
            assert (name, about.size, about.nlink) == (name, len(file.content), len(file.names))
        for one in self.descriptors:
            assert (one.fd, self.calls.fstat(one.fd).size) == (one.fd, len(one.file.content))
        if name := self._name():
            self._compare(name)

    def _compare(self, name: str) -> None:
        """The whole content, through a descriptor of its own."""
        fd = self.calls.open(self._path(name), os.O_RDONLY)
        try:
            assert self.calls.read(fd, MOST + 1, 0) == self.files[name].content
        finally:
            self.calls.close(fd)


def run(calls: Calls, able: set[str], steps: int = STEPS) -> None:
    print(f"VFS_TEST_SEED={SEED}")
    fsx = Fsx(calls, SEED, able)
    try:
        fsx.run(steps)
    except Exception as error:
        last = "\n  ".join(fsx.log)
        text = str(error) if isinstance(error, OSError) else "it differs from the model"
        raise AssertionError(f"{text} after these operations (VFS_TEST_SEED={SEED}):\n  {last}") from None
    finally:
        for one in fsx.descriptors:
            calls.close(one.fd)


@pytest.mark.parametrize(
    ("cache_seconds", "write_back"),
    [(0.0, None), (1.0, None), (1.0, 3600.0)],
    ids=["uncached", "cached", "written back"],
)
def test_by_the_verbs(verbs: Verbs, cache_seconds: float, write_back: float | None) -> None:
    filesystem = verbs.filesystem
    if filesystem.storage.blocking:
        filesystem.names.listings.seconds = cache_seconds
    filesystem.contents.uploads.write_back = write_back
    able = set(WEIGHTS) - {"map_read", "map_write"}
    run(verbs, able if filesystem.storage.in_place else able - {"link"})
    assert filesystem.drain() == []
    assert files_here(filesystem) == 0


@pytest.mark.parametrize("options", [{}, {"attributes": True, "directories": True}], ids=["", "with attributes"])
def test_by_the_verbs_on_a_bucket(s3_bucket: Bucket, tmp_path: Path, options: dict[str, bool]) -> None:
    with closing(OpenDALStorage(**s3_bucket.opendal, **options)) as storage:
        filesystem = FileSystem(storage, cache_seconds=1.0, spool=Spool(tmp_path / "spool"))
        run(Verbs(filesystem), set(WEIGHTS) - {"map_read", "map_write", "link"}, STEPS // 6)  # each takes as long
        filesystem.close()


def test_through_a_mount(place: Place) -> None:
    # libfuse has an inode, and with it a page cache, for each path: what is written by one of two names while both are
    # open, the other does not see.
    able = set(WEIGHTS) if place.can("hard links") and place.can("inodes") else set(WEIGHTS) - {"link"}
    run(Mounted(place.path), able)
