"""Threads of a mount's own: for work that nobody waits for, done at its time, and for much that is done at once.

They are there only while there is work, and daemon threads: a storage that hangs must not keep a process from ending.
What such a thread leaves undone is in the journal.

Where the system has no more threads, a job waits for one until the next is scheduled, and what somebody waits for is
done by himself.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from itertools import takewhile
from typing import TypeVar

logger = logging.getLogger("vfs")

THREADS = 8
"""How much is done at once."""
_Item = TypeVar("_Item")
_here = threading.local()


class Background:
    """Jobs by their keys: one of each at a time, and one more of it that is yet to begin."""

    def __init__(self, threads: int = THREADS) -> None:
        """Nothing to do yet, for up to so many `threads`."""
        self._size = threads
        self._threads = 0
        self._told = threading.Condition()
        self._due: list[tuple[float, int, Hashable]] = []
        self._jobs: dict[Hashable, tuple[float, int, Callable[[], object]]] = {}
        self._running: set[Hashable] = set()
        self._numbers = itertools.count()
        self._stopped = False

    def schedule(self, key: Hashable, delay: float, work: Callable[[], object]) -> None:
        """Call `work` in `delay` seconds, or when the job of this key is due, if that is sooner."""
        with self._told:
            due, number = time.monotonic() + delay, next(self._numbers)
            if self._stopped:
                return
            if key not in self._jobs or self._jobs[key][0] > due:
                self._jobs[key] = due, number, work
                heapq.heappush(self._due, (due, number, key))
            if self._threads < min(self._size, len(self._jobs) + len(self._running)):
                self._threads += _start(self._run, "vfs-background")
            self._told.notify()

    def stop(self) -> None:
        """Begin nothing more."""
        with self._told:
            self._stopped = True
            self._jobs.clear()
            self._told.notify_all()

    def for_each(
        self,
        work: Callable[[_Item], object],
        items: Iterable[_Item],
        seconds: float | None = None,
        threads: int = THREADS,
    ) -> bool:
        """Call `work`, which must not raise, with each of `items`, several at once.

        Returns when all is done, or after `seconds` all the same; whether it is. If no thread can be had this one does
        the work, and `seconds` end it only between two items.
        """
        waiting = deque(items)
        left = len(waiting)
        told = threading.Condition()

        def run(until: float = math.inf) -> None:
            nonlocal left
            while time.monotonic() < until:
                try:
                    item = waiting.popleft()
                except IndexError:
                    return
                try:
                    self._call(work, item)
                finally:
                    with told:
                        left -= 1
                        told.notify()

        begun = takewhile(bool, (_start(run, "vfs-drain") for _ in range(min(threads, left))))
        if not list(begun):
            run(math.inf if seconds is None else time.monotonic() + seconds)
            seconds = 0.0
        with told:
            done = told.wait_for(lambda: not left, seconds)
        waiting.clear()
        return done

    def _call(self, work: Callable[..., object], *args: object) -> None:
        """Call `work` as one of these threads."""
        before, _here.background = getattr(_here, "background", None), self
        try:
            work(*args)
        finally:
            _here.background = before

    @property
    def is_here(self) -> bool:
        """Whether this thread is one of these."""
        return getattr(_here, "background", None) is self

    def _run(self) -> None:
        while (job := self._next()) is not None:
            key, work = job
            try:
                self._call(work)
            except Exception:
                logger.exception("work in the background failed")
            finally:
                with self._told:
                    self._running.discard(key)
                    self._told.notify()

    def _next(self) -> tuple[Hashable, Callable[[], object]] | None:
        """The next job when it is due; None when there is none any more."""
        with self._told:
            while self._jobs:
                pause = self._take_due()
                if not isinstance(pause, float):
                    return pause
                self._told.wait(pause)
            self._threads -= 1
            return None

    def _take_due(self) -> tuple[Hashable, Callable[[], object]] | float:
        """A job that is due, or how long there is none."""
        later = []
        found: tuple[Hashable, Callable[[], object]] | float = 3600.0
        while self._due and isinstance(found, float):
            due, number, key = heapq.heappop(self._due)
            if key not in self._jobs or self._jobs[key][1] != number:
                continue  # it was given up for a sooner one
            if key in self._running:
                later.append((due, number, key))
            elif (pause := due - time.monotonic()) > 0:
                later.append((due, number, key))
                found = pause
                break
            else:
                found = key, self._jobs.pop(key)[2]
                self._running.add(key)
        for one in later:
            heapq.heappush(self._due, one)
        return found


def _start(run: Callable[[], None], name: str) -> bool:
    """Whether there is a thread more that does `run`; not if the system has no more."""
    try:
        threading.Thread(target=run, name=name, daemon=True).start()
    except RuntimeError as error:
        logger.warning("the mount gets no thread of its own: %s", error)
        return False
    return True
