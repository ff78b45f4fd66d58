"""The content of an open node whose storage takes whole objects: a copy in the spool, fetched late and stored whole.

How it comes from the storage is `vfs.content.fetched`'s; this is how it is changed, and stored again.

A new file may be *promised* to be a copy of another, as `cp` asks by copy_file_range(2). Nothing is fetched for that
before somebody reads or changes either of them; where nobody does, the storage is asked to make the copy itself, if
it still has what the promise was made of. Otherwise the original is fetched, which it can be as long as it is open:
that is why a promise is one handle more on it.

Locks: whoever holds those of a copy and of its original took that of the copy first.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from typing import TYPE_CHECKING

from storage import extents
from storage.entry import Entry
from storage.exceptions import VersionMismatchError
from storage.files import File
from storage.ranges import ALLOCATE_KEEP_SIZE, ALLOCATE_PUNCH_HOLE, ALLOCATE_UNSHARE_RANGE, ALLOCATE_ZERO_RANGE
from storage.syscalls import fallocate
from vfs.content.fetched import SMALL, FetchedFile
from vfs.content.gaps import Gaps, Range
from vfs.content.openfile import Handle, OpenFile
from vfs.spool import conflicts
from vfs.spool.journal import Base, State
from vfs.spool.pending import Fate, Pending, describe
from vfs.spool.spool import SpoolFile

if TYPE_CHECKING:
    from storage.base import Storage
    from vfs.names.tree import Node


class SpooledFile(FetchedFile):
    """A node whose content is copied to the spool when it is needed, and stored whole when it is flushed."""

    def __init__(
        self,
        node: Node,
        storage: Storage,
        content: SpoolFile | Callable[[], SpoolFile],
        source: File | None,
        stored: Entry | None = None,
        pending: Pending | None = None,
    ) -> None:
        """Over `source`, the storage's file opened for reading, or new and dirty for None.

        `content` is empty yet, or makes an empty one when it is needed. `stored` is what the storage said of the source
        before it was opened. `pending` is told of changes before they are made.
        """
        super().__init__(node, content, source, stored)
        self._storage = storage
        self._promise: Promise | None = None
        self._copies: set[SpooledFile] = set()
        """Those that are promised to be copies of this one."""
        self._pending = pending
        self.fate = Fate(Base(absent=True) if source is None else Base.of(_version_read(source, stored)))
        """How far the content has come on its way to the storage."""
        self.is_outdated = False
        """Whether the storage has another content by now, and this one cannot be changed any more."""
        self.mtime_ns = time.time_ns()

    @property
    def is_open(self) -> bool:
        """See `OpenFile.is_open`; the handles that copies have, which are promised of it, are nobody's."""
        return self.handles > len(self._copies)

    def write(self, data: bytes | memoryview, offset: int | None) -> int:
        """See `OpenFile.write`."""
        with self._changing():
            self._prepare()
            self._changed()
            start = self.content.size() if offset is None else offset
            try:
                written = self.content.pwrite(data, start)
            finally:
                self._size = self.content.size()
            self._filled(start, start + written)
            return written

    def truncate(self, size: int) -> None:
        """See `OpenFile.truncate`; nothing is fetched for a cut to zero."""
        with self._changing():
            if size == 0:
                self._begin_anew()
            self._prepare()
            self._changed()
            self.content.truncate(size)
            self._size = size
            if self._gaps is not None:
                self._gaps.cut(size)
                self._filled(size, size)

    def size(self) -> int:
        """See `OpenFile.size`."""
        with self.lock:
            return self._size if self._promise is not None else super().size()

    def allocate(self, mode: int, offset: int, length: int) -> None:
        """See `OpenFile.allocate`: the room is on the disk of the spool."""
        with self._changing():
            self._prepare(moves=bool(mode & ~_STAYING))
            size = self.content.size()
            if _changes_content(mode, offset < size):
                self._note_change()
            if not mode & (ALLOCATE_KEEP_SIZE | ALLOCATE_PUNCH_HOLE):
                self.content.make_room(offset + length)
            with self.content as fd:
                fallocate(fd, mode, offset, length)
            self._size = self.content.size()
            if mode & (ALLOCATE_PUNCH_HOLE | ALLOCATE_ZERO_RANGE):
                self._filled(offset, offset + length)
            if self._size != size or _changes_content(mode, offset < size):
                self._changed()

    def copy_range(self, offset: int, target: OpenFile, target_offset: int, size: int) -> int:
        """See `OpenFile.copy_range`: from spool to spool."""
        if not isinstance(target, SpooledFile) or (self._source is not None and self._source.ranged):
            raise NotImplementedError("one of the files is not in the spool")
        self.secure()
        with target._changing():
            target._prepare()
            target._changed()
            target.content.make_room(target_offset + size)
            try:
                with self.content as source_fd, target.content as target_fd:
                    copied = extents.copy_range(source_fd, offset, target_fd, target_offset, size)
            finally:
                target._size = target.content.size()
            target._filled(target_offset, target_offset + copied)
            return copied

    def content_fd(self, write: bool, *, mappable: bool = True) -> None:
        """See `OpenFile.content_fd`: None, because what the kernel wrote by itself nobody would know to store.

        Not for reading either: a file is passed through for all its handles or for none.
        """
        return

    def entry(self, known: Entry | None) -> Entry:
        """See `OpenFile.entry`: size and time of the copy once it is ahead of the storage."""
        if known is None:
            known = Entry("", self.node.kind, ctime_ns=self.mtime_ns)
        if not self.dirty:
            return known
        return known._replace(size=self._size, mtime_ns=self.mtime_ns, blocks=None)

    def sync(self) -> None:
        """See `OpenFile.sync`: storing the content is what syncs it."""

    def secure(self) -> None:
        """See `OpenFile.secure`: fetch the content, and keep the promise."""
        super().secure()
        if self._promise is None:
            return
        with self.lock:
            if self._promise is not None:
                try:
                    self._promise.source.secure()
                except VersionMismatchError as error:  # which is no conflict about the name of this one
                    raise OSError(errno.ESTALE, "what it was to be a copy of has changed") from error
                self.content.fill_from(self._promise.source.content, self._promise.size)
                self._size = self.content.size()
                self._drop_promise()

    def promise(self, source: SpooledFile, offset: int, size: int, release: Callable[[Handle], None]) -> bool:
        """Become a copy of `source` up to `offset` + `size` without fetching it, and say whether that was possible.

        It is for a file that is empty, or a copy of all up to `offset` already, and a source that is what the storage
        has. The source has one handle more until the promise is kept or dropped; then `release` is given that.
        """
        with self._changing():
            if self._promise is not None:
                if self._promise.source is not source or self._promise.size != offset:
                    return False
                self._promise.size += size
            else:
                if self._source is not None or self._size or offset:
                    return False
                with source.lock:
                    if source.dirty or source._stored is None or source._stored.version is None:
                        return False
                    source.handles += 1
                    source._copies.add(self)
                    self._promise = Promise(source, source._stored, size, release)
            self._changed()
            self._size = self._promise.size
            return True

    @property
    def promised_of(self) -> Node | None:
        """The node of which this is to be a copy."""
        promise = self._promise
        return promise.source.node if promise is not None else None

    @property
    def failed_copies(self) -> list[SpooledFile]:
        """Those that are promised to be copies of this one, and were closed, but could not be stored."""
        return [copy for copy in tuple(self._copies) if copy.fate.error]

    def save(
        self,
        name: str,
        stored: Callable[[Entry], None],
        original: tuple[Node, str] | None = None,
        *,
        base: Base | None = None,
        attributes: Callable[[], dict[str, int]] | None = None,
    ) -> None:
        """Store the content under `name` if it is dirty, and tell `stored` the storage's entry.

        VersionMismatchError when the storage has another content than the one that this was made from, or than `base`
        if that is given. `original` is where that lies of which it is a promised copy. It stays dirty until `stored`
        has returned: a lookup must not take the new object for another file. `attributes` says what is to be stored
        with the content, for a storage that takes that.
        """
        with self.lock:
            if not self.dirty:
                return
            wanted = None if attributes is None else attributes()
            fate = self.fate
            if original is not None and self._is_at(name, base or fate.base):
                entry = self._copied_by_storage(name, *original, wanted)
            else:
                entry = None
            if entry is None:
                self.secure()
                self._note_end()
                entry = conflicts.store(
                    self._storage,
                    name,
                    self.content,
                    base or fate.base,
                    fate.sent,
                    looked_up=not (fate.attempts or fate.lasting),
                    attributes=wanted,
                )
            stored(entry)
            self.dirty = False
            self._stored = self.node.entry or entry
            self.fate.base = Base.of(self._stored)
            if self._pending is not None:
                self._pending.forget(self)

    @property
    def is_closed(self) -> bool:
        """Whether it is to be stored as it is, and nobody is at work on it.

        A promised copy that the storage did not make has no content yet that a note could call closed.
        """
        return self._is_whole and (self.fate.lasting or not self.handles)

    @property
    def is_unfinished(self) -> bool:
        """Whether somebody has it open, and nobody has closed what there is, or asked for it to be stored."""
        return self.is_open and not self._is_whole

    @property
    def _is_whole(self) -> bool:
        return self.fate.state is State.CLOSED or (self._promise is not None and bool(self.fate.error))

    def resume(self, missing: list[Range]) -> None:
        """The content is one that was left unsaved, and all of it is here but what is `missing`."""
        self.dirty, self._size = True, self.content.size()
        inside = [(start, min(end, self._size)) for start, end in missing if start < self._size]  # it was cut since
        if inside:
            self.content.expect(self._size)
            self._gaps = Gaps(self._size)
            for (_, end), (start, _) in pairwise([(0, 0), *inside, (self._size, self._size)]):
                self._gaps.fill(end, start)

    def commit(self) -> None:
        """Have content and note on the disk to stay, so that it can be stored later; OSError when that cannot be."""
        assert self._pending is not None
        with self.lock:
            self.secure()
            if self.fate.state is not State.CLOSED or not self.fate.lasting:
                self._pending.note(self, State.CLOSED, lasting=True)

    def arrive(self, entry: Entry | None = None, source: File | None = None) -> None:
        """It has its name for good. With an entry what it was made from is shown as that now, and read by `source`.

        The lock is not needed, which somebody may have who waits for this; a lease keeps the others away.
        """
        if entry is not None:
            before, self._stored, self.fate.base = self._stored, entry, Base.of(entry)
            for copy in tuple(self._copies):
                copy.original_moved(before, entry)
        with self._exchange:
            former = source
            if source is not None and self._source is not None:
                former, self._source = self._source, source
        self._arrived.set()
        if former is not None:
            former.close()

    def original_moved(self, before: Entry | None, entry: Entry) -> None:
        """What it is promised to be a copy of is shown by the storage as `entry` now, and no more as `before`."""
        promise = self._promise
        if promise is not None and promise.stored is before:
            promise.stored = entry

    def rebase(self, entry: Entry) -> None:
        """The storage has what it had, but as `entry`: the mount has changed its attributes."""
        with self.lock:
            if self._stored is None or self._stored.size == entry.size:
                self._stored, self.fate.base = entry, Base.of(entry)

    def keep(self) -> str:
        """Leave the unsaved content in the spool, to be stored by who comes next if it is closed; returns its path."""
        assert self._pending is not None
        with self.lock:
            state = State.WRITING if self.is_unfinished else State.CLOSED
            try:
                if self._promise is not None:
                    self.secure()
                if self.fate.state is not state or not self.fate.lasting:
                    self._pending.note(self, state, lasting=True)
            except OSError as error:
                if self._promise is None:
                    raise
                self.fate.error = self.fate.error or describe(error)
                self._pending.noted_as(self)  # that it was to be a copy is all that can be kept
            return str(self.content.keep())

    def close(self) -> None:
        """See `OpenFile.close`; what is still dirty is lost, so `keep()` it instead."""
        with self.lock:
            self._drop_source()
            self._drop_promise()
            if self._pending is not None:
                self._pending.forget(self)
            if isinstance(self._given, SpoolFile):
                self._given.discard()

    def _copied_by_storage(
        self, name: str, source: Node, source_name: str, wanted: dict[str, int] | None
    ) -> Entry | None:
        """Have the storage make the promised copy, and return its entry; None where it cannot or it would be another.

        The promise stays, for who reads on. Attributes that are `wanted` with the content a copy has from its original,
        and what is not small keeps those: there owner and mode must be the same.
        """
        promise = self._promise
        if promise is None or promise.source.node is not source or promise.size != promise.stored.size:
            return None
        if wanted is not None and (promise.size <= SMALL or not _is_owned_alike(promise.stored, wanted)):
            return None
        try:
            if self._storage.stat(source_name).version != promise.stored.version:
                return None
            self._storage.copy(source_name, name)
        except (FileNotFoundError, NotImplementedError):
            return None
        return self._storage.stat(name)

    def _is_at(self, name: str, base: Base) -> bool:
        """Whether the storage has under `name` just what this is to replace: a copy there knows no condition."""
        if not base.conditions:
            return True
        try:
            found = self._storage.stat(name)
        except FileNotFoundError:
            return base.absent
        return not base.absent and found.version == base.version

    @property
    def covers(self) -> bool:
        """Whether it is stored nowhere yet, and is to replace what the storage has under its name."""
        return self.node.virtual and self.fate.base.version is not None

    def has_under(self, name: str) -> bool:
        """Whether what the storage has under `name`, which this is to lose before it was stored, goes with it.

        That is what it is to replace, and what an upload of it has brought there though it seemed to fail. What
        somebody else has stored there meanwhile stays. The lock is not needed, which somebody may have for long.
        """
        fate, base = self.fate, self.fate.base
        if not base.conditions:
            return True  # it cannot be told
        if base.absent and not fate.attempts:
            return False
        try:
            found = self._storage.stat(name)
        except FileNotFoundError:
            return False
        if not base.absent and found.version == base.version:
            return True
        is_whole = not self.missing and self._promise is None
        return (is_whole and conflicts.has_content(self._storage, name, found, self.content)) or (
            conflicts.has_one_of(self._storage, name, found, fate.sent)
        )

    def cover(self, entry: Entry | None) -> None:
        """What it is to replace is shown by the storage as `entry`."""
        self.fate.base = Base.of(entry)

    def is_version(self, entry: Entry) -> bool:
        """Whether the storage shows as `entry`, as far as can be told, what this is, or what it is to replace."""
        if self.covers:
            return entry.version == self.fate.base.version
        mine = self._stored
        return mine is None or None in (mine.version, entry.version) or mine.version == entry.version

    def _is_fetched(self) -> bool:
        return super()._is_fetched() and self._promise is None

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """A block with the lock held, in which no copy is promised of this file as it was."""
        while True:
            for copy in tuple(self._copies):
                copy.secure()  # which takes its own lock first
            with self.lock:
                if self.is_outdated:
                    raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
                if not self._copies:
                    yield
                    return

    def _begin_anew(self) -> None:
        """Need nothing any more of what there was; OSError where that is not possible, and then it is as before."""
        if self._pending is not None and self.fate.state is State.CLOSED:
            self._given = self._pending.begin_anew(self)
        else:
            _ = self.content  # made now, if it is still to be made: there may be no room or no descriptor for it
        self._drop_source()
        self._drop_promise()

    def _changed(self) -> None:
        self._note_change()
        self.dirty = True
        self.mtime_ns = time.time_ns()
        kept = self.node.kept
        if kept is not None:
            kept.mtime_ns = kept.ctime_ns = None

    def _note_change(self) -> None:
        """Before a change; OSError when there is no room to note it."""
        if self._pending is not None:
            self._pending.begin(self)

    def _note_end(self) -> None:
        """Before an upload; it goes on where there is no room for a note, for then it is the only rescue."""
        fate = self.fate
        if self._pending is not None and (fate.state is not State.CLOSED or fate.partial):
            with suppress(OSError):
                self._pending.note(self, State.CLOSED, lasting=fate.lasting)

    def _drop_promise(self) -> None:
        promise, self._promise = self._promise, None
        if promise is not None:
            with promise.source.lock:
                promise.source._copies.discard(self)
            promise.release(Handle(promise.source, os.O_RDONLY, 0))


class Promise:
    """That a file is a copy of the first `size` bytes of `source` as the storage had it in `stored`."""

    __slots__ = ("release", "size", "source", "stored")

    def __init__(self, source: SpooledFile, stored: Entry, size: int, release: Callable[[Handle], None]) -> None:
        """With what is to be called when `source` is not needed any more."""
        self.source = source
        self.stored = stored
        self.size = size
        self.release = release


_STAYING = ALLOCATE_KEEP_SIZE | ALLOCATE_PUNCH_HOLE | ALLOCATE_ZERO_RANGE | ALLOCATE_UNSHARE_RANGE
"""The modes of an allocation that leave every byte outside of the range where it is."""


def _is_owned_alike(entry: Entry, wanted: dict[str, int]) -> bool:
    return all(getattr(entry, key) == wanted.get(key) for key in ("mode", "uid", "gid"))


def _changes_content(mode: int, inside: bool) -> bool:
    """Whether an allocation in this mode changes what is read of the range, part of which is `inside` the file."""
    if mode & (ALLOCATE_PUNCH_HOLE | ALLOCATE_ZERO_RANGE):
        return inside
    return bool(mode & ~(ALLOCATE_KEEP_SIZE | ALLOCATE_UNSHARE_RANGE))


def _version_read(source: File, known: Entry | None) -> Entry | None:
    """The entry of what is read from `source`, where it can tell its version, else what was `known` before."""
    if source.ranged or source.content_fd() is not None:
        entry = source.stat()
        return entry if entry.version is not None else known
    return known
