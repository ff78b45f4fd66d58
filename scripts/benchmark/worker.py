"""One piece of work in a process of its own, with the rights of its user, while root looks after caches and counters.

The child prepares and says so; the parent drops the caches, reads the daemon's counters and lets it go; the child
works, and answers with what it did and how long it took.
"""

from __future__ import annotations

import contextlib
import gc
import json
import mmap
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import psutil

from benchmark.work import Piece

PATIENCE = 300.0
"""Seconds that a preparation or a piece may take before it counts as hung."""


class WorkError(Exception):
    """A piece could not be done in a place; the message says why."""


@dataclass(frozen=True)
class User:
    """Who works."""

    name: str
    uid: int
    gid: int

    def become(self) -> None:
        """Give up all other rights, for good."""
        if self.uid != os.geteuid():
            os.setgroups([])
            os.setgid(self.gid)
            os.setuid(self.uid)
            os.environ["HOME"] = "/nonexistent"


ROOT = User("root", 0, 0)


@dataclass(frozen=True)
class Done:
    """What came of a piece."""

    amount: int
    seconds: float


def work(piece: Piece, user: User, before: Callable[[], None]) -> Done:
    """Do `piece` as `user`; `before` is called between its preparation and the work. WorkError."""
    with _child(lambda channel: _do(piece, channel), user) as channel:
        _hear(channel, "preparing")
        before()
        channel.sendall(b"go\n")
        answer = _hear(channel, "working")
        return Done(int(answer["amount"]), answer["seconds"])


def call(function: Callable[[], object], user: User) -> float:
    """Call `function` in a process of `user`, and return the seconds it took, with the process. WorkError."""
    start = time.perf_counter()

    def run(channel: socket.socket) -> None:
        function()
        _say(channel, {})

    with _child(run, user) as channel:
        _hear(channel, "calling")
        return time.perf_counter() - start


@contextlib.contextmanager
def _child(run: Callable[[socket.socket], None], user: User) -> Iterator[socket.socket]:
    """A forked process that runs `run`; it is ended with the block, in whatever state."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        _serve(run, user, theirs)
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _serve(run: Callable[[socket.socket], None], user: User, channel: socket.socket) -> NoReturn:
    """In the child: run, tell what went wrong, and never return into the parent's code."""
    try:
        gc.disable()
        user.become()
        run(channel)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the parent is to hear it
        _say(channel, {"error": f"{type(error).__name__}: {error}"})
    finally:
        os._exit(0)


def _do(piece: Piece, channel: socket.socket) -> None:
    piece.prepare()
    _say(channel, {})
    channel.recv(16)
    piece.warm()
    start = time.perf_counter()
    amount = piece.run()
    seconds = time.perf_counter() - start
    piece.check()
    _say(channel, {"amount": amount, "seconds": seconds})


def _say(channel: socket.socket, answer: dict[str, object]) -> None:
    channel.sendall(json.dumps(answer).encode() + b"\n")


def _hear(channel: socket.socket, doing: str) -> dict[str, float]:
    """The child's next answer; WorkError when it failed, died, or takes too long."""
    if not select.select([channel], [], [], PATIENCE)[0]:
        raise WorkError(f"{doing}: no end after {PATIENCE:.0f} s")
    line = channel.recv(65536)
    if not line:
        raise WorkError(f"{doing}: its process died")
    answer: dict[str, Any] = json.loads(line)
    if "error" in answer:
        raise WorkError(f"{doing}: {answer['error']}")
    return answer


def drop_caches(*, dirty: bool) -> None:
    """Have the kernel forget pages, names and inodes that it can read again; what is `dirty` must be written first."""
    if dirty:
        os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3\n", encoding="ascii")


def warm_memory(size: int) -> None:
    """Touch so many bytes of free memory, or half of all that is free.

    What the host of a virtual machine has taken back costs who touches it first several times what the work costs.
    """
    size = max(min(size, psutil.virtual_memory().available // 2) // mmap.PAGESIZE, 1) * mmap.PAGESIZE
    with mmap.mmap(-1, size) as memory:
        memory[:: mmap.PAGESIZE] = bytes(size // mmap.PAGESIZE)


def cpu_seconds(pid: int) -> float:
    """The CPU time of a process, threads that have ended included; WorkError when there is no such process.

    clock_getcpuclockid(3) makes this clock's number of a process id; it counts nanoseconds, where /proc has ticks.
    """
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError as error:
        raise WorkError(f"the daemon {pid} has died") from error


def peak_memory(pid: int) -> int:
    """The most memory that a process has had resident, in bytes; WorkError when there is no such process."""
    try:
        rows = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError as error:
        raise WorkError(f"the daemon {pid} has died") from error
    return next(int(row.split()[1]) << 10 for row in rows if row.startswith("VmHWM:"))


def settle(pids: list[int], *, longest: float = 3.0) -> None:
    """Wait until the processes do next to nothing twice: what they were asked for earlier is done then."""
    end = time.monotonic() + longest
    before, quiet = sum(map(cpu_seconds, pids)), 0
    while pids and quiet < 2 and time.monotonic() < end:
        time.sleep(0.004)  # there is nothing to wait on: idleness is seen only over a while
        now = sum(map(cpu_seconds, pids))
        quiet = quiet + 1 if now - before < 0.0003 else 0
        before = now
