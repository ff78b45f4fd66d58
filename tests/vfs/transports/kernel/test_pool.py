"""The pool: many at once, never more than it may have, and somebody for every job."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from vfs.transports.kernel import pool
from vfs.transports.kernel.pool import Pool


def test_jobs_are_done_at_once_up_to_its_size() -> None:
    together = threading.Barrier(4)  # which lets go only of four that wait at the same time
    done: list[int] = []

    def work(job: int) -> None:
        together.wait(5)
        done.append(job)

    workers = Pool(4, work)
    for job in range(8):
        workers.submit(job)
    workers.close()
    assert sorted(done) == list(range(8))
    assert len(workers.idents) == 4


def test_an_idle_thread_is_used_again() -> None:
    finished = threading.Semaphore(0)
    workers = Pool(4, lambda job: finished.release())
    for job in range(20):
        workers.submit(job)
        assert finished.acquire(timeout=5)
    workers.close()
    assert len(workers.idents) <= 4


@pytest.mark.parametrize("started", [0, 1])
def test_without_threads_to_be_had_the_jobs_are_done_all_the_same(
    monkeypatch: pytest.MonkeyPatch, started: int
) -> None:
    done: list[int] = []
    workers = Pool(4, done.append)
    left = started

    class Thread(threading.Thread):
        def start(self) -> None:
            nonlocal left
            if not left:
                raise RuntimeError("can't start new thread")
            left -= 1
            super().start()

    monkeypatch.setattr(pool.threading, "Thread", Thread)
    submit: Callable[[int], None] = workers.submit
    for job in range(5):
        submit(job)
    workers.close()
    assert sorted(done) == list(range(5))
