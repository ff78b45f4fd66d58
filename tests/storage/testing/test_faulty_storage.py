"""FaultyStorage: what it is told to do happens, and nothing else."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from storage import ContentFile, FileSystemStorage, InMemoryStorage, Storage, StorageFullError
from storage.testing import FaultyStorage


class Flat(Storage):
    """A storage that has nothing of the extended surface."""


@pytest.fixture
def storage() -> FaultyStorage:
    return FaultyStorage(InMemoryStorage())


def content(data: bytes = b"data") -> ContentFile:
    return ContentFile(data)


def test_without_faults_it_is_as_the_storage(storage: FaultyStorage) -> None:
    assert storage.save("d/a.txt", content()) == "d/a.txt"
    assert storage.save("d/a.txt", content()) != "d/a.txt"
    assert storage.replace("d/b.txt", content(b"more")).size == 4
    with storage.open("d/b.txt") as file:
        assert (file.pread(2, 1), file.read(), file.size) == (b"or", b"more", 4)
    storage.mkdir("e")
    storage.rename("d/b.txt", "e/b.txt")
    storage.delete("d/a.txt")
    assert [entry.name for entry in storage.scandir("e")] == ["b.txt"]
    assert storage.listdir("e") == ([], ["b.txt"])
    assert storage.calls[:1] == [("save", "d/a.txt")]
    assert ("rename", "d/b.txt", "e/b.txt") in storage.calls
    assert storage.count("open") == 1


def test_errors_come_by_operation_name_and_number(storage: FaultyStorage) -> None:
    fault = storage.fail(ConnectionResetError("cut"), "save", name="logs/*", times=2)
    storage.save("other", content())
    for _ in range(2):
        with pytest.raises(ConnectionResetError, match="cut"):
            storage.save("logs/a", content())
    assert not storage.exists("logs/a"), "what failed was not done"
    storage.save("logs/a", content())
    assert (fault.struck, fault.left) == (2, 0)


def test_all_operations_fail_until_it_is_healed(storage: FaultyStorage) -> None:
    fault = storage.fail(TimeoutError)
    for call in (lambda: storage.exists("a"), lambda: storage.listdir(""), lambda: storage.save("a", content())):
        with pytest.raises(TimeoutError):
            call()
    fault.stop()
    storage.save("a", content())
    storage.fail(OSError)
    storage.room = 0
    storage.heal()
    storage.save("b", content())


@pytest.mark.parametrize("operation", ["read", "pread", "close"])
def test_open_files_fail(storage: FaultyStorage, operation: str) -> None:
    storage.save("a", content())
    storage.fail(OSError("bad disk"), operation)
    file = storage.open("a")
    with pytest.raises(OSError, match="bad disk"):
        {"read": file.read, "pread": lambda: file.pread(1, 0), "close": file.close}[operation]()


def test_writing_fails(storage: FaultyStorage) -> None:
    storage.fail(OSError("bad disk"), "write", times=1)
    with storage.open("a", "wb") as file:
        with pytest.raises(OSError, match="bad disk"):
            file.write(b"1")
        file.write(b"22")
    assert storage.size("a") == 2


def test_delays_are_waited_for(storage: FaultyStorage) -> None:
    storage.delay(0.05, "exists", times=1)
    began = time.monotonic()
    storage.exists("a")
    assert time.monotonic() - began >= 0.05


def test_there_is_room_for_so_many_bytes(storage: FaultyStorage) -> None:
    storage.room = 10
    storage.save("a", content(b"12345"))
    with pytest.raises(StorageFullError):
        storage.save("b", content(b"123456"))
    assert not storage.exists("b")
    storage.replace("a", content(b"54321"))
    with pytest.raises(StorageFullError):
        storage.replace("a", content(b"6"))
    with storage.open("a") as file:
        assert file.read() == b"54321"


def test_it_has_what_the_storage_has(tmp_path: Path) -> None:
    def has(storage: Storage, method: str) -> bool:
        return getattr(type(storage), method) is not getattr(Storage, method)

    assert has(FaultyStorage(FileSystemStorage(tmp_path)), "symlink")
    assert not has(FaultyStorage(Flat()), "symlink")
    assert not FaultyStorage(InMemoryStorage()).in_place


def test_what_is_no_operation_is_refused(storage: FaultyStorage) -> None:
    with pytest.raises(ValueError, match="svae"):
        storage.fail(OSError, "svae")
