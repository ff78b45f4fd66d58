"""Parts of files, through the kernel: holes, room, direct and appending access, copies of ranges."""

from __future__ import annotations

import errno
import mmap
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from vfs.testing.libc import COLLAPSE_RANGE, INSERT_RANGE, KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE, fallocate
from vfs.testing.place import Place, failing, opened

PAGE = 4096
MIB = 1 << 20
DATA, HOLE = os.SEEK_DATA, os.SEEK_HOLE


def segments(descriptor: int) -> list[tuple[int, int]]:
    """Where a file has data: (begin, end) of each part, as `cp --sparse` and tar look for them."""
    found, position, size = [], 0, os.fstat(descriptor).st_size
    while position < size:
        try:
            begin = os.lseek(descriptor, position, DATA)
        except OSError as error:
            assert error.errno == errno.ENXIO
            break
        position = os.lseek(descriptor, begin, HOLE)
        found.append((begin, position))
    return found


# -- holes


def test_data_is_found_and_nothing_of_it_left_out(place: Place) -> None:
    with opened(place / "file", os.O_RDWR | os.O_CREAT) as file:
        os.pwrite(file, b"first", 0)
        os.pwrite(file, b"middle", 5 * MIB)
        os.ftruncate(file, 16 * MIB)
        found = segments(file)
        assert all(begin < end <= 16 * MIB for begin, end in found)
        for offset, length in ((0, 5), (5 * MIB, 6)):
            assert any(begin <= offset and offset + length <= end for begin, end in found)
        if place.can("holes"):
            assert len(found) == 2
            assert sum(end - begin for begin, end in found) < MIB
            assert os.fstat(file).st_blocks * 512 < MIB
        assert os.lseek(file, 16 * MIB - 1, HOLE) in (16 * MIB - 1, 16 * MIB)
        for whence in (DATA, HOLE):
            with failing(errno.ENXIO):
                os.lseek(file, 16 * MIB, whence)
    with opened(place / "file", os.O_RDONLY) as file:
        assert any(begin <= 5 * MIB < end for begin, end in segments(file))
        assert len(segments(file)) == 2 or not place.can("holes")


def test_an_empty_file_has_neither_data_nor_holes(place: Place) -> None:
    with opened(place / "file", os.O_RDWR | os.O_CREAT) as file:
        assert segments(file) == []
        for whence in (DATA, HOLE):
            with failing(errno.ENXIO):
                os.lseek(file, 0, whence)


def test_a_sparse_file_is_copied_with_its_holes(place: Place) -> None:
    size = "32M" if place.can("holes") else "4M"
    place.sh(f"truncate -s {size} sparse && printf end >> sparse && cp --sparse=auto sparse copy && cmp sparse copy")
    if place.can("holes"):
        assert int(place.sh("du -k copy").split()[0]) < 1024
    place.sh("tar -cSf sparse.tar sparse && mv sparse old && tar -xSf sparse.tar && cmp sparse old")


# -- room


def done_or_refused(place: Place, folder: Path, mode: int, offset: int, length: int) -> bool:
    """fallocate() on a file of 3 pages; True if it was done. What a folder does, a mount does as well."""
    content = b"".join(bytes([letter]) * PAGE for letter in b"abc")
    (folder / "oracle").write_bytes(content)
    (place / "file").write_bytes(content)
    answers = []
    for path in (folder / "oracle", place / "file"):
        with opened(path, os.O_RDWR) as file:
            try:
                fallocate(file, mode, offset, length)
            except OSError as error:
                answers.append(error.errno)
            else:
                answers.append(0)
    if answers[1] != errno.EOPNOTSUPP:
        assert answers[0] == answers[1]
        assert (place / "file").read_bytes() == (folder / "oracle").read_bytes()
    return not answers[1]


@pytest.mark.parametrize("span", [(0, PAGE), (PAGE, 3 * PAGE), (100, 50_000), (5 * PAGE, 10)])
@pytest.mark.parametrize("mode", [0, KEEP_SIZE, PUNCH_HOLE | KEEP_SIZE], ids=["plain", "keep size", "punch hole"])
def test_room_is_made_and_given_back(place: Place, tmp_path: Path, mode: int, span: tuple[int, int]) -> None:
    done = done_or_refused(place, tmp_path, mode, *span)
    if place.can("holes") and not place.can("local"):
        assert done


@pytest.mark.parametrize(
    "mode", [ZERO_RANGE, ZERO_RANGE | KEEP_SIZE, COLLAPSE_RANGE, INSERT_RANGE, PUNCH_HOLE, 1 << 20]
)
def test_rare_ways_to_make_room_are_done_or_refused(place: Place, tmp_path: Path, mode: int) -> None:
    done_or_refused(place, tmp_path, mode, PAGE, PAGE)


def test_a_hole_is_punched_into_what_is_open_elsewhere(place: Place) -> None:
    (place / "file").write_bytes(b"x" * MIB)
    with opened(place / "file", os.O_RDWR) as file, opened(place / "file", os.O_RDONLY) as other:
        assert os.pread(other, 3, MIB // 2) == b"xxx"
        try:
            fallocate(file, PUNCH_HOLE | KEEP_SIZE, MIB // 4, MIB // 2)
        except OSError as error:
            assert error.errno == errno.EOPNOTSUPP
            assert not place.can("holes") or place.can("local")
            return
        assert os.pread(other, MIB, 0) == b"x" * (MIB // 4) + bytes(MIB // 2) + b"x" * (MIB // 4)
        if place.can("holes"):
            assert segments(other) == [(0, MIB // 4), (3 * MIB // 4, MIB)]
            assert os.fstat(other).st_blocks * 512 < 3 * MIB // 4


def test_room_needs_a_descriptor_that_writes(place: Place) -> None:
    (place / "file").write_bytes(b"content")
    with opened(place / "file", os.O_RDONLY) as file, failing(errno.EBADF):
        fallocate(file, 0, 0, 100)
    with opened(place / "file", os.O_RDWR) as file:
        for offset, length in ((0, 0), (-1, 10), (0, -1)):
            with failing(errno.EINVAL):
                fallocate(file, 0, offset, length)
    assert (place / "file").read_bytes() == b"content"


# -- direct access


def open_direct(path: Path, flags: int) -> int:
    """A descriptor that goes past the caches; the test is skipped where there is no such thing."""
    try:
        return os.open(path, flags | os.O_DIRECT, 0o644)
    except OSError as error:
        assert error.errno == errno.EINVAL
        pytest.skip("the folder that this lies in has no O_DIRECT")


def test_direct_and_cached_access_see_each_other(place: Place) -> None:
    (place / "file").write_bytes(b"a" * 4 * PAGE)
    block = mmap.mmap(-1, PAGE)
    direct = open_direct(place / "file", os.O_RDWR)
    try:
        with opened(place / "file", os.O_RDWR) as cached:
            assert os.pread(cached, 1, PAGE) == b"a"
            block.write(b"d" * PAGE)
            assert os.pwritev(direct, [block], PAGE) == PAGE
            assert os.pread(cached, PAGE, PAGE) == b"d" * PAGE
            os.pwrite(cached, b"c" * 10, 2 * PAGE)
            assert os.preadv(direct, [block], 2 * PAGE) == PAGE
            assert block[:] == b"c" * 10 + b"a" * (PAGE - 10)
            assert os.preadv(direct, [block], 4 * PAGE) == 0
    finally:
        os.close(direct)
    assert (place / "file").read_bytes() == b"a" * PAGE + b"d" * PAGE + b"c" * 10 + b"a" * (2 * PAGE - 10)


def test_a_file_is_made_and_grows_by_direct_writes(place: Place) -> None:
    block = mmap.mmap(-1, 64 * PAGE)
    content = random.Random(4).randbytes(64 * PAGE)
    block.write(content)
    direct = open_direct(place / "file", os.O_RDWR | os.O_CREAT)
    try:
        for number in range(4):
            assert os.pwritev(direct, [block], number * 64 * PAGE) == 64 * PAGE
            assert os.fstat(direct).st_size == (number + 1) * 64 * PAGE
    finally:
        os.close(direct)
    assert (place / "file").read_bytes() == 4 * content


# -- appending


def test_what_two_processes_append_is_all_there(place: Place) -> None:
    script = (
        "import os, sys\n"
        "log = os.open('log', os.O_WRONLY | os.O_APPEND | os.O_CREAT)\n"
        "for number in range(300):\n"
        "    os.write(log, f'{sys.argv[1]} {number:03} {\"x\" * (number * 7 % 50)}\\n'.encode())\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", script, name], cwd=place.path) for name in ("one", "two")]
    assert [process.wait(60) for process in processes] == [0, 0]
    lines = (place / "log").read_text().splitlines()
    expected = [f"{name} {number:03} {'x' * (number * 7 % 50)}" for name in ("one", "two") for number in range(300)]
    assert sorted(lines) == sorted(expected)
    assert [line for line in lines if line.startswith("one")] == expected[:300], "each in its order"


def test_appends_and_cuts_alternate(place: Place) -> None:
    with opened(place / "log", os.O_RDWR | os.O_APPEND | os.O_CREAT) as log:
        for number in range(10):
            os.write(log, b"%d" % number * 1000)
            os.truncate(place / "log", 10 * (number + 1))
            assert os.fstat(log).st_size == 10 * (number + 1)
    assert (place / "log").read_bytes() == b"".join(b"%d" % number * 10 for number in range(10))


# -- copies of ranges


def test_a_range_is_copied_between_files(place: Place) -> None:
    content = random.Random(5).randbytes(300_000)
    (place / "source").write_bytes(content)
    with opened(place / "source", os.O_RDONLY) as source, opened(place / "target", os.O_RDWR | os.O_CREAT) as target:
        os.pwrite(target, b"before", 0)
        copied = 0
        while copied < 200_000:
            step = os.copy_file_range(source, target, 200_000 - copied, 50_000 + copied, 1000 + copied)
            assert step > 0
            copied += step
        assert os.pread(target, 10, 0) == b"before" + bytes(4)
        assert os.fstat(target).st_size == 201_000
        assert os.copy_file_range(source, target, 10, 300_000, 0) == 0, "behind the end"
        assert os.copy_file_range(source, target, 1000, 299_990, 0) == 10
    assert (place / "target").read_bytes() == content[299_990:] + bytes(990) + content[50_000:250_000]


def test_a_range_is_copied_within_a_file_unless_it_overlaps(place: Place) -> None:
    (place / "file").write_bytes(b"0123456789")
    with opened(place / "file", os.O_RDWR) as file:
        assert os.copy_file_range(file, file, 4, 0, 6) == 4
        assert os.pread(file, 20, 0) == b"0123450123"
        with failing(errno.EINVAL):
            os.copy_file_range(file, file, 5, 0, 3)
    with opened(place / "file", os.O_RDONLY) as file, failing(errno.EBADF):
        os.copy_file_range(file, file, 1, 0, 5)


def test_what_was_just_written_is_copied(place: Place) -> None:
    with (
        opened(place / "source", os.O_RDWR | os.O_CREAT) as source,
        opened(place / "target", os.O_RDWR | os.O_CREAT) as target,
    ):
        for number in range(5):
            os.pwrite(source, b"%d" * 3 % (number, number, number), 0)
            assert os.copy_file_range(source, target, 3, 0, number * 3) == 3
            assert os.pread(target, 3, number * 3) == b"%d" % number * 3
    assert (place / "target").read_bytes() == b"000111222333444"
