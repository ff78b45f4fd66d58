"""An open directory: a snapshot of its entries, handed out in pieces as large as the kernel asks for.

The offset of an entry is its place in the snapshot, so that `rm -r` may delete while it lists. Reading from the
beginning again (rewinddir) takes a new snapshot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from vfs.names.attributes import Attributes
from vfs.names.tree import Node
from vfs.transports.kernel.protocol import DIRENT, ENTRY_OUT, padded

if TYPE_CHECKING:
    from vfs.filesystem import FileSystem
    from vfs.names.directory_entries import DirectoryEntry

_NO_ENTRY = bytes(ENTRY_OUT.size)
"""A lookup that was not made: the kernel makes it itself when it needs it."""
_DIRECTORY_TYPE = 4
"""DT_DIR."""
_FIRST = 3
"""The offset behind the first entry of the snapshot, before which are the directory and the one above."""
_FILL = [bytes(-length % 8) for length in range(8)]
"""What fills a name up to the 8 bytes by which entries are aligned, by its length modulo 8."""


class OpenDirectory:
    """One opendir(3) of a directory."""

    def __init__(self, filesystem: FileSystem, node: Node) -> None:
        """Of `node`; nothing is listed yet."""
        self._filesystem = filesystem
        self._node = node
        self._found: list[DirectoryEntry] = []

    def names(self, offset: int, size: int) -> bytes:
        """The entries from `offset` on without attributes, as many as `size` bytes hold."""
        pieces = self._above(offset)
        room = size - sum(map(len, pieces))
        for place in range(max(offset - 2, 0), len(self._found)):
            found = self._found[place]
            name = found.name.encode("utf-8", "surrogateescape")
            room -= padded(DIRENT.size + len(name))
            if room < 0:
                break
            pieces.append(_dirent(name, found.ino, place + _FIRST, found.kind.value >> 12))
        return b"".join(pieces)

    def entries(self, offset: int, size: int, entry: Callable[[Node, Attributes], bytes]) -> bytes:
        """The same, each with what `entry` makes of its node, of which a lookup is counted.

        What has gone since the snapshot is left out. Where that would take a request of a storage for each entry, the
        lookup is left to the kernel.
        """
        pieces = [piece for line in self._above(offset) for piece in (_NO_ENTRY, line)]
        room = size - sum(map(len, pieces))
        adopt, node, blocking = self._filesystem.adopt, self._node, self._filesystem.storage.blocking
        for place in range(max(offset - 2, 0), len(self._found)):
            found = self._found[place]
            name = found.name.encode("utf-8", "surrogateescape")
            needed = ENTRY_OUT.size + padded(DIRENT.size + len(name))
            if needed > room:
                break
            if blocking and not found.is_current:
                room -= needed
                pieces += (_NO_ENTRY, _dirent(name, found.ino, place + _FIRST, found.kind.value >> 12))
                continue
            try:
                child, shown = adopt(node, found)
            except FileNotFoundError:  # and takes no room: a reply without any entry would be the end of the listing
                continue
            room -= needed
            pieces += (entry(child, shown), _dirent(name, shown.ino, place + _FIRST, shown.mode >> 12))
        return b"".join(pieces)

    @staticmethod
    def offsets(body: bytes | memoryview) -> Iterator[int]:
        """Where the entries of what `entries()` made begin."""
        offset = 0
        while offset < len(body):
            yield offset
            _, _, length, _ = DIRENT.unpack_from(body, offset + ENTRY_OUT.size)
            offset += ENTRY_OUT.size + padded(DIRENT.size + length)

    def _above(self, offset: int) -> list[bytes]:
        """The lines of the directory and of the one above it, from `offset` on; at the beginning all is listed anew."""
        if offset == 0:
            self._found = self._filesystem.readdir(self._node)
        elif offset > 1:
            return []
        lines = (
            _dirent(b".", self._node.ino, 1, _DIRECTORY_TYPE),
            _dirent(b"..", self._filesystem.tree.above(self._node).ino, 2, _DIRECTORY_TYPE),
        )
        return list(lines[offset:])


def _dirent(name: bytes, ino: int, next_offset: int, kind: int) -> bytes:
    return DIRENT.pack(ino, next_offset, len(name), kind) + name + _FILL[len(name) % 8]
