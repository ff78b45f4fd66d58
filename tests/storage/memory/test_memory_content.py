"""The contents of the in-memory storage: small, large, sparse, and within a capacity."""

from __future__ import annotations

import errno
import gc
import os

import pytest

from storage import (
    ContentFile,
    File,
    InMemoryStorage,
    StorageFullError,
)
from storage.memory import content, memfd
from storage.memory.memfd import Memfd

_MIB = 1024**2
linux_only = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="memfds are Linux's")


@pytest.fixture
def storage() -> InMemoryStorage:
    return InMemoryStorage()


class TestContent:
    def test_grows_from_small_to_large_and_back(self, storage: InMemoryStorage) -> None:
        model = bytearray()
        with storage.create("f") as file:
            for offset, size in ((0, 10), (100, 100), (200_000, 100_000), (5, 3), (3 * _MIB, 2 * _MIB), (_MIB, 7)):
                data = os.urandom(size)
                file.pwrite(data, offset)
                model.extend(bytes(max(0, offset + size - len(model))))
                model[offset : offset + size] = data
                assert file.pread(10 * _MIB, 0) == model
            for size in (4 * _MIB, 123, 10_000):
                file.truncate(size)
                del model[size:]
                model.extend(bytes(size - len(model)))
                assert file.pread(10 * _MIB, 0) == model

    def test_blocks(self, storage: InMemoryStorage) -> None:
        with storage.create("f") as file:
            file.pwrite(b"x" * 513, 0)
            assert file.stat().blocks == 2

    @linux_only
    def test_a_hole_costs_nothing_also_in_a_copy(self, storage: InMemoryStorage) -> None:
        with storage.create("sparse") as file:
            file.truncate(100 * 1024**3)
            file.pwrite(b"in the middle", 50 * 1024**3)
        storage.copy("sparse", "twin")
        assert storage.usage().used < _MIB
        with storage.open("twin") as twin:
            assert twin.size == 100 * 1024**3
            assert twin.pread(20, 50 * 1024**3 - 2) == b"\0\0in the middle\0\0\0\0\0"

    def test_too_big_is_efbig(self, storage: InMemoryStorage, monkeypatch: pytest.MonkeyPatch) -> None:
        with storage.create("f") as file:
            for operation in (lambda: file.truncate(2**63), lambda: file.pwrite(b"x", 2**63 - 1)):
                with pytest.raises(OSError, match="File too large") as caught:
                    operation()
                assert caught.value.errno == errno.EFBIG
            monkeypatch.setattr(Memfd, "take", lambda: None)
            with pytest.raises(OSError, match="File too large"):
                file.truncate(content.BYTEARRAY_MAX + 1)
            assert file.size == 0

    def test_negative_places(self, storage: InMemoryStorage) -> None:
        with storage.create("f") as file:
            operations = (lambda: file.pread(1, -1), lambda: file.pwrite(b"", -1), lambda: file.truncate(-1))
            for operation in (*operations, lambda: file.seek(-1)):
                with pytest.raises(OSError, match="Invalid argument"):
                    operation()

    def test_without_descriptors_it_stays_in_a_bytearray(
        self, storage: InMemoryStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def none_left(*_: object) -> int:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        monkeypatch.setattr(os, "memfd_create", none_left, raising=False)
        with storage.create("f") as file:
            file.pwrite(b"x" * _MIB, _MIB)
            assert file.content_fd() is None
            assert file.pread(3 * _MIB, 0) == bytes(_MIB) + b"x" * _MIB
            file.truncate(10)
        storage.copy("f", "g")
        assert storage.open("g").read() == bytes(10)

    @linux_only
    def test_half_of_the_descriptors_are_left_to_others(
        self, storage: InMemoryStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        limit = 2 * (len(Memfd._open) + 1)
        monkeypatch.setattr(Memfd, "most", 0)
        monkeypatch.setattr(memfd, "_descriptors", lambda: limit)
        big = content.RESIDENT + 1
        with storage.create("one") as one, storage.create("other") as other:
            one.truncate(big)
            other.truncate(big)
            assert one.content_fd() is not None
            assert other.content_fd() is None

    @linux_only
    def test_the_descriptor_goes_with_the_last_name_and_handle(self, storage: InMemoryStorage) -> None:
        before = len(Memfd._open)
        with storage.create("f") as file:
            file.truncate(_MIB)
            storage.link("f", "g")
            storage.unlink("f")
            storage.unlink("g")
            assert len(Memfd._open) == before + 1
        assert len(Memfd._open) == before

    @linux_only
    def test_what_others_write_to_the_descriptor_is_seen(self, storage: InMemoryStorage) -> None:
        with storage.create("f") as file:
            file.truncate(_MIB)
            fd = file.content_fd()
            assert fd is not None
            before = file.stat()
            os.utime(fd, ns=(0, 10**18))  # so that the write below falls into another tick of the kernel's clock
            storage.stat("f")
            os.pwrite(fd, b"x" * _MIB, _MIB)
            after = storage.stat("f")
        assert (after.size, after.version == before.version) == (2 * _MIB, False)
        assert (after.mtime_ns or 0) >= (before.mtime_ns or 0)

    def test_a_forgotten_handle_gives_its_room_back(self, storage: InMemoryStorage) -> None:
        file: File | None = storage.create("f")
        assert file is not None
        file.pwrite(b"x" * 1000, 0)
        storage.unlink("f")
        assert storage.usage().used == 1000
        del file
        gc.collect()
        assert storage.usage().used == 0


class TestCapacity:
    @pytest.fixture
    def storage(self) -> InMemoryStorage:
        storage = InMemoryStorage()
        storage.capacity = 1000
        return storage

    def test_a_write_beyond_it_changes_nothing(self, storage: InMemoryStorage) -> None:
        storage.save("f", ContentFile(b"x" * 900))
        with storage.open("f", "r+b") as file:
            for operation in (lambda: file.pwrite(b"y" * 200, 850), lambda: file.truncate(1001)):
                with pytest.raises(StorageFullError) as caught:
                    operation()
                assert caught.value.errno == errno.ENOSPC
            assert file.pread(2000, 0) == b"x" * 900
            file.pwrite(b"y" * 100, 900)
            file.pwrite(b"z" * 1000, 0)
        assert storage.usage()[:3] == (1000, 1000, 0)

    def test_a_save_or_replace_beyond_it_leaves_nothing(self, storage: InMemoryStorage) -> None:
        storage.save("f", ContentFile(b"x" * 600))
        for store in (storage.save, storage.replace):
            with pytest.raises(StorageFullError):
                store("dir/g", ContentFile(b"y" * 401))
        with pytest.raises(StorageFullError):
            storage.replace("f", ContentFile(b"y" * 401))
        assert storage.listdir("") == ([], ["f"])
        assert storage.open("f").read() == b"x" * 600
        assert storage.usage()[:3] == (1000, 600, 400)

    def test_room_comes_back(self, storage: InMemoryStorage) -> None:
        for _ in range(5):
            storage.save("dir/f", ContentFile(b"x" * 900))
            storage.open("dir/f", "wb").close()
            storage.replace("dir/f", ContentFile(b"x" * 900))
            storage.copy("dir/f", "dir/f")
            with pytest.raises(StorageFullError):
                storage.copy("dir/f", "g")
            storage.delete("dir")
        assert storage.usage().used == 0

    @linux_only
    def test_large_contents_count_what_is_allocated(self, storage: InMemoryStorage) -> None:
        storage.capacity = _MIB
        with storage.create("f") as file:
            file.truncate(1024 * _MIB)
            file.pwrite(b"x" * (_MIB // 2), 512 * _MIB)
            with pytest.raises(StorageFullError):
                file.pwrite(b"x" * _MIB, 0)
            file.pwrite(b"y" * (_MIB // 2), 512 * _MIB)
            file.pwrite(b"y" * (_MIB // 2), 0)
            with pytest.raises(StorageFullError):
                file.pwrite(b"x", 700 * _MIB)
            assert storage.usage()[:3] == (_MIB, _MIB, 0)
            assert file.content_fd() is None
            file.truncate(0)
        assert storage.usage().used == 0

    def test_no_memory_is_a_full_storage(self, storage: InMemoryStorage, monkeypatch: pytest.MonkeyPatch) -> None:
        storage.capacity = None
        monkeypatch.setattr(Memfd, "take", lambda: None)
        monkeypatch.setattr(content, "BYTEARRAY_MAX", 2**63)
        with storage.create("f") as file, pytest.raises(StorageFullError):
            file.truncate(2**62)
