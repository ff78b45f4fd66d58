"""A crew of processes that write, rename and delete at once, and one of its workers; also a program.

    python crew.py DIRECTORY SECONDS SEED

forks `CREW` processes that work below DIRECTORY for so long, and prints how many steps they did together. Each worker
has files of its own, whose content says what it is, and moves them between directories that all use; it also fights
with the others over a few names. So for a worker's own files every error is one too many, and for the common ones only
what POSIX gives to who comes late.
"""

from __future__ import annotations

import errno
import hashlib
import os
import random
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kernel import Calls, Mounted

CREW = 20
LEAST = 10
"""Steps of each, however slow the machine is just now."""
FILES = 8
"""Each has so many at the most: all are read once more at the end, which takes its time when others work as well."""
DIRECTORIES = ("one", "two", "two/deep")
LATE = {errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY}
"""What POSIX says to who comes late to a common name."""
MOST = 1 << 20
"""Bytes, more than any file has."""


def sealed(chance: random.Random) -> bytes:
    """Content that can be told from any other, and from a part or a mixture: a digest and what it is of."""
    body = chance.randbytes(chance.choice((0, 10, 1000, 30_000)))
    return hashlib.sha256(body).digest() + body


def is_whole(data: bytes) -> bool:
    return hashlib.sha256(data[32:]).digest() == data[:32]


class Worker:
    """One of many that write, read, rename and delete in the same directories."""

    def __init__(self, calls: Calls, number: int, seed: int) -> None:
        self.calls = calls
        self.number = number
        self.chance = random.Random(seed * 1000 + number)
        self.own: dict[str, bytes] = {}
        self.made = 0
        self.steps = 0

    def run(self, until: float) -> None:
        while time.monotonic() < until or self.steps < LEAST:
            self.steps += 1
            self.chance.choice((self._make, self._rewrite, self._check, self._move, self._delete, self._fight))()
        for path in list(self.own):
            self._verify(path)
            self.calls.unlink(path)

    def _make(self) -> None:
        if len(self.own) < FILES:
            self.made += 1
            path = f"{self.chance.choice(DIRECTORIES)}/{self.number}-{self.made}"
            self._write(path, os.O_EXCL)

    def _write(self, path: str, flags: int) -> None:
        data = sealed(self.chance)
        fd = self.calls.open(path, os.O_CREAT | os.O_WRONLY | flags)
        try:
            half = self.chance.randrange(len(data) + 1)
            assert self.calls.write(fd, data[:half], 0) == half
            assert self.calls.write(fd, data[half:], half) == len(data) - half
        finally:
            self.calls.close(fd)
        self.own[path] = data

    def _pick(self) -> str | None:
        return self.chance.choice(sorted(self.own)) if self.own else None

    def _rewrite(self) -> None:
        if path := self._pick():
            self._write(path, os.O_TRUNC)

    def _check(self) -> None:
        if path := self._pick():
            self._verify(path)
            directory, _, name = path.rpartition("/")
            assert name in self.calls.listdir(directory), f"{path} is not listed"

    def _verify(self, path: str) -> None:
        assert self._read(path) == self.own[path], f"{path} has another content"
        assert self.calls.stat(path).size == len(self.own[path])

    def _read(self, path: str) -> bytes:
        fd = self.calls.open(path, os.O_RDONLY)
        try:
            return self.calls.read(fd, MOST, 0)
        finally:
            self.calls.close(fd)

    def _move(self) -> None:
        if path := self._pick():
            new = f"{self.chance.choice(DIRECTORIES)}/{path.rpartition('/')[2]}"
            self.calls.rename(path, new)
            self.own[new] = self.own.pop(path)

    def _delete(self) -> None:
        if path := self._pick():
            self.calls.unlink(path)
            del self.own[path]

    def _fight(self) -> None:
        """Over names that all use: a file put in place by rename is whole whenever it is there."""
        common = f"{self.chance.choice(DIRECTORIES)}/common{self.chance.randrange(3)}"
        choice = self.chance.randrange(5)
        if choice == 0:
            temporary = f"{common}.{self.number}"
            self._write(temporary, os.O_EXCL)
            self._late(self.calls.rename, temporary, common)
            del self.own[temporary]
        elif choice == 1:
            self._late(self.calls.unlink, common)
        elif choice == 2:
            data = self._late(self._read, common)
            assert data is None or is_whole(data), f"{common} is not whole"
        elif choice == 3:
            self._late(self.calls.rename, common, f"{common}.{self.number}.mine")
            self._late(self.calls.unlink, f"{common}.{self.number}.mine")
        else:
            self._late(self.calls.mkdir, f"{common}.directory")
            self._late(self.calls.rmdir, f"{common}.directory")

    def _late(self, call: Callable[..., Any], *args: Any) -> Any:
        try:
            return call(*args)
        except OSError as error:
            if error.errno not in LATE:
                raise
            return None


def prepare(calls: Calls) -> None:
    for directory in DIRECTORIES:
        calls.mkdir(directory)


def clean(calls: Calls) -> None:
    """Only what was fought over may be left; remove it all."""
    for directory in reversed(DIRECTORIES):
        for name in calls.listdir(directory):
            path = f"{directory}/{name}"
            assert name.startswith("common"), f"{path} is left over"
            if name.endswith(".directory"):
                calls.rmdir(path)
            else:
                calls.unlink(path)
        calls.rmdir(directory)
    assert calls.listdir("") == []


def main(root: str, seconds: float, seed: int) -> int:
    """Fork the crew, wait for all of it; 1 if any of them failed, with its traceback on stderr."""
    until = time.monotonic() + seconds
    reading, writing = os.pipe()
    crew = []
    for number in range(CREW):
        pid = os.fork()
        if not pid:
            os._exit(_work(Worker(Mounted(Path(root)), number, seed), until, writing))
        crew.append(pid)
    os.close(writing)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in crew]
    with open(reading) as steps:
        print(sum(map(int, steps)))
    return int(any(codes))


def _work(worker: Worker, until: float, writing: int) -> int:
    try:
        worker.run(until)
    except BaseException:
        sys.stderr.write(f"worker {worker.number}, step {worker.steps}:\n{traceback.format_exc()}")
        return 1
    os.write(writing, f"{worker.steps}\n".encode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3])))
