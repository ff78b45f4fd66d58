"""Ranges of open files and files without a name, by the verbs, over each kind of storage."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kernel import IN_PLACE, SPOOLED, Verbs, files_here, filesystem_of, nodes_of

from storage import InMemoryStorage, Storage
from storage.ranges import ALLOCATE_KEEP_SIZE, ALLOCATE_PUNCH_HOLE, ALLOCATE_ZERO_RANGE
from vfs.content import spooled as spooled_module

W = os.O_CREAT | os.O_RDWR
BLOCK = 1 << 16
PUNCH = ALLOCATE_PUNCH_HOLE | ALLOCATE_KEEP_SIZE


def fails(code: int, call: Callable[..., object], *args: object) -> None:
    """The call ends in an OSError with this errno."""
    with pytest.raises(OSError) as caught:
        call(*args)
    assert caught.value.errno == code, f"{caught.value!r} instead of {errno.errorcode[code]}"


def stored(verbs: Verbs, name: str) -> bytes:
    with verbs.filesystem.storage.open(name) as file:
        data: bytes = file.read()
    return data


@pytest.fixture(params=["files", *SPOOLED])
def ranging(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """The verbs where files are the system's, or spooled to such."""
    caller = Verbs(filesystem_of(request.param, tmp_path))
    yield caller
    caller.close_all()
    caller.filesystem.close()


@pytest.fixture(params=SPOOLED)
def spooled(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """The verbs over storages that take whole objects."""
    caller = Verbs(filesystem_of(request.param, tmp_path))
    yield caller
    caller.close_all()
    caller.filesystem.close()


class TestAllocate:
    def test_it_grows_and_is_stored(self, ranging: Verbs) -> None:
        ranging.put("f", b"content")
        fd = ranging.open("f", os.O_RDWR)
        ranging.allocate(fd, 0, 0, 10)
        assert (ranging.fstat(fd).size, ranging.read(fd, 99, 0)) == (10, b"content\0\0\0")
        ranging.close(fd)
        assert stored(ranging, "f") == b"content\0\0\0"

    def test_a_hole_is_punched_and_stored(self, ranging: Verbs) -> None:
        ranging.put("f", b"content")
        fd = ranging.open("f", os.O_RDWR)
        ranging.allocate(fd, PUNCH, 1, 3)
        ranging.allocate(fd, ALLOCATE_ZERO_RANGE, 6, 2)
        ranging.close(fd)
        assert (stored(ranging, "f"), ranging.stat("f").size) == (b"c\0\0\0en\0\0", 8)

    def test_what_changes_nothing_is_not_stored(self, spooled: Verbs) -> None:
        spooled.put("f", b"content")
        fd = spooled.open("f", os.O_RDWR)
        for mode, offset, length in ((ALLOCATE_KEEP_SIZE, 0, BLOCK), (0, 0, 7), (PUNCH, 7, BLOCK)):
            spooled.allocate(fd, mode, offset, length)
            assert not spooled.handle(fd).file.dirty
        spooled.allocate(fd, PUNCH, 6, 1)
        assert spooled.handle(fd).file.dirty

    def test_a_full_spool_is_enospc(self, spooled: Verbs, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(fd: int, mode: int, offset: int, length: int) -> None:
            raise OSError(errno.ENOSPC, "no room")

        fd = spooled.open("f", W)
        monkeypatch.setattr(spooled_module, "fallocate", full)
        fails(errno.ENOSPC, spooled.allocate, fd, 0, 0, 10)
        assert spooled.fstat(fd).size == 0

    def test_what_is_no_way_to_allocate(self, ranging: Verbs) -> None:
        ranging.put("f", b"content")
        fd = ranging.open("f", os.O_RDWR)
        fails(errno.EINVAL, ranging.allocate, fd, 0, 0, 0)
        fails(errno.EBADF, ranging.allocate, ranging.open("f", os.O_RDONLY), 0, 0, 1)
        with pytest.raises(NotImplementedError):
            ranging.allocate(fd, ALLOCATE_PUNCH_HOLE, 0, 1)


class TestSeek:
    def test_data_and_holes(self, ranging: Verbs) -> None:
        fd = ranging.open("f", W)
        ranging.write(fd, b"x" * BLOCK, BLOCK)
        ranging.ftruncate(fd, 3 * BLOCK)
        assert ranging.seek(fd, 0, os.SEEK_DATA) == BLOCK
        assert (ranging.seek(fd, 0, os.SEEK_HOLE), ranging.seek(fd, BLOCK, os.SEEK_HOLE)) == (0, 2 * BLOCK)
        fails(errno.ENXIO, ranging.seek, fd, 2 * BLOCK, os.SEEK_DATA)

    def test_the_ends_and_other_places(self, verbs: Verbs) -> None:
        verbs.put("f", b"content")
        fd = verbs.open("f", os.O_RDONLY)
        assert (verbs.seek(fd, 3, os.SEEK_DATA), verbs.seek(fd, 3, os.SEEK_HOLE)) == (3, 7)
        for whence in (os.SEEK_DATA, os.SEEK_HOLE):
            fails(errno.ENXIO, verbs.seek, fd, 7, whence)
        for whence in (os.SEEK_SET, os.SEEK_CUR, os.SEEK_END, 9):
            fails(errno.EINVAL, verbs.seek, fd, 0, whence)


class TestCopyRange:
    def test_within_the_files(self, verbs: Verbs) -> None:
        verbs.put("f", b"0123456789")
        verbs.put("g", b"abcdefghij")
        source, target = verbs.open("f", os.O_RDONLY), verbs.open("g", os.O_RDWR)
        assert verbs.copy_range(source, 2, target, 1, 3) == 3
        assert verbs.copy_range(source, 8, target, 12, 99) == 2
        assert verbs.copy_range(source, 10, target, 0, 99) == 0
        assert verbs.copy_range(source, 11, target, 0, 99) == 0
        assert (verbs.read(target, 99, 0), verbs.fstat(target).size) == (b"a234efghij\0\x0089", 14)
        verbs.close(target)
        assert stored(verbs, "g") == b"a234efghij\0\x0089"

    def test_of_the_whole_into_a_new_file(self, verbs: Verbs) -> None:
        verbs.put("f", b"0123456789")
        source, target = verbs.open("f", os.O_RDONLY), verbs.open("g", W)
        assert verbs.copy_range(source, 0, target, 0, 1 << 40) == 10
        assert (verbs.fstat(target).size, verbs.stat("g").size, verbs.read(target, 99, 0)) == (10, 10, b"0123456789")
        verbs.close(target)
        assert stored(verbs, "g") == b"0123456789"

    def test_what_was_written_is_copied(self, verbs: Verbs) -> None:
        source, target = verbs.open("f", W), verbs.open("g", W)
        verbs.write(source, b"unsaved", 0)
        assert verbs.copy_range(source, 0, target, 0, 99) == 7
        verbs.write(source, b"CHANGED", 0)
        verbs.close(target)
        assert (stored(verbs, "g"), verbs.get("f")) == (b"unsaved", b"CHANGED")

    def test_within_one_file_unless_the_ranges_overlap(self, verbs: Verbs) -> None:
        verbs.put("f", b"0123456789")
        fd, other = verbs.open("f", os.O_RDWR), verbs.open("f", os.O_RDONLY)
        assert verbs.copy_range(other, 0, fd, 5, 5) == 5
        assert verbs.read(fd, 99, 0) == b"0123401234"
        for offset, target_offset in ((0, 4), (4, 0), (3, 3)):
            fails(errno.EINVAL, verbs.copy_range, other, offset, fd, target_offset, 5)
        assert verbs.copy_range(other, 0, fd, 10, 99) == 10
        assert verbs.read(fd, 99, 0) == b"0123401234" * 2

    def test_handles_that_are_not_for_it(self, verbs: Verbs) -> None:
        verbs.put("f", b"content")
        verbs.put("g", b"other")
        reading, writing = verbs.open("f", os.O_RDONLY), verbs.open("g", os.O_WRONLY)
        fails(errno.EBADF, verbs.copy_range, writing, 0, writing, 10, 1)
        fails(errno.EBADF, verbs.copy_range, reading, 0, reading, 10, 1)
        fails(errno.EBADF, verbs.copy_range, reading, 0, verbs.open("g", os.O_WRONLY | os.O_APPEND), 0, 1)
        fails(errno.EINVAL, verbs.copy_range, reading, -1, writing, 0, 1)
        assert verbs.get("g") == b"other"

    @pytest.mark.parametrize("kind", ["files", "scanned"])
    def test_a_kernel_that_cannot_copy_is_done_without(
        self, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> int:
            raise OSError(errno.EXDEV, "not here")

        monkeypatch.setattr(os, "copy_file_range", refuse)
        verbs = Verbs(filesystem_of(kind, tmp_path))
        content = os.urandom((1 << 20) + 5)
        verbs.put("f", content)
        source, target = verbs.open("f", os.O_RDONLY), verbs.open("g", W)
        assert verbs.copy_range(source, 5, target, 3, 1 << 30) == 1 << 20
        assert verbs.copy_range(target, 0, target, 2 << 20, 10) == 10
        expected = bytes(3) + content[5:]
        assert verbs.read(target, 3 << 20, 0) == expected.ljust(2 << 20, b"\0") + expected[:10]
        verbs.close_all()
        verbs.filesystem.close()


@pytest.fixture(params=["files", "scanned", "objects", "memory"])
def tmpfiles(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """The verbs where files can be made without a name."""
    if request.param == "memory" and InMemoryStorage.tmpfile is Storage.tmpfile:
        pytest.skip("no files without a name here")
    caller = Verbs(filesystem_of(request.param, tmp_path))
    yield caller
    caller.close_all()
    caller.filesystem.close()


class TestTmpfile:
    def test_it_has_no_name_and_dies_with_its_handle(self, tmpfiles: Verbs) -> None:
        filesystem = tmpfiles.filesystem
        fd = tmpfiles.tmpfile("", 0o640)
        tmpfiles.write(fd, b"content", 0)
        tmpfiles.fsync(fd)
        shown = tmpfiles.fstat(fd)
        assert (shown.mode, shown.nlink, shown.size) == (stat.S_IFREG | 0o640, 0, 7)
        assert (tmpfiles.read(fd, 99, 0), tmpfiles.listdir("")) == (b"content", [])
        node = tmpfiles.handle(fd).node
        assert node.lookups == 1
        tmpfiles.close(fd)
        assert (files_here(filesystem), list(filesystem.storage.scandir("")), tmpfiles.listdir("")) == (0, [], [])
        assert node not in nodes_of(filesystem.tree)
        assert not any(filesystem.contents.spool.directory.iterdir())

    def test_a_link_gives_it_its_name(self, tmpfiles: Verbs) -> None:
        tmpfiles.mkdir("d")
        fd = tmpfiles.tmpfile("")
        tmpfiles.write(fd, b"content", 0)
        number = tmpfiles.fstat(fd).ino
        tmpfiles.link_fd(fd, "d/f")
        assert (tmpfiles.listdir("d"), tmpfiles.stat("d/f").ino, tmpfiles.fstat(fd).nlink) == (["f"], number, 1)
        tmpfiles.write(fd, b"C", 0)
        tmpfiles.close(fd)
        assert (stored(tmpfiles, "d/f"), tmpfiles.get("d/f")) == (b"Content", b"Content")
        assert tmpfiles.stat("d/f").mode == stat.S_IFREG | 0o644

    def test_once_it_has_one_it_is_a_file_like_others(self, tmpfiles: Verbs) -> None:
        fd = tmpfiles.tmpfile("")
        tmpfiles.link_fd(fd, "f")
        tmpfiles.rename("f", "g")
        tmpfiles.unlink("g")
        fails(errno.ENOENT if tmpfiles.filesystem.contents.in_place else errno.EPERM, tmpfiles.link_fd, fd, "h")
        tmpfiles.close(fd)
        assert tmpfiles.listdir("") == []

    def test_a_name_that_is_taken_stays_the_others(self, tmpfiles: Verbs) -> None:
        tmpfiles.put("f", b"taken")
        fd = tmpfiles.tmpfile("")
        fails(errno.EEXIST, tmpfiles.link_fd, fd, "f")
        unsaved = tmpfiles.open("unsaved", W)
        fails(errno.EEXIST, tmpfiles.link_fd, fd, "unsaved")
        assert tmpfiles.fstat(fd).nlink == 0
        tmpfiles.close(unsaved)
        tmpfiles.link_fd(fd, "g")
        tmpfiles.close(fd)
        assert (tmpfiles.get("f"), tmpfiles.get("g")) == (b"taken", b"")

    def test_its_attributes_can_be_changed_before_it_has_a_name(self, tmpfiles: Verbs) -> None:
        fd = tmpfiles.tmpfile("")
        tmpfiles.write(fd, b"content", 0)
        node = tmpfiles.handle(fd).node
        tmpfiles.filesystem.setattr(node, mode=0o600, mtime_ns=7_000_000_000)
        tmpfiles.ftruncate(fd, 3)
        tmpfiles.filesystem.setattr(node, mtime_ns=7_000_000_000)
        tmpfiles.link_fd(fd, "f")
        tmpfiles.close(fd)
        shown = tmpfiles.stat("f")
        assert (stat.S_IMODE(shown.mode), shown.mtime_ns, stored(tmpfiles, "f")) == (0o600, 7_000_000_000, b"con")

    def test_nothing_is_made_on_a_read_only_mount(self, tmpfiles: Verbs) -> None:
        tmpfiles.filesystem.read_only = True
        fails(errno.EROFS, tmpfiles.tmpfile, "")


class TestContentDescriptor:
    @pytest.mark.parametrize("kind", IN_PLACE)
    def test_it_allows_what_the_handle_wants(self, kind: str, tmp_path: Path) -> None:
        verbs = Verbs(filesystem_of(kind, tmp_path))
        verbs.put("f", b"content" * BLOCK)
        file = verbs.handle(verbs.open("f", os.O_RDONLY)).file
        reading = file.content_fd(False)
        assert reading is not None
        verbs.open("f", os.O_RDWR)
        writing = file.content_fd(True)
        assert writing is not None
        os.pwrite(writing, b"C", 0)
        assert (os.pread(reading, 3, 0), verbs.get("f")[:3]) == (b"Con", b"Con")
        verbs.close_all()
        verbs.filesystem.close()

    def test_a_file_that_is_open_for_reading_has_none_to_write_to(self, tmp_path: Path) -> None:
        verbs = Verbs(filesystem_of("files", tmp_path))
        verbs.put("f", b"content")
        file = verbs.handle(verbs.open("f", os.O_RDONLY)).file
        assert (file.content_fd(True), file.content_fd(False) is None) == (None, False)
        verbs.close_all()

    def test_a_spooled_file_has_none(self, spooled: Verbs) -> None:
        file = spooled.handle(spooled.open("f", W)).file
        assert (file.content_fd(True), file.content_fd(False)) == (None, None)
