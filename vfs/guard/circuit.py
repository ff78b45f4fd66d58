"""The circuit: whether a backend is asked at all, after outages that followed each other."""

from __future__ import annotations

import errno
import logging
import random
import threading
import time
from collections.abc import Callable

from vfs.errors import NUMBERED_OTHERWISE
from vfs.guard.calls import HungError, NotAskedError

_UNREACHABLE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN})
logger = logging.getLogger("vfs")

FAILURES, SECONDS = 4, 2.0
"""How many outages, over how many seconds without an answer, open the circuit; a call that hung does so alone."""
SLOW_FAILURES, SLOW_SECONDS = 2, 5.0
"""The same of a backend whose client tries for long by itself before each of them."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds for which an open circuit asks nobody; each attempt that fails doubles them."""


class _SilentError(NotAskedError, TimeoutError):
    pass


class _GoneError(NotAskedError, ConnectionError):
    pass


def is_outage(error: BaseException) -> bool:
    """Whether `error` says that the backend could not be reached or did not answer, and so nothing of what it has."""
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    by_name = not NUMBERED_OTHERWISE.isdisjoint(cls.__name__ for cls in type(error).__mro__)
    return by_name or (isinstance(error, OSError) and error.errno in _UNREACHABLE)


class Circuit:
    """Open while a backend is taken to be gone. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Closed; `clock` tells seconds."""
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._began = 0.0
        """When the first call began that failed."""
        self._pause = 0.0
        self._until = 0.0
        self._last: BaseException | None = None
        self._asked_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether calls fail without being made."""
        with self._lock:
            return self._pause > 0.0 and self._clock() < self._until

    @property
    def outage(self) -> tuple[float, BaseException] | None:
        """While it is open: for how many seconds nobody has answered, and the last error."""
        with self._lock:
            return (self._clock() - self._began, self._last) if self._pause and self._last is not None else None

    def enter(self) -> None:
        """Before a call: NotAskedError, as the last outage's error, if there is no sense in trying yet."""
        with self._lock:
            if not self._pause:
                return
            left = self._until - self._clock()
            if left <= 0:  # this call tries for all; the others wait for what comes of it
                self._until = self._clock() + self._pause
                return
            last, asked_at = self._last, self._asked_at
        words = f"{_words(last)}; the storage is gone, and is asked again soon"
        silent = isinstance(last, TimeoutError)
        error = _SilentError(errno.ETIMEDOUT, words) if silent else _GoneError(errno.EIO, words)
        error.asked_at = asked_at
        raise error from last

    def succeeded(self) -> None:
        """A call got an answer, be it an error: somebody is there."""
        if not self._failures:
            return
        with self._lock:
            was_open, self._failures, self._pause, self._last = self._pause > 0.0, 0, 0.0, None
        if was_open:
            logger.warning("the storage answers again")

    def failed(self, error: BaseException, *, waited: float = 0.0, hung: bool = False) -> None:
        """A call met an outage, `waited` seconds after it began; it `hung` where that is long, whoever ended it."""
        with self._lock:
            now = self._clock()
            self._began = self._began if self._failures else now - waited
            self._failures += 1
            self._last, self._asked_at = error, time.monotonic()
            hung = isinstance(error, HungError) or (hung and isinstance(error, TimeoutError))
            if not hung and not self._goes_on(now - self._began):
                return
            opens = not self._pause
            self._pause = min(max(self._pause * 2, FIRST_PAUSE), LONGEST_PAUSE)
            self._until = now + self._pause * random.uniform(0.75, 1.0)  # noqa: S311 - mounts are not to ask in step
        if opens:
            logger.error("the storage does not answer, and is asked only now and then: %s", _words(error))

    def _goes_on(self, seconds: float) -> bool:
        """Whether the outages of so many seconds are more than a short one."""
        often = self._failures >= FAILURES and seconds >= SECONDS
        return often or (self._failures >= SLOW_FAILURES and seconds >= SLOW_SECONDS)


def _words(error: BaseException | None) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)
