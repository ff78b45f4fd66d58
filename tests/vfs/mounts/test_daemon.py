"""What goes wrong while a daemon begins or ends: it is told or logged, and no dead mount is left."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from places import Server

from namespaces import UNMOUNT_OTHERS
from vfs.mounts import daemon
from vfs.mounts.mountpoint import is_stale
from vfs.testing.place import IS_ROOT, opened, soon

_numbers = itertools.count()
Serve = Callable[..., Server]
pytestmark = pytest.mark.mount


@pytest.mark.usefixtures("rescue")
def test_a_command_that_was_interrupted_is_not_mounted_later(
    mounts_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon has a session of its own, so it does not hear Ctrl-C."""
    server = Server("objects", mounts_folder / f"interrupted-{os.getpid()}")
    monkeypatch.setenv("XDG_STATE_HOME", str(server.folder / "state"))
    slow = server.folder / "faults" / "begin"
    os.mkfifo(slow)

    gate: list[int] = []

    def is_making_its_storage() -> bool:
        with contextlib.suppress(OSError):  # nobody reads yet
            gate.append(os.open(slow, os.O_WRONLY | os.O_NONBLOCK))
        return bool(gate)

    words = [sys.executable, "-m", "vfs", "--config", str(server.config), "mount", "objects", str(server.mountpoint)]
    with subprocess.Popen(words, env=server.environment, cwd="/", stderr=subprocess.DEVNULL) as command:
        assert soon(is_making_its_storage)
        command.send_signal(signal.SIGINT)
        assert command.wait(20) == 130
    server.log = daemon.log_file(server.mountpoint)
    os.write(gate[0], b"HANG")
    os.close(gate[0])
    slow.unlink()
    assert soon(lambda: "nobody waits for the mount" in server.logged()), server.logged()
    assert "Traceback" not in server.logged()
    server.assert_gone()
    server.end()


IN_A_RUN_OF_ITS_OWN = """
{unmount_others}
mount -t tmpfs -o mode=755,nr_inodes={inodes} tmpfs /run
mkdir -m {mode} /run/vfs
"$@" || code=$?
grep -c ' {mountpoint} ' /proc/self/mountinfo
ls -A /run/vfs
exit $code
"""


@pytest.mark.skipif(not IS_ROOT or not shutil.which("unshare"), reason="only root makes a mount namespace")
@pytest.mark.usefixtures("rescue")
@pytest.mark.parametrize(
    ("mode", "inodes", "words"),
    [
        (755, 100, "the records of mounts cannot be kept in '/run/vfs': it must belong to you alone (mode 0700)"),
        (700, 2, "No space left on device"),
        (700, 3, "No space left on device"),
    ],
    ids=["not private", "no room for the socket", "no room for the record"],
)
@pytest.mark.parametrize("options", [(), ("--foreground",)], ids=["background", "foreground"])
def test_where_no_record_can_be_kept_nothing_is_mounted(
    mounts_folder: Path, mode: int, inodes: int, words: str, options: tuple[str, ...]
) -> None:
    server = Server("memory", mounts_folder / f"no-record-{os.getpid()}-{mode}-{inodes}-{len(options)}")
    command = [sys.executable, "-m", "vfs", "mount", *options, "memory", str(server.mountpoint)]
    script = IN_A_RUN_OF_ITS_OWN.format(
        unmount_others=UNMOUNT_OTHERS, inodes=inodes, mode=mode, mountpoint=server.mountpoint
    )
    done = subprocess.run(
        ["unshare", "--mount", "--propagation=private", "sh", "-c", script, "sh", *command],
        env=server.environment,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert words in done.stderr
    assert "reached" not in done.stderr, "it is no outage"
    assert done.stdout == "0\n", "a mount, a socket or a record is left"
    server.end()


BROKEN = """#!/bin/sh
if [ "$1" = -u ] && [ -e {folder}/broken ]; then
  rm {folder}/broken
  echo "{program}: by order of a test" >&2
  exit 1
fi
exec {program} "$@"
"""


@pytest.mark.skipif(IS_ROOT, reason="root unmounts without fusermount3")
def test_an_unmount_that_fails_at_the_end_is_logged_and_no_mount_is_left(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("fusermount3", "fusermount"):
        program = tmp_path / name
        program.write_text(BROKEN.format(folder=tmp_path, program=shutil.which("fusermount3")))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    server = serve("files")
    assert server.daemon is not None
    (tmp_path / "broken").touch()
    os.kill(server.daemon.pid, signal.SIGTERM)
    assert server.daemon.wait_for_end(20)
    assert "by order of a test" in server.logged()
    server.assert_gone()


@pytest.mark.skipif(not IS_ROOT, reason="only root mounts a tmpfs")
def test_what_is_mounted_on_top_is_not_taken_away(serve: Serve) -> None:
    server = serve("objects", "write_back=3600")
    mnt = str(server.mountpoint)
    assert server.daemon is not None
    (server.mountpoint / "pending").write_text("below")
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", mnt], check=True)
    try:
        (server.mountpoint / "file").write_text("on top")
        os.kill(server.daemon.pid, signal.SIGTERM)
        assert server.daemon.wait_for_end(20)
        assert (server.mountpoint / "file").read_text() == "on top"
    finally:
        subprocess.run(["umount", mnt], check=True)
    assert f"tmpfs is mounted on top of the mount at '{mnt}': unmount that first" in server.logged()
    assert is_stale(server.mountpoint)
    server.mount()
    assert (server.mountpoint / "pending").read_text() == "below"
    assert "taken up" not in server.logged(), "it was stored before the end"
    server.unmount()


@contextlib.contextmanager
def in_the_foreground(server: Server, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A mount that answers, and its process."""
    words = ["mount", "-f", "--transport", server.transport, *options, server.kind, str(server.mountpoint)]
    command = [sys.executable, "-m", "vfs", "--config", str(server.config), *words]
    with subprocess.Popen(command, env=server.environment, cwd="/", stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            assert "mounted files at" in process.stderr.readline()
            yield process
        finally:
            process.terminate()


@pytest.mark.skipif(not IS_ROOT, reason="only root unmounts by force")
@pytest.mark.usefixtures("rescue")
@pytest.mark.parametrize("is_used", [True, False], ids=["used", "not used"])
def test_a_connection_that_is_cut_off_is_a_failure_unless_it_was_unmounted(
    mounts_folder: Path, transport: str, is_used: bool
) -> None:
    """umount(8) with --force aborts it first, and then unmounts if it can."""
    server = Server("files", mounts_folder / f"cut-off-{os.getpid()}-{transport}-{is_used}", transport=transport)
    with in_the_foreground(server) as process, contextlib.ExitStack() as stack:
        if is_used:
            stack.enter_context(opened(server.mountpoint, os.O_RDONLY))
        done = subprocess.run(["umount", "--force", server.mountpoint], check=False, capture_output=True)
        assert done.returncode == (32 if is_used else 0)
        code, said = process.wait(20), process.stderr.read() if process.stderr else ""
    assert code == is_used, said
    assert ("was cut off" in said) == is_used
    assert ("INFO vfs: unmounted" in said) != is_used
    server.assert_gone()
    server.end()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("-o", "on_change=no.such.thing"), "on_change=no.such.thing names nothing that can be called"),
        (("--cache-dir", "FOLDER/a-file/cache"), "a-file/cache' cannot be used: Not a directory"),
        (("--cache-dir", "FOLDER/a-file"), "a-file' cannot be used: Not a directory"),
        ((), "a-file/objects"),
    ],
    ids=["on_change", "cache_dir below a file", "cache_dir is a file", "location below a file"],
)
@pytest.mark.usefixtures("rescue")
def test_what_only_a_person_can_mend_is_said_to_a_service_manager(
    mounts_folder: Path, options: tuple[str, ...], words: str
) -> None:
    server = Server("bucket" if options else "files", mounts_folder / f"mistake-{next(_numbers)}")
    (server.folder / "a-file").touch()
    if not options:
        settings = server.config.read_text().replace(f"{server.folder}/files", f"{server.folder}/a-file/objects")
        server.config.write_text(settings)
    given = [option.replace("FOLDER", str(server.folder)) for option in options]
    done = server.run("mount", "-f", *given, server.kind, str(server.mountpoint), check=False)
    assert (done.returncode, words in done.stderr) == (78, True), done.stderr
    assert server.run("mount", *given, server.kind, str(server.mountpoint), check=False).returncode == 1
    server.end()


def test_a_cache_that_another_mount_uses_may_be_free_soon(serve: Serve, tmp_path: Path) -> None:
    server = serve("bucket", f"cache_dir={tmp_path}")
    (tmp_path / "mnt").mkdir()
    done = server.run("mount", "-f", "--cache-dir", str(tmp_path), "bucket", str(tmp_path / "mnt"), check=False)
    assert (done.returncode, "is used by another mount" in done.stderr) == (1, True)
    server.unmount()
