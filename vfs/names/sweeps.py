"""When to list a directory rather than to ask for its names one by one.

A listing brings a thousand names and attributes with one request, and also says what is not there. So whoever asks for
name after name in a directory that was listed before (a long `ls -l`, a build, a backup that compares) is answered from
a new listing, once that has come to be the cheaper way: after a few names, or in a large directory after as many as its
listing takes requests. Of a directory that was never listed nobody knows how large it is: its names are asked for.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future

from storage.entry import Entry
from vfs.names.node import Node

Entries = dict[str, Entry]

PAGE = 1000
"""Entries that one request of a listing brings."""
FEW = 3
"""Names that are asked for one by one before a directory is listed."""
WINDOW = 2.0
"""Seconds in which they are asked for, not to count as single ones."""
_REMEMBERED = 1024


class Sweeps:
    """How often names were asked for, by directory."""

    def __init__(self) -> None:
        """None yet."""
        self._asked: OrderedDict[Node, tuple[float, int]] = OrderedDict()
        """Until when it counts (time.monotonic), and how often; those that were asked last at the end."""
        self._running: dict[Node, tuple[int, Future[Entries]]] = {}
        """The listings that are under way, and how often their directories had been changed when they began."""
        self._lock = threading.Lock()

    def sweep(self, directory: Node, known: int, make: Callable[[], Entries]) -> Entries | None:
        """Note that one more name of a directory, of `known` entries, is to be asked for; its listing, if that is due.

        `make` lists it. Whoever asks meanwhile waits for that, unless the mount has changed the directory since.
        """
        changes = directory.changes
        with self._lock:
            running = self._running.get(directory)
            if running is None and not self._is_due(directory, known):
                return None
            if running is None:
                mine = self._running[directory] = changes, Future()
        if running is not None:
            return running[1].result() if running[0] == changes else None
        return self._made(directory, mine[1], make)

    def _made(self, directory: Node, awaited: Future[Entries], make: Callable[[], Entries]) -> Entries:
        try:
            listing = make()
        except BaseException as error:
            awaited.set_exception(error)
            raise
        else:
            awaited.set_result(listing)
            return listing
        finally:
            with self._lock:
                del self._running[directory]

    def _is_due(self, directory: Node, known: int) -> bool:
        """Whether a directory is to be listed; then the count begins anew. The caller holds the lock."""
        now = time.monotonic()
        until, count = self._asked.pop(directory, (0.0, 0))
        if until < now:
            until, count = now + WINDOW, 0
        is_due = count >= FEW + known // PAGE
        if not is_due:
            self._asked[directory] = until, count + 1
            if len(self._asked) > _REMEMBERED:
                self._asked.popitem(last=False)
        return is_due
