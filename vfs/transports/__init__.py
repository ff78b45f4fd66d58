"""Transports: what carries the kernel's requests to the verbs of a `FileSystem`.

A transport only translates. It mounts, hands each request to one verb, and hands back what came of it; what two
transports would both need is in the core. `vfs.transports.base` is the seam; a transport is imported when it is used.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vfs.transports.base import Transport

NAMES = ("auto", "kernel", "fusepy")
"""What `--transport` takes; "auto" is "kernel" on Linux, "fusepy" elsewhere."""

_LIBFUSE_PACKAGE = {
    "ubuntu": "sudo apt-get install libfuse2t64 (libfuse2 before 24.04)",
    "debian": "sudo apt-get install libfuse2 (libfuse2t64 from Debian 13 on)",
    "fedora": "sudo dnf install fuse-libs",
    "rhel": "sudo dnf install fuse-libs",
    "arch": "sudo pacman -S fuse2",
    "alpine": "sudo apk add fuse",
    "suse": "sudo zypper install libfuse2",
}


def load(name: str = "auto") -> type[Transport]:
    """The transport called `name`; MountError when it is unknown, or when this system lacks what it needs."""
    from vfs.mounts.mountpoint import MountError

    if name not in NAMES:
        raise MountError(f"unknown transport {name!r}: valid are {', '.join(NAMES)}")
    linux = os.uname().sysname == "Linux"
    check_device()
    if name == "kernel" or (name == "auto" and linux):
        if not linux:
            raise MountError("the kernel transport speaks to Linux; here it is --transport fusepy")
        from vfs.transports.kernel.session import KernelTransport

        return KernelTransport
    try:
        from vfs.transports.fusepy.session import FusepyTransport
    except ImportError as error:
        raise MountError(f"{error}; install it with: {libfuse_package()}") from error
    return FusepyTransport


def check_device() -> None:
    """MountError unless this process can open the kernel's FUSE device, on Linux."""
    from vfs.mounts.mountpoint import MountError

    device = Path("/dev/fuse")
    if os.uname().sysname != "Linux":
        return
    if not device.exists():
        raise MountError(
            "there is no /dev/fuse: load the kernel's module with `sudo modprobe fuse`, "
            "or start the container with --device /dev/fuse --cap-add SYS_ADMIN"
        )
    if not os.access(device, os.R_OK | os.W_OK):
        raise MountError("/dev/fuse may not be opened by this user: let everybody with `sudo chmod 666 /dev/fuse`")


def libfuse_package() -> str:
    """The command that installs libfuse 2 on this system."""
    if os.uname().sysname == "Darwin":
        return "brew install --cask macfuse"
    try:
        lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        lines = []
    release = dict(line.split("=", 1) for line in lines if "=" in line)
    for name in (release.get("ID", ""), *release.get("ID_LIKE", "").strip('"').split()):
        command = _LIBFUSE_PACKAGE.get(name.strip('"'))
        if command:
            return command
    return "your system's package of libfuse 2 (libfuse.so.2)"
