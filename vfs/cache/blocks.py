"""The cache of one mount, and the files that are read through it."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from storage.changes import Observed, Subscription
from storage.entry import Change, Entry
from storage.exceptions import VersionMismatchError
from storage.files import File
from vfs.cache.content import Content
from vfs.cache.disk import QUEUE, DiskCache
from vfs.cache.feeds import Feeds, Source
from vfs.cache.memory import Memory
from vfs.watch.metrics import Hits

MEMORY = 48 << 20
"""Bytes in memory, unless somebody has another idea."""
LEAST_MEMORY = 8 << 20
"""Bytes: with less, readers would wait for each other."""
STEP = 2 << 20
"""Bytes that are read at once; more is read in steps, so that one reader does not need all of the memory."""
FETCHES = 8
"""How many requests ahead of readers are under way at once; each reader may have one more."""


class BlockCache:
    """What was read of the objects of one storage."""

    def __init__(self, memory: int = MEMORY, disk: DiskCache | None = None) -> None:
        """With so many bytes in memory (at least `LEAST_MEMORY`), and a cache on disk if there is one.

        Of the memory a part is for what waits to be written to disk.
        """
        self._disk = disk
        self._memory = Memory(self._budget(memory))
        self._contents: dict[Hashable, Content] = {}
        self._keys: dict[str, set[Hashable]] = {}
        """Those of `_contents`, by the names of their objects."""
        self._subscriptions: list[Subscription] = []
        self._pool = ThreadPoolExecutor(FETCHES, thread_name_prefix="vfs-fetch")
        self._feeds = Feeds(self._memory.lock, self._pool.submit)

    def _budget(self, memory: int) -> int:
        return max(memory - (QUEUE if self._disk is not None else 0), LEAST_MEMORY)

    def resize(self, memory: int, disk: int) -> None:
        """So many bytes in memory, as when it was made, and on disk from now on; at once where that is less."""
        with self._memory.lock:
            self._memory.resize(self._budget(memory))
        if self._disk is not None:
            self._disk.resize(disk)

    def open(self, source: File, name: str, entry: Entry, on_change: Callable[[], None] = lambda: None) -> CachedFile:
        """A file that reads `source` through the cache, and closes it: the `ranged` file of the object `name`.

        `entry` is what the storage said of the version that it reads. `on_change` is called when there is another.
        """
        key: Hashable = (name, entry.version, entry.size) if entry.version is not None else object()
        with self._memory.lock:
            content = self._contents.get(key)
        if content is None:
            content = self._new(key, name, entry)
        with self._memory.lock:
            content = self._contents.setdefault(key, content)
            self._keys.setdefault(name, set()).add(key)
            content.users += 1
        return CachedFile(self, content, source, entry, on_change)

    def _new(self, key: Hashable, name: str, entry: Entry) -> Content:
        on_disk = self._disk.content(name, entry.version) if self._disk is not None and entry.version else None
        return Content(key, name, entry.size, self._memory, self._pool.submit, self._emptied, on_disk, self._feeds)

    def leave(self, content: Content) -> None:
        """One who had `content` open reads no more of it."""
        with self._memory.lock:
            content.users -= 1
            if not content.users:
                self._feeds.drop(content.key)
                content.abandon(forever=not isinstance(content.key, tuple))
                self._emptied(content)

    def _emptied(self, content: Content) -> None:
        """Forget a content that nobody has open, and of which nothing is here. The caller holds the lock."""
        if not content.users and not content.pieces and self._contents.get(content.key) is content:
            self._remove(content)

    def _remove(self, content: Content) -> None:
        del self._contents[content.key]
        keys = self._keys[content.name]
        keys.remove(content.key)
        if not keys:
            del self._keys[content.name]

    def follow(self, storage: Observed) -> None:
        """Forget from now on what `storage` had under the names that are changed through it.

        Its versions need not tell: those of SFTP are the second of the change and the size.
        """
        self._subscriptions.append(storage.subscribe(self._changed))

    def _changed(self, change: Change) -> None:
        if change.action in {"save", "rename", "delete"}:
            below = self._below(change.target) if change.target is not None else []
            for name in filter(None, (change.name, change.target, *below)):
                self.forget(name)

    def _below(self, directory: str) -> list[str]:
        """The names in a directory of what is here."""
        return [name for name in list(self._keys) if name.startswith(f"{directory}/")]

    def forget(self, name: str) -> None:
        """Show nothing any more of what was read of the object `name`, but to those who have it open."""
        if self._disk is not None:  # first, or who opens it in between would find there what is old
            self._disk.forget(name)
        with self._memory.lock:
            for content in [self._contents[key] for key in self._keys.get(name, ())]:
                self._remove(content)
                self._feeds.drop(content.key)
                content.key = object()  # as of one that has no version: it goes with its last user
                if not content.users:
                    content.abandon(forever=True)

    def status(self) -> dict[str, int]:
        """How many bytes are where, and may be."""
        report = {"memory": self._memory.used, "memory_limit": self._memory.budget}
        return report | (self._disk.status() if self._disk is not None else {})

    def hits(self) -> dict[str, Hits]:
        """How often what was asked for was in memory; and on disk, of what was not or was fetched ahead."""
        return {"memory": self._memory.hits} | ({"disk": self._disk.hits} if self._disk is not None else {})

    def close(self) -> None:
        """Fetch nothing ahead any more, and follow nobody; what is on its way to the disk comes there."""
        for subscription in self._subscriptions:
            subscription.stop()
        self._pool.shutdown(wait=False)
        if self._disk is not None:
            self._disk.close()


class CachedFile(File):
    """A file that is read by `pread()` alone, through the cache."""

    ranged = True

    def __init__(
        self, cache: BlockCache, content: Content, source: File, entry: Entry, on_change: Callable[[], None]
    ) -> None:
        """Over `source`, which the storage shows as `entry`; see `BlockCache.open`."""
        super().__init__(source, source.name)
        self._cache = cache
        self._content = content
        self._entry = entry
        self._on_change = on_change
        self._lock = threading.Lock()
        self._uses = 1
        self._is_closed = False

    @property
    def closed(self) -> bool:
        """Whether it was closed; requests that are under way still come to their end."""
        return self._is_closed

    def stat(self) -> Entry:
        """What the storage said when it was opened."""
        return self._entry

    def read(self, *_: Any) -> bytes:
        """io.UnsupportedOperation: it has no cursor."""
        raise io.UnsupportedOperation("it is read by pread() alone")

    def pread(self, size: int, offset: int) -> bytes:
        """Up to `size` bytes from `offset`; VersionMismatchError (ESTALE) where they are gone from the storage."""
        end = min(offset + size, self._content.size)
        if offset >= end:
            return b""
        with self._using():
            if end - offset <= STEP:
                return self._content.read(offset, end, self._fetch, self._open_at)
            steps = range(offset, end, STEP)
            return b"".join(self._content.read(at, min(at + STEP, end), self._fetch, self._open_at) for at in steps)

    def at_hand(self, size: int, offset: int) -> bytes | memoryview | None:
        """What `pread()` would return, where that needs to wait for nothing; else None."""
        end = min(offset + size, self._content.size)
        if self._is_closed or offset >= end or size > STEP:
            return None
        return self._content.at_hand(offset, end, self._fetch, self._open_at)

    def steps(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes from `start` to `end` in order, of which as many as may be are fetched at once."""
        for at in range(start, min(end, self._content.size), STEP):
            until = min(at + STEP, end, self._content.size)
            with self._using():
                yield self._content.read(at, until, self._fetch, self._open_at, end)

    def close(self) -> None:
        """Read no more."""
        if not self._is_closed:
            self._is_closed = True
            self._cache.leave(self._content)
            self._release()

    def _open_at(self, offset: int) -> Source | None:
        """The rest of the object as one answer, which is no longer bound to this file."""
        with self._using():
            source: Source | None = self.file.stream(offset)
        return source

    def _fetch(self, size: int, offset: int) -> bytes:
        """All of the bytes, from the storage."""
        try:
            with self._using():
                data: bytes = self.file.pread(size, offset)
            if len(data) != size:
                raise VersionMismatchError(str(self), "the object is shorter than it was")
        except FileNotFoundError as error:
            self._on_change()
            raise VersionMismatchError(str(self), "the object is gone") from error
        except VersionMismatchError:
            self._on_change()
            raise
        return data

    @contextmanager
    def _using(self) -> Iterator[None]:
        """A block in which the source stays open; ValueError if it is closed already."""
        with self._lock:
            if not self._uses:
                raise ValueError("I/O operation on closed file.")
            self._uses += 1
        try:
            yield
        finally:
            self._release()

    def _release(self) -> None:
        with self._lock:
            self._uses -= 1
            is_last = not self._uses
        if is_last:
            self.file.close()


def steps(source: File, start: int, end: int) -> Iterator[bytes]:
    """The bytes of a `ranged` file from `start` to `end`, in order."""
    if isinstance(source, CachedFile):
        return source.steps(start, end)
    return (source.pread(min(STEP, end - at), at) for at in range(start, end, STEP))
