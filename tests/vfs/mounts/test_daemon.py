"""What goes wrong while a daemon begins or ends: it is told or logged, and no dead mount is left."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from places import Server

from namespaces import UNMOUNT_OTHERS
from vfs.mounts import daemon
from vfs.mounts.mountpoint import is_stale
from vfs.testing.place import IS_ROOT, soon

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
