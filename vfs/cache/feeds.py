"""Answers that go on: one request whose answer brings a reader in order all that he is going to need.

A request for each block costs a server more than the bytes in it: on the same network one answer for all the rest of
an object is twice as fast as requests for its blocks, and takes half of the work at both ends. Where the server is far,
and what one answer brings in a second is limited, it is the other way round: several at once bring more, though each is
waited for. So a feed is timed. One whose first bytes come late goes on if what it brings in that time is more than a
block, for then it is the waiting that costs; else it ends, and no other is begun for a while.

A feed brings pieces in the order of the object, each where the one before has ended, and waits with the rest when none
is wanted: the network then holds the server back. Who opens many files has a few feeds, which go to those who read on.
What a feed fails to bring is fetched by requests of its own, which say what went wrong.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Protocol

from vfs.cache.memory import Piece

logger = logging.getLogger("vfs")

NEAR = 0.04
"""Seconds in which the first bytes of a feed come where feeds always pay."""
JUDGED = 8 << 20
"""Bytes after which it is seen whether one pays whose first bytes came later."""
WORTH = 8 << 20
"""Bytes that it brings then in the time that its first bytes took."""
PAUSE = 60.0
"""Seconds for which none is begun after one that did not pay, or broke."""
MOST = 4
"""How many feeds there are at once."""
PART = 1 << 20
"""Bytes of a piece that comes by a feed: a reader waits for the whole of one."""
PATIENCE = 1.0
"""Seconds for which a feed that brings nothing waits for its reader."""
_FIRST = 4096


class Source(Protocol):
    """The bytes of an object, from where it was opened."""

    def read(self, size: int, /) -> bytes | bytearray:
        """So many bytes; fewer only at the end."""

    def close(self) -> None:
        """Read no more."""


Open = Callable[[int], Source | None]
"""Opens an object at an offset; None where it cannot be read so."""
Bring = Callable[[Piece, bytes | bytearray | None], None]
"""Takes the bytes of a piece, or None for one that did not come."""


class Feed:
    """One answer, and what it is to bring. `lock`, that of the memory, guards all but the source."""

    def __init__(self, open_at: Open, start: int, lock: threading.Lock) -> None:
        """Nothing is asked for before `run()`."""
        self._open_at = open_at
        self._start = start
        self._lock = lock
        self._source: Source | None = None
        self._latency = 0.0
        """Seconds until the first bytes came; 0 once there is nothing to be judged."""
        self._brought = 0
        self._seconds = 0.0
        """How long it took to bring them."""
        self._wanted: deque[tuple[Piece, Bring]] = deque()
        self.is_running = False
        self.is_over = False
        """Whether it brings nothing more."""
        self.end = start
        """Where the last of the pieces ends that it is to bring."""
        self.used = time.monotonic()

    def want(self, pieces: list[Piece], bring: Bring) -> None:
        """Have these brought too, the first of which begins at `end`. The caller holds the lock."""
        self._wanted.extend((piece, bring) for piece in pieces)
        self.end, self.used = pieces[-1].end, time.monotonic()

    def run(self, on_poor: Callable[[], None]) -> None:
        """Bring what is wanted, in a thread that may wait; `on_poor` is told when it does not pay, or broke."""
        while True:
            with self._lock:
                if not self._wanted:
                    self.is_running = False
                    break
                piece, bring = self._wanted.popleft()
            bring(piece, None if self.is_over else self._read(piece.size, on_poor))
        if self.is_over:
            self.close()

    def close(self) -> None:
        """Ask for nothing more; not while it runs."""
        source, self._source = self._source, None
        if source is not None:
            with suppress(Exception):  # there is nobody to tell
                source.close()

    def _read(self, size: int, on_poor: Callable[[], None]) -> bytes | bytearray | None:
        """So many bytes; None, and it is over, when they do not come."""
        try:
            data = self._timed(size)
        except Exception as error:  # noqa: BLE001 - who fetches it by himself will see what it is
            logger.debug("a feed broke: %s", error)
            data = None
        is_broken = data is None or len(data) != size
        if is_broken or self._is_poor():
            self.is_over = True
            on_poor()
        return None if is_broken else data

    def _timed(self, size: int) -> bytes | bytearray | None:
        if self._source is not None and not self._latency:
            return self._source.read(size)
        began = time.monotonic()
        first: bytes | bytearray = b""
        if self._source is None:
            self._source = self._open_at(self._start)
            if self._source is None:
                return None
            asked = time.monotonic()  # and not before: it may have connected first
            first = self._source.read(min(_FIRST, size))
            began = time.monotonic()
            self._latency = began - asked
        data = first + self._source.read(size - len(first))
        self._brought += size
        self._seconds += time.monotonic() - began
        return data

    def _is_poor(self) -> bool:
        """Whether requests for blocks would bring more; that is seen once."""
        if not self._latency or (self._latency > NEAR and self._brought < JUDGED):
            return False
        is_poor = self._latency > NEAR and self._brought * self._latency < WORTH * self._seconds
        self._latency = 0.0
        return is_poor


class Feeds:
    """The feeds of one mount, by content. `lock` is that of the memory, and held by all who call."""

    def __init__(self, lock: threading.Lock, submit: Callable[..., object]) -> None:
        """None yet; `submit` runs a function in a pool."""
        self._lock = lock
        self._submit = submit
        self._feeds: OrderedDict[Hashable, Feed] = OrderedDict()
        self._not_before = 0.0

    def takes(self, key: Hashable, start: int) -> bool:
        """Whether there is a feed for what begins at `start`, or may be."""
        return self._at(key, start) is not None or self._may_begin(key)

    def want(self, key: Hashable, pieces: list[Piece], open_at: Open, bring: Bring) -> bool:
        """Have pieces that follow each other brought; whether they will be."""
        feed = self._at(key, pieces[0].start)
        if feed is None:
            if not self._may_begin(key):
                return False
            self.drop(key)
            feed = self._feeds[key] = Feed(open_at, pieces[0].start, self._lock)
        self._feeds.move_to_end(key)
        if not feed.is_running:
            try:
                self._submit(feed.run, self._poor)
            except RuntimeError:  # the pool is closed
                return False
            feed.is_running = True
        feed.want(pieces, bring)
        return True

    def drop(self, key: Hashable) -> None:
        """Nobody is to go on with the feed of a content."""
        feed = self._feeds.pop(key, None)
        if feed is not None:
            feed.is_over = True
            if not feed.is_running:
                feed.close()

    def _poor(self) -> None:
        self._not_before = time.monotonic() + PAUSE

    def _at(self, key: Hashable, start: int) -> Feed | None:
        """The feed that goes on at `start`."""
        feed = self._feeds.get(key)
        return feed if feed is not None and feed.end == start and not feed.is_over else None

    def _may_begin(self, key: Hashable) -> bool:
        """Whether there may be a new feed for a content, in the place of the one that it or another has."""
        if time.monotonic() < self._not_before:
            return False
        if key in self._feeds:
            return _is_left(self._feeds[key])
        if len(self._feeds) >= MOST:
            oldest = next(iter(self._feeds))
            if not _is_left(self._feeds[oldest]):
                return False
            self.drop(oldest)
        return True


def _is_left(feed: Feed) -> bool:
    """Whether nobody goes on with a feed."""
    return feed.is_over or (not feed.is_running and time.monotonic() - feed.used > PATIENCE)
