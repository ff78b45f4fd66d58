"""Opening and making files, through the kernel: what each flag of open(2) promises."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from vfs.testing.place import IS_ROOT, Place, failing, opened

needs_root = pytest.mark.skipif(not IS_ROOT, reason="only root can become another user")


def test_a_new_file_is_empty_and_has_the_mode_less_the_umask(place: Place) -> None:
    previous = os.umask(0o027)
    try:
        os.close(os.open(place / "new", os.O_CREAT | os.O_WRONLY, 0o664))
    finally:
        os.umask(previous)
    found = os.stat(place / "new")
    assert (stat.S_IMODE(found.st_mode), found.st_size, found.st_nlink) == (0o640, 0, 1)
    assert (found.st_uid, found.st_gid) == (os.geteuid(), os.getegid())


def test_a_mode_without_rights_still_lets_its_maker_write(place: Place) -> None:
    with opened(place / "closed", os.O_CREAT | os.O_WRONLY, 0o000) as file:
        assert os.write(file, b"written all the same") == 20
    assert stat.S_IMODE(os.stat(place / "closed").st_mode) == 0
    assert os.stat(place / "closed").st_size == 20


def test_exclusive_creation_fails_where_something_is(place: Place) -> None:
    with opened(place / "file", os.O_CREAT | os.O_EXCL | os.O_WRONLY) as file:
        os.write(file, b"first")
    (place / "directory").mkdir()
    for name in ("file", "directory"):
        with failing(errno.EEXIST):
            os.open(place / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    assert (place / "file").read_bytes() == b"first"


def test_of_many_that_create_exclusively_one_wins(place: Place) -> None:
    def create(_: int) -> bool:
        try:
            os.close(os.open(place / "lock", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(create, range(40))) == 1


def test_opening_with_truncation_empties_the_file_at_once(place: Place) -> None:
    (place / "file").write_bytes(b"a long content")
    with opened(place / "file", os.O_WRONLY | os.O_TRUNC) as file:
        assert os.fstat(file).st_size == 0
        assert os.stat(place / "file").st_size == 0
        os.write(file, b"short")
    assert (place / "file").read_bytes() == b"short"


def test_truncation_survives_a_close_without_a_write(place: Place) -> None:
    (place / "file").write_bytes(b"content")
    os.close(os.open(place / "file", os.O_WRONLY | os.O_TRUNC))
    assert (place / "file").read_bytes() == b""


def test_opening_to_write_alone_changes_nothing(place: Place) -> None:
    (place / "file").write_bytes(b"content")
    os.close(os.open(place / "file", os.O_WRONLY))
    os.close(os.open(place / "file", os.O_RDWR | os.O_CREAT))
    assert (place / "file").read_bytes() == b"content"


def test_every_write_of_an_appending_handle_goes_to_the_end(place: Place) -> None:
    (place / "log").write_bytes(b"1")
    with opened(place / "log", os.O_WRONLY | os.O_APPEND) as log:
        os.write(log, b"2")
        os.lseek(log, 0, os.SEEK_SET)
        os.write(log, b"3")
    assert (place / "log").read_bytes() == b"123"


def test_two_appending_handles_never_overwrite_each_other(place: Place) -> None:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    with opened(place / "log", flags) as one, opened(place / "log", flags) as other:
        for number in range(20):
            os.write(one, b"one %d\n" % number)
            os.write(other, b"other %d\n" % number)
    lines = (place / "log").read_bytes().splitlines()
    assert lines == [b"%s %d" % (who, number) for number in range(20) for who in (b"one", b"other")]


def test_a_directory_can_not_be_opened_to_write(place: Place) -> None:
    (place / "directory").mkdir()
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_CREAT, os.O_WRONLY | os.O_TRUNC):
        with failing(errno.EISDIR):
            os.open(place / "directory", flags)
    (place / "file").touch()
    with failing(errno.ENOTDIR):
        os.open(place / "file", os.O_RDONLY | os.O_DIRECTORY)


def test_what_is_missing_and_what_lies_below_a_file(place: Place) -> None:
    (place / "file").touch()
    with failing(errno.ENOENT):
        os.open(place / "missing", os.O_RDWR)
    with failing(errno.ENOENT):
        os.open(place / "missing" / "file", os.O_RDWR | os.O_CREAT)
    with failing(errno.ENOTDIR):
        os.open(place / "file" / "below", os.O_RDWR | os.O_CREAT)
    with failing(errno.ENOTDIR):
        os.stat(place / "file" / "below")


def test_a_handle_does_only_what_it_was_opened_for(place: Place) -> None:
    (place / "file").write_bytes(b"content")
    with opened(place / "file", os.O_RDONLY) as file:
        with failing(errno.EBADF):
            os.write(file, b"x")
        with failing(errno.EINVAL, errno.EBADF):
            os.ftruncate(file, 0)
    with opened(place / "file", os.O_WRONLY) as file, failing(errno.EBADF):
        os.read(file, 1)
    assert (place / "file").read_bytes() == b"content"


@needs_root
def test_rights_are_those_of_the_caller(place: Place) -> None:
    place.path.chmod(0o755)
    (place / "secret").write_text("x")
    (place / "secret").chmod(0o600)
    (place / "open").write_text("x")
    (place / "open").chmod(0o644)
    assert "ermission denied" in place.sh("cat secret", user=65534, check=False)
    assert place.sh("cat open", user=65534) == "x"
    assert "ermission denied" in place.sh("echo y > open", user=65534, check=False)
    assert "ermission denied" in place.sh("touch new; mkdir new", user=65534, check=False)
    assert sorted(os.listdir(place.path)) == ["open", "secret"]


@needs_root
def test_what_a_caller_makes_is_his(place: Place) -> None:
    place.path.chmod(0o777)
    place.sh("echo x > file; mkdir directory", user=65534)
    for name in ("file", "directory"):
        assert (os.stat(place / name).st_uid, os.stat(place / name).st_gid) == (65534, 65534)


@needs_root
def test_what_is_made_below_a_set_group_id_directory_has_its_group(place: Place) -> None:
    os.chown(place.path, 0, 1234)
    place.path.chmod(0o2777)
    place.sh("echo x > file; mkdir directory", user=65534)
    assert os.stat(place / "file").st_gid == 1234
    found = os.stat(place / "directory")
    assert (found.st_gid, bool(found.st_mode & stat.S_ISGID)) == (1234, True)


def test_a_file_opened_read_only_by_its_maker_can_be_read_and_stays(place: Place) -> None:
    os.close(os.open(place / "file", os.O_CREAT | os.O_RDONLY, 0o444))
    assert (place / "file").read_bytes() == b""


def test_an_unnamed_temporary_file_is_refused_or_works(place: Place) -> None:
    """O_TMPFILE: Python's tempfile module takes EOPNOTSUPP, EISDIR or ENOENT for a no."""
    script = "import sys, tempfile; f = tempfile.TemporaryFile(dir='.'); f.write(b'x'); f.seek(0); print(f.read())"
    done = subprocess.run([sys.executable, "-c", script], cwd=place.path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "b'x'"
    assert os.listdir(place.path) == []
