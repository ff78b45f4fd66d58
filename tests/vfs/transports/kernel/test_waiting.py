"""Waiting for requests: awake while it pays, asleep when idle, and never where it is not wanted."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator

import psutil
import pytest
from places import Server

from vfs.transports.kernel import waiting
from vfs.transports.kernel.waiting import Waiting

Looks = list[int]


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


class Poll:
    """Stands in for poll(2): counts looks without waiting, and is ready when a look or a sleep says so."""

    def __init__(self, ready: Callable[[int | None], bool]) -> None:
        self.looks = self.sleeps = 0
        self._ready = ready

    def poll(self, timeout: int | None = None) -> list[tuple[int, int]]:
        if timeout is None:
            self.sleeps += 1
        else:
            self.looks += 1
        return [(0, 1)] if self._ready(timeout) or timeout is None else []


class Clock:
    """Stands in for time.monotonic_ns: each call is `step` later than the last."""

    def __init__(self, step: int) -> None:
        self.now = 10**18
        self.step = step

    def __call__(self) -> int:
        self.now += self.step
        return self.now


def a_wait(
    monkeypatch: pytest.MonkeyPatch, pipe: tuple[int, int], step: int, ready: bool = False, spins: bool = True
) -> tuple[Waiting, Poll, Clock]:
    clock = Clock(step)
    monkeypatch.setattr(waiting.time, "monotonic_ns", clock)
    one = Waiting(pipe[0], spins)
    poll = Poll(lambda timeout: ready)
    monkeypatch.setattr(one, "_poll", poll)
    return one, poll, clock


def test_after_a_short_wait_the_next_is_awake(monkeypatch: pytest.MonkeyPatch, pipe: tuple[int, int]) -> None:
    one, poll, _ = a_wait(monkeypatch, pipe, 1_000)
    one.wait()
    assert (poll.looks, poll.sleeps) == (0, 1)
    one.wait()
    assert poll.looks > 20


def test_who_is_idle_soon_sleeps_at_once(monkeypatch: pytest.MonkeyPatch, pipe: tuple[int, int]) -> None:
    one, poll, clock = a_wait(monkeypatch, pipe, 1_000)
    one.wait()
    clock.step = 100_000
    for _ in range(6):
        one.wait()
    before = poll.looks
    one.wait()
    assert poll.looks == before


def test_what_comes_while_awake_costs_no_sleep(monkeypatch: pytest.MonkeyPatch, pipe: tuple[int, int]) -> None:
    one, poll, _ = a_wait(monkeypatch, pipe, 1_000, ready=True)
    one.wait()
    for _ in range(5):
        one.wait()
    assert (poll.looks, poll.sleeps) == (5, 1)


def test_a_processor_that_others_want_is_left_to_them(monkeypatch: pytest.MonkeyPatch, pipe: tuple[int, int]) -> None:
    one, poll, clock = a_wait(monkeypatch, pipe, 1_000)
    one.wait()
    clock.step = 300_000  # somebody else had it between two looks
    one.wait()
    clock.step = 1_000
    one.wait()
    looks = poll.looks
    one.wait()
    assert poll.looks == looks, "not awake again at once"
    clock.now += Waiting.REST
    one.wait()
    assert poll.looks > looks


def test_where_it_is_switched_off_it_always_sleeps(monkeypatch: pytest.MonkeyPatch, pipe: tuple[int, int]) -> None:
    one, poll, _ = a_wait(monkeypatch, pipe, 1_000, spins=False)
    for _ in range(5):
        one.wait()
    assert (poll.looks, poll.sleeps) == (0, 5)


@pytest.mark.parametrize("awake", [False, True])
def test_a_real_wait_ends_when_there_is_something(pipe: tuple[int, int], awake: bool) -> None:
    one = Waiting(pipe[0], spins=True)
    if awake:
        one._awake = 10**9
    writer = threading.Timer(0.05, os.write, (pipe[1], b"x"))
    writer.start()
    one.wait()
    assert os.read(pipe[0], 1) == b"x"
    writer.join()


@pytest.mark.mount
@pytest.mark.parametrize("transport", ["kernel"])
def test_an_idle_mount_uses_no_processor(serve: Callable[..., Server], transport: str) -> None:
    server = serve("memory")
    for number in range(200):  # by now it waits awake
        (server.mountpoint / f"file{number}").touch()
    assert server.daemon is not None
    daemon = psutil.Process(server.daemon.pid)
    time.sleep(0.2)  # what is measured is a length of time
    before = daemon.cpu_times()
    time.sleep(1)
    after = daemon.cpu_times()
    assert (after.user + after.system) - (before.user + before.system) <= 0.02
