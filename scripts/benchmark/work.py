"""The pieces of work, and how large they are."""

from __future__ import annotations

import shutil
import subprocess
from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import ClassVar


class Unit(Enum):
    """What is counted."""

    OPERATIONS = "operations"
    BYTES = "bytes"
    SECONDS = "seconds"
    """Nothing: the time itself is the figure, and less is better."""


@dataclass(frozen=True)
class Sizes:
    """How much of each work is done."""

    files: int
    """Small files, of `SMALL` bytes."""
    entries: int
    """Of the directory that is listed."""
    large: int
    """Bytes of the file that is written and read in one go."""
    random: int
    """Bytes of the file that is read and written at random places."""
    operations: int
    """How many random reads or writes, at most ..."""
    seconds: float
    """... and how long for them, at most."""
    tree: int
    """Files of the tree that is copied."""


FULL = Sizes(files=5000, entries=10_000, large=1 << 30, random=256 << 20, operations=200_000, seconds=2.0, tree=1500)
QUICK = Sizes(files=250, entries=1000, large=64 << 20, random=16 << 20, operations=50_000, seconds=0.1, tree=60)
SMALL = 4096
"""Bytes of a small file, and of a random read or write."""
BLOCK = 1 << 20
"""Bytes of one read or write of the large file."""


class Piece(ABC):
    """One piece of work in one directory; `prepare`, `warm` and `run` are called in the same process."""

    name: ClassVar[str]
    title: ClassVar[str]
    group: ClassVar[str]
    unit: ClassVar[Unit] = Unit.OPERATIONS
    cold: ClassVar[bool] = False
    """Whether the kernel's caches are dropped between `prepare` and `run`."""

    def __init__(self, place: Path, sizes: Sizes, tree: Path) -> None:
        """The piece in the directory `place`; `tree` is the repository to copy."""
        self.place = place
        self.sizes = sizes
        self.tree = tree

    @property
    def folder(self) -> Path:
        """Where the files of the group lie."""
        return self.place / self.group

    def prepare(self) -> None:  # noqa: B027 - some need nothing
        """Make what `run` needs; outside the clock."""

    def warm(self) -> None:  # noqa: B027 - most execute nothing
        """Read what `run` executes, after the caches were dropped; outside the clock and outside the place."""

    @abstractmethod
    def run(self) -> int:
        """Do it; how many operations or bytes it was."""

    def check(self) -> None:  # noqa: B027 - most have nothing more to look at
        """Look at what `run` has done; outside the clock. RuntimeError where it is not what it should be."""

    @classmethod
    def clean(cls, place: Path) -> None:
        """Take the group's files away."""
        shutil.rmtree(place / cls.group, ignore_errors=True)


def quietly(*command: str, cwd: Path | None = None) -> None:
    """Run a program; RuntimeError with its words when it fails."""
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit {done.returncode}")
