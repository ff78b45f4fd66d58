"""Parts of an open file in memory: made room for, punched, searched for data and holes, and copied to others.

Only a memfd has holes and room behind its end. A small content moves into one when a hole of a page or more comes to be
in it; when it comes back into the process, the holes become zeros.
"""

from __future__ import annotations

import errno
import os

from storage import extents
from storage.files import File
from storage.memory.hold import Hold, closed
from storage.memory.memfd import Memfd
from storage.ranges import ALLOCATE_KEEP_SIZE, ALLOCATE_PUNCH_HOLE, ALLOCATE_ZERO_RANGE, size_behind

_MODES = frozenset(
    {
        0,
        ALLOCATE_KEEP_SIZE,
        ALLOCATE_PUNCH_HOLE | ALLOCATE_KEEP_SIZE,
        ALLOCATE_ZERO_RANGE,
        ALLOCATE_ZERO_RANGE | ALLOCATE_KEEP_SIZE,
    }
)
_AT_ONCE = 32 * 1024**2


class HeldRanges(Hold):
    """What `storage.ranges` asks of an open file."""

    def allocate(self, mode: int, offset: int, length: int) -> None:
        """Make room for a range or give it back, as the bits of `mode` say; StorageFullError with nothing changed.

        OSError (EINVAL) for a negative offset or no length; NotImplementedError for modes that move what follows.
        """
        if mode not in _MODES:
            raise NotImplementedError(f"Files in memory are not allocated in mode {mode:#x}")
        if offset < 0 or length <= 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        tree = self._tree
        end = offset + length
        with tree.lock:
            node = self._inode or closed()
            if mode & (ALLOCATE_PUNCH_HOLE | ALLOCATE_ZERO_RANGE):
                node.punch(offset, end)
            if not mode & ALLOCATE_PUNCH_HOLE:
                node.reserve(offset, end, keep_size=bool(mode & ALLOCATE_KEEP_SIZE))
            node.changed(tree.now())
        self._wrote()

    def seek_data(self, offset: int) -> int:
        """Where the first data at or behind `offset` begin; OSError (ENXIO) when none follow."""
        return self._sought(offset, os.SEEK_DATA)

    def seek_hole(self, offset: int) -> int:
        """Where the first hole at or behind `offset` begins, at the latest the end; OSError (ENXIO) behind the end."""
        return self._sought(offset, os.SEEK_HOLE)

    def copy_range(self, offset: int, target: File, target_offset: int, size: int) -> int:
        """Copy up to `size` bytes from `offset` to `target_offset` of a file of the same storage; returns how many.

        OSError (EINVAL) for two ranges of one file that overlap; NotImplementedError for a file of another storage.
        """
        if not isinstance(target, HeldRanges) or target._tree is not self._tree:
            raise NotImplementedError("Ranges are copied inside one storage.")
        if offset < 0 or target_offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        size = min(size, self.size - offset)  # or a file would go on copying what it has just been given
        if self.node is target.node and extents.overlap(offset, target_offset, size):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        copied = 0
        while copied < size:
            part = min(size - copied, _AT_ONCE)
            done = target._copied_from(self, offset + copied, target_offset + copied, part)
            if not done:  # cut off meanwhile by somebody else
                break
            copied += done
        return copied

    def _copied_from(self, other: HeldRanges, offset: int, start: int, size: int) -> int:
        tree = self._tree
        with tree.lock:
            source, node = other._inode or closed(), self._inode or closed()
            copied = node.copy_range_from(source, offset, start, size)
            if not copied:
                return 0
            now = tree.now()
            source.accessed(now)
            node.changed(now)
        self._wrote()
        return copied

    def _sought(self, offset: int, whence: int) -> int:
        with self._tree.lock:
            backing = (self._inode or closed()).data
            if isinstance(backing, Memfd):
                return os.lseek(backing.fd, offset, whence)  # the cursor of a memfd is nobody's
            size = size_behind(offset, len(backing))
            return offset if whence == os.SEEK_DATA else size
