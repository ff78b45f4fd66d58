"""The spool: bytes on local disk, and what stays there."""

from __future__ import annotations

import errno
import os
import resource
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from vfs.spool.journal import Base, Note, State
from vfs.spool.spool import Room, Spool, SpoolFile


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


@pytest.fixture
def content(spool: Spool) -> Iterator[SpoolFile]:
    file = spool.open()
    yield file
    file.discard()


def test_the_folder_is_made_when_it_is_needed_and_for_its_owner_alone(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "deep" / "spool")
    assert not (tmp_path / "deep").exists()
    assert stat.S_IMODE(spool.directory.stat().st_mode) == 0o700


def test_without_a_folder_it_makes_one_of_its_own(tmp_path: Path) -> None:
    one, other = Spool(parent=tmp_path / "deep" / "spools"), Spool(parent=tmp_path / "deep" / "spools")
    assert one.directory != other.directory
    assert one.directory.parent == other.directory.parent == tmp_path / "deep" / "spools"
    for spool in (one, other):
        assert stat.S_IMODE(spool.directory.stat().st_mode) == 0o700
        spool.close()
    assert list((tmp_path / "deep" / "spools").iterdir()) == []


def test_writes_beyond_the_end_leave_zeros(content: SpoolFile) -> None:
    assert content.pwrite(b"end", 5) == 3
    assert (content.size(), content.pread(100, 0)) == (8, b"\0" * 5 + b"end")
    assert content.pread(100, 8) == b""


def test_it_is_cut_and_extended(content: SpoolFile) -> None:
    content.pwrite(memoryview(b"content"), 0)
    content.truncate(3)
    content.truncate(5)
    assert content.pread(9, 0) == b"con\0\0"


def test_what_is_empty_is_not_cut(content: SpoolFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """ext4 brings all of a file to the disk at the next close(2) of it, once it was cut to nothing."""
    cut: list[int] = []
    ftruncate = os.ftruncate
    monkeypatch.setattr(os, "ftruncate", lambda fd, size: (cut.append(size), ftruncate(fd, size)))
    content.truncate(0)
    assert cut == []
    content.pwrite(b"content", 0)
    content.truncate(0)
    assert (cut, content.size()) == ([0], 0)


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_at_rest_it_has_no_descriptor_and_is_opened_again_when_it_is_used(content: SpoolFile) -> None:
    content.pwrite(b"content", 0)
    content.rest()
    assert _descriptors(content) == 1, "it may be deleted any moment, as nobody has noted what it is"
    content.note(Note("f", State.CLOSED, Base(), 1.0, 2))
    with content:
        content.rest()
        assert _descriptors(content) == 1, "somebody uses it"
    content.rest()
    assert _descriptors(content) == 0
    assert content.pread(100, 0) == b"content"
    content.rest()
    content.remove()
    content.rest()
    assert content.pread(100, 0) == b"content", "who has it open cannot read on"


def test_it_goes_though_there_is_no_descriptor_for_it(spool: Spool, content: SpoolFile) -> None:
    content.pwrite(b"content", 0)
    content.note(Note("f", State.CLOSED, Base(), 1.0, 2))
    content.rest()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            content.size()
        content.remove()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert (list(spool.directory.iterdir()), spool.status()["used"]) == ([], 0)


def _descriptors(content: SpoolFile) -> int:
    found = [path.resolve() for path in Path("/proc/self/fd").iterdir()]
    return found.count(content.path)


def test_it_is_filled_in_chunks(content: SpoolFile) -> None:
    content.fill(iter([b"one", b"", b"two"]))
    assert content.pread(9, 0) == b"onetwo"


def test_a_fill_that_breaks_off_leaves_nothing(content: SpoolFile) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"half of it"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        content.fill(chunks())
    assert content.size() == 0


def test_what_is_discarded_is_gone(spool: Spool) -> None:
    spool.open().discard()
    assert list(spool.directory.iterdir()) == []


def test_what_is_kept_stays_with_its_note_for_one_who_comes_after(spool: Spool) -> None:
    file = spool.open()
    file.pwrite(b"unsaved", 0)
    note = Note("d/\udcff", State.CLOSED, Base("v1"), 1.5, 2, {"mode": 0o640}, [(3, 4)], "content-0")
    file.note(note, sync=True)
    path = file.keep()
    assert Spool.left(spool.directory) is None, "it is in use"
    spool.close()
    left = Spool.left(path.parent)
    assert left is not None
    assert (list(left.notes()), path.read_bytes()) == ([(path, note)], b"unsaved")
    assert Spool.left(path.parent) is None, "another has found it already"
    left.close()


def test_what_was_left_without_a_note_is_swept(spool: Spool) -> None:
    """A copy of what the storage has, a note that was being written, a note whose content is gone."""
    directory = spool.open().keep().parent
    (directory / "content-7.new").write_bytes(b"{")
    (directory / "content-8.json").write_bytes(b"{}")
    spool.close()
    left = Spool.left(directory)
    assert left is not None
    assert list(left.notes()) == []
    left.close()
    assert not directory.exists()


@pytest.mark.parametrize("words", [b"", b"\0" * 100, b"{}", b'{"name": "f", "state": "no such", "base": [null, true]}'])
def test_a_note_that_is_not_whole_keeps_the_content(spool: Spool, words: bytes) -> None:
    path = spool.open().keep()
    path.with_suffix(".json").write_bytes(words)
    spool.close()
    left = Spool.left(path.parent)
    assert left is not None
    assert list(left.notes()) == [(path, None)]
    left.close()
    assert path.exists()


def test_a_note_without_room_leaves_the_one_before(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    file = spool.open()
    before = Note("f", State.WRITING, Base(), 1.0, 2)
    file.note(before)

    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "no room")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OSError, match="no room"):
            file.note(Note("f", State.CLOSED, Base(), 1.0, 2))
    assert Note.read(file.path.with_suffix(".json")) == before
    assert len(list(spool.directory.iterdir())) == 2
    file.discard()


class TestRoom:
    def test_it_is_bounded_before_the_disk_is_full(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path / "spool", limit=100)
        one, other = spool.open(), spool.open()
        one.pwrite(b"x" * 60, 0)
        with pytest.raises(OSError, match="may hold 100 bytes") as caught:
            other.pwrite(b"y" * 41, 0)
        assert (caught.value.errno, other.size(), spool.room.used) == (errno.ENOSPC, 0, 60)
        other.pwrite(b"y" * 40, 0)
        one.pwrite(b"z" * 60, 0)  # over what is there
        one.truncate(10)
        other.truncate(90)
        with pytest.raises(OSError, match="may hold"):
            one.truncate(11)
        other.discard()
        assert spool.room.used == 10
        one.discard()
        spool.close()

    def test_a_copy_counts_as_well(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path / "spool", limit=100)
        one, other = spool.open(), spool.open()
        one.pwrite(b"x" * 60, 0)
        with pytest.raises(OSError, match="may hold"):
            other.fill_from(one, 60)
        assert (other.size(), spool.room.used) == (0, 60)
        other.fill_from(one, 40)
        assert (other.pread(99, 0), spool.room.used) == (b"x" * 40, 100)
        one.discard()
        other.discard()
        spool.close()

    def test_a_reserve_of_the_disk_is_left(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Notes must find room when nothing else does any more."""
        disk = SimpleNamespace(f_blocks=1000, f_frsize=1000, f_bavail=15)
        monkeypatch.setattr(os, "statvfs", lambda path: disk)
        room = Room(tmp_path)
        room.take(5000)
        with pytest.raises(OSError, match="disk of the spool is full") as caught:
            room.take(5001)
        assert (caught.value.errno, room.used) == (errno.ENOSPC, 5000)


def test_closing_removes_an_empty_folder_and_no_other(spool: Spool) -> None:
    file = spool.open()
    spool.close()
    assert spool.directory.exists()
    file.discard()
    spool.close()
    assert not os.path.exists(file.path.parent)
