"""A mount's life: how it begins, who ends it and how, and what is left over. The mounts are daemons here."""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from places import Server, above_transports

from vfs.mounts import records
from vfs.mounts.mountpoint import absolute, is_stale, mounted_at
from vfs.testing.place import IS_ROOT, failing, opened, soon

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


def test_a_mountpoint_among_the_files_that_it_would_show(tmp_path: Path) -> None:
    server = Server("files", tmp_path / "own")
    inside = server.folder / "files" / "sub" / "mnt"
    inside.mkdir(parents=True)
    (server.folder / "link").symlink_to(inside)
    for mountpoint in (inside, server.folder / "link"):
        done = server.run("mount", "files", str(mountpoint), check=False)
        assert done.returncode == 1
        assert f"is within the storage's own folder '{server.folder}/files'" in done.stderr
    assert list(inside.iterdir()) == []
    server.end()


@pytest.mark.skipif(not IS_ROOT, reason="only root mounts in a mount of another's")
def test_a_mount_below_another_is_named_at_once(serve: Serve) -> None:
    server = serve("memory")
    (server.mountpoint / "sub").mkdir()
    server.run("mount", "memory", str(server.mountpoint / "sub"))
    done = server.run("unmount", str(server.mountpoint), check=False, timeout=8)
    assert f"something is mounted at '{server.mountpoint}/sub'; unmount that first" in done.stderr
    server.run("unmount", str(server.mountpoint / "sub"))
    server.unmount()


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


@pytest.mark.parametrize(("option", "refused"), [("noexec", True), ("user", True), ("exec", False)])
def test_programs_run_there_unless_the_options_forbid_it(serve: Serve, option: str, refused: bool) -> None:
    server = serve("files", option)
    program = server.mountpoint / "program"
    program.write_text("#!/bin/sh\nexit 7\n")
    program.chmod(0o755)
    if refused:
        with failing(errno.EACCES):
            subprocess.run([program], check=False)
    else:
        assert subprocess.run([program], check=False).returncode == 7
    server.unmount()


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


@pytest.mark.parametrize("has_terminal", [True, False], ids=["terminal", "service"])
def test_a_terminal_that_goes_takes_along_what_is_in_its_foreground(
    mounts_folder: Path, rescue: None, has_terminal: bool
) -> None:
    server = Server("files", mounts_folder / f"terminal-{os.getpid()}-{has_terminal}")
    command = [sys.executable, "-m", "vfs", "--config", server.config, "mount", "-f", "files", server.mountpoint]
    ours, theirs = os.openpty()
    stdin = theirs if has_terminal else subprocess.DEVNULL
    with subprocess.Popen(
        command, env=server.environment, stdin=stdin, stderr=subprocess.PIPE, text=True, cwd="/"
    ) as process:
        assert process.stderr is not None
        assert "mounted files at" in process.stderr.readline()
        process.send_signal(signal.SIGHUP)
        told = process.stderr.readline()
        if not has_terminal:
            process.terminate()
        process.stderr.read()
    os.close(ours)
    os.close(theirs)
    assert ("SIGHUP: draining" if has_terminal else "reloaded: nothing is new") in told
    assert process.returncode == 0
    assert not server.is_mounted
    server.end()


# -- the end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_another_signal_does_not_end_it_before_all_is_stored(serve: Serve, number: int) -> None:
    server = serve("objects", "write_back=3600")
    assert server.daemon is not None
    server.fail("save", "HANG")
    (server.mountpoint / "file").write_text("content")
    os.kill(server.daemon.pid, signal.SIGTERM)
    assert soon(lambda: "SIGTERM: draining" in server.logged())
    os.kill(server.daemon.pid, number)
    server.mend()
    assert server.daemon.wait_for_end(20)
    server.assert_gone()
    server.mount()
    assert (server.mountpoint / "file").read_text() == "content"
    assert "taken up" not in server.logged()
    server.unmount()


def stored_by_the_next_mount(server: Server) -> None:
    """The storage answers again, and what `a` and `b` were left with comes to it."""
    server.mend()
    server.options = ()
    server.mount()
    server.run("flush", str(server.mountpoint))
    assert [(server.mountpoint / name).read_text() for name in ("a", "b")] == ["one", "number two"]
    server.unmount()


def test_a_signal_drains_for_as_long_as_it_was_told_and_names_what_is_left(serve: Serve) -> None:
    server = serve("objects", "write_back=3600,drain=0.5")
    server.fail("save", "HANG")
    (server.mountpoint / "a").write_text("one")
    (server.mountpoint / "b").write_text("number two")
    assert soon(lambda: server.daemon is not None and not server.daemon.ask("status")["open_files"])
    began = time.monotonic()
    kill(server, signal.SIGTERM)
    assert time.monotonic() - began < 10, "the storage may take 30 s for each call"
    left = [line for line in server.logged().splitlines() if "left to the next mount" in line]
    assert sorted(line.partition("'")[2].partition(":")[0] for line in left) == ["a', 3 bytes", "b', 10 bytes"]
    stored_by_the_next_mount(server)


CLOSER = """
import errno, os, sys
descriptor = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
os.write(descriptor, sys.argv[2].encode())
try:
    os.close(descriptor)
except OSError as error:
    print(errno.errorcode[error.errno])
"""


@pytest.mark.parametrize(
    ("timeout", "heard"), [(30, {"ETIMEDOUT"}), (0, {"ECONNABORTED", "ENOTCONN"})], ids=["guarded", "waited for"]
)
@pytest.mark.parametrize("how", ["SIGTERM", "unmount"])
@above_transports
def test_a_close_that_hangs_in_the_storage_does_not_hold_up_the_end(
    serve: Serve, how: str, timeout: int, heard: set[str]
) -> None:
    server = serve("objects", f"timeout={timeout},drain=0.5")
    assert server.daemon is not None
    server.fail("save", "HANG")
    texts = {"a": "one", "b": "number two"}
    closers = [
        subprocess.Popen(
            [sys.executable, "-c", CLOSER, server.mountpoint / name, text], stdout=subprocess.PIPE, text=True
        )
        for name, text in texts.items()
    ]
    assert soon(lambda: len([path for path in server.spooled() if path.suffix == ".json"]) == 2), "they do not close"
    began = time.monotonic()
    if how == "SIGTERM":
        kill(server, signal.SIGTERM)
    else:
        server.run("unmount", "--drain", "0.5", str(server.mountpoint), check=timeout != 0)
    assert time.monotonic() - began < 15, "each call may take 30 s, and who has a file open as long"
    if how == "unmount" and not timeout:  # who waits for all can say no more than that it is in use
        kill(server, signal.SIGTERM)
    assert {closer.communicate(timeout=20)[0].strip() for closer in closers} <= heard
    assert not server.is_mounted
    stored_by_the_next_mount(server)


@pytest.mark.parametrize("fault", ["HANG", "ConnectionError"])
def test_unmount_may_leave_to_the_next_mount_what_cannot_be_stored(serve: Serve, fault: str) -> None:
    server = serve("objects", "write_back=3600")
    server.fail("save", fault)
    (server.mountpoint / "a").write_text("one")
    (server.mountpoint / "b").write_text("number two")
    done = server.run("unmount", "--drain", "0.3", str(server.mountpoint))
    assert sorted(done.stderr.splitlines()) == [
        f"vfs: not stored, and left to the next mount: '{name}'" for name in "ab"
    ]
    assert server.daemon is not None
    assert not server.daemon.is_alive()
    assert not server.is_mounted
    stored_by_the_next_mount(server)


def test_unmount_stores_in_the_time_that_it_was_given(serve: Serve) -> None:
    server = serve("objects", "write_back=3600")
    (server.mountpoint / "a").write_text("one")
    server.unmount("--drain", "20")


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


def test_a_daemon_that_hangs_does_not_keep_the_commands_that_help(serve: Serve) -> None:
    server = serve("files")
    assert server.daemon is not None
    os.kill(server.daemon.pid, signal.SIGSTOP)
    try:
        done = server.run("mount", "files", str(server.mountpoint), check=False, timeout=20)
        assert (done.returncode, "files is mounted at" in done.stderr) == (1, True)
        assert "vfs unmount" in done.stderr
        server.run("unmount", "--lazy", str(server.mountpoint), timeout=20)
        assert mounted_at(server.mountpoint) is None
        assert os.listdir(server.mountpoint) == []
    finally:
        os.kill(server.daemon.pid, signal.SIGCONT)
    assert server.daemon.wait_for_end(20)
    server.assert_gone()


def test_a_stale_mount_whose_record_is_taken_for_another_process_is_mounted_over(serve: Serve) -> None:
    """As in a container that is started again within a second or two: its first process has the number 1 as well."""
    server = serve("memory")
    kill(server)
    assert server.daemon is not None
    process = psutil.Process()
    dataclasses.replace(server.daemon, pid=process.pid, process_started=process.create_time()).write()
    server.mount()
    assert os.listdir(server.mountpoint) == []
    server.unmount()


def test_a_busy_mount_names_who_uses_it(serve: Serve) -> None:
    server = serve("memory")
    with used(server) as process:
        done = server.run("unmount", "--wait", "0.2", str(server.mountpoint), check=False)
        assert done.returncode == 1
        assert "busy" in done.stderr
        assert f"cat ({process.pid})" in done.stderr
        assert (server.mountpoint / "file").write_text("it lives on")
    server.unmount()


def test_who_uses_a_busy_mount_is_found_though_another_mount_hangs(serve: Serve) -> None:
    hanging, server = serve("objects", "attr_timeout=0,entry_timeout=0"), serve("memory")
    (hanging.mountpoint / "file").write_text("x")
    assert hanging.daemon is not None
    with opened(hanging.mountpoint / "file", os.O_RDONLY) as file:
        holder = subprocess.Popen(["sleep", "infinity"], stdin=file)
    with holder, used(server) as process:
        os.kill(hanging.daemon.pid, signal.SIGSTOP)
        try:
            done = server.run("unmount", "--wait", "0.2", str(server.mountpoint), check=False)
        finally:
            os.kill(hanging.daemon.pid, signal.SIGCONT)
            holder.kill()
    assert f"cat ({process.pid})" in done.stderr


def test_who_waits_for_a_busy_mount_sees_who_uses_it(serve: Serve) -> None:
    server = serve("memory")
    command = [sys.executable, "-m", "vfs", "unmount", "--wait", "30", str(server.mountpoint)]
    pipe = subprocess.PIPE
    with used(server) as user, subprocess.Popen(command, cwd="/", env=server.environment, stderr=pipe) as waiting:
        assert waiting.stderr is not None
        assert f"cat ({user.pid}) use it; waiting".encode() in waiting.stderr.readline()
        user.kill()
        assert (waiting.wait(30), waiting.stderr.read()) == (0, b"")


def test_unmount_waits_for_who_uses_it(serve: Serve) -> None:
    server = serve("memory")
    with subprocess.Popen(["sleep", "0.7"], cwd=server.mountpoint):
        server.unmount()


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="only root makes a mount namespace")
def test_unmount_names_the_mount_namespace_that_keeps_the_daemon(serve: Serve) -> None:
    server = serve("memory")
    container = ["unshare", "--mount", "--propagation=private", "cat"]
    with subprocess.Popen(container, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(b"it runs\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"it runs\n"
        done = server.run("unmount", "--wait", "0.2", str(server.mountpoint), check=False)
        process.stdin.close()
    assert done.returncode == 1
    assert f"cat ({process.pid})" in done.stderr
    assert server.daemon is not None
    assert server.daemon.wait_for_end(10)
    server.assert_gone()


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


def test_status_counts_what_somebody_has_open(serve: Serve) -> None:
    server = serve("objects", "write_back=3600")

    def are_open(count: int) -> bool:
        assert server.daemon is not None
        return bool(server.daemon.ask("status")["open_files"] == count)

    (server.mountpoint / "pending").write_text("content")
    assert soon(lambda: are_open(0))
    assert "pending  1, " in server.run("status", str(server.mountpoint)).stdout
    with opened(server.mountpoint / "pending", os.O_RDONLY), opened(server.mountpoint / "pending", os.O_RDONLY):
        assert are_open(1)
        with opened(server.mountpoint / "new", os.O_WRONLY | os.O_CREAT):
            os.unlink(server.mountpoint / "new")
            assert are_open(2)
        assert soon(lambda: are_open(1))
    assert soon(lambda: are_open(0))


def test_status_tells_what_is_going_on(serve: Serve) -> None:
    server = serve("objects")
    with opened(server.mountpoint / "file", os.O_WRONLY | os.O_CREAT) as file:
        os.write(file, b"x")
        assert server.daemon is not None
        answer = server.daemon.ask("status")
        assert [(line["name"], line["bytes"], line["open"]) for line in answer["pending"]] == [("file", 1, True)]
        assert answer["open_files"] == 1
        assert answer["operations"]["write"] == 1
    assert server.daemon.ask("status")["pending"] == []
    with pytest.raises(OSError, match="unknown command"):
        server.daemon.ask("explode")
    server.unmount()
