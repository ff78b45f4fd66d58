"""Local files: what is written by position and what is written at the cursor are one content."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from storage import Change, ContentFile, FileSystemStorage
from storage.filesystem import unnamed
from storage.filesystem.file import LocalFile


@pytest.fixture
def storage(tmp_path: Path) -> FileSystemStorage:
    (tmp_path / "file").write_bytes(b"0123456789")
    return FileSystemStorage(tmp_path)


def test_a_write_at_the_cursor_is_read_by_position(storage: FileSystemStorage) -> None:
    with storage.open("file", "r+b") as file:
        file.write(b"ab")
        assert file.pread(4, 1) == b"b234"[:4]
        assert file.stat().size == 10
        file.seek(0, os.SEEK_END)
        file.write(b"end")
        assert file.stat().size == 13


def test_a_write_by_position_is_read_at_the_cursor(storage: FileSystemStorage) -> None:
    with storage.open("file", "r+b") as file:
        assert file.read(2) == b"01"  # which reads all of it ahead
        assert file.pwrite(memoryview(b"XY"), 3) == 2
        assert file.tell() == 2
        assert file.read(4) == b"2XY5"
        file.truncate(7)
        assert file.read() == b"6"


def test_the_same_of_a_text_file(storage: FileSystemStorage) -> None:
    with storage.open("file", "r+") as file:
        assert file.read(2) == "01"
        file.pwrite(b"XY", 3)
        assert file.read(4) == "2XY5"


def test_what_was_written_by_position_survives_a_later_flush(storage: FileSystemStorage, tmp_path: Path) -> None:
    with storage.open("file", "r+b") as file:
        file.write(b"ab")
        file.pwrite(b"cd", 0)
    assert (tmp_path / "file").read_bytes() == b"cd23456789"


def test_reading_past_the_end_and_all_of_a_large_file(storage: FileSystemStorage, tmp_path: Path) -> None:
    content = os.urandom(2**20)
    (tmp_path / "large").write_bytes(content)
    with storage.open("large") as file:
        assert file.pread(2**21, 0) == content
        assert file.pread(10, 2**20 - 3) == content[-3:]
        assert file.pread(10, 2**30) == b""


def test_short_reads_and_writes_of_the_system_are_continued(
    storage: FileSystemStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    pread, pwrite = os.pread, os.pwrite
    monkeypatch.setattr(os, "pread", lambda fd, size, offset: pread(fd, min(size, 3), offset))
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: pwrite(fd, bytes(data[:3]), offset))
    with storage.open("file", "r+b") as file:
        assert file.pwrite(b"ABCDEFGH", 1) == 8
        assert file.pread(100, 0) == b"0ABCDEFGH9"


def test_a_file_lives_on_without_its_name(storage: FileSystemStorage, tmp_path: Path) -> None:
    with storage.open("file", "r+b") as file:
        storage.unlink("file")
        storage.create("file", mode=0o600).close()
        file.pwrite(b"!", 0)
        file.truncate(3)
        file.set_attributes(mode=0o604, mtime_ns=5)
        entry = file.stat()
        assert (entry.name, entry.size, entry.nlink, entry.mode, entry.mtime_ns) == ("file", 3, 0, 0o604, 5)
        assert file.pread(9, 0) == b"!12"
    assert (tmp_path / "file").read_bytes() == b""


def test_times_that_are_set_are_not_changed_by_what_was_written_before(storage: FileSystemStorage) -> None:
    with storage.open("file", "r+b") as file:
        file.write(b"x")
        file.set_attributes(mtime_ns=7)
    assert storage.stat("file").mtime_ns == 7


def test_the_descriptor_is_the_content(storage: FileSystemStorage) -> None:
    for mode in ("rb", "r+b", "ab"):
        with storage.open("file", mode) as file:
            fd = file.content_fd()
            assert fd is not None
            assert os.fstat(fd).st_ino == os.stat(storage.path("file")).st_ino
    with storage.create("new") as file:
        assert file.content_fd() == file.fileno()


def test_sync_sends_what_is_buffered(storage: FileSystemStorage, tmp_path: Path) -> None:
    with storage.open("file", "r+b") as file:
        file.write(b"synced")
        file.sync()
        assert (tmp_path / "file").read_bytes() == b"synced6789"


def test_a_closed_file_can_be_opened_again(storage: FileSystemStorage) -> None:
    file = storage.open("file")
    file.close()
    with file.open() as again:
        assert again is file
        assert file.read() == b"0123456789"
    with file.open("r+b"):
        file.write(b"x")
    storage.unlink("file")
    with pytest.raises(ValueError, match="cannot be reopened"):
        file.open()


def test_reopening_goes_below_the_location_too(storage: FileSystemStorage, tmp_path: Path) -> None:
    file = storage.open("file")
    file.close()
    storage.unlink("file")
    storage.symlink("/etc/passwd", "file")
    with pytest.raises(Exception, match="leads outside"):
        file.open()
    assert isinstance(file, LocalFile)
    assert file.closed


def test_ranges_see_what_was_written_at_the_cursor(storage: FileSystemStorage) -> None:
    with storage.open("file", "r+b") as file, storage.open("file", "r+b") as other:
        file.seek(0, os.SEEK_END)
        file.write(b"abc")
        assert (file.seek_hole(0), file.tell()) == (13, 13)
        file.write(b"d")
        assert other.read(1) == b"0"  # which reads all of it ahead
        assert file.copy_range(10, other, 0, 99) == 4
        assert (other.read(4), other.size) == (b"bcd4", 14)


def test_no_range_goes_to_a_file_of_another_kind(storage: FileSystemStorage) -> None:
    with storage.open("file") as file, pytest.raises(NotImplementedError):
        file.copy_range(0, ContentFile(b""), 0, 1)


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="files without a name are Linux's")
def test_an_unnamed_file_can_be_opened_again_once_it_has_a_name(storage: FileSystemStorage) -> None:
    with storage.tmpfile("") as file:
        file.write(b"content")
        file.link("named")
    with file.open("rb") as again:
        assert (again.read(), again.name) == (b"content", storage.path("named"))


def test_a_system_without_unnamed_files(storage: FileSystemStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unnamed, "_O_TMPFILE", 0)
    with pytest.raises(NotImplementedError):
        storage.tmpfile("")


def test_changes_through_an_open_file_are_told(tmp_path: Path) -> None:
    storage = FileSystemStorage(location=tmp_path)
    storage.save("file", ContentFile(b"content"))
    told: list[Change] = []
    with storage.open("file", "r+b") as early, storage.subscribe(told.append):
        early.pwrite(b"x", 0)
        assert told == [], "it was opened before anybody wanted to know"
        with storage.open("file", "r+b") as file, storage.open("file") as reading:
            reading.read()
            identity = storage.stat("file").identity
            file.pwrite(b"more", 7)
            file.truncate(5)
            file.set_attributes(mode=0o600)
            assert told == [
                Change("write", "file", None, identity),
                Change("write", "file", None, identity),
                Change("attributes", "file", None, identity),
            ]
            told.clear()
            storage.rename("file", "moved")
            told.clear()
            file.seek(0)
            file.write(b"at the cursor")
        assert told[-1] == Change("write", "file", None, identity)
        assert (tmp_path / "moved").read_bytes() == b"at the cursor"
