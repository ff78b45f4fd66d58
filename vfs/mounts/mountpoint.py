"""The directory that is mounted on: whether it can be, what lies there now, and how it is given back."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from storage.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    import psutil

    from vfs.mounts.records import Record

MOUNT_TYPE = "fuse.vfs"
"""What the mount table calls our mounts."""
MNT_FORCE = 1
"""umount2(2): end the connection of the filesystem first, which fails all that waits for it."""
MNT_DETACH = 2
"""umount2(2): take the mount out of the tree now, give it up when nobody uses it any more."""
POLL = 0.05
"""Seconds between two looks at something that cannot be waited for otherwise."""


class MountError(Exception):
    """A mount or unmount cannot be done; the message says why and what to do next."""


class MisconfiguredError(MountError, ImproperlyConfigured):
    """A mount cannot be made as it was told to be; another try is of no use before somebody has mended that."""


class MountpointError(MountError):
    """The directory cannot be mounted on before somebody has seen to it."""


class MountedAt(NamedTuple):
    """One line of the mount table."""

    path: str
    kind: str
    source: str
    device: int
    """As in `st_dev`."""


def mount_table(process: int | str = "self") -> list[MountedAt]:
    """What is mounted in the namespace of a process, later mounts last; empty where the system has no /proc."""
    try:
        lines = Path(f"/proc/{process}/mountinfo").read_bytes().splitlines()
    except FileNotFoundError:
        return []
    table = []
    for line in lines:
        fields, _, rest = line.partition(b" - ")
        words, more = fields.split(b" "), rest.split(b" ")
        major, minor = words[2].split(b":")
        table.append(
            MountedAt(_unescape(words[4]), more[0].decode(), _unescape(more[1]), os.makedev(int(major), int(minor)))
        )
    return table


def _unescape(text: bytes) -> str:
    """A field of the mount table, in which the kernel writes blanks and backslashes as octal."""
    parts = text.split(b"\\")
    return os.fsdecode(parts[0] + b"".join(bytes([int(part[:3], 8)]) + part[3:] for part in parts[1:]))


def mounted_at(mountpoint: Path) -> MountedAt | None:
    """What is mounted exactly at `mountpoint` (an absolute path), the topmost if several are."""
    found = mounts_at(mountpoint)
    return found[-1] if found else None


def mounts_at(mountpoint: Path) -> list[MountedAt]:
    """All that is mounted exactly at `mountpoint` (an absolute path), one on top of the other."""
    return [entry for entry in mount_table() if entry.path == str(mountpoint)]


def absolute(mountpoint: Path | str) -> Path:
    """The mountpoint as the mount table writes it; what is mounted there is not asked, for it may be dead."""
    path = Path(os.path.abspath(mountpoint))
    try:
        os.readlink(path)
    except OSError:
        return path.parent.resolve() / path.name if path.name else path
    return path.resolve()


def is_stale(mountpoint: Path) -> bool:
    """Whether a mount lies there whose daemon is dead ("Transport endpoint is not connected").

    By statvfs(), for which the kernel asks the daemon each time: what it knows of attributes outlives that. Of a daemon
    that hangs no answer comes, so where one is known to live it is not asked: see `is_dead()`.
    """
    try:
        os.statvfs(mountpoint)
    except OSError as error:
        return error.errno in (errno.ENOTCONN, errno.ECONNABORTED)
    return False


def dead_mounts(living: Iterable[Record]) -> list[MountedAt]:
    """The mounts of vfs that have no daemon any more; those of the `living` are not asked, for they may hang."""
    known = {record.mountpoint for record in living}
    ours = (entry for entry in mount_table() if entry.kind == MOUNT_TYPE and entry.path not in known)
    return [entry for entry in ours if is_stale(Path(entry.path))]


def is_dead(mountpoint: Path) -> bool:
    """Whether a mount lies there that has no daemon any more; never waits for one of the user's own that hangs."""
    from vfs.mounts.control import is_listening
    from vfs.mounts.records import find

    lying = mounted_at(mountpoint)
    record = find(mountpoint) if lying is not None and lying.kind == MOUNT_TYPE else None
    # The first process of a container may be taken for that of the one before: so the daemon has to have its socket.
    if record is not None and is_listening(record.socket):
        return False
    return is_stale(mountpoint)


def prepare(mountpoint: Path) -> None:
    """Make sure that `mountpoint` can be mounted on, cleaning up after a dead daemon; MountpointError."""
    if is_dead(mountpoint):
        detach(mountpoint, lazy=True)
    where = str(mountpoint)
    lying = mounted_at(mountpoint)
    if lying is not None and lying.kind.startswith("fuse"):
        words = f"{lying.source} is mounted at {where!r} already"
        raise MountpointError(f"{words}; unmount it with: vfs unmount {where}")
    try:
        if not mountpoint.is_dir():
            if mountpoint.exists():
                raise MountpointError(f"{where!r} is a file; a mountpoint is an empty directory")
            raise MountpointError(f"{where!r} does not exist; make it with: mkdir -p {where}")
        if next(mountpoint.iterdir(), None) is not None:
            raise MountpointError(f"{where!r} is not empty; mount at an empty directory, its files would be hidden")
    except PermissionError as error:
        raise MountpointError(f"{where!r} cannot be read: {error.strerror}") from error


def detach(mountpoint: Path, *, lazy: bool) -> None:
    """One try to unmount; OSError: EBUSY when it is in use, EINVAL when nothing is mounted there; else MountError."""
    if os.geteuid() == 0 and os.uname().sysname == "Linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.umount2(os.fsencode(mountpoint), MNT_DETACH if lazy else 0) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(mountpoint))
        return
    command = _unmount_command(lazy)
    result = subprocess.run([*command, str(mountpoint)], capture_output=True, text=True, check=False)
    if result.returncode == 0:
        return
    words = result.stderr.strip()
    if "busy" in words.lower():
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(mountpoint))
    if "not found" in words or "not mounted" in words:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), str(mountpoint))
    raise MountError(words or f"{command[0]} failed with exit code {result.returncode}")


def _unmount_command(lazy: bool) -> list[str]:
    for name in ("fusermount3", "fusermount"):
        if shutil.which(name):
            return [name, "-u", *["-z"] * lazy]
    return ["umount", *["-l"] * lazy]


def unmount(
    mountpoint: Path | str,
    *,
    wait: float = 10.0,
    lazy: bool = False,
    drain: float | None = None,
    on_busy: Callable[[str], None] | None = None,
) -> list[str]:
    """Unmount and return when the daemon has stored everything and ended.

    While the mountpoint is in use it is tried again for `wait` seconds, and after the first of them `on_busy` is told
    who uses it; `lazy` takes it out of the tree at once. With `drain` the storage has so many seconds, and the names of
    what is left to the next mount are returned.
    MountError when nothing is mounted there, when it stays busy (naming who keeps it so), or when something could not
    be stored.
    """
    from vfs.mounts.records import find

    path = absolute(mountpoint)
    record = find(path)
    lying = mounted_at(path)
    if lying is not None and lying.kind != MOUNT_TYPE:
        raise MountError(f"what is mounted at {str(path)!r} is {lying.kind}, not a mount of vfs; use umount")
    if record is None and (lying is None or not lazy) and is_stale(path):
        detach(path, lazy=True)
        return []
    if lying is None and record is None:
        raise MountError(_nothing_at(path))
    left = _drain(record, drain) if record is not None and not lazy else []
    began = time.monotonic()
    while True:
        try:
            detach(path, lazy=lazy)
            break
        except OSError as error:
            if error.errno == errno.EINVAL and record is not None:
                break  # it is out of the tree, and served to those who have files open
            if error.errno != errno.EBUSY:
                raise MountError(f"cannot unmount {str(path)!r}: {error.strerror}") from error
            _require_nothing_below(path)
            waited = time.monotonic() - began
            if waited > wait:
                raise MountError(f"{_busy(path)}. Close what is open there, or unmount with --lazy") from error
            if waited > 1 and on_busy is not None:
                on_busy(_busy(path))
                on_busy = None
            time.sleep(POLL)
    if record is not None and not lazy and not record.wait_for_end(wait):
        raise MountError(f"unmounted, but the daemon {record.pid} still runs: {_why_alive(lying)}; see {record.log}")
    return left


def _drain(record: Record, seconds: float | None) -> list[str]:
    """Have the daemon store what is pending, for `seconds` at most; returns what is left then, else MountError."""
    if seconds is not None:
        left: list[str] = record.ask("drain", timeout=None, seconds=seconds)["failed"]
        return left
    unsaved = record.ask("drain", timeout=None).get("failed", [])
    if unsaved:
        raise MountError(
            f"{len(unsaved)} file(s) could not be stored, the first is {unsaved[0]!r}; the log {record.log} says "
            f"why. Mend that and try again, or leave them to the next mount with --drain SECONDS"
        )
    return []


def _why_alive(lying: MountedAt | None) -> str:
    elsewhere = [f"{name} ({pid})" for pid, name in _holders(lying.device)] if lying is not None else []
    if not elsewhere:
        return "files are open, or it hangs"
    return f"it is mounted in another mount namespace too, that of {', '.join(elsewhere[:5])}, and lives as long"


def _holders(device: int) -> Iterator[tuple[int, str]]:
    """The processes in whose mount namespace the filesystem with this `st_dev` is mounted."""
    import psutil

    for process in psutil.process_iter():
        try:
            if any(entry.device == device for entry in mount_table(process.pid)):
                yield process.pid, process.name()
        except (psutil.Error, OSError):
            continue  # it ended, or is not ours to look at


def _nothing_at(path: Path) -> str:
    ours = [entry.path for entry in mount_table() if entry.kind == MOUNT_TYPE]
    if not ours:
        return f"nothing is mounted at {str(path)!r}"
    return f"nothing is mounted at {str(path)!r} in this namespace; mounted are {', '.join(map(repr, ours))}"


def _require_nothing_below(path: Path) -> None:
    """MountError where other filesystems are mounted below `path`."""
    below = [entry.path for entry in mount_table() if entry.path.startswith(f"{path}/")]
    if below:
        shown = ", ".join(map(repr, below[:3])) + ", ..." * (len(below) > 3)
        raise MountError(f"{str(path)!r} is busy: something is mounted at {shown}; unmount that first")


def _busy(path: Path) -> str:
    users = [f"{name} ({pid})" for pid, name in _users(path)]
    who = f": {', '.join(users[:5])} use it" if users else ""
    return f"{str(path)!r} is busy{who}"


def _users(path: Path) -> Iterator[tuple[int, str]]:
    """The processes that have a file or their current directory below `path`."""
    import psutil

    def below(name: str) -> bool:
        return name == str(path) or name.startswith(f"{path}/")

    for process in psutil.process_iter():
        try:
            if any(map(below, _paths_of(process))):
                yield process.pid, process.name()
        except (psutil.Error, OSError):
            continue  # it ended, or is not ours to look at


def _paths_of(process: psutil.Process) -> Iterator[str]:
    """Where a process is, what it runs, and what it has open.

    On Linux these are only read as names: psutil looks at what is open, and would hang with a mount that does.
    """
    if sys.platform != "linux":
        yield from (process.cwd(), process.exe(), *(file.path for file in process.open_files()))
        return
    folder = f"/proc/{process.pid}"
    for link in ("cwd", "exe", *(f"fd/{number}" for number in os.listdir(f"{folder}/fd"))):
        with suppress(FileNotFoundError):  # it was closed this very moment
            yield os.readlink(f"{folder}/{link}")


def abort_connection(mountpoint: Path, device: int) -> None:
    """End the kernel's connection of the mount with this `st_dev`: every request on it fails, and nobody hangs."""
    control = Path(f"/sys/fs/fuse/connections/{os.minor(device)}/abort")
    if control.exists():
        control.write_text("1")
    elif os.geteuid() == 0 and (top := mounted_at(mountpoint)) and top.device == device:  # in containers, no fusectl
        ctypes.CDLL(None).umount2(os.fsencode(mountpoint), MNT_FORCE | MNT_DETACH)
