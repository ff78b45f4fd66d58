"""Symbolic links, hard links and special files, through the kernel; what a storage cannot keep is EPERM."""

from __future__ import annotations

import errno
import os
import socket
import stat

import pytest

from vfs.testing.place import IS_ROOT, Place, failing, opened


def test_a_symbolic_link_keeps_its_target(place: Place) -> None:
    for name, target in {"relative": "file", "dangling": "../no/where", "odd": os.fsdecode(b"caf\xe9 \n")}.items():
        if not place.can("symlinks"):
            with failing(errno.EPERM):
                os.symlink(target, place / name)
            continue
        os.symlink(target, place / name)
        assert os.readlink(place / name) == target
        found = os.lstat(place / name)
        assert (stat.S_IFMT(found.st_mode), found.st_size) == (stat.S_IFLNK, len(os.fsencode(target)))
        assert (found.st_uid, found.st_nlink) == (os.geteuid(), 1)
    assert len(os.listdir(place.path)) == (3 if place.can("symlinks") else 0)


def test_symbolic_links_are_followed_and_replaced(place: Place) -> None:
    place.require("symlinks")
    (place / "directory").mkdir()
    (place / "directory" / "file").write_text("x")
    os.symlink("directory", place / "link")
    assert (place / "link" / "file").read_text() == "x"
    (place / "link" / "new").write_text("y")
    assert sorted(os.listdir(place / "directory")) == ["file", "new"]
    with failing(errno.ENOTDIR):
        os.rmdir(place / "link")
    os.symlink("nowhere", place / "other")
    os.rename(place / "other", place / "link")
    assert os.readlink(place / "link") == "nowhere"
    with failing(errno.EINVAL):
        os.readlink(place / "directory")
    with failing(errno.EEXIST):
        os.symlink("x", place / "link")
    os.symlink("loop", place / "loop")
    with failing(errno.ELOOP):
        os.stat(place / "loop")
    os.unlink(place / "link")
    assert sorted(os.listdir(place.path)) == ["directory", "loop"]


def test_a_link_that_leads_out_is_the_callers_to_follow(place: Place) -> None:
    """The kernel follows links, not the storage: they mean the same as on a disk."""
    place.require("symlinks")
    outside = place.path.parent / "outside"
    os.symlink("/", place / "root")
    assert "etc" in os.listdir(place / "root")
    os.symlink(outside, place / "absolute")
    assert os.readlink(place / "absolute") == str(outside)


def test_a_hard_link_is_another_name_of_the_same_file(place: Place) -> None:
    (place / "one").write_text("content")
    if not place.can("hard links"):
        with failing(errno.EPERM):
            os.link(place / "one", place / "two")
        assert os.listdir(place.path) == ["one"]
        return
    (place / "directory").mkdir()
    os.link(place / "one", place / "directory" / "two")
    one, two = os.stat(place / "one"), os.stat(place / "directory" / "two")
    assert (one.st_ino, one.st_nlink, two.st_nlink) == (two.st_ino, 2, 2)
    (place / "one").write_text("changed")
    assert (place / "directory" / "two").read_text() == "changed"
    os.chmod(place / "directory" / "two", 0o600)
    assert stat.S_IMODE(os.stat(place / "one").st_mode) == 0o600
    os.unlink(place / "one")
    assert os.stat(place / "directory" / "two").st_nlink == 1
    assert (place / "directory" / "two").read_text() == "changed"


def test_an_open_file_keeps_the_name_that_is_left(place: Place) -> None:
    place.require("hard links")
    (place / "one").write_text("content")
    os.link(place / "one", place / "two")
    with opened(place / "one", os.O_RDWR) as file:
        os.unlink(place / "one")
        assert os.fstat(file).st_nlink == 1
        os.pwrite(file, b"C", 0)
    assert (place / "two").read_text() == "Content"


def test_what_hard_links_are_refused(place: Place) -> None:
    place.require("hard links")
    (place / "directory").mkdir()
    (place / "file").touch()
    with failing(errno.EPERM):
        os.link(place / "directory", place / "other")
    with failing(errno.EEXIST):
        os.link(place / "file", place / "directory")
    with failing(errno.ENOENT):
        os.link(place / "missing", place / "other")
    os.link(place / "file", place / "link")
    os.rename(place / "file", place / "link")  # two names of one file: POSIX says that nothing happens
    assert sorted(os.listdir(place.path)) == ["directory", "file", "link"]


def test_a_link_to_a_file_that_is_being_written(place: Place) -> None:
    place.require("hard links")
    with opened(place / "one", os.O_WRONLY | os.O_CREAT) as file:
        os.write(file, b"begin ")
        os.fsync(file)
        os.link(place / "one", place / "two")
        os.write(file, b"end")
    assert (place / "two").read_bytes() == b"begin end"
    assert (place / "one").read_bytes() == b"begin end"


def test_a_fifo_carries_what_is_written(place: Place) -> None:
    if not place.can("nodes"):
        with failing(errno.EPERM):
            os.mkfifo(place / "fifo")
        return
    os.mkfifo(place / "fifo", 0o600)
    assert stat.S_ISFIFO(os.stat(place / "fifo").st_mode)
    assert place.sh("echo hello > fifo & cat fifo; wait") == "hello\n"


def test_a_socket_can_be_bound(place: Place) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        where = f"/proc/self/fd/{os.open(place.path, os.O_RDONLY | os.O_DIRECTORY)}"
        try:
            if not place.can("nodes"):
                with failing(errno.EPERM):
                    server.bind(f"{where}/socket")
                return
            server.bind(f"{where}/socket")
            assert stat.S_ISSOCK(os.stat(place / "socket").st_mode)
            server.listen()
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(f"{where}/socket")
        finally:
            os.close(int(where.rpartition("/")[2]))


@pytest.mark.skipif(not IS_ROOT, reason="only root may make devices")
def test_devices_are_kept(place: Place) -> None:
    for name, kind, number in (("null", stat.S_IFCHR, (1, 3)), ("disk", stat.S_IFBLK, (7, 259))):
        if not place.can("nodes"):
            with failing(errno.EPERM):
                os.mknod(place / name, kind | 0o600, os.makedev(*number))
            continue
        os.mknod(place / name, kind | 0o600, os.makedev(*number))
        found = os.stat(place / name)
        assert (stat.S_IFMT(found.st_mode), found.st_rdev) == (kind, os.makedev(*number))


def test_mknod_makes_plain_files_too(place: Place) -> None:
    os.mknod(place / "file", stat.S_IFREG | 0o640)
    found = os.stat(place / "file")
    assert (stat.S_IFMT(found.st_mode), found.st_size) == (stat.S_IFREG, 0)
    with failing(errno.EEXIST):
        os.mknod(place / "file", stat.S_IFREG | 0o640)
    (place / "file").write_text("x")
    assert (place / "file").read_text() == "x"
