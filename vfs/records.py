"""What is known of the running mounts: a record on disk for each daemon, and a socket to ask it.

Records are in a folder of the user (0700). A record without its process, or with a recycled process id, is swept when
it is seen. The socket takes one word a connection and answers with one JSON object.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import select
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

logger = logging.getLogger("vfs")

ANSWER_SECONDS = 60.0
"""How long a daemon may take for an answer: a drain stores everything that is pending."""


def runtime_folder() -> Path:
    """The folder of the records, made if need be; PermissionError when somebody else owns it."""
    if os.geteuid() == 0:
        folder = Path("/run/vfs") if Path("/run").is_dir() else Path("/var/run/vfs")
    elif os.environ.get("XDG_RUNTIME_DIR"):
        folder = Path(os.environ["XDG_RUNTIME_DIR"]) / "vfs"
    else:
        folder = Path(f"/tmp/vfs-{os.geteuid()}")  # noqa: S108 - checked below to be ours
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise PermissionError(f"{folder} must belong to you alone (mode 0700)")
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
    def _stem(self) -> Path:
        return _stem(Path(self.mountpoint))

    @property
    def socket(self) -> Path:
        """Where the daemon listens."""
        return self._stem.with_suffix(".sock")

    def write(self) -> None:
        """Put the record on disk."""
        path = self._stem.with_suffix(".json")
        temporary = path.with_suffix(f".{self.pid}")
        temporary.write_text(json.dumps(dataclasses.asdict(self)))
        temporary.replace(path)

    def remove(self) -> None:
        """Take it off the disk, unless a newer mount at the same place has put its own there."""
        path = self._stem.with_suffix(".json")
        with contextlib.suppress(FileNotFoundError):
            if json.loads(path.read_text())["pid"] == self.pid:
                path.unlink()
                self.socket.unlink(missing_ok=True)

    def is_alive(self) -> bool:
        """Whether the process of the record still runs."""
        import psutil

        try:
            process = psutil.Process(self.pid)
            return abs(process.create_time() - self.process_started) < 2 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

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

    def ask(self, command: str) -> dict[str, Any]:
        """The daemon's answer to `command` ("status" or "drain"); OSError when it does not answer."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_SECONDS)
            connection.connect(str(self.socket))
            connection.sendall(command.encode() + b"\n")
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        result: dict[str, Any] = json.loads(answer)
        if "error" in result:
            raise OSError(f"the daemon answered: {result['error']}")
        return result


def _wait_for_end(pid: int, seconds: float) -> bool:
    descriptor = os.pidfd_open(pid)
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
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
        else:
            record.remove()
    return sorted(found, key=lambda record: record.started)


def find(mountpoint: Path) -> Record | None:
    """The living daemon of the mount at `mountpoint`, an absolute path."""
    return next((record for record in records() if record.mountpoint == str(mountpoint)), None)


class ControlSocket:
    """A daemon's ear: answers the commands of `Record.ask` in a thread of its own."""

    def __init__(self, path: Path, answers: dict[str, Callable[[], dict[str, Any]]]) -> None:
        """Listen at `path`; each command is answered by the function of that name."""
        path.unlink(missing_ok=True)
        self._answers = answers
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        self._thread = threading.Thread(target=self._listen, name="vfs-control", daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._serve, args=(connection,), name="vfs-answer", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(ANSWER_SECONDS)
            try:
                command = connection.makefile("rb").readline().decode().strip()
                answer = self._answers.get(command, lambda: {"error": f"unknown command {command!r}"})()
                connection.sendall(json.dumps(answer).encode())
            except OSError:
                logger.debug("a client of the control socket went away")

    def close(self) -> None:
        """Stop listening."""
        with contextlib.suppress(OSError):  # not connected, on some systems
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
