"""Modes, owners, times, sizes, blocks and inode numbers, through the kernel."""

from __future__ import annotations

import errno
import os
import platform
import re
import stat
import time

import pytest

from vfs.testing.libc import birth_ns
from vfs.testing.place import IS_ROOT, Place, failing, opened

needs_root = pytest.mark.skipif(not IS_ROOT, reason="only root can give files away")
TICK = 10_000_000
"""Nanoseconds by which the clock of a disk may be behind."""
SECOND = 10**9
LONG_AGO = 1_000_000_000 * SECOND + 123_456_789


def age(place: Place, name: str = "") -> None:
    """Set both times of a name far back, so that any change shows."""
    os.utime(place / name, ns=(LONG_AGO, LONG_AGO))


def is_now(moment_ns: int) -> bool:
    return abs(moment_ns - time.time_ns()) < 60 * SECOND


def linux_version() -> tuple[int, ...]:
    """Its first two numbers, whatever system this is."""
    return tuple(map(int, re.findall(r"\d+", platform.release())[:2]))


# -- mode and owner


@pytest.mark.parametrize("mode", [0o000, 0o600, 0o755, 0o4711, 0o2755, 0o1777])
def test_chmod_is_kept(place: Place, mode: int) -> None:
    (place / "file").write_text("x")
    (place / "directory").mkdir()
    for name in ("file", "directory"):
        os.chmod(place / name, mode)
        assert stat.S_IMODE(os.stat(place / name).st_mode) == mode
    with failing(errno.ENOENT):
        os.chmod(place / "missing", mode)


def test_a_mode_outlives_changes_of_the_content(place: Place) -> None:
    (place / "file").write_text("x")
    os.chmod(place / "file", 0o751)
    for content in ("other", "", "and more"):
        (place / "file").write_text(content)
        assert stat.S_IMODE(os.stat(place / "file").st_mode) == 0o751


@needs_root
def test_chown_is_kept(place: Place) -> None:
    (place / "file").write_text("x")
    (place / "directory").mkdir()
    for name in ("file", "directory"):
        os.chown(place / name, 1234, 5678)
        os.chown(place / name, -1, 4321)
        os.chown(place / name, 2345, -1)
        assert (os.stat(place / name).st_uid, os.stat(place / name).st_gid) == (2345, 4321)


@needs_root
def test_another_user_can_not_change_what_is_not_his(place: Place) -> None:
    place.path.chmod(0o755)
    (place / "file").write_text("x")
    for command in ("chmod 777 file", "chown 65534 file"):
        assert "not permitted" in place.sh(command, user=65534, check=False)
    assert "ermission denied" in place.sh("touch -d 2001-01-01 file", user=65534, check=False)
    os.chmod(place.path, 0o1777)
    assert "not permitted" in place.sh("rm -f file", user=65534, check=False)
    assert "not permitted" in place.sh("mv file other", user=65534, check=False)
    assert os.listdir(place.path) == ["file"]


@needs_root
def test_a_write_by_another_user_takes_the_set_user_id_bit(place: Place) -> None:
    place.path.chmod(0o755)
    (place / "file").write_text("x")
    os.chmod(place / "file", 0o6777)
    place.sh("echo more >> file", user=65534)
    assert stat.S_IMODE(os.stat(place / "file").st_mode) == 0o777


# -- times


def test_times_are_kept_to_the_nanosecond(place: Place) -> None:
    (place / "file").write_text("x")
    (place / "directory").mkdir()
    for name in ("file", "directory"):
        os.utime(place / name, ns=(LONG_AGO, LONG_AGO + 1))
        found = os.stat(place / name)
        assert (found.st_atime_ns, found.st_mtime_ns) == (LONG_AGO, LONG_AGO + 1)
        assert is_now(found.st_ctime_ns)


def test_times_before_the_epoch_and_far_ahead(place: Place) -> None:
    (place / "file").write_text("x")
    for seconds in (-1, 0, 4_000_000_000):
        os.utime(place / "file", ns=(seconds * SECOND, seconds * SECOND + 5))
        assert os.stat(place / "file").st_mtime_ns == seconds * SECOND + 5


def test_one_time_alone_and_the_present(place: Place) -> None:
    (place / "file").write_text("x")
    age(place, "file")
    place.sh("touch -m file")
    found = os.stat(place / "file")
    assert (found.st_atime_ns, is_now(found.st_mtime_ns)) == (LONG_AGO, True)
    age(place, "file")
    place.sh("touch -a file")
    found = os.stat(place / "file")
    assert (is_now(found.st_atime_ns), found.st_mtime_ns) == (True, LONG_AGO)
    os.utime(place / "file")
    assert is_now(os.stat(place / "file").st_mtime_ns)


def test_times_set_before_the_close_are_those_that_stay(place: Place) -> None:
    """What tar, cp -p and rsync do."""
    with opened(place / "file", os.O_WRONLY | os.O_CREAT) as file:
        os.write(file, b"content")
        os.utime(file, ns=(LONG_AGO, LONG_AGO))
        os.fchmod(file, 0o640)
    found = os.stat(place / "file")
    assert (found.st_mtime_ns, found.st_atime_ns, stat.S_IMODE(found.st_mode)) == (LONG_AGO, LONG_AGO, 0o640)


def test_times_set_after_the_close_stay_too(place: Place) -> None:
    (place / "file").write_bytes(b"content")
    age(place, "file")
    (place / "file").read_bytes()
    assert os.stat(place / "file").st_mtime_ns == LONG_AGO


def test_a_write_sets_the_time_of_change(place: Place) -> None:
    (place / "file").write_text("x")
    for change in (
        lambda: (place / "file").write_text("y"),
        lambda: os.truncate(place / "file", 0),
        lambda: os.close(os.open(place / "file", os.O_WRONLY | os.O_TRUNC)),
    ):
        (place / "file").write_text("some content")
        age(place, "file")
        change()
        found = os.stat(place / "file")
        assert is_now(found.st_mtime_ns)
        assert is_now(found.st_ctime_ns)


def test_a_write_after_utime_counts(place: Place) -> None:
    with opened(place / "file", os.O_WRONLY | os.O_CREAT) as file:
        os.write(file, b"1")
        os.utime(file, ns=(LONG_AGO, LONG_AGO))
        os.write(file, b"2")
        assert is_now(os.fstat(file).st_mtime_ns)
    assert is_now(os.stat(place / "file").st_mtime_ns)


def test_chmod_changes_only_the_time_of_status(place: Place) -> None:
    (place / "file").write_text("x")
    age(place, "file")
    before = os.stat(place / "file").st_ctime_ns
    os.chmod(place / "file", 0o600)
    found = os.stat(place / "file")
    assert found.st_mtime_ns == LONG_AGO
    assert found.st_ctime_ns >= before


@pytest.mark.skipif(linux_version() < (6, 6), reason="before Linux 6.6 a mount is not asked when a file was made")
def test_the_time_of_birth_is_told_where_it_is_known_and_stays(place: Place) -> None:
    """statx(2) has it; a mount that does not know says so, and not 1970."""
    before = time.time_ns()
    (place / "file").write_text("x")
    (place / "directory").mkdir()
    after = time.time_ns()
    born = [birth_ns(place / name) for name in ("file", "directory")]
    if not place.can("birth"):
        assert born == [None, None]
        assert place.sh("stat -c %W file") in ("0\n", "-\n")
        return
    assert all(moment is not None and before - TICK <= moment <= after for moment in born)
    (place / "file").write_text("other")
    age(place, "file")
    os.chmod(place / "file", 0o600)
    os.rename(place / "file", place / "directory" / "renamed")
    assert birth_ns(place / "directory" / "renamed") == born[0]
    assert int(place.sh("stat -c %W directory/renamed")) == (born[0] or 0) // SECOND
    with opened(place / "directory" / "renamed", os.O_RDWR) as file:
        os.write(file, b"and open")
        assert birth_ns(place / "directory" / "renamed") == born[0]
    (place / "file").write_text("another one")
    assert (birth_ns(place / "file") or 0) > after


def test_what_changes_a_directory_sets_its_time(place: Place) -> None:
    (place / "directory").mkdir()
    (place / "file").write_text("x")
    for change in (
        lambda: (place / "directory" / "new").write_text("x"),
        lambda: os.rename(place / "directory" / "new", place / "directory" / "renamed"),
        lambda: os.unlink(place / "directory" / "renamed"),
        lambda: (place / "directory" / "sub").mkdir(),
        lambda: os.rmdir(place / "directory" / "sub"),
        lambda: os.rename(place / "file", place / "directory" / "file"),
        lambda: os.rename(place / "directory" / "file", place / "file"),
    ):
        age(place, "directory")
        change()
        assert is_now(os.stat(place / "directory").st_mtime_ns)
    age(place, "directory")
    (place / "file").write_text("y")
    os.listdir(place / "directory")
    assert os.stat(place / "directory").st_mtime_ns == LONG_AGO


def test_times_of_a_directory_never_go_back(place: Place) -> None:
    last = 0
    for number in range(5):
        (place / f"{number}").touch()
        now = os.stat(place.path).st_mtime_ns
        assert now >= last
        last = now


# -- sizes, blocks, numbers


def test_du_counts_what_is_stored(place: Place) -> None:
    (place / "file").write_bytes(b"x" * 1_000_000)
    with opened(place / "file", os.O_RDONLY) as file:
        os.fsync(file)
    found = os.stat(place / "file")
    assert 1_000_000 <= found.st_blocks * 512 <= 1_200_000
    assert 976 <= int(place.sh("du -k file").split()[0]) <= 1_200
    assert place.sh("du -b file").split()[0] == "1000000"


def test_statfs_has_room_and_the_length_of_names(place: Place) -> None:
    found = os.statvfs(place.path)
    assert found.f_bsize > 0
    assert found.f_blocks >= found.f_bfree >= found.f_bavail > 0
    assert found.f_namemax == 255
    if place.can("local"):
        behind = os.statvfs(place.behind)
        assert found.f_blocks * found.f_frsize == pytest.approx(behind.f_blocks * behind.f_frsize, rel=0.01)
    place.sh("df . && df -i .")


def test_a_number_stays_with_its_file(place: Place) -> None:
    (place / "directory").mkdir()
    (place / "directory" / "file").write_text("x")
    numbers = {name: os.stat(place / name).st_ino for name in ("directory", "directory/file")}
    assert len({*numbers.values(), os.stat(place.path).st_ino}) == 3
    for _ in range(2):
        listed = {entry.name: entry.inode() for entry in os.scandir(place.path)}
        assert listed == {"directory": numbers["directory"]}
        assert [entry.inode() for entry in os.scandir(place / "directory")] == [numbers["directory/file"]]
        drop_caches()
    with opened(place / "directory" / "file", os.O_RDWR) as file:
        os.write(file, b"other content")
        os.fsync(file)
        assert os.fstat(file).st_ino == numbers["directory/file"]
    assert os.stat(place / "directory" / "file").st_ino == numbers["directory/file"]
    os.rename(place / "directory" / "file", place / "renamed")
    assert os.stat(place / "renamed").st_ino == numbers["directory/file"]
    drop_caches()
    assert os.stat(place / "renamed").st_ino == numbers["directory/file"]


def drop_caches() -> None:
    """Make the kernel forget names and attributes, where this process may."""
    try:
        with open("/proc/sys/vm/drop_caches", "w") as control:
            control.write("2")
    except PermissionError:
        pass


def test_the_links_of_a_directory(place: Place) -> None:
    """2, or 2 and one for each directory in it; `find` takes less for a promise that there are none."""
    (place / "one").mkdir()
    (place / "two").mkdir()
    (place / "file").touch()
    assert os.stat(place / "one").st_nlink >= 1
    if place.can("directories"):
        assert os.stat(place.path).st_nlink == 4
    assert sorted(place.sh("find . -type d").split()) == [".", "./one", "./two"]


def test_extended_attributes_are_refused_alike(place: Place) -> None:
    """Without the mount option nothing offers them, and programs go on without."""
    (place / "file").write_text("x")
    if not place.can("xattr"):
        with failing(errno.EOPNOTSUPP):
            os.setxattr(place / "file", "user.key", b"value")
        with failing(errno.EOPNOTSUPP, errno.ENODATA):
            os.getxattr(place / "file", "user.key")
    place.sh("cp -a file copy && cmp file copy")
