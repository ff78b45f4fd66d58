"""The content of an open node that comes from a storage: read there, or copied to the spool, whole or in parts.

Where the storage's files are `ranged`, what is only read is not copied at all, and a large object that is changed is
copied in parts: what is written goes to the spool, the rest of it is a gap (vfs.content.gaps), read from the storage
when it is asked for, and fetched at the latest when the whole is to be stored. The storage must then still have that
version.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from storage import extents
from storage.entry import Entry
from storage.exceptions import VersionMismatchError
from storage.files import File
from vfs.cache import CachedFile, steps
from vfs.content.gaps import Gaps, Range
from vfs.content.openfile import OpenFile
from vfs.spool.spool import CHUNK, SpoolFile

if TYPE_CHECKING:
    from vfs.names.tree import Node

SMALL = 4 << 20
"""Bytes of an object that is fetched whole before its first change, lest somebody replaces it in the meantime."""


class FetchedFile(OpenFile):
    """What an open node has of its content in the spool, and what in the storage alone."""

    def __init__(
        self, node: Node, content: SpoolFile | Callable[[], SpoolFile], source: File | None, stored: Entry | None
    ) -> None:
        """Over `source`, the storage's file opened for reading, of which the storage said `stored`; new for None.

        `content` is empty yet, or makes an empty one when it is needed.
        """
        super().__init__(node)
        self._source = source
        self._is_begun = False
        self._given = content
        self._gaps: Gaps | None = None
        """What of the source is not in the content, once it was copied in parts."""
        self._size = 0
        """Of the content, for who asks while it is being stored, or was closed a moment ago."""
        self._stored = stored
        """What the storage said when it had just this content."""
        self.dirty = source is None
        self._exchange = threading.Lock()
        """For taking the source away, or giving another."""
        self._arrived = threading.Event()
        """Not set while its name changes."""
        self._arrived.set()

    @property
    def content(self) -> SpoolFile:
        """What is in the spool of it."""
        given = self._given
        if isinstance(given, SpoolFile):
            return given
        with self.lock:
            if not isinstance(self._given, SpoolFile):
                self._given = self._given()
            return self._given

    @property
    def is_noted(self) -> bool:
        """Whether there is a note on disk about what is in the spool."""
        return isinstance(self._given, SpoolFile) and self._given.is_noted

    def read(self, size: int, offset: int) -> bytes:
        """See `OpenFile.read`."""
        while True:
            source = self._source
            if source is None or not source.ranged:
                self.secure()
                return self.content.pread(size, offset)
            try:
                if not self.dirty:
                    return source.pread(size, offset)
                with self.lock:
                    return self._patched(size, offset)
            except (VersionMismatchError, ValueError):  # it is gone from there, or was closed
                if not self._has_left(source):
                    raise

    def read_at_hand(self, size: int, offset: int) -> bytes | memoryview | None:
        """See `OpenFile.read_at_hand`: what is in the cache."""
        source = self._source
        return source.at_hand(size, offset) if isinstance(source, CachedFile) and not self.dirty else None

    def size(self) -> int:
        """See `OpenFile.size`; what is not fetched has the size that the storage said."""
        with self.lock:
            if self._source is not None and self._stored is not None and self._gaps is None:
                return self._stored.size
            if self._gaps is None:
                self.secure()
            return self._size

    def seek_data(self, offset: int) -> int:
        """See `OpenFile.seek_data`; nothing is fetched to look for holes."""
        if self._is_fetched():
            with self.content as fd:
                return extents.seek_data(fd, offset)
        self._require_inside(offset)
        return offset

    def seek_hole(self, offset: int) -> int:
        """See `OpenFile.seek_hole`; nothing is fetched to look for holes."""
        if self._is_fetched():
            with self.content as fd:
                return extents.seek_hole(fd, offset)
        return self._require_inside(offset)

    def secure(self) -> None:
        """See `OpenFile.secure`: fetch the content, unless it is here."""
        if self._is_fetched():
            return
        with self.lock:
            if self._source is not None and self._source.ranged:
                self._fetch_all()
            elif self._source is not None:
                if self._is_begun:  # and broke off: what is left of it is not the content
                    self._source.seek(0)
                self._is_begun = True
                self.content.fill(_chunks(self._source))
                self._size = self.content.size()
                self._drop_source()

    @property
    def follows(self) -> bool:
        """Whether it goes on by itself when its name changes; else what is read of it must be here before that."""
        source = self._source
        return source is None or (source.ranged and self._stored is not None and self._stored.version is not None)

    @property
    def reads_stored(self) -> bool:
        """Whether some of it is in the storage alone."""
        return self._source is not None

    def set_off(self) -> None:
        """Its name is about to change: who finds nothing under the old one is to wait."""
        self._arrived.clear()

    @property
    def missing(self) -> list[Range]:
        """What of the content is in the storage alone, as the version that it was opened in."""
        return list(self._gaps or ())

    def _prepare(self, *, moves: bool = False) -> None:
        """Before a change: have the content in the spool, or gaps for what is not.

        All of it for a change that `moves` what is behind it, where it is small, and where it cannot be read in parts.
        """
        source, size = self._source, self.size()
        if source is None or not source.ranged or moves or size <= SMALL:
            self.secure()
        elif self._gaps is None:
            self._begin_in_parts(size)

    def _begin_in_parts(self, size: int) -> None:
        self.content.expect(size)
        self._gaps, self._size = Gaps(size), size

    def _fetch_all(self) -> None:
        """Fetch what is missing; where that fails what is only read gives back the room in the spool."""
        try:
            self._fetch_gaps()
        except BaseException:
            if not self.dirty and self._gaps is not None:
                self._gaps = None
                self.content.truncate(0)
            raise

    def _fetch_gaps(self) -> None:
        """Fetch what is missing, in order; what is there stays when it breaks off."""
        if self._gaps is None:
            self._begin_in_parts(self.size())
        while (source := self._source) is not None:
            try:
                self._fetch_gaps_of(source)
            except (VersionMismatchError, ValueError):
                if not self._has_left(source):
                    raise

    def _fetch_gaps_of(self, source: File) -> None:
        for start, end in self.missing:
            for data in steps(source, start, end):
                filled = start + self.content.pwrite(data, start)
                self._filled(start, filled)
                start = filled
        self._filled(0, 0)

    def _has_left(self, source: File) -> bool:
        """Whether it is read from somewhere else by now, or will be in a moment, which is waited for."""
        self._arrived.wait()
        return self._source is not source

    def _filled(self, start: int, end: int) -> None:
        """These bytes are in the spool; when nothing is missing any more the source is not needed."""
        if self._gaps is not None:
            self._gaps.fill(start, end)
            if not self._gaps:
                self._gaps = None
                self.content.has_come()
                self._drop_source()

    def _patched(self, size: int, offset: int) -> bytes:
        """What is read of a content that is copied in parts. The caller holds the lock."""
        source, gaps = self._source, self._gaps
        if source is None or gaps is None:  # all has come meanwhile
            return self.content.pread(size, offset)
        parts = gaps.split(offset, min(offset + size, self._size))
        return b"".join((self.content if here else source).pread(end - start, start) for start, end, here in parts)

    def _is_fetched(self) -> bool:
        """Whether all of the content is in the spool."""
        return self._source is None

    def _require_inside(self, offset: int) -> int:
        size = self.size()
        if not 0 <= offset < size:
            raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
        return size

    def _drop_source(self) -> None:
        with self._exchange:
            source, self._source, self._gaps = self._source, None, None
        if source is not None:
            source.close()


def _chunks(file: File) -> Iterator[bytes]:
    """The content of a file that was just opened; without a seek, which some backends ignore before the first read."""
    while chunk := file.read(CHUNK):
        yield chunk
