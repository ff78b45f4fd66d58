"""What is asked of each kind of remote storage that stands before a real server, beside the conformance suite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from counting import requests_made

from storage import (
    ContentFile,
    DirectoryNotEmptyError,
    Storage,
    SuspiciousFileOperation,
    VersionMismatchError,
)


def assert_no_file_is_taken_for_a_draft(storage: Any) -> None:
    """What is only called like a file that is being stored is kept, and what would be taken for one is refused."""
    for name in (".storage-notes.draft", ".storage-0123456789ABCDEF.draft", ".storage-0123456789abcdef.draft~"):
        storage.check_name(f"d/{name}")
        assert storage.save(f"d/{name}", ContentFile(b"mine")) == f"d/{name}"
        assert storage.listdir("d") == ([], [name])
        storage.mkdir("e")
        for remove in (lambda: storage.rmdir("d"), lambda: storage.rename("e", "d")):
            with pytest.raises(DirectoryNotEmptyError):
                remove()
        storage.rmdir("e")
        with storage.open(f"d/{name}") as file:
            assert file.read() == b"mine"
        storage.delete(f"d/{name}")
    storage.save("f", ContentFile(b"f"))
    for draft in ("d/.storage-0123456789abcdef.draft", ".storage-0123456789abcdef.draft/f"):
        for operation in (
            storage.check_name,
            storage.stat,
            storage.mkdir,
            lambda name: storage.save(name, ContentFile(b"")),
            lambda name: storage.replace(name, ContentFile(b"")),
            lambda name: storage.rename("f", name),
        ):
            with pytest.raises(SuspiciousFileOperation):
                operation(draft)
    assert storage.listdir("") == (["d"], ["f"])


class Place:
    """A storage, and the space behind it past everything that is tested."""

    def __init__(self, kind: str, space: Any, storage: Any) -> None:
        self.kind = kind
        self.space = space
        self.storage: Any = storage


class Reading:
    """Applied to all."""

    LISTING: ClassVar[Mapping[str, list[str]]]
    """What one listing sends, by kinds."""

    def test_a_listing_is_one_request_however_many_files_there_are(self, place: Place) -> None:
        for number in range(20):
            place.space.put(f"dir/file {number}", b"x" * number)
        place.space.put("dir/sub/below", b"")
        place.storage.exists("warm/up")
        with requests_made() as made:
            entries = sorted(place.storage.scandir("dir"))
        assert made == self.LISTING[place.kind]
        assert [entry.name for entry in entries if entry.is_dir] == ["sub"]
        assert {entry.name: entry.size for entry in entries if entry.is_file} == {
            f"file {number}": number for number in range(20)
        }
        assert all(entry.mtime_ns and entry.version for entry in entries if entry.is_file)

    def test_the_ends_of_a_file(self, place: Place) -> None:
        place.space.put("f", b"0123456789")
        with place.storage.open("f") as file:
            assert file.ranged
            assert [file.pread(4, at) for at in (0, 3, 8, 10, 99)] == [b"0123", b"3456", b"89", b"", b""]
            assert (file.read(2), file.stat().size, file.read()) == (b"01", 10, b"23456789")

    def test_what_has_changed_is_not_read(self, place: Place) -> None:
        place.space.put("f", b"0123456789")
        place.space.put("g", b"0123456789")
        with place.storage.open("f") as file, place.storage.open("g") as other:
            assert file.pread(2, 2) == b"23"
            place.space.put("f", b"another content")
            place.space.delete("g")
            with pytest.raises(VersionMismatchError):
                file.pread(2, 2)
            with pytest.raises((FileNotFoundError, VersionMismatchError)):
                other.pread(2, 2)


class ReadingParts:
    """Applied to those that name the bytes in the request."""

    READ: ClassVar[Mapping[str, list[str]]]
    """What one read sends, by kinds."""

    def test_a_read_is_one_request_for_these_bytes(self, place: Place) -> None:
        place.space.put("f", bytes(range(256)) * 4096)
        entry = place.storage.stat("f")
        with requests_made() as made:
            file = place.storage.open_version("f", entry)
            assert file.ranged
            assert made == []
            assert file.pread(3, 256_001) == b"\x01\x02\x03"
        assert made == self.READ[place.kind]


def assert_an_outage_is_no_absence(storage: Storage) -> None:
    """Neither a look nor a listing says of a server that is gone that there is no such thing."""
    for look in (storage.stat, lambda name: list(storage.scandir(name))):
        with pytest.raises(OSError) as caught:
            look("f")
        assert not isinstance(caught.value, FileNotFoundError)
        assert caught.value.__cause__ is not None or caught.value.errno
