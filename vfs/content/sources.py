"""What open files read that is not in the spool: the storage's files, through the cache where they are read in parts.

A file is opened as the version that the mount believes its name to have (vfs.names.lookups), so an open costs no
request while attributes are believed, and sees what is there when they were asked for. Who goes on reading an object
that has changed since gets ESTALE for what is not in the cache, and what the mount believes of it is asked again.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from storage.entry import Entry
from storage.files import File
from vfs.cache import BlockCache
from vfs.names.lookups import supports
from vfs.names.namespace import Namespace
from vfs.names.tree import NamelessError, Node
from vfs.watch.metrics import Hits


class Sources:
    """Opens the storage's files for the nodes of a mount."""

    def __init__(self, names: Namespace, cache: BlockCache) -> None:
        """Over the storage of `names`."""
        self._names = names
        self._storage = names.storage
        self._opens_versions = supports(names.storage, "open_version")
        self._cache = cache
        self.on_change: Callable[[Node], None] = lambda node: None
        """Told when a node is found to have another content than was believed."""

    def open(self, node: Node) -> tuple[File, Entry]:
        """What the storage has under the name of `node`, opened for reading, and what it said of that.

        OSError (ESTALE) when the node has lost its last name.
        """
        entry = self.current(node)
        try:
            with self._names.tree.reading(node) as path:
                file = self._storage.open_version(path, entry)
        except NamelessError as error:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE)) from error
        if not file.ranged:
            return file, entry
        if not self._opens_versions:
            entry = file.stat()
        return self._cached(node, path, file, entry), entry

    def open_as(self, node: Node, path: str, entry: Entry) -> File:
        """The same by a name that `node` is about to have, for a file that is read in parts: what is there is `entry`.

        The caller has a lease on the node.
        """
        return self._cached(node, path, self._storage.open_version(path, entry), entry)

    def _cached(self, node: Node, path: str, file: File, entry: Entry) -> File:
        return self._cache.open(file, path, entry, lambda: self._changed(node))

    def current(self, node: Node) -> Entry:
        """What the storage says of `node` by now, within the time for which it is believed."""
        before = node.entry
        entry = self._names.current(node)
        if before is not None and (before.version, before.size) != (entry.version, entry.size):
            self.on_change(node)
        return entry

    def _changed(self, node: Node) -> None:
        """The storage has another version of `node` than was believed."""
        self._names.touch(node, *(parent for parent, _ in node.links))
        self.on_change(node)

    def status(self) -> dict[str, int]:
        """How full the cache is; see `BlockCache.status`."""
        return self._cache.status()

    def resize(self, memory: int, disk: int) -> None:
        """How much may be kept of what was read; see `BlockCache.resize`."""
        self._cache.resize(memory, disk)

    def hits(self) -> dict[str, Hits]:
        """How often the cache had what was asked for; see `BlockCache.hits`."""
        return self._cache.hits()

    def close(self) -> None:
        """Let go of the cache; open files are read on without it."""
        self._cache.close()
