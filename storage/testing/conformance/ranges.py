"""What every storage must do, whatever stands behind it: ranges of open files, and files without a name."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

import pytest

from storage import Change, File, Storage, SuspiciousFileOperation
from storage.ranges import ALLOCATE_KEEP_SIZE, ALLOCATE_PUNCH_HOLE, ALLOCATE_ZERO_RANGE
from storage.testing.conformance.traits import Traits, names, only_if, put, read

BLOCK = 1 << 16
"""More than any filesystem's block."""
PUNCH = ALLOCATE_PUNCH_HOLE | ALLOCATE_KEEP_SIZE


def fails(code: int, call: Callable[..., object], *args: object) -> None:
    """The call ends in an OSError with this errno."""
    with pytest.raises(OSError) as caught:
        call(*args)
    assert caught.value.errno == code


def sparse(storage: Storage) -> File:
    """Data, a hole, data, each of one block, and a hole of one block at the end."""
    file = storage.create("sparse")
    file.pwrite(b"1" * BLOCK, 0)
    file.pwrite(b"2" * BLOCK, 2 * BLOCK)
    file.truncate(4 * BLOCK)
    return file


class TestRangesOfAnything:
    """Applied to all: what works without help of the storage."""

    def test_data_and_holes_of_a_file_without_holes(self, storage: Storage) -> None:
        put(storage, "f", b"content")
        with storage.open("f") as file:
            assert (file.seek_data(0), file.seek_data(6), file.seek_hole(0), file.seek_hole(6)) == (0, 6, 7, 7)
            for seek in (file.seek_data, file.seek_hole):
                fails(errno.ENXIO, seek, 7)
                fails(errno.ENXIO, seek, -1)
            assert (file.tell(), file.read()) == (0, b"content")

    def test_what_it_has_not_it_refuses(self, storage: Storage, traits: Traits) -> None:
        if traits.ranges:
            pytest.skip("it has them all")
        put(storage, "f", b"content")
        with storage.open("f") as file:
            for attempt in (
                lambda: file.allocate(0, 0, 1),
                lambda: file.copy_range(0, file, 100, 1),
                lambda: file.link("g"),
                lambda: storage.tmpfile(""),
            ):
                with pytest.raises(NotImplementedError):
                    attempt()
        assert (read(storage, "f"), names(storage)) == (b"content", ([], ["f"]))


class Ranges:
    """Applied where `Traits.ranges` holds."""

    def test_allocation_makes_room_and_grows(self, storage: Storage) -> None:
        with storage.create("f") as file:
            file.pwrite(b"content", 0)
            file.allocate(0, 4, BLOCK)
            assert (file.stat().size, file.pread(8, 0)) == (4 + BLOCK, b"content\0")
            assert (file.stat().blocks or 0) * 512 >= BLOCK
            file.allocate(0, 0, 1)
            assert file.stat().size == 4 + BLOCK

    def test_with_keep_size_it_does_not_grow(self, storage: Storage) -> None:
        with storage.create("f") as file:
            file.pwrite(b"content", 0)
            file.allocate(ALLOCATE_KEEP_SIZE, 0, 4 * BLOCK)
            assert (file.stat().size, file.pread(99, 0)) == (7, b"content")
            file.truncate(BLOCK)
            assert file.pread(9, 3) == b"tent" + bytes(5), "what was room behind the end reads as zeros"

    def test_a_hole_is_punched(self, storage: Storage) -> None:
        with storage.create("f") as file:
            file.pwrite(b"x" * 4 * BLOCK, 0)
            before = file.stat().blocks or 0
            file.allocate(PUNCH, BLOCK - 1, 2 * BLOCK)
            assert file.stat().size == 4 * BLOCK
            assert file.pread(4 * BLOCK, 0) == b"x" * (BLOCK - 1) + bytes(2 * BLOCK) + b"x" * (BLOCK + 1)
            assert (file.stat().blocks or 0) < before
            file.allocate(PUNCH, 8 * BLOCK, BLOCK)
            assert file.stat().size == 4 * BLOCK

    def test_a_range_becomes_zeros(self, storage: Storage) -> None:
        with storage.create("f") as file:
            file.pwrite(b"content", 0)
            file.allocate(ALLOCATE_ZERO_RANGE | ALLOCATE_KEEP_SIZE, 2, 100)
            assert file.pread(99, 0) == b"co" + bytes(5)
            file.allocate(ALLOCATE_ZERO_RANGE, 1, 9)
            assert file.pread(99, 0) == b"c" + bytes(9)

    def test_an_allocation_of_nothing_and_in_an_unknown_mode(self, storage: Storage) -> None:
        with storage.create("f") as file:
            fails(errno.EINVAL, file.allocate, 0, 0, 0)
            fails(errno.EINVAL, file.allocate, 0, -1, 5)
            with only_if(False):
                file.allocate(ALLOCATE_PUNCH_HOLE, 0, 1)
            with only_if(False):
                file.allocate(0x8000, 0, 1)
            assert file.stat().size == 0

    def test_an_allocation_changes_the_version(self, storage: Storage) -> None:
        with storage.create("f") as file:
            file.pwrite(b"content", 0)
            before = storage.stat("f")
            file.allocate(PUNCH, 0, 7)
            after = storage.stat("f")
        assert after.version != before.version
        assert (after.mtime_ns or 0) >= (before.mtime_ns or 0)

    def test_data_and_holes(self, storage: Storage) -> None:
        with sparse(storage) as file:
            file.seek(5)
            assert [file.seek_hole(at) for at in (0, BLOCK, 2 * BLOCK)] == [BLOCK, BLOCK, 3 * BLOCK]
            assert [file.seek_data(at) for at in (0, BLOCK, 2 * BLOCK + 1)] == [0, 2 * BLOCK, 2 * BLOCK + 1]
            fails(errno.ENXIO, file.seek_data, 3 * BLOCK)
            fails(errno.ENXIO, file.seek_hole, 4 * BLOCK)
            assert (file.tell(), file.read(2)) == (5, b"11")

    def test_a_range_is_copied_to_another_file(self, storage: Storage) -> None:
        put(storage, "f", b"0123456789")
        with storage.open("f") as source, storage.create("g") as target:
            target.write(b"abc")
            assert source.read(2) == b"01"
            assert source.copy_range(2, target, 1, 4) == 4
            assert source.copy_range(8, target, 7, 1000) == 2
            assert source.copy_range(10, target, 0, 5) == 0
            assert target.pread(99, 0) == b"a2345\0\x0089"
            assert (source.read(2), target.tell()) == (b"23", 3)
        assert read(storage, "g") == b"a2345\0\x0089"

    def test_a_range_is_copied_within_a_file_unless_it_overlaps(self, storage: Storage) -> None:
        with storage.create("f") as file, storage.open("f", "r+b") as other:
            file.pwrite(b"0123456789", 0)
            assert file.copy_range(0, other, 5, 5) == 5
            assert file.pread(99, 0) == b"0123401234"
            for offset, target_offset in ((0, 4), (4, 0), (3, 3)):
                fails(errno.EINVAL, file.copy_range, offset, other, target_offset, 5)
            assert file.copy_range(0, other, 10, 1000) == 10, "what there is ends where the target begins"
            assert file.pread(99, 0) == b"0123401234" * 2

    def test_a_file_without_a_name_gets_one(self, storage: Storage) -> None:
        storage.mkdir("d")
        told: list[Change] = []
        with storage.tmpfile("d", mode=0o640) as file, storage.subscribe(told.append):
            file.pwrite(b"content", 0)
            assert (file.stat().nlink, file.stat().mode, file.name) == (0, 0o640, None)
            assert (names(storage), names(storage, "d"), told) == ((["d"], []), ([], []), [])
            file.link("d/f")
            assert [(change.action, change.name) for change in told] == [("save", "d/f")]
            assert (file.stat().nlink, file.stat().identity) == (1, storage.stat("d/f").identity)
            file.pwrite(b"C", 0)
        assert (read(storage, "d/f"), storage.stat("d/f").mode) == (b"Content", 0o640)
        with storage.tmpfile("d") as file:
            file.link("beside")
        assert names(storage) == (["d"], ["beside"])

    def test_without_one_it_goes_with_its_last_close(self, storage: Storage) -> None:
        with storage.tmpfile("") as file:
            file.write(b"content")
            file.seek(0)
            assert file.read() == b"content"
        assert names(storage) == ([], [])

    def test_it_gets_no_name_that_is_taken_or_bad(self, storage: Storage) -> None:
        put(storage, "f", b"taken")
        with storage.tmpfile("") as file:
            with pytest.raises(FileExistsError):
                file.link("f")
            with pytest.raises(FileNotFoundError):
                file.link("missing/f")
            with pytest.raises(NotADirectoryError):
                file.link("f/f")
            with pytest.raises(SuspiciousFileOperation):
                file.link("../f")
            assert file.stat().nlink == 0
            file.link("g")
        assert (names(storage), read(storage, "f")) == (([], ["f", "g"]), b"taken")

    def test_it_needs_a_directory(self, storage: Storage) -> None:
        put(storage, "f")
        with pytest.raises(FileNotFoundError):
            storage.tmpfile("missing")
        with pytest.raises(NotADirectoryError):
            storage.tmpfile("f")
        with pytest.raises(SuspiciousFileOperation):
            storage.tmpfile("..")

    def test_no_symbolic_link_is_followed_to_make_or_name_it(self, storage: Storage) -> None:
        storage.mkdir("d")
        storage.symlink("d", "link")
        with pytest.raises(NotADirectoryError):
            storage.tmpfile("link")
        with storage.tmpfile("d") as file, pytest.raises(NotADirectoryError):
            file.link("link/f")
        assert names(storage, "d") == ([], [])

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
    def test_it_has_the_owner_that_was_asked_for(self, storage: Storage) -> None:
        with storage.tmpfile("", mode=0o4711, uid=1234, gid=4321) as file:
            entry = file.stat()
        assert (entry.mode, entry.uid, entry.gid) == (0o4711, 1234, 4321)
