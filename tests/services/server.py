"""A server process: started on a free port, waited for, stopped by its pid; and what to do where it is not installed.

Each of these servers writes a line when it takes connections. So nothing here tries a port again and again: a thread
copies what the process says to its log, and `start` waits for that line, for the end of the process, or the deadline.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Self

import psutil
import pytest

HOST = "127.0.0.1"
START_WITHIN = 30.0
STOP_WITHIN = 5.0
_ATTEMPTS = 3  # another process may take the free port before the server does

ROOT = Path(__file__).parents[2]


class ServerError(Exception):
    """A server did not start; the message ends with what it said."""


class Server:
    """One server with a folder of its own; `command`, `READY` and `NEEDS` are what the kinds differ in."""

    NEEDS: ClassVar[tuple[str, ...]]
    """What must be installed: modules by their names, files and commands by their paths."""

    READY: ClassVar[str]
    """A regular expression that a line of its output matches once it takes connections."""

    def __init__(self, folder: Path) -> None:
        """A server that is not running yet; its configuration, log and, for some, what it stores are in `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._log = _Log(folder / "log")

    def command(self) -> list[str]:
        """What to run, once `port` is chosen."""
        raise NotImplementedError

    def start(self) -> Self:
        """Run it; ServerError if it ends or says nothing in time."""
        for _ in range(_ATTEMPTS):
            self.port = free_port()
            if self._run():
                return self
        raise ServerError(f"{type(self).__name__} did not start: {self._log.end()}")

    def stop(self) -> None:
        """End it, also if it is paused; nothing if it isn't running."""
        process, self._process = self._process, None
        if process is None:
            return
        for one in _family(process.pid):
            _send(one, signal.SIGKILL)  # what it stores ends with it, and a paused one hears nothing else
        process.wait()
        self._log.close()

    def pause(self) -> None:
        """Let it hang: connections are still taken by the kernel, and nothing is answered until `resume`."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """End a pause."""
        self._signal(signal.SIGCONT)

    def log(self) -> str:
        """All that it has written."""
        return self._log.path.read_text(errors="replace")

    def __enter__(self) -> Self:
        """Start it."""
        return self.start()

    def __exit__(self, *exception: object) -> None:
        """Stop it."""
        self.stop()

    def _run(self) -> bool:
        self._process = subprocess.Popen(
            [*_ends_with_us(), *self.command()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,  # a Ctrl-C is for the tests, which then stop it
        )
        if self._log.follow(self._process, self.READY):
            return True
        self.stop()
        return False

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, f"{type(self).__name__} is not running"
        for one in _family(self._process.pid):
            _send(one, number)


class _Log:
    """What a process writes, in a file, and the wait for one line of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._thread: threading.Thread | None = None

    def follow(self, process: subprocess.Popen[bytes], ready: str) -> bool:
        """Copy from now on to the end; True once a line matches, False if the process ends before or takes too long."""
        pattern = re.compile(ready.encode())
        decided = threading.Event()
        found = False

        def copy() -> None:
            nonlocal found
            assert process.stdout is not None
            with process.stdout as lines, self.path.open("ab", buffering=0) as log:
                for line in lines:
                    log.write(line)
                    if not found and pattern.search(line):
                        found = True
                        decided.set()
            decided.set()

        self._thread = threading.Thread(target=copy, name=f"log of {self.path.parent.name}", daemon=True)
        self._thread.start()
        decided.wait(START_WITHIN)
        return found

    def close(self) -> None:
        if self._thread is not None:
            self._thread.join(STOP_WITHIN)

    def end(self) -> str:
        return self.path.read_text(errors="replace")[-2000:] or "it said nothing"


def _family(pid: int) -> list[psutil.Process]:
    """The server and the processes that it serves its connections with, as sshd does."""
    try:
        server = psutil.Process(pid)
        return [server, *server.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _send(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def program(name: str) -> str | None:
    """A command's path: the system's, or the one that pip put beside this interpreter."""
    return shutil.which(name) or shutil.which(name, path=Path(sys.executable).parent)


def require(*needs: str) -> None:
    """Skip the test where modules, commands or files are not installed, and say what installs them; in CI it fails."""
    gone = [need for need in needs if not _is_there(need)]
    if not gone:
        return
    reason = f"{', '.join(gone)} not installed: scripts/services installs what these tests need"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def _is_there(need: str) -> bool:
    if Path(need).is_absolute():
        return Path(need).exists()
    if program(need) is not None:
        return True
    try:
        return importlib.util.find_spec(need) is not None
    except ModuleNotFoundError:  # of the package that a module is in
        return False


def _ends_with_us() -> list[str]:
    """A prefix that ends the process when the tests are killed, where there is one."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []
