"""Work on the content of large files: in one go, and at random places."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable

from benchmark.work import BLOCK, SMALL, Piece, Unit

LOOK_AT_CLOCK = 64
"""Random operations between two looks at the clock."""


class LargeFile(Piece):
    """Work on one file of `sizes.large` bytes, in blocks of 1 MiB."""

    group, unit = "large", Unit.BYTES

    @property
    def path(self) -> str:
        """The file."""
        return str(self.folder / "file")

    def prepare(self) -> None:
        """Write the file where an earlier piece has not."""
        self.buffer = bytearray(os.urandom(BLOCK))
        self.folder.mkdir(exist_ok=True)
        if not os.path.exists(self.path):
            self.write()

    def write(self) -> int:
        """Write it from its beginning to close(2)."""
        descriptor = os.open(self.path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644)
        for _ in range(self.sizes.large // BLOCK):
            if os.write(descriptor, self.buffer) != BLOCK:
                raise OSError("a short write")
        os.close(descriptor)
        return self.sizes.large

    def read(self) -> int:
        """Read it to its end."""
        descriptor = os.open(self.path, os.O_RDONLY)
        read, into = 0, [self.buffer]
        while count := os.readv(descriptor, into):
            read += count
        os.close(descriptor)
        if read != self.sizes.large:
            raise OSError(f"read {read} bytes of {self.sizes.large}")
        return read


class WriteLarge(LargeFile):
    """Write a new file."""

    name, title = "write", "sequential write"

    def prepare(self) -> None:
        """Start without the file, and with a disk at rest."""
        self.clean(self.place)
        self.buffer = bytearray(os.urandom(BLOCK))
        self.folder.mkdir()
        os.sync()

    def run(self) -> int:
        """Write it."""
        return self.write()


class ReadLargeCold(LargeFile):
    """Read a file of which nothing is in the kernel's cache."""

    name, title, cold = "seq-read-cold", "sequential read, cold", True

    def run(self) -> int:
        """Read it."""
        return self.read()


class ReadLargeWarm(LargeFile):
    """Read a file that was read a moment ago."""

    name, title = "seq-read-warm", "sequential read, warm"

    def prepare(self) -> None:
        """Read it once."""
        super().prepare()
        self.read()

    def run(self) -> int:
        """Read it again."""
        return self.read()


class Random(Piece):
    """4 KiB at random places of a file that is open for reading and writing and was read once."""

    group = "random"

    def prepare(self) -> None:
        """Open the file, which a place may have been given before it was mounted, and read it."""
        self.folder.mkdir(exist_ok=True)
        path = self.folder / "file"
        if not path.exists():
            self.fill()
        self.descriptor = os.open(path, os.O_RDWR)
        while os.read(self.descriptor, BLOCK):
            pass
        pages = random.Random(7)  # noqa: S311 - to be the same in every place
        count = min(self.sizes.operations, 1 << 20)
        self.offsets = [pages.randrange(self.sizes.random // SMALL) * SMALL for _ in range(count)]

    def fill(self) -> None:
        """Write the file."""
        self.folder.mkdir(exist_ok=True)
        content = os.urandom(BLOCK)
        with open(self.folder / "file", "wb", buffering=0) as file:
            file.writelines(content for _ in range(self.sizes.random // BLOCK))

    def do_all(self, operation: Callable[[int, list[bytearray], int], int]) -> int:
        """`operation` at each place, until there are none left or the time is over."""
        descriptor, buffers, offsets = self.descriptor, [bytearray(os.urandom(SMALL))], self.offsets
        end = time.perf_counter() + self.sizes.seconds
        for start in range(0, len(offsets), LOOK_AT_CLOCK):
            for offset in offsets[start : start + LOOK_AT_CLOCK]:
                operation(descriptor, buffers, offset)
            if time.perf_counter() > end:
                return start + LOOK_AT_CLOCK
        return len(offsets)


class RandomRead(Random):
    """pread(2) of 4 KiB."""

    name, title = "random-read", "random 4 KiB reads"

    def run(self) -> int:
        """Read."""
        return self.do_all(os.preadv)


class RandomWrite(Random):
    """pwrite(2) of 4 KiB."""

    name, title = "random-write", "random 4 KiB writes"

    def run(self) -> int:
        """Write."""
        return self.do_all(os.pwritev)
