"""Storing objects, whole or in parts, under the condition that the caller set.

What fits into one part is sent by one request; the rest is streamed, several parts at once, and appears when it is
complete. What is sent so, or under a condition that the service checks, carries a mark in its metadata, which tells
four things that the answers alone leave open:

- A put was answered "the condition does not hold": because of another writer, or because the first try had succeeded
  and only its answer was lost? It is ours where the mark is there.
- The stat behind a put shows a version: is it that of the put? Another writer may have been there by then. Where the
  mark is not ours, the version that is returned is the mark itself, which nothing but our object matches.
- A put was never answered, and the next one is told that the condition does not hold: it is our own version that is in
  the way, and may be replaced.
- The stat behind a put fails: the object is stored all the same, and its version is the mark again.

S3 and most that speak it give an object that was sent whole its MD5 for an etag. Where that was seen once the stat is
spared: what the put has stored has just this version. Were it not so any more, what is made from that version would be
refused as a conflict, and nothing is lost.

A service that can rename but cannot store in one go gets a large object under another name first.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from types import MappingProxyType
from typing import Any, NamedTuple

from storage.api import Content
from storage.entry import Entry, Kind
from storage.exceptions import VersionMismatchError, os_error
from storage.files import File
from storage.remote.local_copy import repeatable
from storage.remote.opendal.budget import Budget
from storage.remote.opendal.conditions import Conditions
from storage.remote.opendal.connection import Connection
from storage.remote.opendal.entries import Entries, last_of, sum_of
from storage.remote.opendal.lookups import Lookups
from storage.remote.opendal.metadata import MARK
from storage.remote.opendal.pieces import PIECE, Pieces, size_of
from storage.remote.opendal.sending import Sending

_MARKED = "~mark-"
"""What a version begins with that is a mark."""
_MOST_PARTS = 9_000
_SUM = re.compile(r'"[0-9a-f]{32}"')
"""An etag that can be the sum of a content, and not that of one which was sent in parts."""
_SECOND = 10**9
_TURNS = 64
_MOST_UNCONFIRMED = 10_000
_logger = logging.getLogger(__name__)


_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Wish(NamedTuple):
    """What must hold for a put: that the object is of `if_version`, or that there is none; and what goes with it."""

    if_version: str | None = None
    if_absent: bool = False
    looked_up: bool = False
    """Whether it is known that no directory has the name."""
    headers: Mapping[str, Any] = _NOTHING
    """More of what the object is to have, by OpenDAL's names: `user_metadata`, `content_type`, ..."""

    @property
    def condition(self) -> str | None:
        """OpenDAL's name of the condition."""
        if self.if_absent:
            return "if_not_exists"
        return None if self.if_version is None else "if_match"

    def failed(self, name: str) -> OSError:
        """What to raise where it does not hold."""
        return os_error(errno.EEXIST, name) if self.if_absent else VersionMismatchError(name)

    def check(self, name: str, entry: Entry | None) -> None:
        """Raise where `entry`, which is what there is, is not as wished; IsADirectoryError for a directory."""
        if entry is not None and entry.is_dir:
            raise os_error(errno.EISDIR, name)
        if self.if_absent and entry is not None:
            raise self.failed(name)
        if self.if_version is not None and (entry is None or entry.version != self.if_version):
            raise self.failed(name)


class Uploads:
    """The way of contents into one storage."""

    def __init__(
        self,
        connection: Connection,
        entries: Entries,
        conditions: Conditions,
        lookups: Lookups,
        *,
        part: int,
        at_once: int,
        memory: int,
    ) -> None:
        """Parts of `part` bytes, `at_once` of them for each object, in `memory` bytes for all objects together."""
        self._connection = connection
        self._entries = entries
        self._conditions = conditions
        self._lookups = lookups
        self._part = part
        self._at_once = at_once
        self._budget = Budget(memory)
        self._etags_are_sums = False
        """Whether the etag of an object that was sent whole was its MD5 when that was last looked at."""
        self._unconfirmed: dict[str, str] = {}
        """By name, the marks of puts that were not answered, and may have been done or not."""
        self._turns = [threading.Lock() for _ in range(_TURNS)]

    def store(self, name: str, content: Any, wish: Wish) -> Entry:
        """Store the content under exactly this name and return the new entry.

        VersionMismatchError or FileExistsError where the wish does not hold, IsADirectoryError over a directory.
        """
        content = content if isinstance(content, File | Content) else File(content, name)
        wish = self._by_etag(name, wish)
        # Without a condition there is one attempt, which a content that cannot go back is streamed in.
        with contextlib.nullcontext(content) if wish.condition is None else repeatable(content) as again:
            try:
                entry = self._store(name, again, wish)
            except (VersionMismatchError, FileExistsError):
                own = self._unconfirmed_version(name)
                if own is None:
                    raise
                entry = self._store(name, again, wish._replace(if_version=own, if_absent=False))
        self._unconfirmed.pop(name, None)
        return self._entries.described(entry, wish.headers.get("user_metadata"))

    def entry_of_copy(self, name: str, original: Entry) -> Entry | None:
        """The entry of a copy that the service has just made; None where its version is not known without a request."""
        if not self._etags_are_sums or _SUM.fullmatch(original.version or "") is None:
            return None
        now = _entry_now(name, original.size, original.version or "").mtime_ns
        if self._entries.attributes:
            return original._replace(name=last_of(name), ctime_ns=now)
        return original._replace(name=last_of(name), mtime_ns=now)

    def _store(self, name: str, content: Any, wish: Wish) -> Entry:
        size = size_of(content)
        with self._budget.taken(self._memory_for(size)):
            pieces = Pieces(content)
            first = pieces.take(self._part if self._connection.capability.write_can_multi else None)
            length = sum(map(len, first))
            try:
                if pieces.are_all_taken:
                    return self._store_whole(name, b"".join(first), wish)
                tell = functools.partial(self._sums_of_parts, content, size or 0)
                return self._store_in_parts(name, pieces.after(first), size or 0, wish, tell)
            except TimeoutError:
                if not self._connection.uploads.watches(length) and self._connection.answers(name):
                    self._connection.give_uploads_time()
                raise

    def _unconfirmed_version(self, name: str) -> str | None:
        """The version of what is there, if that is what we have put and never heard to be stored."""
        mark = self._unconfirmed.get(name)
        found = self._lookups.metadata(name) if mark is not None else None
        return None if found is None or _mark_of(found) != mark else self._entries.entry("", found).version

    def _memory_for(self, size: int | None) -> int:
        """What a put holds: OpenDAL has a copy of an object sent whole, and the parts under way and one more."""
        in_parts = self._part * (self._at_once + 2)
        if self._connection.capability.write_can_multi:
            return in_parts if size is None else min(2 * size, in_parts)
        return max(in_parts, 2 * (size or 0))

    def _store_whole(self, name: str, data: bytes, wish: Wish) -> Entry:
        native = self._is_native(wish, in_parts=False)
        directory: Future[Entry | None] | None = None
        if native and wish.if_absent and not wish.looked_up:
            # Nothing can be lost by it, so the directory is looked for meanwhile.
            directory = self._connection.pool.submit(self._lookups.directory, name)
        elif wish.condition is None:
            self._check(name, wish)
        mark, arguments = self._arguments(wish, native=native, marked=native)
        try:
            with self._checked(name, wish, native), self._answered(name, mark):
                self._connection.uploads.put(name, data, **arguments)
        except VersionMismatchError as error:
            self._require_ours(name, mark, wish, error)
        if directory is not None and _holds(directory):
            self._delete(name)
            raise os_error(errno.EISDIR, name)
        return self._summed(name, data) or self._stored(name, data, mark)

    def _store_in_parts(
        self, name: str, pieces: Iterator[bytes], size: int, wish: Wish, sums: Callable[[], tuple[str, ...]]
    ) -> Entry:
        is_staged = bool(self._connection.capability.rename)
        native = not is_staged and self._is_native(wish, in_parts=True)
        self._check(name, wish)  # before anything is sent for nothing
        mark, arguments = self._arguments(wish, native=native, marked=not is_staged)
        arguments |= {"chunk": self._part_size(size), "concurrent": self._at_once}
        target = f"{name}.{secrets.token_hex(4)}.part" if is_staged else name
        tidy = self._staged(target, name) if is_staged else self._connection.leftovers.upload(name, sums)
        with tidy:
            try:
                with self._connection.errors.translating(target):
                    upload = self._connection.uploads.open(target, **arguments)
                with upload:
                    sent = self._sent(upload, pieces, target)
                    with self._checked(name, wish, native):
                        self._complete(upload, target, name, mark)
            except _NotCompletedError as error:  # one that was completed by a first try is not there for the second
                self._require_ours(name, mark, wish, error.reason)
        return self._found(name, sent, mark)

    def _sums_of_parts(self, content: Any, size: int) -> tuple[str, ...]:
        """The MD5 of as many first parts as are under way at once, of a content that is read once more."""
        sums: list[str] = []
        pieces, part = Pieces(content), self._part_size(size)
        with contextlib.suppress(Exception):  # then these are all that can be told
            rest = b""
            while len(sums) <= self._at_once and not pieces.are_all_taken:
                data = b"".join([rest, *pieces.take(part - len(rest))])
                sums.append(sum_of(data[:part]).strip('"'))
                rest = data[part:]
        return tuple(sums)

    @contextlib.contextmanager
    def _staged(self, target: str, name: str) -> Iterator[None]:
        """A block that stores what is to be called `name` as `target` first, which is deleted if that fails."""
        try:
            yield
        except BaseException:
            try:
                self._delete(target)
            except OSError as error:
                _logger.warning("What was sent of %r is left as %r: %s", name, target, error)
            raise

    def _sent(self, upload: Sending, pieces: Iterator[bytes], target: str) -> int:
        """How many bytes all of the content is, which was sent; the upload is yet to be closed, to complete it."""
        sent = 0
        for piece in pieces:
            with self._connection.errors.translating(target):
                upload.write(piece)
            sent += len(piece)
        return sent

    def _complete(self, upload: Sending, target: str, name: str, mark: str | None) -> None:
        try:
            with self._answered(name, mark):
                upload.close()
                if target != name:
                    self._connection.operator.rename(target, name)
        except (VersionMismatchError, FileNotFoundError) as error:
            raise _NotCompletedError(error) from error

    def _check(self, name: str, wish: Wish) -> None:
        """Raise where the wish does not hold now, by as few requests as tell; IsADirectoryError over a directory."""
        if wish.if_version is not None or (wish.if_absent and wish.looked_up):
            wish.check(name, self._lookups.object(name))
        elif wish.if_absent:
            wish.check(name, self._lookups.find(name))
        elif not wish.looked_up:
            wish.check(name, self._lookups.directory(name))

    @contextlib.contextmanager
    def _checked(self, name: str, wish: Wish, native: bool) -> Iterator[None]:
        """A block before which the wish is checked, unless the service does that; no thread of ours comes between."""
        if native or wish.condition is None:
            yield
            return
        with self._turns[hash(name) % _TURNS]:
            self._check(name, wish)
            yield

    def _part_size(self, size: int) -> int:
        """A service takes 10,000 parts."""
        needed = -(-size // _MOST_PARTS)
        return max(self._part, -(-needed // PIECE) * PIECE)

    def _is_native(self, wish: Wish, *, in_parts: bool) -> bool:
        return wish.condition is not None and self._conditions.holds(wish.condition, in_parts=in_parts)

    def _arguments(self, wish: Wish, *, native: bool, marked: bool) -> tuple[str | None, dict[str, Any]]:
        """The mark, if there is to be one, and OpenDAL's arguments for a put."""
        arguments = dict(wish.headers)
        if native:
            arguments |= {"if_not_exists": True} if wish.if_absent else {"if_match": wish.if_version}
        if not marked or not self._connection.capability.write_with_user_metadata:
            return None, arguments
        mark = secrets.token_hex(8)
        return mark, {**arguments, "user_metadata": {**arguments.get("user_metadata", {}), MARK: mark}}

    @contextlib.contextmanager
    def _answered(self, name: str, mark: str | None) -> Iterator[None]:
        """A put, after which nobody knows whether it was done where no answer came."""
        try:
            with self._connection.errors.translating(name):
                yield
        except (ConnectionError, TimeoutError):
            if mark is not None and len(self._unconfirmed) < _MOST_UNCONFIRMED:
                self._unconfirmed[name] = mark
            raise

    def _by_etag(self, name: str, wish: Wish) -> Wish:
        """The wish with an etag, where it names a version by its mark."""
        if wish.if_version is None or not wish.if_version.startswith(_MARKED):
            return wish
        found = self._lookups.metadata(name)
        if found is None or _mark_of(found) != wish.if_version.removeprefix(_MARKED):
            raise wish.failed(name)
        return wish._replace(if_version=self._entries.entry(last_of(name), found).version)

    def _require_ours(self, name: str, mark: str | None, wish: Wish, error: OSError) -> None:
        """Raise what the wish's failure means, unless the object that is there is the one that was just sent."""
        found = self._lookups.metadata(name) if mark is not None else None
        if found is None or _mark_of(found) != mark:
            if isinstance(error, VersionMismatchError):
                raise wish.failed(name) from error
            raise OSError(errno.EIO, "The service does not know of the upload", name) from error

    def _summed(self, name: str, data: bytes) -> Entry | None:
        """The entry of an object that was just sent whole, where the etags of those are known to be their MD5."""
        if not self._etags_are_sums:
            return None
        return _entry_now(name, len(data), sum_of(data))

    def _stored(self, name: str, data: bytes, mark: str | None) -> Entry:
        """The same, by asking the service, of which is learnt what its etags are."""
        entry = self._found(name, len(data), mark)
        if entry.version is not None and not entry.version.startswith(_MARKED):
            self._etags_are_sums = entry.version == sum_of(data)
        return entry

    def _found(self, name: str, size: int, mark: str | None) -> Entry:
        """The entry of what was just stored, by asking the service."""
        by_mark = _entry_now(name, size, f"{_MARKED}{mark}")
        try:
            found = self._lookups.metadata(name)
        except OSError:
            if mark is None:
                raise
            return by_mark
        if mark is not None and (found is None or _mark_of(found) not in (mark, None)):
            return by_mark
        if found is None:
            raise OSError(errno.EIO, "The service took it, and does not have it", name)
        entry = self._entries.entry(last_of(name), found)
        if entry.size != size:
            raise OSError(errno.EIO, f"{size} bytes were sent, and the service has {entry.size}", name)
        return entry

    def _delete(self, name: str) -> None:
        with self._connection.errors.translating(name):
            self._connection.operator.delete(name)


class _NotCompletedError(Exception):
    """The service did not complete an upload; it may have done so at a first try."""

    def __init__(self, reason: OSError) -> None:
        super().__init__(reason)
        self.reason = reason


def _entry_now(name: str, size: int, version: str) -> Entry:
    """Of an object that has just been stored, by the clock of this machine."""
    return Entry(last_of(name), Kind.FILE, size, time.time_ns() // _SECOND * _SECOND, version=version)


def _mark_of(metadata: Any) -> str | None:
    return (metadata.user_metadata or {}).get(MARK)


def _holds(answer: Future[Entry | None]) -> bool:
    """Whether there is known to be something; a question that failed must not undo what is stored."""
    return answer.exception() is None and answer.result() is not None
