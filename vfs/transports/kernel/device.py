"""/dev/fuse: mounting with mount(2) or fusermount, reading ahead, and the descriptors that the kernel reads itself.

Root mounts by itself. For everybody else the setuid program fusermount does, and sends the opened device over a socket
pair. The device is opened without blocking, because the session waits for it in its own way.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import socket
import stat
import subprocess
import sys
from pathlib import Path

from vfs.mounts.mountpoint import MOUNT_TYPE, MountError, mount_table
from vfs.transports.kernel import protocol

DEVICE = "/dev/fuse"
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
"""Flags of mount(2)."""
READ_AHEAD_KIB = 1024
"""How far the kernel reads ahead where it is allowed to say so; its own default keeps requests at 128 KiB."""
_CAP_SYS_ADMIN = 21
_STACKED = frozenset({"overlay", "ecryptfs"})
"""Filesystems that lie on another one, which the kernel counts."""


def mount(mountpoint: Path, source: str, *, read_only: bool, allow_other: bool, no_exec: bool = False) -> int:
    """Mount at `mountpoint` and return the descriptor of the device; MountError."""
    opened = _mount_by_itself if os.geteuid() == 0 else _mount_by_fusermount
    device = opened(mountpoint, source, read_only, allow_other, no_exec)
    os.set_blocking(device, False)
    return device


def _mount_by_itself(mountpoint: Path, source: str, read_only: bool, allow_other: bool, no_exec: bool) -> int:
    device = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    options = [
        f"fd={device}",
        f"rootmode={stat.S_IFDIR:o}",
        f"user_id={os.geteuid()}",
        f"group_id={os.getegid()}",
        *["default_permissions", "allow_other"] * allow_other,  # nothing is forbidden to root, who else is kept out
    ]
    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.mount(
        source.encode(),
        os.fsencode(mountpoint),
        MOUNT_TYPE.encode(),
        ctypes.c_ulong(MS_NOSUID | MS_NODEV | MS_RDONLY * read_only | MS_NOEXEC * no_exec),
        ",".join(options).encode(),
    )
    if result == 0:
        return device
    code = ctypes.get_errno()
    os.close(device)
    hint = ""
    if code == errno.EPERM:
        hint = "; a container needs --cap-add SYS_ADMIN, and under AppArmor --security-opt apparmor=unconfined"
    elif code == errno.ENODEV:
        hint = "; load the kernel's module with `sudo modprobe fuse`"
    raise MountError(f"the kernel refused to mount at {str(mountpoint)!r}: {os.strerror(code)}{hint}")


def _mount_by_fusermount(mountpoint: Path, source: str, read_only: bool, allow_other: bool, no_exec: bool) -> int:
    program = shutil.which("fusermount3") or shutil.which("fusermount")
    if program is None:
        raise MountError(
            "only root can mount without the program fusermount3; install it with: sudo apt-get install fuse3 "
            "(dnf, apk and pacman call the package fuse3 too)"
        )
    options = [
        "ro" if read_only else "rw",
        f"fsname={_escaped(source)}",
        f"subtype={MOUNT_TYPE.partition('.')[2]}",
        "default_permissions",
        *["allow_other"] * allow_other,
        *["noexec"] * no_exec,
    ]
    ours, theirs = socket.socketpair()
    with ours, theirs:
        done = subprocess.run(
            [program, "-o", ",".join(options), "--", str(mountpoint)],
            env={**os.environ, "_FUSE_COMMFD": str(theirs.fileno())},
            pass_fds=[theirs.fileno()],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        theirs.close()
        if done.returncode != 0:
            raise MountError(_refusal(done.stderr.strip() or f"{program} failed with exit code {done.returncode}"))
        _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
    if not descriptors:
        raise MountError(f"{program} sent no descriptor of {DEVICE}")
    os.set_inheritable(descriptors[0], False)
    return descriptors[0]


def _escaped(word: str) -> str:
    return word.replace("\\", "\\\\").replace(",", "\\,")


def _refusal(words: str) -> str:
    """fusermount's words, and what to do about them."""
    if "user_allow_other" in words:
        return (
            "allow_other is for root, unless /etc/fuse.conf has a line user_allow_other: add it, "
            "or mount without -o allow_other"
        )
    if "Permission denied" in words and DEVICE in words:
        return f"{DEVICE} may not be opened by this user: let everybody with `sudo chmod 666 {DEVICE}`"
    if "Permission denied" in words or "no write access" in words:
        return f"{words}: an ordinary user mounts at a directory that is the user's own"
    return words


def read_ahead(device_number: int) -> None:
    """Let the kernel read ahead in whole requests on the mount with this `st_dev`, where this process may say so."""
    setting = Path(f"/sys/class/bdi/{os.major(device_number)}:{os.minor(device_number)}/read_ahead_kb")
    if os.access(setting, os.W_OK):
        setting.write_text(str(READ_AHEAD_KIB))


def may_pass_through() -> bool:
    """Whether this process may give the kernel files to read and write by itself: CAP_SYS_ADMIN."""
    try:
        words = Path("/proc/self/status").read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        return os.geteuid() == 0
    return bool(int(words[words.index("CapEff:") + 1], 16) >> _CAP_SYS_ADMIN & 1)


def stack_depth(device_number: int | None) -> int:
    """How deep the mount may stand on filesystems that lie on others: 2 over such a one, else 1.

    2 would keep an overlay from being mounted on top of the mount, so it is asked for only where it is needed.
    """
    kinds = {entry.kind for entry in mount_table() if entry.device == device_number}
    return 2 if kinds & _STACKED else 1


def backing_open(device: int, descriptor: int) -> int:
    """Give the kernel the file behind `descriptor`; returns the number by which an open file refers to it. OSError."""
    request = bytearray(protocol.BACKING_MAP.pack(descriptor, 0, 0))  # from bytes the result would be lost
    number: int = fcntl.ioctl(device, protocol.BACKING_OPEN, request)
    return number


def backing_close(device: int, number: int) -> None:
    """The kernel keeps the file for those that have it open, and for nobody else."""
    fcntl.ioctl(device, protocol.BACKING_CLOSE, number.to_bytes(4, sys.byteorder))
