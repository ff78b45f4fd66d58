"""The rounds: who does what in which order, what is kept between them, and what becomes of a failure."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from rich.console import Console

from benchmark import runner as module
from benchmark.data import WriteLarge
from benchmark.files import Create, Listing, Rename, StatCold
from benchmark.places import Folder, Place
from benchmark.runner import MOUNT, UNMOUNT, Runner
from benchmark.session import run as run_rounds
from benchmark.work import Piece, Sizes
from benchmark.worker import User, WorkError, warm_memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmark is for Linux")

SIZES = Sizes(files=5, entries=7, large=1 << 20, random=1 << 20, operations=9, seconds=5.0, tree=3)


class Plain(Folder):
    """A plain folder, for whoever runs the tests."""

    def __init__(self, name: str, base: Path) -> None:
        super().__init__(name, name, base, "local")
        status = base.stat()
        self.user = User("me", status.st_uid, status.st_gid)
        self.events: list[str] = []

    def start(self) -> None:
        super().start()
        self.events.append("start")
        self.mount_seconds = 0.25

    def stop(self) -> None:
        self.events.append("stop")


class Broken(Plain):
    def start(self) -> None:
        raise WorkError("no mount today")


class Stuck(Plain):
    def stop(self) -> None:
        raise WorkError("busy")


class Impossible(Create):
    name = "impossible"

    def run(self) -> int:
        raise OSError("never")


@pytest.fixture(autouse=True)
def caches(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    dropped: list[bool] = []
    monkeypatch.setattr(module, "drop_caches", lambda *, dirty: dropped.append(dirty))
    return dropped


def run(places: list[Place], pieces: list[type[Piece]], rounds: int = 1) -> tuple[Runner, list[tuple[str, str]]]:
    told: list[tuple[str, str]] = []
    runner = Runner(places, pieces, SIZES, Path(), lambda place, work: told.append((place, work)))
    for _ in range(rounds):
        runner.round()
    assert len(told) == rounds * runner.steps() or runner.samples.failures
    return runner, told


def test_places_take_turns_group_by_group(tmp_path: Path, caches: list[bool]) -> None:
    places = [Plain(name, tmp_path) for name in "ab"]
    runner, told = run([*places], [Create, StatCold, Listing])
    small = ["create", "stat-cold"]
    expected = [("a", MOUNT), ("b", MOUNT), *(("a", w) for w in small), *(("b", w) for w in small)]
    assert told == [*expected, ("a", "ls-cold"), ("b", "ls-cold")]
    assert caches == [True] * 4, "for the two pieces that are cold, in both places"
    assert [place.events for place in places] == [["start", "stop"]] * 2
    figure = runner.samples.figure("a", "create")
    assert figure is not None
    assert figure.rounds == 1


def test_memory_is_warm_where_much_of_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warmed: list[int] = []
    monkeypatch.setattr(module, "warm_memory", warmed.append)
    run([Plain("a", tmp_path)], [Create, WriteLarge])
    assert warmed == [3 * SIZES.large]


def test_warming_takes_any_size() -> None:
    for size in (0, 5, 1 << 20):
        warm_memory(size)


def test_each_round_mounts_anew_and_keeps_only_what_is_listed(tmp_path: Path) -> None:
    place = Plain("a", tmp_path)
    runner, _ = run([place], [Create, Rename, Listing], rounds=2)
    assert place.events == ["start", "stop"] * 2
    mount, create = runner.samples.figure("a", MOUNT), runner.samples.figure("a", "create")
    assert mount is not None
    assert create is not None
    assert (mount.rate, mount.rounds, create.rounds) == (4.0, 2, 2)
    assert [path.name for path in place.path.iterdir()] == ["listing"]
    assert len(list((place.path / "listing").iterdir())) == SIZES.entries


def test_a_failure_is_kept_once_and_not_tried_again(tmp_path: Path) -> None:
    runner, told = run([Plain("a", tmp_path)], [Impossible, Rename], rounds=2)
    [failure] = runner.samples.failures
    assert (failure.place, failure.work, failure.reason) == ("a", "impossible", "working: OSError: never")
    assert len([work for _, work in told if work == "impossible"]) == 2
    rename = runner.samples.figure("a", "rename")
    assert rename is not None
    assert rename.rounds == 2


def test_a_place_that_does_not_mount_takes_no_part(tmp_path: Path) -> None:
    runner, told = run([Broken("a", tmp_path), Plain("b", tmp_path)], [Create])
    assert told == [("a", MOUNT), ("b", MOUNT), ("b", "create")]
    assert [(failure.place, failure.work) for failure in runner.samples.failures] == [("a", MOUNT)]


def test_a_place_that_does_not_unmount_is_told(tmp_path: Path) -> None:
    runner, _ = run([Stuck("a", tmp_path), Plain("b", tmp_path)], [Create])
    assert [(failure.place, failure.work) for failure in runner.samples.failures] == [("a", UNMOUNT)]


def test_a_place_without_a_group_is_passed_over(tmp_path: Path) -> None:
    place = Plain("a", tmp_path)
    place.groups = frozenset({"random"})
    _, told = run([place], [Create])
    assert told == [("a", MOUNT)]


def test_an_interrupted_run_unmounts_and_keeps_what_it_has(tmp_path: Path) -> None:
    class Interrupting(Create):
        name = "interrupting"

        def __init__(self, *arguments: object) -> None:
            raise KeyboardInterrupt

    place = Plain("a", tmp_path)
    runner = Runner([place], [Create, Interrupting], SIZES, Path(), lambda place, work: None)
    console = Console(file=io.StringIO())
    assert run_rounds(runner, 2, console) is False
    assert place.events == ["start", "stop"]
    assert {sample.work for sample in runner.samples.samples} == {MOUNT, "create"}
    assert "Interrupted" in console.file.getvalue()
