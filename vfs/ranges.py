"""The verbs that work on ranges of open files, besides reading and writing them: room, holes, and copies."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from vfs.openfile import Handle

if TYPE_CHECKING:
    from vfs.contents import Contents


class RangeVerbs:
    """The part of `FileSystem` that is about ranges; offsets and sizes in bytes."""

    contents: Contents

    def allocate(self, handle: Handle, mode: int, offset: int, length: int) -> None:
        """Make room for a range or give it back, by fallocate(2)'s `mode`; NotImplementedError for one it lacks."""
        handle.require(write=True)
        handle.file.allocate(mode, offset, length)

    def seek(self, handle: Handle, offset: int, whence: int) -> int:
        """Where data (os.SEEK_DATA) or a hole (os.SEEK_HOLE) begins at or behind `offset`; OSError (ENXIO, EINVAL)."""
        if whence == os.SEEK_DATA:
            return handle.file.seek_data(offset)
        if whence == os.SEEK_HOLE:
            return handle.file.seek_hole(offset)
        raise OSError(errno.EINVAL, "neither data nor a hole")

    def copy_range(self, source: Handle, offset: int, target: Handle, target_offset: int, size: int) -> int:
        """Copy up to `size` bytes between open files; returns how many, 0 at the end of `source`.

        OSError: EBADF unless the one can be read and the other written without appending, EINVAL for ranges of one
        file that overlap.
        """
        source.require(write=False)
        target.require(write=True)
        if target.append:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        if min(offset, target_offset, size) < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return self.contents.copy_range(source.file, offset, target.file, target_offset, size)
