"""The verbs on open files: from open to release, and ranges of them; offsets and sizes are bytes."""

from __future__ import annotations

import errno
import os
import stat

from vfs.callers import Caller, same_process
from vfs.content.openfile import Handle
from vfs.names.attributes import Attributes
from vfs.names.tree import Node
from vfs.verbs.base import Verbs


class FileVerbs(Verbs):
    """The part of `FileSystem` that is about open files."""

    def create(self, parent: Node, name: str, mode: int, flags: int, caller: Caller) -> tuple[Node, Attributes, Handle]:
        """Make and open a file, or open one that appeared meanwhile unless `flags` have O_EXCL. Counts one lookup."""
        self._check_writable(name)
        permissions, uid, gid = self._ownership(parent, stat.S_IMODE(mode), caller)
        try:
            node, entry = self.contents.create(parent, name, permissions, uid, gid)
        except FileExistsError:
            if flags & os.O_EXCL:
                raise
            node, entry = self.names.find(parent, name), None
        else:
            flags &= ~os.O_TRUNC
        handle = self.open(node, flags, caller)
        return *self._answer(node, entry), handle

    def tmpfile(self, parent: Node, mode: int, flags: int, caller: Caller) -> tuple[Node, Attributes, Handle]:
        """Make and open a file without a name, which `link()` may give it one. Counts one lookup.

        NotImplementedError where the storage has no such files.
        """
        self._check_writable()
        node = self.contents.tmpfile(parent, *self._ownership(parent, stat.S_IMODE(mode), caller))
        handle = self.contents.open(node, flags, caller.pid)
        return *self._answer(node), handle

    def open(self, node: Node, flags: int, caller: Caller) -> Handle:
        """Open a file with open(2)'s access mode, O_APPEND and O_TRUNC from `flags`.

        OSError (ESTALE) when the name shows another file by now: look it up again.
        """
        if flags & os.O_ACCMODE != os.O_RDONLY or flags & os.O_TRUNC:
            self._check_writable()
        handle = self.contents.open(node, flags, caller.pid)
        if flags & os.O_TRUNC:
            try:
                handle.file.truncate(0)
            except BaseException:
                self.contents.release(handle)
                raise
            self.names.touch(node)
        return handle

    def read(self, handle: Handle, size: int, offset: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer only at the end of the file."""
        handle.require(write=False)
        data = handle.file.read(size, offset)
        count = len(data)
        self.traffic.read += count
        return data

    def read_at_hand(self, handle: Handle, size: int, offset: int) -> bytes | memoryview | None:
        """What `read()` would return, where nothing is to be waited for; None where it may have to be."""
        data = handle.file.read_at_hand(size, offset) if handle.readable else None
        if data is not None:
            count = len(data)
            self.traffic.read += count
        return data

    def write(self, handle: Handle, data: bytes | memoryview, offset: int, *, mapped: bool = False) -> int:
        """Write all of `data`, at the end of the file for a handle opened with O_APPEND.

        What was `mapped` has its place: the kernel writes pages back by whatever handle there is.
        """
        handle.require(write=True)
        written = handle.file.write(data, None if handle.append and not mapped else offset)
        self.traffic.written += written
        return written

    def flush(self, handle: Handle, caller: Caller) -> None:
        """A descriptor of `handle` was closed: store what is dirty if the process that opened it closes it."""
        if handle.writable and handle.file.dirty and same_process(handle.pid, caller.pid):
            self.contents.uploads.finish(handle.file)

    def fsync(self, handle: Handle) -> None:
        """Return when the storage has the content, or raise what kept it from that."""
        self.contents.uploads.store(handle.file)
        handle.file.sync()

    def release(self, handle: Handle) -> None:
        """The last descriptor of `handle` is gone; see `Contents.release`."""
        self.contents.release(handle)

    # -- ranges

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
