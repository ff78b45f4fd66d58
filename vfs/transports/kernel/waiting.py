"""Waiting for the next request, awake or asleep."""

from __future__ import annotations

import os
import select
import time


class Waiting:
    """Waits for the next request: awake for a while where that has paid, then asleep.

    It pays when requests follow each other closer than a sleeper is woken, and when the processor has nothing better to
    do. So a wait that was shorter than `MOST` turns the busy wait on in full, each longer one halves it until it is
    off, and a gap between two looks, in which somebody else had the processor, keeps it off for `REST`.
    """

    MOST = 60_000
    """Ns that are waited awake at most: about what the wake-up of a sleeping process takes in a virtual machine."""
    LEAST = 4_000
    GAP = 200_000
    """Ns between two looks after which the processor is taken to be wanted by others."""
    REST = 100_000_000

    def __init__(self, descriptor: int, spins: bool) -> None:
        """On `descriptor`; without `spins` it always sleeps at once."""
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._spins = spins
        self._awake = 0
        self._rested = 0
        """When it may be awake again."""

    def is_over(self) -> bool:
        """Whether there is something to read, or the mount is gone."""
        return bool(self._poll.poll(0))

    def wait(self) -> None:
        """Return when there is something to read, or the mount is gone."""
        if not self._spins:
            self._poll.poll()
            return
        clock = time.monotonic_ns
        began = clock()
        if self._awake and began > self._rested and self._look(began):
            return
        self._poll.poll()
        if clock() - began < self.MOST:
            self._awake = self.MOST
        else:
            self._awake = self._awake // 2 if self._awake > self.LEAST else 0

    def _look(self, now: int) -> bool:
        """Whether there was something to read within the time that is spent on it."""
        poll, clock, leave = self._poll.poll, time.monotonic_ns, os.sched_yield
        until = now + self._awake
        while now < until:
            if poll(0):
                return True
            leave()  # the process that is to ask may be waiting for this very processor
            before, now = now, clock()
            if now - before > self.GAP:
                self._rested = now + self.REST
                break
        return False
