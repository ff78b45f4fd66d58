"""Which transport serves a mount, and what a system lacks for it."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from devices import vfs_without_devices

from vfs import transports
from vfs.mounts.mountpoint import MountError

REPOSITORY = Path(__file__).parents[3]


def test_an_unknown_transport_names_the_known_ones() -> None:
    with pytest.raises(MountError, match="unknown transport 'pigeon': valid are auto, kernel, fusepy"):
        transports.load("pigeon")


@pytest.mark.mount
@pytest.mark.parametrize("name", transports.NAMES)
def test_each_name_is_a_transport(name: str) -> None:
    wanted = ("kernel" if sys.platform == "linux" else "fusepy") if name == "auto" else name
    assert transports.load(name).name == wanted


def test_the_kernel_transport_is_for_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Darwin", "", "", "", "")))
    with pytest.raises(MountError, match="--transport fusepy"):
        transports.load("kernel")


@pytest.mark.mount
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="only root can take /dev away")
@pytest.mark.parametrize(
    ("prepare", "message"),
    [("true", "there is no /dev/fuse: load the kernel's module"), ("mknod /dev/fuse c 1 5", "")],
)
def test_a_machine_without_the_device(tmp_path: Path, prepare: str, message: str) -> None:
    """In a namespace of its own whose /dev is empty, or has a wrong device of that name."""
    done = vfs_without_devices(prepare, "mount memory .", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("vfs: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("release", "command"),
    [
        ('ID=debian\nVERSION_ID="12"\n', "apt-get install libfuse2"),
        ("ID=ubuntu\n", "libfuse2t64"),
        ('ID=rocky\nID_LIKE="rhel centos fedora"\n', "dnf install fuse-libs"),
        ("ID=slackware\n", "libfuse.so.2"),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="distributions are Linux's")
def test_the_package_is_named_as_the_distribution_calls_it(
    monkeypatch: pytest.MonkeyPatch, release: str, command: str
) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: release)
    assert command in transports.libfuse_package()
