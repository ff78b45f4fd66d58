"""A million files in one in-memory mount: what an operation costs then, and what the daemon holds.

First a directory of 1,000 files in an empty mount is the measure; then the mount is filled, one directory in it with a
tenth of all files, and the same work is done there.
"""

from __future__ import annotations

import json
import math
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from statistics import median

import psutil
from rich.console import Console

from benchmark import report
from benchmark.places import Ours
from benchmark.targets import Limit
from benchmark.work import QUICK, Piece, Sizes
from benchmark.worker import cpu_seconds, drop_caches, settle, work

MEASURE = 1000
"""The files of the directory that is the measure, and the operations of one sample."""
DIRECTORIES = 10
SAMPLES = 5
IDLE_SECONDS = 5.0
IDLE_CPU = 0.001
"""Seconds of CPU time in that time that count as none."""


class Crowd(Piece):
    """Work in a directory of `sizes.entries` empty files."""

    group = "crowd"

    @property
    def folder(self) -> Path:
        """Each number of entries has a directory of its own."""
        return self.place / f"{self.group}-{self.sizes.entries}"

    def prepare(self) -> None:
        """Open the directory; `names` are some of its files, `others` are yet to be made."""
        self.folder.mkdir(exist_ok=True)
        self.directory = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        step = max(1, self.sizes.entries // MEASURE)
        self.names = [b"%07d" % number for number in range(0, self.sizes.entries, step)]
        self.others = [b"other-%07d" % number for number in range(MEASURE)]


class Fill(Crowd):
    """Make the files."""

    name, title = "fill", "mknod"

    def run(self) -> int:
        """mknod(2), as often as there are entries."""
        directory = self.directory
        for number in range(self.sizes.entries):
            os.mknod(b"%07d" % number, stat.S_IFREG | 0o644, dir_fd=directory)
        return self.sizes.entries


class CreateMore(Crowd):
    """Create and close some more."""

    name, title = "create", "create"

    def run(self) -> int:
        """The others."""
        for name in self.others:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644, dir_fd=self.directory))
        return len(self.others)


class StatSome(Crowd):
    """stat(2) of some, of which the kernel knows nothing."""

    name, title, cold = "stat-cold", "stat, cold", True

    def run(self) -> int:
        """Those all over the directory."""
        for name in self.names:
            os.stat(name, dir_fd=self.directory)
        return len(self.names)


class RenameMore(Crowd):
    """Rename those that were created."""

    name, title = "rename", "rename"

    def run(self) -> int:
        """rename(2)."""
        for name in self.others:
            os.rename(name, b"x" + name, src_dir_fd=self.directory, dst_dir_fd=self.directory)
        return len(self.others)


class UnlinkMore(Crowd):
    """Remove those that were renamed."""

    name, title = "unlink", "unlink"

    def run(self) -> int:
        """unlink(2)."""
        for name in self.others:
            os.unlink(b"x" + name, dir_fd=self.directory)
        return len(self.others)


class ListAll(Crowd):
    """List all with their attributes, of which the kernel knows nothing."""

    name, title, cold = "list-cold", "list with attributes, cold", True

    def run(self) -> int:
        """What `ls -l` asks for."""
        with os.scandir(self.directory) as entries:
            return sum(1 for entry in entries if entry.stat(follow_symlinks=False))


WORK = (CreateMore, StatSome, RenameMore, UnlinkMore, ListAll)


class Scale:
    """One run on one mount."""

    def __init__(self, place: Ours, console: Console, files: int) -> None:
        """`files` in all, to be made in `place`."""
        self.place = place
        self.console = console
        self.files = files

    def measure(self) -> Iterator[Limit]:
        """All of it, in order; a line tells what takes long."""
        yield self.ready()
        with self.place.opened():
            yield self.idle("idle, empty")
            before = self.per_operation(MEASURE)
            start = self.memory()
            self.fill()
            held, nodes = self.memory() - start, self.nodes()
            yield from self.crowded(before)
            self.forget()
            left, kept = self.memory() - start, self.nodes()
            self.console.print(
                f"{self.files:,} files; known to the kernel: {held / self.files:.0f} bytes a file, {nodes:,} nodes; "
                f"forgotten: {left / self.files:.0f} bytes a file, {kept:,} nodes"
            )
            yield Limit("memory of an empty file", left / self.files, 700, "bytes")
            yield Limit("nodes that the forgets have left", kept / nodes, 0.05, "of all")
            yield self.idle("idle, full")

    def ready(self) -> Limit:
        """From the command to the answering mount."""
        times = []
        for _ in range(SAMPLES):
            with self.place.opened():
                assert self.place.mount_seconds is not None
                times.append(self.place.mount_seconds)
        return Limit("command to answering mount", median(times), 0.5, "s")

    def idle(self, title: str) -> Limit:
        """The CPU time of a while in which nobody asks for anything."""
        settle(self.pids)
        start = self.cpu()
        time.sleep(IDLE_SECONDS)  # the time itself is what is measured
        return Limit(f"CPU time of {IDLE_SECONDS:.0f} s, {title}", round(self.cpu() - start, 4), IDLE_CPU, "s")

    def per_operation(self, entries: int) -> dict[str, float]:
        """Seconds for one operation of each work, in a directory of so many, which is made if need be."""
        if not (self.place.path / f"{Crowd.group}-{entries}").exists():
            self.do(Fill, entries)
        samples: dict[str, list[float]] = {piece.name: [] for piece in WORK}
        for _ in range(SAMPLES):
            for piece in WORK:
                samples[piece.name].append(self.do(piece, entries))
        return {name: median(times) for name, times in samples.items()}

    def crowded(self, before: dict[str, float]) -> Iterator[Limit]:
        """The same in the crowd, against the measure."""
        after = self.per_operation(self.files // DIRECTORIES)
        for piece in WORK:
            one, other = before[piece.name], after[piece.name]
            title = f"{piece.title}: {other * 1e6:.0f} µs, in 1,000 files {one * 1e6:.0f} µs"
            yield Limit(title, other / one, 1.5, "times")

    def do(self, piece: type[Crowd], entries: int, place: Path | None = None) -> float:
        """Seconds for one operation of a piece."""
        sizes = Sizes(**{**asdict(QUICK), "entries": entries})
        cold = (lambda: self.forget()) if piece.cold else (lambda: settle(self.pids))
        done = work(piece(place or self.place.path, sizes, Path()), self.place.user, cold)
        return done.seconds / done.amount

    def fill(self) -> None:
        """The large directory, and the other files in directories of the same size."""
        for number in range(DIRECTORIES):
            folder = self.place.path / f"part-{number}" if number else self.place.path
            folder.mkdir(exist_ok=True)
            seconds = self.do(Fill, self.files // DIRECTORIES, folder)
            self.console.print(f"directory {number + 1} of {DIRECTORIES}: {seconds * 1e6:.0f} µs a file", style="dim")

    def forget(self) -> None:
        """Have the kernel forget all nodes, and the daemon work that off; names used lately go the second time."""
        before, left = math.inf, float(self.nodes())
        while left < before:
            drop_caches(dirty=False)
            settle(self.pids, longest=60)
            before, left = left, self.nodes()

    def nodes(self) -> int:
        """What the daemon's tree holds."""
        return int(self.place.status()["nodes"])

    @property
    def pids(self) -> list[int]:
        """The daemon's."""
        assert self.place.pid is not None
        return [self.place.pid]

    def cpu(self) -> float:
        """The daemon's CPU time in seconds."""
        return cpu_seconds(self.pids[0])

    def memory(self) -> int:
        """The daemon's resident memory in bytes."""
        return int(psutil.Process(self.pids[0]).memory_info().rss)


def run(disk: Path, console: Console, json_file: Path | None, *, quick: bool) -> int:
    """Measure, show, and write the figures down; the exit code."""
    from vfs.transports import NAMES

    transport = "kernel" if "kernel" in NAMES else "fusepy"
    place = Ours("memory", transport, disk)
    place.check()
    limits = []
    for limit in Scale(place, console, 50_000 if quick else 1_000_000).measure():
        console.print(report.limit_line(limit))
        limits.append(limit)
    if json_file is not None:
        figures = report.judged(limits)
        json_file.write_text(json.dumps({"transport": transport, "scale": figures}, indent=1) + "\n", encoding="utf-8")
    return 0
