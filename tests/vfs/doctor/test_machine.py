"""What is said of a machine: of this one, and of those that lack something, which a namespace or another user shows."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from devices import vfs_without_devices
from nobody import REPOSITORY, as_nobody, by_name, only_root

from vfs.doctor import Status, machine
from vfs.mounts.options import MountOptions

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="these are Linux's")


@pytest.mark.mount
@on_linux
def test_a_machine_that_mounts_has_nothing_that_fails() -> None:
    found = by_name(machine.checks(MountOptions()))
    assert [name for name, (status, *_) in found.items() if status == Status.FAILURE] == []
    assert {"kernel", "/dev/fuse", "fusermount3", "user_allow_other", "libfuse", "open files"} == set(found)
    assert os.uname().release in found["kernel"][1]


@pytest.mark.mount
@on_linux
@only_root
@pytest.mark.parametrize(
    ("prepare", "message", "advice"),
    [
        ("true", "there is no /dev/fuse", "--device /dev/fuse"),
        ("mknod /dev/fuse c 1 5", "another device (1:5 instead of 10:229)", "mknod -m 666 /dev/fuse c 10 229"),
        ("mknod /dev/fuse c 10 300", "cannot be opened", "modprobe"),
    ],
)
def test_a_machine_without_the_device(tmp_path: Path, prepare: str, message: str, advice: str) -> None:
    """In a namespace of its own whose /dev is empty, or has a wrong device of that name."""
    done = vfs_without_devices(prepare, "doctor --json", tmp_path)
    report = json.loads(done.stdout)
    [device] = [check for check in report["checks"] if check["name"] == "/dev/fuse"]
    assert (done.returncode, done.stderr, report["status"], device["status"]) == (1, "", "failure", "failure")
    assert message in device["message"]
    assert advice in device["advice"]


@on_linux
@only_root
def test_an_ordinary_user_may_not_open_the_device() -> None:
    script = 'mount -t tmpfs none /dev && mknod /dev/null c 1 3 && mknod -m 600 /dev/fuse c 10 229 && exec "$@"'
    found = as_nobody("machine", before=("unshare", "--mount", "sh", "-c", script, "sh"))["/dev/fuse"]
    assert found[:2] == ("failure", "/dev/fuse may not be opened by this user")
    assert "chmod 666" in found[2]


@on_linux
@only_root
def test_an_ordinary_user_needs_the_program_that_mounts(folder: Path) -> None:
    assert as_nobody("machine", path="/none")["fusermount3"] == (
        "failure",
        "it is not there, and only root mounts without it",
        "sudo apt-get install fuse3",
    )
    program = folder / "fusermount3"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    status, message, advice = as_nobody("machine", path=str(folder))["fusermount3"]
    assert (status, message) == ("failure", f"{program} is not setuid root")
    assert f"chmod u+s {program}" in advice
    program.chmod(0o755 | stat.S_ISUID)
    assert as_nobody("machine", path=str(folder))["fusermount3"] == ("ok", f"{program} mounts for this user", "")
    kept = as_nobody("machine", path=str(folder), before=(str(shutil.which("setpriv")), "--no-new-privs"))[
        "fusermount3"
    ]
    assert kept[0] == "failure"
    assert "no-new-privileges" in kept[2]


@on_linux
@only_root
@pytest.mark.parametrize(
    ("lines", "options", "status"),
    [
        ("# user_allow_other\n", (), "ok"),
        ("# user_allow_other\n", ("allow_other",), "failure"),
        ("mount_max = 5\nuser_allow_other\n", ("allow_other",), "ok"),
    ],
)
def test_who_may_let_others_in(tmp_path: Path, lines: str, options: tuple[str, ...], status: str) -> None:
    if not Path("/etc/fuse.conf").exists():
        pytest.skip("there is no /etc/fuse.conf to put another one over")
    (tmp_path / "fuse.conf").write_text(lines)
    script = f'mount --bind {tmp_path}/fuse.conf /etc/fuse.conf && exec "$@"'
    found = as_nobody("machine", *options, before=("unshare", "--mount", "sh", "-c", script, "sh"))["user_allow_other"]
    assert found[0] == status
    assert ("/etc/fuse.conf" in found[2]) is not lines.endswith("\nuser_allow_other\n")


@on_linux
def test_few_descriptors_are_doubtful() -> None:
    script = "import resource, json; resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200)); " + (
        "from vfs.doctor import machine; from vfs.mounts.options import MountOptions; "
        "print(json.dumps(list(machine.checks(MountOptions()))))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    status, message, advice = by_name(json.loads(done.stdout))["open files"]
    assert status == "warning"
    assert message.startswith("200 files")
    assert "LimitNOFILE" in advice
