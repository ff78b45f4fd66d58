"""What a machine must have, so that storages can be mounted on it."""

from __future__ import annotations

import errno
import os
import re
import resource
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from vfs import transports
from vfs.doctor.checks import Check, failure, ok, warning
from vfs.mounts.mountpoint import MountError
from vfs.mounts.options import MountOptions
from vfs.mounts.resources import OPEN_FILES
from vfs.transports.kernel.device import DEVICE, may_pass_through

_NUMBER = os.makedev(10, 229)
_FUSE_CONF = Path("/etc/fuse.conf")
_OLDEST = (5, 4)
_PASSTHROUGH = (6, 9)
_FEW_FILES = 4096
_CONTAINERS = {"/.dockerenv": "docker", "/run/.containerenv": "podman", "/run/systemd/container": "a container"}
_LET_IT_IN = "start the container with --device /dev/fuse --cap-add SYS_ADMIN"


def checks(options: MountOptions) -> Iterator[Check]:
    """Look at everything that a mount with these options needs of the system."""
    if os.uname().sysname == "Linux":
        yield _kernel()
        yield _device()
        yield _who_mounts()
        yield _others(options)
    yield _libfuse()
    yield _open_files()


def _kernel() -> Check:
    release = os.uname().release
    found = re.match(r"(\d+)\.(\d+)", release)
    version = (int(found[1]), int(found[2])) if found else _OLDEST
    if version < _OLDEST:
        return failure("kernel", f"Linux {release} is too old", "use Linux 5.4 or newer, or --transport fusepy")
    if version < _PASSTHROUGH:
        return ok("kernel", f"Linux {release}; from 6.9 on root's local and in-memory files are passed through to it")
    if may_pass_through():
        return ok("kernel", f"Linux {release}; local and in-memory files can be passed through to it")
    return ok("kernel", f"Linux {release}; files are passed through to it for root alone")


def _device() -> Check:
    name = str(DEVICE)
    try:
        transports.check_device()
        os.close(os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except MountError as error:
        message, _, advice = str(error).partition(": ")
        return failure(name, message, advice)
    except OSError as error:
        advice = "load the kernel's module with `sudo modprobe fuse`"
        if error.errno in (errno.EPERM, errno.EACCES):
            advice = _LET_IT_IN
        return failure(name, f"{DEVICE} cannot be opened: {error.strerror}", advice)
    number = os.stat(DEVICE).st_rdev
    if number != _NUMBER:
        wrong = f"{os.major(number)}:{os.minor(number)} instead of 10:229"
        return failure(name, f"{DEVICE} is another device ({wrong})", f"make it with `mknod -m 666 {DEVICE} c 10 229`")
    container = next((kind for path, kind in _CONTAINERS.items() if Path(path).exists()), None)
    return ok(name, "it is there and opens" + (f", in {container}" if container else ""))


def _who_mounts() -> Check:
    """What makes the mount: root, or for others the setuid program."""
    name = "fusermount3"
    program = shutil.which(name) or shutil.which("fusermount")
    if os.geteuid() == 0:
        if not may_pass_through():
            return failure("mount(2)", "root may not mount here, without CAP_SYS_ADMIN", _LET_IT_IN)
        return ok(name, "root mounts without it" + ("" if program else "; it is not there for other users"))
    if program is None:
        return failure(name, "it is not there, and only root mounts without it", "sudo apt-get install fuse3")
    status = os.stat(program)
    if status.st_uid != 0 or not status.st_mode & stat.S_ISUID:
        return failure(name, f"{program} is not setuid root", f"sudo chown root {program} && sudo chmod u+s {program}")
    if _gains_no_privileges():
        return failure(name, f"{program} gains no privileges here", "start the container without no-new-privileges")
    return ok(name, f"{program} mounts for this user")


def _gains_no_privileges() -> bool:
    """Whether this process and its children stay without the rights of setuid programs."""
    try:
        return "NoNewPrivs:\t1" in Path("/proc/self/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def _others(options: MountOptions) -> Check:
    name = "user_allow_other"
    if os.geteuid() == 0:
        return ok(name, "root may let others in, whatever /etc/fuse.conf says")
    try:
        lines = _FUSE_CONF.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    if name in map(str.strip, lines):
        return ok(name, "ordinary users may let others in with -o allow_other")
    kind = failure if options.allow_other else ok
    advice = "add a line user_allow_other to /etc/fuse.conf to have allow_other"
    return kind(name, "only root may mount with -o allow_other", advice)


def _libfuse() -> Check:
    needed = os.uname().sysname != "Linux"
    try:
        import vfs.transports.fusepy.library  # noqa: F401  it is looked for when this is imported
    except ImportError:
        kind, why = (failure, "mounts need it here") if needed else (ok, "only --transport fusepy needs it")
        return kind("libfuse", f"libfuse 2 is not there; {why}", transports.libfuse_package())
    return ok("libfuse", "libfuse 2 is there" + ("" if needed else ", for --transport fusepy"))


def _open_files() -> Check:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard >= OPEN_FILES:
        return ok("open files", "as many as a mount asks for may be open at once")
    message = f"{hard} files may be open at once, and each open file of a mount takes one"
    if hard < _FEW_FILES:
        return warning("open files", message, "raise the hard limit, in /etc/security/limits.conf or by LimitNOFILE=")
    return ok("open files", message)
