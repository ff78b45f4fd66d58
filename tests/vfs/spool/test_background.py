"""Work that nobody waits for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gates import SOON
from kernel import Verbs, filesystem_of

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


@pytest.fixture
def no_threads() -> Iterator[Callable[[], None]]:
    """The system has no room for another thread, until this is called."""
    size = threading.stack_size(1 << 48)

    def end() -> None:
        threading.stack_size(size)

    yield end
    end()


class TestWithoutThreads:
    def test_a_job_waits_until_there_are_some(self, background: Background, no_threads: Callable[[], None]) -> None:
        done = threading.Semaphore(0)
        for key in range(5):
            background.schedule(key, 0.0, done.release)
        no_threads()
        background.schedule(0, 60.0, done.release)  # which it is sooner already
        for _ in range(5):
            assert done.acquire(timeout=SOON)

    def test_who_waits_does_it_himself(self, background: Background, no_threads: Callable[[], None]) -> None:
        done: list[tuple[int, bool]] = []
        assert background.for_each(lambda number: done.append((number, background.is_here)), range(3))
        assert (done, background.is_here) == ([(0, True), (1, True), (2, True)], False)

    def test_he_does_not_begin_another_when_the_time_is_over(
        self, background: Background, no_threads: Callable[[], None]
    ) -> None:
        done: list[int] = []

        def work(number: int) -> None:
            done.append(number)
            deadline = time.monotonic() + 0.05
            while time.monotonic() < deadline:
                pass

        assert not background.for_each(work, range(3), 0.05)
        assert done == [0]

    def test_those_that_there_are_do_it(self, background: Background) -> None:
        """The second of them cannot be had."""
        sizes, done = iter([0, 1 << 48]), []
        with pytest.MonkeyPatch.context() as patch:
            real = threading.Thread.start

            def begin(thread: threading.Thread) -> None:
                threading.stack_size(next(sizes))
                real(thread)

            patch.setattr(threading.Thread, "start", begin)
            try:
                assert background.for_each(lambda _: done.append(threading.get_ident()), range(9))
            finally:
                threading.stack_size(0)
        assert (len(done), set(done) & {threading.get_ident()}) == (9, set())

    def test_a_write_is_written_and_stored(self, tmp_path: Path, no_threads: Callable[[], None]) -> None:
        verbs = Verbs(filesystem_of("scanned", tmp_path))
        verbs.put("f", b"content")
        assert verbs.filesystem.drain() == []
        no_threads()
        assert verbs.get("f") == b"content"
        verbs.close_all()
        verbs.filesystem.close()


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
