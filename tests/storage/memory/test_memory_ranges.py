"""Ranges of files in memory, beyond the conformance suite: large ones, within a capacity, and without memfds."""

from __future__ import annotations

import errno
import os

import pytest

from storage import ContentFile, File, InMemoryStorage, StorageFullError
from storage.entry import Change
from storage.memory.content import RESIDENT
from storage.memory.memfd import Memfd
from storage.ranges import (
    ALLOCATE_COLLAPSE_RANGE,
    ALLOCATE_KEEP_SIZE,
    ALLOCATE_PUNCH_HOLE,
    ALLOCATE_ZERO_RANGE,
)

_MIB = 1024**2
_PUNCH = ALLOCATE_PUNCH_HOLE | ALLOCATE_KEEP_SIZE
linux_only = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="memfds are Linux's")


@pytest.fixture
def storage() -> InMemoryStorage:
    return InMemoryStorage()


@pytest.fixture
def file(storage: InMemoryStorage) -> File:
    storage.save("f", ContentFile(b"x" * 10_000))
    return storage.open("f", "r+b")


class TestAllocation:
    @linux_only
    def test_room_counts_before_it_is_written(self, storage: InMemoryStorage, file: File) -> None:
        file.allocate(ALLOCATE_KEEP_SIZE, 0, 4 * _MIB)
        assert (file.size, storage.usage().used) == (10_000, 4 * _MIB)
        file.allocate(0, 0, 4 * _MIB)
        assert file.size == 4 * _MIB
        file.allocate(_PUNCH, 0, 4 * _MIB)
        assert (file.size, storage.usage().used, file.pread(5, 0)) == (4 * _MIB, 0, bytes(5))

    @linux_only
    def test_within_the_capacity(self, storage: InMemoryStorage, file: File) -> None:
        storage.capacity = _MIB
        for mode in (0, ALLOCATE_KEEP_SIZE, ALLOCATE_ZERO_RANGE):
            with pytest.raises(StorageFullError):
                file.allocate(mode, 5000, _MIB)
        assert file.size == 10_000
        file.allocate(0, 0, _MIB)
        assert storage.usage()[:3] == (_MIB, _MIB, 0)

    @linux_only
    def test_more_than_there_is_memory(self, file: File) -> None:
        with pytest.raises(StorageFullError) as caught:
            file.allocate(0, 0, 2**60)
        assert (caught.value.errno, file.size) == (errno.ENOSPC, 10_000)

    def test_what_follows_does_not_move(self, file: File) -> None:
        with pytest.raises(NotImplementedError):
            file.allocate(ALLOCATE_COLLAPSE_RANGE, 0, 4096)

    def test_without_memfds_there_are_zeros(
        self, storage: InMemoryStorage, file: File, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Memfd, "take", lambda: None)
        file.allocate(_PUNCH, 1, 9000)
        file.allocate(0, 0, 2 * RESIDENT)
        assert file.pread(_MIB, 0) == b"x" + bytes(9000) + b"x" * 999 + bytes(2 * RESIDENT - 10_000)
        assert (file.seek_data(5), file.seek_hole(5)) == (5, 2 * RESIDENT)
        assert storage.usage().used == 2 * RESIDENT

    @linux_only
    def test_a_hole_that_comes_back_into_the_process_is_zeros(self, storage: InMemoryStorage, file: File) -> None:
        file.allocate(_PUNCH, 0, 8192)
        assert file.seek_data(0) == 8192
        file.close()
        node = storage._tree.budget.closed[0]
        node.come_back()
        with storage.open("f") as again:
            assert (again.seek_data(0), again.read()) == (0, bytes(8192) + b"x" * 1808)


class TestCopies:
    @pytest.mark.parametrize("large", [10 * _MIB, 40 * _MIB])
    def test_of_large_and_small_contents(self, storage: InMemoryStorage, file: File, large: int) -> None:
        with storage.create("g") as other:
            pattern = os.urandom(_MIB) * (large // _MIB)
            other.pwrite(pattern, 0)
            assert other.copy_range(1, file, 5, 2 * large) == large - 1
            assert file.pread(large, 5) == pattern[1:]
            assert file.copy_range(0, other, 3, 10) == 10
            assert other.pread(12, 2) == pattern[2:3] + b"xxxxx" + pattern[1:6] + pattern[13:14]
            assert storage.usage().used >= 2 * large

    @linux_only
    def test_within_the_capacity(self, storage: InMemoryStorage, file: File) -> None:
        storage.capacity = 2 * _MIB
        with storage.create("g") as other:
            other.pwrite(b"y" * _MIB, 0)
            with pytest.raises(StorageFullError):
                other.copy_range(0, other, _MIB, 2 * _MIB)
            assert storage.usage().used <= 2 * _MIB

    @pytest.mark.parametrize("in_process", [False, True])
    @pytest.mark.parametrize(("left", "copied"), [(0, 32 * _MIB), (33 * _MIB, 33 * _MIB)])
    def test_of_a_source_that_is_cut_off_meanwhile(
        self, storage: InMemoryStorage, file: File, monkeypatch: pytest.MonkeyPatch, left: int, copied: int,
        in_process: bool,
    ) -> None:  # fmt: skip
        if in_process:
            monkeypatch.setattr(Memfd, "take", lambda: None)
        with storage.create("g") as other:
            other.pwrite(b"y" * (40 * _MIB), 0)

            def cut_off(change: Change) -> None:
                if change.name == "f" and other.size > left:  # told between two parts, with no lock held
                    other.truncate(left)

            with storage.subscribe(cut_off):
                assert other.copy_range(0, file, 0, 40 * _MIB) == copied
            assert (file.size, file.pread(2, copied - 1)) == (copied, b"y")

    def test_not_between_storages(self, storage: InMemoryStorage, file: File) -> None:
        with InMemoryStorage().create("g") as other, pytest.raises(NotImplementedError):
            file.copy_range(0, other, 0, 10)

    def test_to_no_place_before_the_beginning(self, file: File) -> None:
        for offset, target_offset in ((-1, 0), (0, -1)):
            with pytest.raises(OSError, match="Invalid argument"):
                file.copy_range(offset, file, target_offset, 1)
