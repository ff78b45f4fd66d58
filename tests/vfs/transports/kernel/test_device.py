"""Mounting by oneself and by fusermount, and what is said when either is refused."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from places import Server

from vfs.mounts.mountpoint import MOUNT_TYPE, MountedAt, MountError
from vfs.testing.place import IS_ROOT
from vfs.transports.kernel import device

NOBODY = 65534
root_alone = pytest.mark.skipif(not IS_ROOT, reason="takes root")


@pytest.fixture
def transport() -> str:
    """The one that mounts so."""
    return "kernel"


@root_alone
@pytest.mark.mount
def test_a_mountpoint_that_the_kernel_refuses(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(MountError, match=r"refused to mount at .*missing': No such file"):
        device.mount(tmp_path / "missing", "memory", read_only=False, allow_other=False)
    assert os.listdir("/proc/self/fd") == before


@root_alone
@pytest.mark.mount
def test_the_mount_table_says_what_is_mounted(serve: object) -> None:
    assert callable(serve)
    server: Server = serve("memory", "ro", "allow_other")
    line = next(line for line in Path("/proc/mounts").read_text().splitlines() if str(server.mountpoint) in line)
    source, _, kind, options, *_ = line.split()
    assert (source, kind) == ("memory", MOUNT_TYPE)
    assert {"ro", "nosuid", "nodev", "allow_other", "default_permissions"} <= set(options.split(","))


@root_alone
@pytest.mark.mount
def test_the_kernel_reads_ahead_in_whole_requests(serve: object) -> None:
    assert callable(serve)
    number = os.stat(serve("memory").mountpoint).st_dev
    setting = Path(f"/sys/class/bdi/{os.major(number)}:{os.minor(number)}/read_ahead_kb")
    if not setting.exists():
        pytest.skip("no sysfs here")
    assert int(setting.read_text()) == device.READ_AHEAD_KIB


@pytest.mark.parametrize(("kind", "depth"), [("ext4", 1), ("overlay", 2), ("tmpfs", 1)])
def test_how_deep_a_mount_stands(monkeypatch: pytest.MonkeyPatch, kind: str, depth: int) -> None:
    monkeypatch.setattr(
        device, "mount_table", lambda: [MountedAt("/a", kind, "a", 7), MountedAt("/b", "overlay", "b", 8)]
    )
    assert device.stack_depth(7) == depth


@root_alone
def test_who_may_pass_files_through() -> None:
    assert device.may_pass_through()
    child = os.fork()
    if not child:
        os.setresuid(NOBODY, NOBODY, NOBODY)
        os._exit(device.may_pass_through())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (
            "fusermount3: option allow_other only allowed if 'user_allow_other' is set in /etc/fuse.conf",
            "add it, or mount without -o allow_other",
        ),
        ("fusermount3: failed to open /dev/fuse: Permission denied", "sudo chmod 666 /dev/fuse"),
        ("fusermount3: user has no write access to mountpoint /mnt", "directory that is the user's own"),
        ("fusermount3: something else", "something else"),
    ],
)
def test_what_fusermount_says_comes_with_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, advice: str
) -> None:
    program = tmp_path / "fusermount3"
    program.write_text(f'#!/bin/sh\necho "{words}" >&2\nexit 1\n')
    program.chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY)
    with pytest.raises(MountError, match=advice):
        device.mount(tmp_path, "memory", read_only=False, allow_other=True)


def test_without_fusermount_it_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY)
    with pytest.raises(MountError, match="apt-get install fuse3"):
        device.mount(tmp_path, "memory", read_only=False, allow_other=False)


def test_a_name_with_commas_stays_one_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "fusermount3"
    program.write_text(f'#!/bin/sh\nprintf "%s" "$2" > {tmp_path}/options\nexit 1\n')
    program.chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY)
    with pytest.raises(MountError):
        device.mount(tmp_path, "a,allow_other\\", read_only=True, allow_other=False)
    assert (tmp_path / "options").read_text().startswith("ro,fsname=a\\,allow_other\\\\,subtype=vfs,")
