"""Random operations on a file in memory, by all ways to its bytes, compared with a plain bytearray."""

from __future__ import annotations

import os
import random

import pytest

from storage import File, InMemoryStorage
from storage.memory import regular
from storage.memory.content import RESIDENT, Content
from storage.memory.memfd import Memfd
from storage.ranges import ALLOCATE_KEEP_SIZE, ALLOCATE_PUNCH_HOLE, ALLOCATE_ZERO_RANGE

_PLACES = (0, 1, 4095, 4096, 10_000, RESIDENT - 1, RESIDENT, RESIDENT + 5000)
_LENGTHS = (0, 1, 100, 4096, 5000, 70_000)


class Twins:
    """A file of a storage and a bytearray that each operation is applied to."""

    def __init__(self, storage: InMemoryStorage, choose: random.Random) -> None:
        """Both empty."""
        self.storage = storage
        self.choose = choose
        self.file: File = storage.create("f")
        self.model = bytearray()

    def step(self) -> None:
        """One operation of any kind, and a comparison."""
        operations = (self.write, self.write_elsewhere, self.truncate, self.zero, self.copy, self.reopen, self.replace)
        self.choose.choice(operations)(self.choose.choice(_PLACES), self.choose.choice(_LENGTHS))
        size = len(self.model)
        assert self.file.pread(size + 1, 0) == self.model
        assert self.file.stat().size == self.storage.size("f") == size
        offset = self.choose.choice(_PLACES)
        assert self.file.pread(100, offset) == self.model[offset : offset + 100]

    def write(self, offset: int, length: int) -> None:
        data = self.choose.randbytes(length)
        self.file.pwrite(data, offset)
        self.expect(data, offset)

    def write_elsewhere(self, offset: int, length: int) -> None:
        fd = self.file.content_fd()
        if fd is None:
            return
        data = self.choose.randbytes(length)
        before = self.file.stat()
        os.pwrite(fd, data, offset)
        assert (self.file.stat().version == before.version) == (not data)
        self.expect(data, offset)

    def truncate(self, size: int, _: int) -> None:
        self.file.truncate(size)
        self.grow(size)
        del self.model[size:]

    def zero(self, offset: int, length: int) -> None:
        kind = self.choose.choice((ALLOCATE_PUNCH_HOLE, ALLOCATE_ZERO_RANGE))
        if length:
            self.file.allocate(kind | ALLOCATE_KEEP_SIZE, offset, length)
            self.model[offset : offset + length] = bytes(len(self.model[offset : offset + length]))

    def copy(self, offset: int, length: int) -> None:
        start = self.choose.choice(_PLACES)
        data = bytes(self.model[offset : offset + length])
        if data and abs(offset - start) >= len(data):
            assert self.file.copy_range(offset, self.file, start, length) == len(data)
            self.expect(data, start)

    def reopen(self, _: int, __: int) -> None:
        self.file.close()
        self.file = self.storage.open("f", "r+b")

    def replace(self, _: int, __: int) -> None:
        self.file.close()
        self.storage.copy("f", "g")
        self.storage.rename("g", "f")
        self.file = self.storage.open("f", "r+b")

    def expect(self, data: bytes, offset: int) -> None:
        if data:
            self.grow(offset)
            self.model[offset : offset + len(data)] = data

    def grow(self, size: int) -> None:
        self.model.extend(bytes(max(size - len(self.model), 0)))


def held(content: Content) -> int:
    """How many bytes a content really takes."""
    data = content.data
    return os.fstat(data.fd).st_blocks * 512 if isinstance(data, Memfd) else len(data)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["memfds", "memfds that come back", "no memfds", "capacity"])
def test_all_ways_lead_to_the_same_bytes(seed: int, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = InMemoryStorage()
    if kind == "memfds that come back":
        monkeypatch.setattr(regular, "LINGERING", 0)
    elif kind == "no memfds":
        monkeypatch.setattr(Memfd, "take", lambda: None)
    elif kind == "capacity":
        storage.capacity = 10 * RESIDENT
    twins = Twins(storage, random.Random(seed))
    for _ in range(150):
        twins.step()
        content = storage._tree.find("f")
        assert isinstance(content, Content)
        assert storage.usage().used == held(content)
    twins.file.close()
    storage.unlink("f")
    assert storage.usage().used == 0
