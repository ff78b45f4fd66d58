"""Files that are made without a name (O_TMPFILE), through the kernel, and the names that they are given."""

from __future__ import annotations

import errno
import os
import stat
import sys

import pytest

from vfs.testing.libc import give_name
from vfs.testing.place import Place, failing, opened

UNNAMED = os.O_TMPFILE | os.O_RDWR if sys.platform == "linux" else 0


@pytest.fixture
def unnamed_place(place: Place) -> Place:
    """A place that has such files; of the others it is known that they refuse."""
    if sys.platform != "linux":
        pytest.skip("O_TMPFILE is Linux's")
    if not place.can("unnamed files"):
        with failing(errno.EOPNOTSUPP, errno.EISDIR):
            os.close(os.open(place.path, UNNAMED))
        assert os.listdir(place.path) == []
        pytest.skip("refused there")
    return place


def test_a_file_without_a_name_is_written_and_read_and_gone(unnamed_place: Place) -> None:
    with opened(unnamed_place.path, UNNAMED, 0o640) as file:
        os.write(file, b"content " * 10_000)
        found = os.fstat(file)
        assert (found.st_nlink, found.st_size, stat.S_IFMT(found.st_mode)) == (0, 80_000, stat.S_IFREG)
        assert stat.S_IMODE(found.st_mode) == 0o640
        assert (found.st_uid, found.st_gid) == (os.geteuid(), os.getegid())
        assert os.pread(file, 8, 8000) == b"content "
        os.ftruncate(file, 3)
        os.fchmod(file, 0o600)
        os.fsync(file)
        assert (os.fstat(file).st_size, stat.S_IMODE(os.fstat(file).st_mode)) == (3, 0o600)
        assert os.listdir(unnamed_place.path) == []
        if unnamed_place.can("local"):
            assert os.listdir(unnamed_place.behind) == []
    assert os.listdir(unnamed_place.path) == []


def test_it_is_given_a_name_when_it_is_whole(unnamed_place: Place) -> None:
    with opened(unnamed_place.path, UNNAMED, 0o644) as file:
        os.write(file, b"whole")
        number = os.fstat(file).st_ino
        give_name(file, unnamed_place / "file")
        assert os.fstat(file).st_nlink == 1
        assert os.listdir(unnamed_place.path) == ["file"]
        os.write(file, b" and more")
    found = os.stat(unnamed_place / "file")
    assert (found.st_ino, found.st_nlink, found.st_size, stat.S_IMODE(found.st_mode)) == (number, 1, 14, 0o644)
    assert (unnamed_place / "file").read_bytes() == b"whole and more"
    (unnamed_place / "file").write_bytes(b"written again")
    assert (unnamed_place / "file").read_bytes() == b"written again"
    os.unlink(unnamed_place / "file")
    assert os.listdir(unnamed_place.path) == []


def test_the_name_may_be_in_another_directory(unnamed_place: Place) -> None:
    (unnamed_place / "from").mkdir()
    (unnamed_place / "to").mkdir()
    with opened(unnamed_place / "from", UNNAMED) as file:
        os.write(file, b"content")
        give_name(file, unnamed_place / "to/file")
    assert (os.listdir(unnamed_place / "from"), os.listdir(unnamed_place / "to")) == ([], ["file"])
    assert (unnamed_place / "to" / "file").read_bytes() == b"content"


def test_a_name_that_is_taken_stays_so(unnamed_place: Place) -> None:
    (unnamed_place / "file").write_bytes(b"old")
    with opened(unnamed_place.path, UNNAMED) as file:
        os.write(file, b"new")
        with failing(errno.EEXIST):
            give_name(file, unnamed_place / "file")
        assert (unnamed_place / "file").read_bytes() == b"old"
        give_name(file, unnamed_place / "other")
        os.rename(unnamed_place / "other", unnamed_place / "file")
    assert os.listdir(unnamed_place.path) == ["file"]
    assert (unnamed_place / "file").read_bytes() == b"new"


def test_two_names_where_there_are_hard_links(unnamed_place: Place) -> None:
    with opened(unnamed_place.path, UNNAMED) as file:
        os.write(file, b"content")
        give_name(file, unnamed_place / "one")
        if not unnamed_place.can("hard links"):
            with failing(errno.EPERM):
                give_name(file, unnamed_place / "two")
            return
        give_name(file, unnamed_place / "two")
        assert os.fstat(file).st_nlink == 2
        os.unlink(unnamed_place / "one")
        assert os.fstat(file).st_nlink == 1
    assert (unnamed_place / "two").read_bytes() == b"content"


def test_with_o_excl_it_never_gets_a_name(unnamed_place: Place) -> None:
    with opened(unnamed_place.path, UNNAMED | os.O_EXCL) as file:
        os.write(file, b"secret")
        with failing(errno.ENOENT):
            give_name(file, unnamed_place / "file")
    assert os.listdir(unnamed_place.path) == []


def test_it_needs_a_directory_and_the_right_to_write(unnamed_place: Place) -> None:
    (unnamed_place / "file").touch()
    with failing(errno.ENOTDIR):
        os.open(unnamed_place / "file", UNNAMED)
    with failing(errno.ENOENT):
        os.open(unnamed_place / "missing", UNNAMED)
    with failing(errno.EINVAL):
        os.open(unnamed_place.path, os.O_TMPFILE | os.O_RDONLY)


def test_many_at_once(unnamed_place: Place) -> None:
    descriptors = [os.open(unnamed_place.path, UNNAMED) for _ in range(50)]
    for number, descriptor in enumerate(descriptors):
        os.write(descriptor, b"%d" % number)
    for number, descriptor in enumerate(descriptors):
        if number % 2:
            give_name(descriptor, unnamed_place / f"{number}")
        os.close(descriptor)
    assert sorted(os.listdir(unnamed_place.path)) == sorted(f"{number}" for number in range(50) if number % 2)
    assert all((unnamed_place / name).read_text() == name for name in os.listdir(unnamed_place.path))
