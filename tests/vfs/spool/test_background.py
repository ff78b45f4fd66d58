"""Work that nobody waits for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from gates import SOON

from vfs.spool.background import Background


@pytest.fixture
def background() -> Iterator[Background]:
    made = Background(3)
    yield made
    made.stop()


def test_jobs_run_side_by_side_and_no_more_than_there_are_threads(background: Background) -> None:
    together, done = threading.Barrier(3), threading.Semaphore(0)
    lock, running, most = threading.Lock(), 0, 0

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        together.wait(SOON)
        with lock:
            running -= 1
        done.release()

    for key in range(9):
        background.schedule(key, 0.0, work)
    for _ in range(9):
        assert done.acquire(timeout=SOON)
    assert most == 3


def test_they_run_in_the_order_in_which_they_are_due(background: Background) -> None:
    order: list[str] = []
    done = threading.Event()
    background.schedule("late", 0.2, lambda: (order.append("late"), done.set()))
    background.schedule("soon", 0.05, lambda: order.append("soon"))
    background.schedule("now", 0.0, lambda: order.append("now"))
    assert done.wait(SOON)
    assert order == ["now", "soon", "late"]


def test_the_sooner_of_two_jobs_of_a_key_is_the_one(background: Background) -> None:
    order: list[str] = []
    done = threading.Event()
    background.schedule("key", 60.0, lambda: order.append("much later"))
    background.schedule("key", 0.05, lambda: (order.append("soon"), done.set()))
    background.schedule("key", 0.2, lambda: order.append("later"))
    assert done.wait(SOON)
    time.sleep(0.3)
    assert order == ["soon"]


def test_a_key_is_worked_on_by_one_at_a_time(background: Background) -> None:
    reached, go_on, again = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        reached.set()
        assert go_on.wait(SOON)

    background.schedule("key", 0.0, first)
    assert reached.wait(SOON)
    background.schedule("key", 0.0, again.set)
    assert not again.wait(0.1)
    go_on.set()
    assert again.wait(SOON)


def test_a_job_that_fails_is_in_the_log_and_the_others_go_on(
    background: Background, caplog: pytest.LogCaptureFixture
) -> None:
    done = threading.Event()
    background.schedule(1, 0.0, lambda: 1 / 0)
    background.schedule(2, 0.0, done.set)
    assert done.wait(SOON)
    deadline = time.monotonic() + SOON
    while "ZeroDivisionError" not in caplog.text:
        assert time.monotonic() < deadline


def test_there_are_no_threads_without_work(background: Background) -> None:
    before = threading.active_count()
    done = threading.Event()
    background.schedule(1, 0.0, done.set)
    assert done.wait(SOON)
    deadline = time.monotonic() + SOON
    while threading.active_count() > before:
        assert time.monotonic() < deadline


def test_nothing_begins_after_the_end(background: Background) -> None:
    begun = threading.Event()
    background.schedule(1, 0.1, begun.set)
    background.stop()
    background.schedule(2, 0.0, begun.set)
    assert not begun.wait(0.3)


class TestForEach:
    def test_all_is_done_side_by_side(self, background: Background) -> None:
        together = threading.Barrier(4)
        done: list[int] = []

        def work(number: int) -> None:
            together.wait(SOON)
            done.append(number)

        assert background.for_each(work, range(8), threads=4)
        assert sorted(done) == list(range(8))

    def test_it_ends_in_time_and_begins_nothing_then(self, background: Background) -> None:
        go_on, begun = threading.Event(), []

        def work(number: int) -> None:
            begun.append(number)
            go_on.wait(SOON)

        assert not background.for_each(work, range(8), 0.1, threads=2)
        go_on.set()
        time.sleep(0.1)
        assert sorted(begun) == [0, 1]

    def test_nothing_to_do(self, background: Background) -> None:
        assert background.for_each(pytest.fail, [])
