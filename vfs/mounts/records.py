"""What is known of the running mounts: a record on disk for each daemon, and beside it the socket to ask it by.

Records are in a folder of the user (0700). A record without its process, or with a recycled process id, is swept when
it is seen, by whoever sees it: maybe just when a new daemon at the same place writes its own. So they are written and
removed under a lock, and each process has a socket of its own. How a daemon is spoken with is a matter of
vfs.mounts.control.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import logging
import os
import select
import sys
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vfs.mounts.control import ANSWER_SECONDS, ask, follow, is_listening
from vfs.mounts.mountpoint import MOUNT_TYPE, mount_table
from vfs.private_folders import make_private

if TYPE_CHECKING:
    import psutil

logger = logging.getLogger("vfs")


def runtime_folder() -> Path:
    """The folder of the records, made if need be; PermissionError when somebody else owns it."""
    if os.geteuid() == 0:
        folder = Path("/run/vfs") if Path("/run").is_dir() else Path("/var/run/vfs")
    elif os.environ.get("XDG_RUNTIME_DIR"):
        folder = Path(os.environ["XDG_RUNTIME_DIR"]) / "vfs"
    else:
        folder = Path(f"/tmp/vfs-{os.geteuid()}")  # noqa: S108 - checked below to be ours
    make_private(folder)
    return folder


@dataclass(frozen=True, slots=True)
class Record:
    """One running mount: who serves it, and where."""

    pid: int
    process_started: float
    alias: str
    backend: str
    mountpoint: str
    transport: str
    options: dict[str, Any]
    log: str
    started: float
    """Seconds since the epoch."""

    @property
    def _path(self) -> Path:
        return _stem(Path(self.mountpoint)).with_suffix(".json")

    @property
    def socket(self) -> Path:
        """Where the daemon listens."""
        return self._path.with_suffix(f".{self.pid}.sock")

    def write(self) -> None:
        """Put the record on disk, in the place of what another daemon has left there."""
        path = self._path
        temporary = path.with_suffix(f".{self.pid}")
        try:
            temporary.write_text(json.dumps(dataclasses.asdict(self)))
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        with _changing(path.parent):
            for socket in path.parent.glob(f"{path.stem}.*.sock"):
                if socket != self.socket:
                    socket.unlink()
            temporary.replace(path)

    def remove(self) -> None:
        """Take it off the disk, unless a newer mount at the same place has put its own there."""
        path = self._path
        with _changing(path.parent), contextlib.suppress(FileNotFoundError):
            self.socket.unlink(missing_ok=True)
            if json.loads(path.read_text())["pid"] == self.pid:
                path.unlink()

    def is_alive(self) -> bool:
        """Whether the process of the record still runs."""
        import psutil

        process = self._process()
        try:
            return process is not None and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def is_in_the_tree(self) -> bool:
        """Whether its mount is to be seen from here; not one that is ending, nor one in another mount namespace."""
        table = mount_table()
        return not table or any(entry.path == self.mountpoint and entry.kind == MOUNT_TYPE for entry in table)

    def is_elsewhere(self) -> bool:
        """Whether the process runs in a container that shares the folder, and cannot be seen from here."""
        return self._process() is None and is_listening(self.socket)  # one that dies here may still have its socket

    def _process(self) -> psutil.Process | None:
        """The process of the record, where it is to be seen, also as a zombie."""
        import psutil

        try:
            process = psutil.Process(self.pid)
            return process if abs(process.create_time() - self.process_started) < 2 else None
        except psutil.NoSuchProcess:
            return None

    def wait_for_end(self, seconds: float) -> bool:
        """Wait until the process has ended; whether it has.

        It may stay in the process table for long after that, as a zombie, where PID 1 is slow to collect those.
        """
        import psutil

        if not self.is_alive():
            return True
        try:
            if sys.platform == "linux":
                return _wait_for_end(self.pid, seconds)
            psutil.Process(self.pid).wait(seconds)
        except (ProcessLookupError, psutil.NoSuchProcess):
            return True
        except psutil.TimeoutExpired:
            return False
        return True

    def ask(self, command: str, /, *, timeout: float | None = ANSWER_SECONDS, **arguments: Any) -> dict[str, Any]:
        """The daemon's answer to `command` (vfs.mounts.daemon has them all); OSError, also when it does not answer."""
        return ask(self.socket, command, timeout=timeout, **arguments)

    def follow(self, command: str, /, **arguments: Any) -> Generator[dict[str, Any], None, None]:
        """What the daemon goes on to answer, until it ends; OSError."""
        return follow(self.socket, command, **arguments)


def _wait_for_end(pid: int, seconds: float) -> bool:
    descriptor = os.pidfd_open(pid)
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _changing(folder: Path) -> Iterator[None]:
    """A block in which nobody else writes or removes a record."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _stem(mountpoint: Path) -> Path:
    digest = hashlib.blake2b(os.fsencode(mountpoint), digest_size=8).hexdigest()
    return runtime_folder() / digest


def records() -> list[Record]:
    """The records of the user's living daemons, oldest first."""
    found = []
    for path in runtime_folder().glob("*.json"):
        try:
            record = Record(**json.loads(path.read_text()))
        except FileNotFoundError:
            continue  # it ended while we looked
        except (TypeError, ValueError):
            logger.warning("left alone: the record %s, which another version of vfs has written", path)
            continue
        if record.is_alive():
            found.append(record)
        elif not record.is_elsewhere():
            record.remove()
    return sorted(found, key=lambda record: record.started)


def find(mountpoint: Path) -> Record | None:
    """The living daemon of the mount at `mountpoint`, an absolute path."""
    return next((record for record in records() if record.mountpoint == str(mountpoint)), None)
