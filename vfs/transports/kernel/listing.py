"""An open directory: a snapshot of its entries, handed out in pieces as large as the kernel asks for.

The offset of an entry is its place in the snapshot, so that `rm -r` may delete while it lists. Reading from the
beginning again (rewinddir) takes a new snapshot.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from vfs.attributes import Attributes
from vfs.transports.kernel import protocol
from vfs.tree import Node

if TYPE_CHECKING:
    from vfs.filesystem import FileSystem
    from vfs.listing import DirectoryEntry

_NO_ENTRY = bytes(protocol.ENTRY_OUT.size)
"""A lookup that was not made: the kernel makes it itself when it needs it."""
_DIRECTORY_TYPE = 4
"""DT_DIR."""


class Listing:
    """One open directory."""

    def __init__(self, filesystem: FileSystem, node: Node) -> None:
        """Of `node`; nothing is listed yet."""
        self._filesystem = filesystem
        self._node = node
        self._found: list[DirectoryEntry] = []
        self._changes = 0

    def names(self, offset: int, size: int) -> bytes:
        """The entries from `offset` on without attributes, as many as `size` bytes hold."""
        self._take(offset)
        pieces: list[bytes] = []
        room = size
        for place in range(offset, len(self._found) + 2):
            name, ino, kind = self._line(place)
            piece = _dirent(name, ino, place + 1, kind)
            room -= len(piece)
            if room < 0:
                break
            pieces.append(piece)
        return b"".join(pieces)

    def entries(self, offset: int, size: int, entry: Callable[[Node, Attributes], bytes]) -> bytes:
        """The same, each with what `entry` makes of its node, of which a lookup is counted.

        Not where the directory has changed since the snapshot, for what is gone must not come back.
        """
        self._take(offset)
        pieces: list[bytes] = []
        room = size
        for place in range(offset, len(self._found) + 2):
            name, ino, kind = self._line(place)
            line = _dirent(name, ino, place + 1, kind)
            room -= len(line) + protocol.ENTRY_OUT.size
            if room < 0:
                break
            known = place > 1 and self._node.changes == self._changes
            pieces += (
                entry(*self._filesystem.adopt(self._node, self._found[place - 2])) if known else _NO_ENTRY,
                line,
            )
        return b"".join(pieces)

    @staticmethod
    def offsets(body: bytes) -> Iterator[int]:
        """Where the entries of what `entries()` made begin."""
        offset = 0
        while offset < len(body):
            yield offset
            _, _, length, _ = protocol.DIRENT.unpack_from(body, offset + protocol.ENTRY_OUT.size)
            offset += protocol.ENTRY_OUT.size + protocol.padded(protocol.DIRENT.size + length)

    def _entry(self, place: int, entry: Callable[[Node, Attributes], bytes]) -> bytes:
        return entry(*self._filesystem.adopt(self._node, self._found[place - 2]))

    def _take(self, offset: int) -> None:
        if offset == 0:
            self._changes = self._node.changes
            self._found = self._filesystem.readdir(self._node)

    def _line(self, place: int) -> tuple[bytes, int, int]:
        """Name, inode number and type of the entry at `place`; the first two are the directory and the one above."""
        if place == 0:
            return b".", self._node.ino, _DIRECTORY_TYPE
        if place == 1:
            return b"..", self._filesystem.tree.above(self._node).ino, _DIRECTORY_TYPE
        found = self._found[place - 2]
        return os.fsencode(found.name), found.ino, found.kind.value >> 12


def _dirent(name: bytes, ino: int, next_offset: int, kind: int) -> bytes:
    used = protocol.DIRENT.size + len(name)
    return protocol.DIRENT.pack(ino, next_offset, len(name), kind) + name + bytes(protocol.padded(used) - used)
