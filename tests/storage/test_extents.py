"""Data, holes and copies of ranges, by descriptor."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage import extents

BLOCK = 1 << 16
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="the kernel copies ranges on Linux alone")


@pytest.fixture
def sparse(tmp_path: Path) -> Iterator[int]:
    """A descriptor of a file with a hole of one block, then one block of data."""
    fd = os.open(tmp_path / "sparse", os.O_RDWR | os.O_CREAT)
    os.pwrite(fd, b"x" * BLOCK, BLOCK)
    yield fd
    os.close(fd)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "other", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


def test_the_cursor_stays_where_it_is(sparse: int) -> None:
    os.lseek(sparse, 7, os.SEEK_SET)
    assert (extents.seek_data(sparse, 0), extents.seek_hole(sparse, BLOCK)) == (BLOCK, 2 * BLOCK)
    for seek in (extents.seek_data, extents.seek_hole):
        with pytest.raises(OSError) as caught:
            seek(sparse, 2 * BLOCK)
        assert caught.value.errno == errno.ENXIO
    assert os.lseek(sparse, 0, os.SEEK_CUR) == 7


def test_a_system_that_knows_no_holes_has_one_at_the_end(sparse: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "freebsd14")
    assert (extents.seek_data(sparse, 0), extents.seek_hole(sparse, 0)) == (0, 2 * BLOCK)
    for seek in (extents.seek_data, extents.seek_hole):
        with pytest.raises(OSError) as caught:
            seek(sparse, 2 * BLOCK)
        assert caught.value.errno == errno.ENXIO
    with pytest.raises(NotImplementedError):
        extents.copy_range(sparse, 0, sparse, BLOCK, 1)


@linux_only
def test_short_copies_are_continued(sparse: int, other: int, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = os.copy_file_range
    monkeypatch.setattr(
        os, "copy_file_range", lambda src, dst, count, here, there: copy(src, dst, min(count, 1000), here, there)
    )
    assert extents.copy_range(sparse, BLOCK - 3000, other, 5, 7000) == 7000
    assert os.pread(other, 9999, 0) == bytes(3005) + b"x" * 4000
    assert os.lseek(other, 0, os.SEEK_CUR) == 0


@linux_only
def test_what_was_copied_before_an_error_counts(sparse: int, other: int, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = os.copy_file_range

    def full(src: int, dst: int, count: int, here: int, there: int) -> int:
        if there >= 3000:
            raise OSError(errno.ENOSPC, "no room")
        return copy(src, dst, min(count, 1000), here, there)

    monkeypatch.setattr(os, "copy_file_range", full)
    assert extents.copy_range(sparse, 0, other, 0, 7000) == 3000
    with pytest.raises(OSError) as caught:
        extents.copy_range(sparse, 0, other, 3000, 7000)
    assert caught.value.errno == errno.ENOSPC


@linux_only
@pytest.mark.parametrize("code", [errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM])
def test_a_kernel_that_cannot_copy_says_so(sparse: int, other: int, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "copy_file_range", refuse)
    with pytest.raises(NotImplementedError):
        extents.copy_range(sparse, 0, other, 0, 10)


@linux_only
def test_what_ends_where_its_copy_begins_does_not_overlap_it(other: int) -> None:
    os.pwrite(other, b"0123456789", 0)
    assert extents.copy_range(other, 0, other, 10, BLOCK) == 10
    assert os.pread(other, 99, 0) == b"0123456789" * 2
    with pytest.raises(OSError) as caught:
        extents.copy_range(other, 0, other, 19, BLOCK)
    assert caught.value.errno == errno.EINVAL
    assert extents.copy_range(other, 20, other, 0, 5) == 0
