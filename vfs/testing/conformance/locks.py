"""Locks between processes, through the kernel."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from vfs.testing.place import Place, failing, opened

_OFD_SETLK = 37
_FLOCK = struct.Struct("hhqqi4x")
"""`struct flock` of 64-bit Linux."""


@contextmanager
def holder(place: Place, code: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that opens `file`, runs `code` to lock it, and holds that for the length of the block."""
    script = f"file = os.open('file', os.O_RDWR)\n{code}\nprint('locked', flush=True)\nsys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", f"import fcntl, os, sys\n{script}"],
        cwd=place.path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        yield process
        process.communicate()


def test_a_whole_file_is_locked_by_one(place: Place) -> None:
    (place / "file").touch()
    with opened(place / "file", os.O_RDWR) as file:
        with holder(place, "fcntl.flock(file, fcntl.LOCK_EX)"):
            for kind in (fcntl.LOCK_EX, fcntl.LOCK_SH):
                with failing(errno.EWOULDBLOCK):
                    fcntl.flock(file, kind | fcntl.LOCK_NB)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_shared_lock_is_shared(place: Place) -> None:
    (place / "file").touch()
    with opened(place / "file", os.O_RDWR) as file, holder(place, "fcntl.flock(file, fcntl.LOCK_SH)"):
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        with opened(place / "file", os.O_RDWR) as other:
            fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
        with failing(errno.EWOULDBLOCK):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_lock_that_is_waited_for_comes(place: Place) -> None:
    (place / "file").touch()
    script = "import fcntl\nwith open('file', 'r+') as file: fcntl.flock(file, fcntl.LOCK_EX); print('mine')"
    with opened(place / "file", os.O_RDWR) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        waiting = subprocess.Popen([sys.executable, "-c", script], cwd=place.path, stdout=subprocess.PIPE, text=True)
        (place / "other").write_text("the mount goes on while somebody waits")
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(0.3)
        fcntl.flock(file, fcntl.LOCK_UN)
        assert waiting.communicate(timeout=20)[0] == "mine\n"


def test_who_waits_for_a_lock_can_be_killed(place: Place) -> None:
    (place / "file").touch()
    script = "import fcntl\nwith open('file', 'r+') as file: fcntl.lockf(file, fcntl.LOCK_EX)"
    with opened(place / "file", os.O_RDWR) as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        waiting = subprocess.Popen([sys.executable, "-c", script], cwd=place.path)
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(0.3)
        waiting.kill()
        assert waiting.wait(20) < 0


def test_ranges_are_locked_apart(place: Place) -> None:
    (place / "file").write_bytes(bytes(100))
    with opened(place / "file", os.O_RDWR) as file:
        with holder(place, "fcntl.lockf(file, fcntl.LOCK_EX, 10, 50)") as process:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 50, 0)
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 0, 60)
            for length, start in ((51, 0), (0, 59), (1, 55)):
                with failing(errno.EAGAIN, errno.EACCES):
                    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, length, start)
            asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            kind, _, start, length, pid = _FLOCK.unpack(fcntl.fcntl(file, fcntl.F_GETLK, asked))
            assert (kind, start, length, pid) == (fcntl.F_WRLCK, 50, 10, process.pid)
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 0, 0)


def test_locks_of_a_process_go_with_any_of_its_descriptors(place: Place) -> None:
    """What POSIX says of fcntl's locks, and what those of the open file description were made against."""
    (place / "file").write_bytes(bytes(10))
    code = "fcntl.lockf(file, fcntl.LOCK_EX); os.close(os.open('file', os.O_RDONLY))"
    with opened(place / "file", os.O_RDWR) as file, holder(place, code):
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.skipif(sys.platform != "linux", reason="locks of open file descriptions are Linux's")
def test_locks_of_an_open_file_description(place: Place) -> None:
    (place / "file").write_bytes(bytes(10))
    lock = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 5, 0)
    with opened(place / "file", os.O_RDWR) as one, opened(place / "file", os.O_RDWR) as other:
        fcntl.fcntl(one, _OFD_SETLK, lock)
        with failing(errno.EAGAIN, errno.EACCES):
            fcntl.fcntl(other, _OFD_SETLK, lock)
        os.close(os.open(place / "file", os.O_RDONLY))
        with failing(errno.EAGAIN, errno.EACCES):
            fcntl.fcntl(other, _OFD_SETLK, lock)


@pytest.mark.parametrize("lock", ["flock", "lockf"])
def test_locks_end_with_the_process(place: Place, lock: str) -> None:
    (place / "file").touch()
    with opened(place / "file", os.O_RDWR) as file, holder(place, f"fcntl.{lock}(file, fcntl.LOCK_EX)") as process:
        with failing(errno.EAGAIN, errno.EACCES):
            getattr(fcntl, lock)(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        process.kill()
        process.wait()
        getattr(fcntl, lock)(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_lock_lives_on_in_a_file_without_its_name(place: Place) -> None:
    (place / "file").touch()
    with opened(place / "file", os.O_RDWR) as old:
        fcntl.flock(old, fcntl.LOCK_EX)
        (place / "new").touch()
        os.rename(place / "new", place / "file")
        with opened(place / "file", os.O_RDWR) as new:
            fcntl.flock(new, fcntl.LOCK_EX | fcntl.LOCK_NB)
