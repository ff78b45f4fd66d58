"""Calls that are waited for only while there is progress.

A thread cannot be stopped from outside. So a call that hangs keeps its thread, a daemon, and its caller goes away with
a HungError; what it brings when it ends after all is thrown away. `MOST` hanging calls are enough to know that
nobody is there: then no more are begun.

Progress is seen where bytes are handed over, which libraries take in large pieces, and then say nothing while they are
on the way. So while a call that carries or copies bytes is waited for, those count as well that move on the connections
of this process (`storage.remote.wire`). Where none is to be seen bytes bring time with them, as a slow line needs it.

A server that copies an object by itself shows nothing of it, unless it sends white space meanwhile as S3 may. So who
waits for a copy asks after half of the time how large it is: a server that answers that is there, and has the time that
so much takes; one that does not is gone, and the copy is given up with it.
"""

from __future__ import annotations

import errno
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar

from storage.remote.wire import Wire

MOST = 64
"""How many calls may hang at once."""
SLOW_LINE = 256 * 1024
"""Bytes in a second that a line brings at least that cannot be seen; a slower one is taken for a broken one."""
MOST_AHEAD = 120.0
"""Seconds that bytes bring with them at most."""
_LOOKS = 16
"""How often the connections are looked at within the seconds that a call may take without progress."""

T = TypeVar("T")
_current = threading.local()


class HungError(TimeoutError):
    """A call made no progress for too long, or was not even begun because others hang."""


class NotAskedError(Exception):
    """The backend was not asked, because it has not answered before."""

    asked_at = 0.0
    """When it was asked last (time.monotonic seconds)."""


class TakenError(NotAskedError, TimeoutError):
    """A call that hangs may yet change the name: nothing is known of the backend but that."""


class Call:
    """One call: what is to be done, how it ended, and when it last got ahead."""

    def __init__(self, function: Callable[[], Any]) -> None:
        """`function` is yet to be called."""
        self._function = function
        self._told = threading.Event()
        """Set when it has ended, or is to be waited for no longer."""
        self.has_ended = False
        """Whether it has come back."""
        self._value: Any = None
        self._error: BaseException | None = None
        self.progressed = time.monotonic()
        """When there was progress last (time.monotonic seconds)."""
        self._ahead = 0.0
        """Seconds from then on for which what is on its way may take."""
        self.is_watched = False
        """Whether what moves on the connections is progress of it."""
        self.given_up: Callable[[], None] | None = None
        """What to do when it ends though nobody waits for it any more; None while somebody does."""

    def run(self) -> None:
        """Make the call."""
        _current.call = self
        try:
            self._value = self._function()
        except BaseException as error:  # noqa: BLE001 - it is raised where the call is waited for
            _let_go(error)
            self._error = error
        finally:
            _current.call = None
            self.has_ended = True
            self._told.set()

    def expect(self, size: int) -> None:
        """There is progress: `size` bytes are on their way from now on."""
        now = time.monotonic()
        left = max(self.progressed + self._ahead - now, 0.0)
        self.progressed, self._ahead = now, min(left + size / SLOW_LINE, MOST_AHEAD)
        self.is_watched = self.is_watched or size > 0

    def wait(self, seconds: float, wire: Wire) -> bool:
        """Wait until it has ended, but not for longer than `seconds` without progress; whether it has ended."""
        while (left := self._seconds_left(seconds, wire)) > 0:
            if self._told.wait(min(left, seconds / _LOOKS) if self.is_watched else left):
                break
        return self.has_ended

    def let_go(self) -> None:
        """It is not to be waited for any longer."""
        self._told.set()

    def _seconds_left(self, seconds: float, wire: Wire) -> float:
        """For how long it may be waited for, if there is no more progress."""
        progressed, ahead, now = self.progressed, self._ahead, time.monotonic()
        if self.is_watched and now > progressed + seconds / _LOOKS:
            progressed = max(progressed, wire.progressed_at())
            ahead = 0.0 if wire.shows else ahead
        return progressed + ahead + seconds - now

    def discard(self) -> None:
        """Close what it returned, if that is open."""
        close = getattr(self._value, "close", None)
        if close is not None:
            with suppress(Exception):  # there is nobody to tell
                close()

    def result(self) -> Any:
        """What it returned; raises what it raised."""
        if self._error is not None:
            raise self._error
        return self._value


def progress_of_this_call() -> Callable[[int], None]:
    """What tells, from whichever thread, that the call which this thread makes gets ahead by so many bytes."""
    call: Call | None = getattr(_current, "call", None)

    def tell(size: int) -> None:
        if call is not None:
            call.expect(size)

    return tell


class Calls:
    """Threads that make calls, each one at a time; as many as are needed, and kept for the next."""

    def __init__(self, seconds: float, wire: Wire) -> None:
        """Calls may take any time, but no more than `seconds` without progress, on `wire` or told."""
        self.seconds = seconds
        self._wire = wire
        self._idle: list[SimpleQueue[Call | None]] = []
        self._lock = threading.Lock()
        self._hanging = 0
        self._is_closed = False
        self._waited_for: set[Call] = set()
        self._taken: dict[str, float] = {}
        """The names that a call which nobody waits for any more may yet change, and when that was made."""

    @property
    def hanging(self) -> int:
        """How many calls are made for nobody, because they did not come back in time."""
        return self._hanging

    def make(
        self,
        function: Callable[[], T],
        *,
        changes: tuple[str, ...] = (),
        size: int = 0,
        needs: Callable[[], float] | None = None,
    ) -> T:
        """What `function()` returns or raises, in another thread; `size` bytes are what it has to bring.

        `needs` asks the storage how many seconds more it may take, where that is to be known. HungError when there was
        no progress for so long, TakenError while a call that hangs may still change one of the names which this one
        `changes`.
        """
        self.refuse_taken(changes)
        if self._hanging >= MOST:
            raise HungError(errno.ETIMEDOUT, f"the storage did not answer {MOST} calls, which still wait for it")
        call = Call(function)
        call.expect(size)
        call.is_watched = size > 0 or needs is not None
        began = time.monotonic()
        self._hand_over(call)
        if not self._ends(call, needs) and self._give_up(call, dict.fromkeys(changes, began)):
            waited = round(time.monotonic() - began, 1)
            raise HungError(errno.ETIMEDOUT, f"the storage did not answer for {waited:g} s")
        result: T = call.result()
        return result

    def refuse_taken(self, changes: tuple[str, ...]) -> None:
        """TakenError while a call that hangs may still change one of the names."""
        taken = [at for name in changes if (at := self._taken.get(name)) is not None]
        if taken:
            words = "the storage did not answer in time, and an earlier call still waits for it"
            error = TakenError(errno.ETIMEDOUT, words)
            error.asked_at = max(taken)
            raise error

    @property
    def is_here(self) -> bool:
        """Whether this thread is making one of these calls."""
        return getattr(_current, "calls", None) is self

    def let_go(self) -> None:
        """Whoever waits for a call does so no longer, and gets a HungError."""
        with self._lock:
            waited_for = list(self._waited_for)
        for call in waited_for:
            call.let_go()

    def close(self) -> None:
        """Let the idle threads end."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for jobs in idle:
            jobs.put(None)

    def _ends(self, call: Call, needs: Callable[[], float] | None) -> bool:
        """Wait for a call; whether it has ended."""
        with self._lock:
            self._waited_for.add(call)
        try:
            more = 0.0 if needs is None else self._more(call, needs)
            return call.wait(self.seconds + more, self._wire)
        finally:
            with self._lock:
                self._waited_for.discard(call)

    def _more(self, call: Call, needs: Callable[[], float]) -> float:
        """How many seconds more a call may take than others, asked for when it has not ended in half of their time."""
        if call.wait(self.seconds / 2, self._wire):
            return 0.0
        question: Call = Call(needs)
        self._hand_over(question)
        if not question.wait(self.seconds / 2, self._wire) and self._give_up(question, {}):
            return 0.0
        try:
            more: float = question.result()
        except Exception:  # noqa: BLE001 - who asks is told what becomes of the call itself
            return 0.0
        return more

    def _give_up(self, call: Call, taken: dict[str, float]) -> bool:
        """Wait for a call no more, unless it has ended this very moment; whether it was given up."""
        with self._lock:
            if call.has_ended:
                return False
            self._hanging += 1
            self._taken.update(taken)

            def forget() -> None:
                self._hanging -= 1
                for name in taken:
                    self._taken.pop(name, None)

            call.given_up = forget
            return True

    def _hand_over(self, call: Call) -> None:
        with self._lock:
            jobs = self._idle.pop() if self._idle else None
        if jobs is None:
            jobs = SimpleQueue()
            threading.Thread(target=self._work, args=(jobs,), name="vfs-storage", daemon=True).start()
        jobs.put(call)

    def _work(self, jobs: SimpleQueue[Call | None]) -> None:
        _current.calls = self
        while (call := jobs.get()) is not None:
            call.run()
            with self._lock:
                if call.given_up is not None:
                    call.given_up()
                    call.discard()
                if self._is_closed:
                    return
                self._idle.append(jobs)


def _let_go(error: BaseException | None) -> None:
    """Forget what the calls had that `error` ended: some libraries' objects must not be given up by another thread."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
