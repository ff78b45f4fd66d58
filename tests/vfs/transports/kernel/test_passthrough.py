"""Passthrough: which contents the kernel reads and writes by itself, and that nothing is out of step while it does."""

from __future__ import annotations

import errno
import mmap
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from places import Server

from storage import FileSystemStorage
from vfs.mounts.mounting import mount
from vfs.testing.place import IS_ROOT, failing, opened, soon

pytestmark = pytest.mark.skipif(not IS_ROOT, reason="only root's mounts pass files through")
Serve = Callable[..., Server]
FILES = 600


@pytest.fixture
def transport() -> str:
    """The one that can."""
    return "kernel"


IN_PLACE = pytest.mark.parametrize("kind", ["memory", "files"])


def asked(server: Server, *operations: str) -> int:
    """How many of these requests the daemon has answered."""
    assert server.daemon is not None
    counts = server.daemon.ask("status")["operations"]
    return sum(counts.get(operation, 0) for operation in operations)


@IN_PLACE
def test_contents_never_come_through_the_daemon(serve: Serve, kind: str) -> None:
    """But for small ones that are only read, which the kernel reads once and keeps."""
    server = serve(kind)
    path = server.mountpoint / "file"
    data = os.urandom(3 << 20)
    path.write_bytes(data)
    assert path.read_bytes() == data
    with opened(path, os.O_RDWR) as fd, mmap.mmap(fd, 0) as mapped:
        assert os.pread(fd, 100, 1 << 20) == data[1 << 20 :][:100]
        mapped[:5] = b"first"
    assert path.read_bytes()[:5] == b"first"
    assert asked(server, "read", "write") == 0


@pytest.mark.parametrize("kind", ["scanned", "objects"])
def test_what_is_saved_whole_goes_through_the_daemon(serve: Serve, kind: str) -> None:
    """The spool is not the content: what is written must be seen to be stored."""
    server = serve(kind)
    (server.mountpoint / "file").write_bytes(b"content")
    assert asked(server, "write") > 0


@IN_PLACE
def test_attributes_are_right_while_the_kernel_writes(serve: Serve, kind: str) -> None:
    path = serve(kind).mountpoint / "file"
    with opened(path, os.O_RDWR | os.O_CREAT) as fd:
        os.utime(path, ns=(10**18, 10**18))
        os.pwrite(fd, b"x" * 5000, 10_000)
        after = os.stat(path)
        assert after.st_size == os.fstat(fd).st_size == 15_000
        assert after.st_mtime_ns > 10**18
        os.ftruncate(fd, 100)
        assert os.stat(path).st_size == 100
        os.write(fd, b"y" * 200)
        assert os.stat(path).st_size == 200
    assert os.stat(path).st_size == 200


@IN_PLACE
def test_times_are_right_after_a_store_through_a_mapping(serve: Serve, kind: str) -> None:
    path = serve(kind).mountpoint / "file"
    path.write_bytes(bytes(8192))
    with opened(path, os.O_RDWR) as fd, mmap.mmap(fd, 8192) as mapped:
        os.utime(path, ns=(10**18, 10**18))
        assert os.stat(path).st_mtime_ns == os.fstat(fd).st_mtime_ns == 10**18
        mapped[0] = 1
        mapped.flush()
        assert os.fstat(fd).st_mtime_ns > 10**18


@IN_PLACE
def test_one_file_open_in_every_way_at_once(serve: Serve, kind: str) -> None:
    path = serve(kind).mountpoint / "file"
    path.write_bytes(b"0123456789")
    with (
        opened(path, os.O_RDONLY) as reading,
        opened(path, os.O_WRONLY) as writing,
        opened(path, os.O_RDWR | os.O_APPEND) as appending,
        opened(path, os.O_RDONLY) as late,
    ):
        os.pwrite(writing, b"ABC", 2)
        os.write(appending, b"+")
        assert os.pread(reading, 100, 0) == os.pread(late, 100, 0) == b"01ABC56789+"
        with failing(errno.EBADF):
            os.write(reading, b"x")
    assert path.read_bytes() == b"01ABC56789+"


@IN_PLACE
def test_truncation_at_the_open_is_seen_by_who_has_it_open(serve: Serve, kind: str) -> None:
    path = serve(kind).mountpoint / "file"
    path.write_bytes(b"old content")
    with opened(path, os.O_RDONLY) as reading:
        path.write_bytes(b"new")
        assert os.pread(reading, 100, 0) == b"new"
        assert os.fstat(reading).st_size == 3


@IN_PLACE
def test_an_unlinked_file_lives_on_for_the_kernel(serve: Serve, kind: str) -> None:
    path = serve(kind).mountpoint / "file"
    path.write_bytes(b"content")
    with opened(path, os.O_RDWR) as fd:
        path.unlink()
        os.pwrite(fd, b"more", 7)
        assert os.pread(fd, 100, 0) == b"contentmore"
        assert (os.fstat(fd).st_nlink, os.fstat(fd).st_size) == (0, 11)


def test_a_limited_memory_is_not_passed_through_and_holds_its_limit(serve: Serve) -> None:
    server = serve("memory", "size=1M", "allow_other")
    with opened(server.mountpoint / "file", os.O_WRONLY | os.O_CREAT) as fd:
        os.write(fd, b"x" * (1 << 19))
        with failing(errno.ENOSPC):
            for _ in range(2):  # the kernel may send it in parts, of which the first ones have room
                os.write(fd, b"x" * (1 << 20))
    assert (server.mountpoint / "file").stat().st_size <= 1 << 20
    assert asked(server, "write") > 0


@IN_PLACE
def test_closed_files_hold_few_descriptors(serve: Serve, kind: str) -> None:
    """Those that were closed last may be open again soon, so some of them are kept."""
    server = serve(kind)
    assert server.daemon is not None
    daemon = psutil.Process(server.daemon.pid)
    before = daemon.num_fds()
    for number in range(FILES):
        (server.mountpoint / f"file{number}").write_bytes(b"content")
    assert soon(lambda: asked(server, "release") >= FILES), "nobody waits for a RELEASE, but it comes"
    assert daemon.num_fds() < before + FILES // 2
    assert (server.mountpoint / "file7").read_bytes() == b"content"


@pytest.fixture
def overlay(tmp_path: Path) -> Iterator[Path]:
    """A directory on an overlay, whose layers lie on a tmpfs."""
    for command in (
        "mount -t tmpfs layers .",
        "mkdir lower upper work merged",
        "mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged",
    ):
        done = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, text=True, check=False)
        if done.returncode:
            subprocess.run(["umount", "-l", tmp_path], check=False, capture_output=True)
            pytest.skip(f"no overlay can be mounted here: {done.stderr}")
    yield tmp_path / "merged"
    subprocess.run(["umount", "-l", tmp_path / "merged", tmp_path], check=True)


@pytest.mark.mount
def test_files_on_an_overlay_are_passed_through(overlay: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A filesystem on another one, as containers have it."""
    mountpoint = tmp_path_factory.mktemp("mnt")
    running = mount(FileSystemStorage(location=overlay), mountpoint, transport="kernel")
    try:
        (mountpoint / "file").write_bytes(b"content")
        assert (overlay / "file").read_bytes() == (mountpoint / "file").read_bytes() == b"content"
        assert running.transport.counts["write"] == running.transport.counts["read"] == 0
    finally:
        running.unmount()
