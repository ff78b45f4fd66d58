"""A bounded pool of threads for requests that may wait.

The standard library's pool waits at the interpreter's exit for whatever its threads still do; a storage that hangs must
not keep a program from ending, so these are daemon threads.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any


class Pool:
    """Up to `size` threads, each started when there is work and nobody idle."""

    def __init__(self, size: int, work: Callable[[Any], None]) -> None:
        """Each job is given to `work`, which must not raise."""
        self._size = size
        self._work = work
        self._jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._idle: list[None] = []
        """As many as threads wait: quicker than a semaphore, for one thread alone takes them."""
        self.idents: set[int] = set()
        """The numbers of its threads."""

    def submit(self, job: Any) -> None:
        """Have `job` done by the next thread that is free. Called by one thread only.

        Where the system has no thread left it waits for one of those there are, or is done here and now.
        """
        if self._idle:
            self._idle.pop()
        elif len(self._threads) < self._size:
            thread = threading.Thread(target=self._run, name=f"vfs-request-{len(self._threads)}", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                if not self._threads:
                    self._work(job)
                    return
            else:
                self._threads.append(thread)
        self._jobs.put(job)

    def close(self) -> None:
        """Let the threads end, and wait until they have."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        self.idents.add(threading.get_ident())
        while (job := self._jobs.get()) is not None:
            self._work(job)
            self._idle.append(None)
