"""Ranges: what a filesystem asks of parts of an open file besides reading and writing them, and of one without a name.

The modes of `allocate()` are fallocate(2)'s bits. Where a file has nothing of its own, all of it is data and the only
hole begins at its end, as POSIX allows; what would have to change the file is NotImplementedError.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from storage.entry import Entry

if TYPE_CHECKING:
    from storage.files import File

ALLOCATE_KEEP_SIZE = 0x01
"""Leave the size as it is, also where the range ends behind it."""
ALLOCATE_PUNCH_HOLE = 0x02
"""Give the range back: it reads as zeros. Only together with ALLOCATE_KEEP_SIZE."""
ALLOCATE_COLLAPSE_RANGE = 0x08
"""Take the range out; what follows moves up."""
ALLOCATE_ZERO_RANGE = 0x10
"""Make the range zeros, with room for it."""
ALLOCATE_INSERT_RANGE = 0x20
"""Put a hole in; what follows moves down."""
ALLOCATE_UNSHARE_RANGE = 0x40
"""Give the range blocks of its own where it shares them with a copy."""


class RangesMixin:
    """The part of `File` that is about ranges: offsets and lengths in bytes; no cursor is moved."""

    def stat(self) -> Entry:
        """What is known of the open file."""
        raise NotImplementedError

    def allocate(self, mode: int, offset: int, length: int) -> None:
        """Make room for a range, or give it back, as the bits of `mode` say (ALLOCATE_...; 0: room, and grow to it).

        StorageFullError or OSError (ENOSPC) for no room, EINVAL for a negative offset or no length; NotImplementedError
        for a mode that the file does not have.
        """
        raise NotImplementedError(f"{self!r} cannot allocate")

    def seek_data(self, offset: int) -> int:
        """Where the first data at or behind `offset` begin; OSError (ENXIO) when none follow."""
        self._size_behind(offset)
        return offset

    def seek_hole(self, offset: int) -> int:
        """Where the first hole at or behind `offset` begins, at the latest the end; OSError (ENXIO) behind the end."""
        return self._size_behind(offset)

    def copy_range(self, offset: int, target: File, target_offset: int, size: int) -> int:
        """Copy up to `size` bytes from `offset` into another file or another place of this one, at `target_offset`.

        Returns how many: fewer than `size` only at the end of this file, 0 there. NotImplementedError where there is
        no better way than to read and write; then nothing has been copied.
        """
        raise NotImplementedError(f"{self!r} cannot copy a range")

    def link(self, name: str) -> None:
        """Give a file of `Storage.tmpfile()` its first name; FileExistsError. Other files: NotImplementedError."""
        raise NotImplementedError(f"{self!r} cannot be given a name")

    def _size_behind(self, offset: int) -> int:
        return size_behind(offset, self.stat().size)


def size_behind(offset: int, size: int) -> int:
    """The `size` of a file; OSError (ENXIO) where `offset` is not inside it, as lseek(2) has it for data and holes."""
    if not 0 <= offset < size:
        raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
    return size
