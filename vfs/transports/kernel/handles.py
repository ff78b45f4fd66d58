"""What the kernel has open, by the numbers that it was given for it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING

from vfs.content.openfile import Handle
from vfs.names.tree import Node
from vfs.transports.kernel import protocol
from vfs.transports.kernel.directory import OpenDirectory
from vfs.transports.kernel.notifications import content_read, inode_changed
from vfs.transports.kernel.opened import NO_FILE, OpenModes
from vfs.transports.kernel.request import stale

if TYPE_CHECKING:
    from vfs.filesystem import FileSystem


class Handles:
    """The open files and directories of one mount."""

    def __init__(self, filesystem: FileSystem, modes: OpenModes, notify: Callable[[bytes], object]) -> None:
        """None yet; `notify` sends a message to the kernel, one that does not wait there for anything."""
        self._filesystem = filesystem
        self._modes = modes
        self._notify = notify
        self._files: dict[int, Handle] = {}
        self._directories: dict[int, OpenDirectory] = {}
        self._numbers = itertools.count(1)

    def open(self, handle: Handle, nodeid: int = 0) -> bytes:
        """Give `handle` a number; the body of the reply to its open.

        For a file that the kernel knows already, as `nodeid`, the reply may come with more for its caches.
        """
        try:
            flags, backing, content = self._modes.open(handle)
        except BaseException:
            self._filesystem.release(handle)
            raise
        if nodeid and content:
            self._notify(content_read(nodeid, content))
        if nodeid and self._modes.is_mappable(handle.file):
            self._notify(inode_changed(nodeid, content=False))
        number = next(self._numbers)
        self._files[number] = handle
        return protocol.OPEN_OUT.pack(number, flags, backing)

    def open_directory(self, node: Node) -> bytes:
        """The same for a directory, whose listing is made when it is read."""
        number = next(self._numbers)
        self._directories[number] = OpenDirectory(self._filesystem, node)
        return protocol.OPEN_OUT.pack(number, 0, NO_FILE)

    def file(self, number: int) -> Handle:
        """The open file of that number; OSError (ESTALE)."""
        try:
            return self._files[number]
        except KeyError:
            raise stale() from None

    def directory(self, number: int) -> OpenDirectory:
        """The open directory of that number; OSError (ESTALE)."""
        try:
            return self._directories[number]
        except KeyError:
            raise stale() from None

    def close(self, number: int) -> None:
        """Give up the open file of that number, if there is one."""
        handle = self._files.pop(number, None)
        if handle is not None:
            self._modes.release(handle)
            self._filesystem.release(handle)

    def close_directory(self, number: int) -> None:
        """Give up the open directory of that number, if there is one."""
        self._directories.pop(number, None)

    def close_all(self) -> None:
        """The mount is gone, and with it whoever had a file open."""
        for number in list(self._files):
            self.close(number)
        self._directories.clear()

    def is_believed(self, node: Node) -> bool:
        """Whether the attributes of `node` hold for a while: not those of a file that may be mapped for writing."""
        return node.file is None or not self._modes.is_mappable(node.file)

    def has_nothing_to_store(self, number: int) -> bool:
        """Whether that is the last handle of a node whose content needs no storing, so that closing takes no time."""
        handle = self._files.get(number)
        if handle is None:
            return True
        file = handle.file
        if file.handles > 1 or file.dirty or not file.lock.acquire(blocking=False):
            return False
        file.lock.release()
        return True

    def __len__(self) -> int:
        """How many are open."""
        return len(self._files) + len(self._directories)
