"""One version of one object, as far as it is in the cache."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from vfs.cache.feeds import PART, Feeds, Open
from vfs.cache.memory import Memory, Piece
from vfs.cache.pieces import Pieces
from vfs.cache.streams import BLOCK_MOST, FARTHEST, Streams, Wanted, power_of_two
from vfs.content.gaps import Range

if TYPE_CHECKING:
    from vfs.cache.disk import DiskContent

logger = logging.getLogger("vfs")

PAGE = 4096
"""Bytes that the kernel asks for at least: what is fetched begins and ends with one."""
SMALL = 256 << 10
"""Bytes of an object that is fetched whole."""
FED = 2 << 20
"""Bytes ahead of a reader from which on they come by a feed."""

Fetch = Callable[[int, int], bytes]
"""Brings so many bytes, from there."""
Submit = Callable[..., object]
"""`Executor.submit`; RuntimeError when it takes no more."""


class Content:
    """The pieces of one content; `memory.lock` guards all of its fields."""

    def __init__(
        self,
        key: Hashable,
        name: str,
        size: int,
        memory: Memory,
        submit: Submit,
        emptied: Callable[[Content], None],
        disk: DiskContent | None,
        feeds: Feeds,
    ) -> None:
        """Nothing of it is in memory yet.

        `name` is for errors, `submit` runs a function in the pool, and `emptied` is told when the last piece goes.
        """
        self.key = key
        self.name = name
        self.size = size
        self.users = 0
        self.pieces: Pieces[Piece] = Pieces()
        self._streams = Streams()
        self._memory = memory
        self._submit = submit
        self._emptied = emptied
        self._disk = disk
        self._feeds = feeds

    def read(self, start: int, end: int, fetch: Fetch, open_at: Open, until: int | None = None) -> bytes:
        """The bytes from `start` to `end`, which are all there; they are not more than the memory may hold.

        Where the reader is known to go on `until` there, just that is fetched ahead.

        What is missing comes by `fetch`, which raises what kept it from coming: VersionMismatchError (ESTALE) where the
        storage has another version by now. `open_at` is for what comes by a feed.
        """
        with self._memory.lock:
            mine = self._claim(start, end)
            missing = sum(max(0, min(piece.end, end) - max(piece.start, start)) for piece in mine)
            self._memory.hits.count(end - start, missing)
            ahead = self._want_ahead(start, end, until, fetch, open_at)
            pieces = self.pieces.within(start, end)
        self._have_fetched(ahead, fetch)
        while True:
            self._have_fetched(mine[1:], fetch)
            for piece in mine[:1]:
                self._fetch(piece, fetch)
            data = _joined(pieces, start, end)
            if data is not None:
                return data
            with self._memory.lock:  # something did not come, or went at once
                mine = self._claim(start, end)
                pieces = self.pieces.within(start, end)

    def at_hand(self, start: int, end: int, fetch: Fetch, open_at: Open) -> bytes | memoryview | None:
        """What `read()` would return, where that is all in memory already; nothing is waited for."""
        with self._memory.lock:
            pieces = self.pieces.within(start, end)
            if not _is_whole(pieces, start, end):
                return None
            for piece in pieces:
                self._memory.touch(piece, end)
            self._memory.hits.count(end - start, 0)
            ahead = self._want_ahead(start, end, None, fetch, open_at)
        self._have_fetched(ahead, fetch)
        parts = _parts(pieces, start, end)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def drop(self, piece: Piece) -> None:
        """The piece is not in memory any more. The caller holds the lock."""
        self.pieces.remove(piece)
        if not self.pieces:
            self._emptied(self)

    def abandon(self, *, forever: bool) -> None:
        """Nobody reads it now: what was fetched ahead is not wanted any more. The caller holds the lock.

        And nothing at all if that is `forever`.
        """
        for piece in self.pieces:
            self._memory.demanded(piece)
            if forever and piece.data is not None:
                self._memory.lost(piece)
                self.pieces.remove(piece)

    def _claim(self, start: int, end: int) -> list[Piece]:
        """New pieces for what is missing of a read, for the caller to fetch, once there is room for them."""
        if self.size <= SMALL:
            start, end = 0, self.size
        else:
            start, end = start // PAGE * PAGE, min(-(-end // PAGE) * PAGE, self.size)
        while True:
            for piece in self.pieces.within(start, end):  # and of these no room is made
                self._memory.touch(piece, end)
            gaps = self.pieces.gaps(start, end)
            if not gaps or self._memory.take(sum(last - first for first, last in gaps)):
                return [self._begin(*part) for gap in gaps for part in self._parts(*gap)]

    def _want_ahead(self, start: int, end: int, until: int | None, fetch: Fetch, open_at: Open) -> list[Piece]:
        """Claim what is worth fetching ahead of a read; what of it is to be fetched, because no feed will bring it."""
        ahead, block = self._claim_ahead(start, end, until)
        is_fed = ahead and block == PART and self._feeds.want(self.key, ahead, open_at, partial(self._brought, fetch))
        return [] if is_fed else ahead

    def _claim_ahead(self, start: int, end: int, until: int | None) -> tuple[list[Piece], int]:
        """New pieces for what is worth fetching ahead of a read, as far as there is room for it, and their size.

        That is `PART` for those that follow each other, and are to come by a feed.
        """
        most = min(power_of_two(self._memory.budget // 6), BLOCK_MOST)
        sure = Wanted(end, min(until, end + FARTHEST), most) if until is not None else None
        wanted = sure or self._streams.read(start, end, most)
        if wanted is None or self.size <= SMALL:
            return [], 0
        first, last, block = wanted
        claimed: list[Piece] = []
        gaps = self.pieces.gaps(first, min(last, self.size))
        parts = [part for gap in gaps for part in self._parts(*gap)]
        if last - first >= FED and len(parts) == 1 and not self._is_on_disk(*parts[0]):
            block = PART if self._feeds.takes(self.key, parts[0][0]) else block
        for at, until in (run for part in parts for run in _blocks(*part, block)):
            if not self._memory.take_ahead(until - at):
                break
            claimed.append(self._begin(at, until, is_ahead=True))
        return claimed, block

    def _parts(self, start: int, end: int) -> list[Range]:
        """A range in parts, of which each comes from one place."""
        return self._disk.parts(start, end) if self._disk is not None else [(start, end)]

    def _is_on_disk(self, start: int, end: int) -> bool:
        return self._disk is not None and self._disk.has(start, end)

    def _begin(self, start: int, end: int, *, is_ahead: bool = False) -> Piece:
        piece = Piece(self, start, end, is_ahead=is_ahead)
        self.pieces.add(piece)
        return piece

    def _have_fetched(self, pieces: list[Piece], fetch: Fetch) -> None:
        for piece in pieces:
            try:
                self._submit(self._fetch_in_pool, piece, fetch)
            except RuntimeError:  # the pool is closed
                self._give_up(piece)

    def _fetch_in_pool(self, piece: Piece, fetch: Fetch) -> None:
        """Who needs the piece tries again if it does not come, and then gets the error."""
        if piece.is_ahead and not self.users:
            self._give_up(piece)
            return
        try:
            self._fetch(piece, fetch)
        except Exception as error:  # noqa: BLE001 - see above
            logger.debug("not fetched: %r, %s", self.name, error)

    def _give_up(self, piece: Piece) -> None:
        with self._memory.lock:
            self._memory.lost(piece)
            self.drop(piece)
        piece.ready.set()

    def _fetch(self, piece: Piece, fetch: Fetch) -> None:
        """Bring the bytes of a piece that was claimed, from disk or from the storage."""
        try:
            data = self._load(piece)
            is_new = data is None
            if data is None:
                data = fetch(piece.size, piece.start)
        except BaseException:
            self._give_up(piece)
            raise
        self._have(piece, data)
        if is_new and self._disk is not None:
            self._disk.store(piece.start, data)

    def _load(self, piece: Piece) -> bytes | None:
        """What is on disk of a piece, which is all of it or nothing."""
        if self._disk is None:
            return None
        data = self._disk.load(piece.start, piece.end)
        self._disk.hits.count(piece.size, piece.size if data is None else 0)
        return data

    def _brought(self, fetch: Fetch, piece: Piece, data: bytes | bytearray | None) -> None:
        """A feed has brought the bytes of a piece, or has failed to."""
        if data is None:
            self._have_fetched([piece], fetch)
            return
        self._have(piece, data)
        if self._disk is not None:
            self._disk.hits.count(piece.size, piece.size)
            self._disk.store(piece.start, data)

    def _have(self, piece: Piece, data: bytes | bytearray) -> None:
        with self._memory.lock:
            piece.data = data
            self._memory.arrived(piece)
        piece.ready.set()


def _blocks(start: int, end: int, block: int) -> Iterator[Range]:
    """A range, cut at the multiples of `block`."""
    while start < end:
        until = min((start // block + 1) * block, end)
        yield start, until
        start = until


def _joined(pieces: list[Piece], start: int, end: int) -> bytes | None:
    """The bytes of the range, when all of these pieces have come; None if they are not all of it, or one has not."""
    for piece in pieces:
        piece.ready.wait()
    if not _is_whole(pieces, start, end):
        return None
    data = pieces[0].data
    if isinstance(data, bytes) and (pieces[0].start, pieces[0].end) == (start, end):
        return data
    return b"".join(_parts(pieces, start, end))


def _is_whole(pieces: list[Piece], start: int, end: int) -> bool:
    """Whether all bytes of the range are in these pieces, and have come."""
    at = start
    for piece in pieces:
        if piece.data is None or piece.start > at:
            return False
        at = piece.end
    return at >= end


def _parts(pieces: list[Piece], start: int, end: int) -> list[memoryview]:
    """The bytes of the range, which are whole, as they lie there."""
    found = [(piece, piece.data) for piece in pieces]
    return [
        memoryview(data)[max(start - piece.start, 0) : end - piece.start] for piece, data in found if data is not None
    ]
