"""A mount's life: how it begins, who ends it and how, and what is left over. The mounts are daemons here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from places import IS_ROOT, Server, failing, opened

from vfs import records
from vfs.mountpoint import absolute, is_stale, mounted_at

Serve = Callable[..., Server]
pytestmark = pytest.mark.mount


def kill(server: Server, number: int = signal.SIGKILL) -> None:
    """Send a signal to the daemon, and wait until it has ended."""
    assert server.daemon is not None
    os.kill(server.daemon.pid, number)
    assert server.daemon.wait_for_end(20), "the daemon goes on"


@contextmanager
def used(server: Server) -> Iterator[subprocess.Popen[bytes]]:
    """A process whose current directory is the mount, for the length of the block."""
    with subprocess.Popen(["cat"], cwd=server.mountpoint, stdin=subprocess.PIPE) as process:
        yield process
        process.communicate()


# -- the beginning


def test_it_answers_when_the_command_returns_and_is_gone_after_unmount(serve: Serve) -> None:
    server = serve("memory")
    (server.mountpoint / "file").write_text("x")
    assert mounted_at(server.mountpoint) is not None
    assert server.daemon is not None
    assert (server.daemon.alias, server.daemon.mountpoint) == ("memory", str(server.mountpoint))
    assert server.log.stat().st_mode & 0o077 == 0
    server.unmount()
    assert os.listdir(server.mountpoint) == []
    assert "Traceback" not in server.logged()


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda path: path.rmdir(), "does not exist; make it with: mkdir -p"),
        (lambda path: (path.rmdir(), path.touch()), "is a file; a mountpoint is an empty directory"),
        (lambda path: (path / "file").touch(), "is not empty"),
    ],
    ids=["absent", "file", "not empty"],
)
def test_a_mountpoint_that_cannot_be_one(
    mounts_folder: Path, tmp_path: Path, prepare: Callable[[Path], object], message: str
) -> None:
    server = Server("memory", tmp_path / "own")
    prepare(server.mountpoint)
    done = server.run("mount", "memory", str(server.mountpoint), check=False)
    assert done.returncode == 1
    assert message in done.stderr
    assert str(server.mountpoint) in done.stderr
    assert not server.is_mounted
    server.end()


def test_a_mountpoint_that_is_mounted_already(serve: Serve) -> None:
    server = serve("memory")
    done = server.run("mount", "memory", str(server.mountpoint), check=False)
    assert done.returncode == 1
    assert "memory is mounted" in done.stderr
    assert "vfs unmount" in done.stderr
    (server.mountpoint / "still").touch()
    server.unmount()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("mount", "memry", "MNT"), "memory"),
        (("mount", "memory", "MNT", "-o", "read_only"), "unknown mount option 'read_only'"),
        (("mount", "memory", "MNT", "-o", "size=big"), "is not a size"),
        (("mount", "memory", "MNT", "--transport", "carrier-pigeon"), "carrier-pigeon"),
    ],
    ids=["alias", "option", "size", "transport"],
)
def test_what_cannot_be_mounted_says_why(tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    server = Server("memory", tmp_path / "own")
    done = server.run(*(str(server.mountpoint) if word == "MNT" else word for word in words), check=False)
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not server.is_mounted
    server.end()


def test_a_storage_whose_folder_is_missing_says_so(tmp_path: Path) -> None:
    server = Server("files", tmp_path / "own")
    (server.folder / "files").rmdir()
    done = server.run("mount", "files", str(server.mountpoint), check=False)
    assert done.returncode == 1
    assert f"{server.folder}/files" in done.stderr
    assert not server.is_mounted
    server.end()


def test_without_libfuse_the_package_is_named(tmp_path: Path) -> None:
    server = Server("memory", tmp_path / "own")
    script = (
        "import ctypes.util, sys; ctypes.util.find_library = lambda name: None\n"
        "from vfs.cli import main; sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "mount", "--transport", "fusepy", "memory", str(server.mountpoint)],
        env=server.environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert "libfuse" in done.stderr
    assert "install" in done.stderr
    assert "Traceback" not in done.stderr
    server.end()


def test_the_daemon_keeps_nothing_of_who_started_it(serve: Serve, tmp_path: Path) -> None:
    """No descriptor, no terminal, no folder: a script's lock is free as soon as the script ends."""
    lock = os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR)
    os.set_inheritable(lock, True)
    try:
        server = serve("memory")
        assert server.daemon is not None
        held = Path(f"/proc/{server.daemon.pid}")
        assert (held / "cwd").readlink() == Path("/")
        assert str(tmp_path / "lock") not in [os.readlink(path) for path in (held / "fd").iterdir()]
        assert os.getsid(server.daemon.pid) not in (os.getsid(0), server.daemon.pid)
        server.unmount()
    finally:
        os.close(lock)


def test_connections_are_made_by_the_daemon(serve: Serve) -> None:
    """A backend that was made before the fork would see its database closed by the parent."""
    server = serve("objects")
    for number in range(3):
        (server.mountpoint / f"{number}").write_text("x")
    server.unmount()
    server.mount()
    assert sorted(os.listdir(server.mountpoint)) == ["0", "1", "2"]
    server.unmount()


def test_a_link_to_the_mountpoint_is_the_mountpoint(serve: Serve) -> None:
    server = serve("memory")
    link = server.folder / "link"
    link.symlink_to("mnt")
    assert absolute(link) == server.mountpoint
    server.run("unmount", str(link))
    server.assert_gone()
    link.unlink()


def test_foreground_serves_until_it_is_interrupted(mounts_folder: Path, tmp_path: Path, rescue: None) -> None:
    server = Server("files", mounts_folder / f"foreground-{os.getpid()}")
    command = [sys.executable, "-m", "vfs", "--config", str(server.config), "mount", "-f", "files", server.mountpoint]
    with subprocess.Popen(command, env=server.environment, stderr=subprocess.PIPE, text=True, cwd="/") as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        assert "mounted files at" in first
        (server.mountpoint / "file").write_text("content")
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 0, rest
    assert "unmounted" in rest
    assert (server.folder / "files" / "file").read_text() == "content"
    assert not server.is_mounted
    server.end()


# -- the end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_drains_and_unmounts(serve: Serve, number: int) -> None:
    server = serve("objects")
    server.fail("save", "ConnectionError")
    with failing(5):
        (server.mountpoint / "file").write_text("content")
    server.mend()
    kill(server, number)
    server.assert_gone()
    server.mount()
    assert (server.mountpoint / "file").read_text() == "content"
    server.unmount()


def test_a_signal_while_the_mount_is_used_lets_the_user_finish(serve: Serve) -> None:
    server = serve("files")
    with opened(server.mountpoint / "file", os.O_WRONLY | os.O_CREAT) as file:
        os.write(file, b"begin ")
        assert server.daemon is not None
        os.kill(server.daemon.pid, signal.SIGTERM)
        deadline = time.monotonic() + 10
        while server.is_mounted and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not server.is_mounted
        os.write(file, b"end")
    assert server.daemon.wait_for_end(10)
    server.assert_gone()
    assert (server.folder / "files" / "file").read_bytes() == b"begin end"


def test_a_killed_daemon_leaves_a_stale_mount_that_the_next_mount_takes_over(serve: Serve) -> None:
    server = serve("files")
    (server.mountpoint / "file").write_text("content")
    kill(server)
    assert is_stale(server.mountpoint)
    assert server.record is None
    server.mount()
    assert (server.mountpoint / "file").read_text() == "content"
    server.unmount()


def test_a_killed_daemon_leaves_a_stale_mount_that_unmount_clears(serve: Serve) -> None:
    server = serve("memory")
    kill(server)
    assert is_stale(server.mountpoint)
    server.unmount()
    assert os.listdir(server.mountpoint) == []


def test_a_busy_mount_names_who_uses_it(serve: Serve) -> None:
    server = serve("memory")
    with used(server) as process:
        done = server.run("unmount", "--wait", "0.2", str(server.mountpoint), check=False)
        assert done.returncode == 1
        assert "busy" in done.stderr
        assert f"cat ({process.pid})" in done.stderr
        assert (server.mountpoint / "file").write_text("it lives on")
    server.unmount()


def test_unmount_waits_for_who_uses_it(serve: Serve) -> None:
    server = serve("memory")
    with subprocess.Popen(["sleep", "0.7"], cwd=server.mountpoint):
        server.unmount()


def test_a_lazy_unmount_serves_on_until_the_last_has_gone(serve: Serve) -> None:
    server = serve("files")
    with opened(server.mountpoint / "file", os.O_RDWR | os.O_CREAT) as file:
        os.write(file, b"before ")
        server.run("unmount", "--lazy", str(server.mountpoint))
        assert not server.is_mounted
        assert os.listdir(server.mountpoint) == []
        os.write(file, b"after")
        assert os.pread(file, 20, 0) == b"before after"
        done = server.run("unmount", "--wait", "0.1", str(server.mountpoint), check=False)
        assert done.returncode == 1
        assert "still runs" in done.stderr
    assert server.daemon is not None
    assert server.daemon.wait_for_end(10)
    server.assert_gone()
    assert (server.folder / "files" / "file").read_bytes() == b"before after"


def test_what_somebody_else_unmounts_ends_too(serve: Serve) -> None:
    """umount(8) and fusermount tell the daemon nothing but the end of its connection."""
    server = serve("files")
    (server.mountpoint / "file").write_text("content")
    command = ["umount"] if IS_ROOT else ["fusermount", "-u"]
    subprocess.run([*command, str(server.mountpoint)], check=True)
    assert server.daemon is not None
    assert server.daemon.wait_for_end(10)
    server.assert_gone()


def test_unmounting_what_is_not_mounted(serve: Serve, tmp_path: Path) -> None:
    server = serve("memory")
    done = server.run("unmount", str(tmp_path), check=False)
    assert done.returncode == 1
    assert f"nothing is mounted at '{tmp_path}'" in done.stderr
    assert str(server.mountpoint) in done.stderr, "those that are there are named"
    server.unmount()


def test_a_mount_of_something_else_is_left_alone(tmp_path: Path) -> None:
    server = Server("memory", tmp_path / "own")
    done = server.run("unmount", "/proc", check=False)
    assert done.returncode == 1
    assert "not a mount of vfs" in done.stderr
    assert Path("/proc/self").exists()
    server.end()


def test_memory_comes_back_empty_and_folders_as_they_were(serve: Serve) -> None:
    for kind, left in (("memory", []), ("files", ["file"]), ("objects", ["file"])):
        server = serve(kind)
        (server.mountpoint / "file").write_text("content")
        server.unmount()
        server.mount()
        assert os.listdir(server.mountpoint) == left
        server.unmount()


# -- records


def test_records_of_the_dead_are_swept(serve: Serve) -> None:
    server = serve("memory")
    assert server.daemon is not None
    assert server.daemon in records.records()
    kill(server)
    assert server.daemon not in records.records()
    assert not server.daemon.socket.exists()


def test_a_record_of_another_version_hides_no_mount(serve: Serve) -> None:
    server = serve("memory")
    strange = [records.runtime_folder() / f"strange-{number}-{os.getpid()}.json" for number in range(2)]
    try:
        strange[0].write_text('{"pid": 1, "colour": "red"}')
        strange[1].write_text("not JSON at all")
        assert server.daemon in records.records()
        assert all(path.exists() for path in strange)
    finally:
        for path in strange:
            path.unlink()
    server.unmount()


def test_a_process_that_nobody_collects_has_ended(serve: Serve) -> None:
    """A zombie stays in the process table for as long as its parent likes."""
    import psutil

    child = subprocess.Popen(["sleep", "60"])
    try:
        started = psutil.Process(child.pid).create_time()
        record = records.Record(child.pid, started, "a", "b", "/nowhere", "fusepy", {}, "", started)
        assert record.is_alive()
        assert not record.wait_for_end(0.05)
        child.kill()
        assert record.wait_for_end(10)
        assert not record.is_alive()
    finally:
        child.wait()


def test_status_tells_what_is_going_on(serve: Serve) -> None:
    server = serve("objects")
    with opened(server.mountpoint / "file", os.O_WRONLY | os.O_CREAT) as file:
        os.write(file, b"x")
        assert server.daemon is not None
        answer = server.daemon.ask("status")
        assert answer["pending"] == ["file"]
        assert answer["open_files"] == 1
        assert answer["operations"]["write"] == 1
    assert server.daemon.ask("status")["pending"] == []
    with pytest.raises(OSError, match="unknown command"):
        server.daemon.ask("explode")
    server.unmount()
