"""The pieces of work on a bucket: what is read was put there before, what is written goes below the place's name."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.work import BLOCK, SMALL, Piece, Sizes, Unit, quietly

FULL = Sizes(files=2000, entries=10_000, large=1 << 30, random=5 << 30, operations=1000, seconds=10.0, tree=0)
QUICK = Sizes(files=200, entries=1000, large=64 << 20, random=320 << 20, operations=200, seconds=3.0, tree=0)
DELAYED_ENTRIES = 2000
"""Of the directory that is listed behind a delay: some ask for each entry, one after the other."""
AT_ONCE = 8
"""Files that are copied at the same time."""
CHUNK = 64 << 10
"""Bytes of a random read."""


@dataclass(frozen=True)
class Bench:
    """What a piece needs to know of the place, beside its path."""

    name: str
    """What is written goes below it."""
    durable: Callable[[int], None]
    """Waits until the bucket has so many files that the place has written."""
    stored: Callable[[str], Sequence[int]] | None
    """The sizes of the objects below a key, or None where files are not objects."""
    operator: Callable[[], Any] | None = None
    """OpenDAL's operator, where the work is done without a mount."""


class RemotePiece(Piece):
    """One piece of work on the bucket."""

    def __init__(self, place: Path, sizes: Sizes, tree: Path, bench: Bench) -> None:
        """As `Piece`."""
        super().__init__(place, sizes, tree)
        self.bench = bench

    @property
    def target(self) -> Path:
        """Where the place writes."""
        return self.place / self.bench.name

    def expect(self, sizes: list[int]) -> None:
        """RuntimeError unless the objects that the place has written have these sizes."""
        if self.bench.stored is not None and (found := sorted(self.bench.stored(self.bench.name))) != sorted(sizes):
            raise RuntimeError(f"{len(found)} objects of {sum(found)} bytes in the bucket, not {len(sizes)}")


class ReadLarge(RemotePiece):
    """Read one object from its beginning to its end."""

    name, title, group, unit = "remote-read", "sequential read, cold", "remote-large", Unit.BYTES

    def run(self) -> int:
        """In blocks of 1 MiB."""
        buffer = bytearray(BLOCK)
        read = 0
        with open(self.place / "large/file", "rb", buffering=0) as file:
            while count := file.readinto(buffer):
                read += count
        return read

    def check(self) -> None:
        """Nothing: `run` has counted."""


class DownloadLarge(ReadLarge):
    """The same without a mount."""

    def run(self) -> int:
        """As OpenDAL does it by itself."""
        assert self.bench.operator is not None
        read = 0
        with self.bench.operator().open("large/file", "rb") as file:
            while block := file.read(BLOCK):
                read += len(block)
        return read


class List(RemotePiece):
    """`ls -l` of a directory."""

    name, title, group = "remote-ls", "ls -l, cold (entries)", "remote-listing"

    def prepare(self) -> None:
        """Go there: to find it is not the work."""
        os.chdir(self.place / "listing")

    def warm(self) -> None:
        """Load ls."""
        quietly("ls", "-l", "/dev")

    def run(self) -> int:
        """The real ls."""
        quietly("ls", "-l")
        return self.sizes.entries


class CopyIn(RemotePiece):
    """Write small files, several at once, each durable."""

    name, title, group = "remote-copy-in", f"write 4 KiB files, {AT_ONCE} at once", "remote-in"

    def prepare(self) -> None:
        """Make their directory."""
        self.content = os.urandom(SMALL)
        self.target.mkdir(exist_ok=True)
        self.folder.mkdir()

    @property
    def folder(self) -> Path:
        """Their directory."""
        return self.target / "copied"

    def run(self) -> int:
        """Create, write, close, and wait until the bucket has them."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(self.write, range(self.sizes.files)))
        self.bench.durable(self.sizes.files)
        return self.sizes.files

    def write(self, number: int) -> None:
        """One of them."""
        descriptor = os.open(self.folder / f"file-{number:06}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        os.write(descriptor, self.content)
        os.close(descriptor)

    def check(self) -> None:
        """All of them are there."""
        self.expect([SMALL] * self.sizes.files)


class CopyOut(RemotePiece):
    """Read small files, several at once."""

    name, title, group = "remote-copy-out", f"read 4 KiB files, {AT_ONCE} at once, cold", "remote-out"

    def run(self) -> int:
        """List the directory and read what is in it, as one who copies it does."""
        names = os.listdir(self.place / "small")
        with ThreadPoolExecutor(AT_ONCE) as pool:
            sizes = list(pool.map(self.read, names))
        if sizes != [SMALL] * self.sizes.files:
            raise OSError(f"read {sum(sizes)} bytes of {len(sizes)} files")
        return len(sizes)

    def read(self, name: str) -> int:
        """One of them; its size."""
        with open(self.place / "small" / name, "rb", buffering=0) as file:
            return len(file.read())


class RandomRead(RemotePiece):
    """Read at random places of a large object."""

    name, title, group, unit = "remote-random", "random 64 KiB reads", "remote-random", Unit.BYTES

    def prepare(self) -> None:
        """Think of the places."""
        places = random.Random(7)  # noqa: S311 - to be the same everywhere
        last = self.sizes.random // SMALL - CHUNK // SMALL
        self.offsets = [places.randrange(last) * SMALL for _ in range(self.sizes.operations)]

    def run(self) -> int:
        """One after the other, until the time is over; the bytes that were asked for."""
        buffers, asked = [bytearray(CHUNK)], 0
        end = time.perf_counter() + self.sizes.seconds
        descriptor = os.open(self.place / "random/file", os.O_RDONLY)
        for offset in self.offsets:
            asked += os.preadv(descriptor, buffers, offset)
            if time.perf_counter() > end:
                break
        os.close(descriptor)
        return asked


class WriteLarge(RemotePiece):
    """Write one object."""

    name, title, group, unit = "remote-write", "sequential write, durable", "remote-write", Unit.BYTES

    def prepare(self) -> None:
        """Begin with a disk at rest."""
        self.content = os.urandom(BLOCK)
        self.target.mkdir(exist_ok=True)
        os.sync()

    def run(self) -> int:
        """From its beginning to close(2), and until the bucket has it."""
        descriptor = os.open(self.target / "large", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644)
        for _ in range(self.sizes.large // BLOCK):
            if os.write(descriptor, self.content) != BLOCK:
                raise OSError("a short write")
        os.close(descriptor)
        self.bench.durable(1)
        return self.sizes.large

    def check(self) -> None:
        """It is there."""
        self.expect([self.sizes.large])


class UploadLarge(WriteLarge):
    """The same without a mount."""

    def prepare(self) -> None:
        """Connect."""
        assert self.bench.operator is not None
        self.content = os.urandom(BLOCK)
        self.operator = self.bench.operator()
        os.sync()

    def run(self) -> int:
        """As OpenDAL does it by itself, with parts as large, and as many at once, as the storage's."""
        with self.operator.open(f"{self.bench.name}/large", "wb", chunk=8 << 20, concurrent=4) as file:
            for _ in range(self.sizes.large // BLOCK):
                file.write(self.content)
        return self.sizes.large


PIECES: tuple[type[RemotePiece], ...] = (ReadLarge, List, CopyIn, CopyOut, RandomRead, WriteLarge)
"""All of them, in the order in which they are done."""
BARE: dict[type[RemotePiece], type[RemotePiece]] = {ReadLarge: DownloadLarge, WriteLarge: UploadLarge}
"""What stands for them where there is no mount."""
