"""Operations of a mount as they come, for who wants to see them: `vfs trace`.

While nobody does, a transport does nothing for it. Who does is told of what is at or below one path; what he does not
take in time is counted, and dropped.
"""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Any

MOST = 10_000
"""Operations that wait for who is to see them."""
AT_ONCE = 500
"""Operations that are told together at most."""
SECONDS = 1.0
"""After so long something is told even if nothing has come, so that it is seen whether anybody still listens."""


class Tracing:
    """Those who want to see the operations of one mount."""

    def __init__(self, switch: Callable[[bool], None]) -> None:
        """Nobody yet; `switch` is told whether there is anybody when that changes."""
        self._switch = switch
        self._lock = threading.Lock()
        self._watchers: tuple[_Watcher, ...] = ()

    @property
    def is_on(self) -> bool:
        """Whether there is anybody."""
        return bool(self._watchers)

    def tell(self, operation: str, paths: tuple[str, ...], pid: int, ns: int, code: int) -> None:
        """An operation was answered with the errno `code`, or 0, after so many nanoseconds.

        `paths` are what it was about, none for what has no name.
        """
        line = {
            "time": time.time(),
            "operation": operation,
            "paths": paths,
            "pid": pid,
            "seconds": ns / 10**9,
            "error": errno.errorcode.get(code, str(code)) if code else None,
        }
        for watcher in self._watchers:
            watcher.tell(line)

    def follow(self, path: str = "") -> Generator[dict[str, Any], None, None]:
        """What comes at `path` and below, in batches: "operations" as above, and how many were "lost".

        The first, which is empty, says that it has begun. It goes on until it is closed.
        """
        watcher = _Watcher(path)
        with self._watching(watcher):
            yield {"operations": [], "lost": 0}
            while True:
                yield watcher.take()

    @contextmanager
    def _watching(self, watcher: _Watcher) -> Iterator[None]:
        self._change(lambda found: (*found, watcher))
        try:
            yield
        finally:
            self._change(lambda found: tuple(it for it in found if it is not watcher))

    def _change(self, change: Callable[[tuple[_Watcher, ...]], tuple[_Watcher, ...]]) -> None:
        with self._lock:
            was_on = self.is_on
            self._watchers = change(self._watchers)
            if was_on != self.is_on:
                self._switch(self.is_on)


class _Watcher:
    """One who wants to see what is at a path, and below it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._below = f"{path}/"
        self._queue: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self._lost = 0

    def tell(self, line: dict[str, Any]) -> None:
        if not self._wants(line["paths"]):
            return
        if self._queue.qsize() < MOST:
            self._queue.put(line)
        else:
            self._lost += 1

    def take(self) -> dict[str, Any]:
        """What has come, waited for."""
        found: list[dict[str, Any]] = []
        try:
            found.append(self._queue.get(timeout=SECONDS))
            while len(found) < AT_ONCE:
                found.append(self._queue.get_nowait())
        except Empty:
            pass
        lost, self._lost = self._lost, 0
        return {"operations": found, "lost": lost}

    def _wants(self, paths: tuple[str, ...]) -> bool:
        return not self._path or any(path == self._path or path.startswith(self._below) for path in paths)
