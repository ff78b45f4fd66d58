"""Listings of a mount's directories: what the storage said of all their names at once, and for how long it is believed.

Whoever looks for a name has enough of what the storage shows at a glance: that says what is not there, and what is as
it was; for the rest the storage is asked entry by entry. Who lists a directory wants all there is to each.

A listing that was asked for before the mount has changed the directory is used once, and not believed. What the mount
adds is no such change: it is put into the listing that is kept, and into one that is under way, so that a program which
fills a directory does not have the storage asked for each name that it makes. What it takes is taken from the one kept.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

from storage.base import Storage, overrides
from storage.entry import Entry
from vfs.names.sweeps import Entries, Sweeps
from vfs.names.tree import Node, Tree
from vfs.watch.metrics import Hits

logger = logging.getLogger("vfs")

_AMENDED = 10_000
"""Entries of a listing that is kept when the mount adds one; a longer one would take too long to copy."""
NOTHING: Mapping[str, Entry] = MappingProxyType({})


class _Watch:
    """What the mount adds to a directory while the storage lists it, which the listing may have or not."""

    def __init__(self, changes: int) -> None:
        self.changes = changes
        """How often the directory has been changed, if by nothing but what was added."""
        self.stored: Entries = {}


class Listings:
    """The listings of one mount; the tree's lock guards what is kept of them, which is in the nodes."""

    def __init__(self, storage: Storage, tree: Tree, seconds: float, *, is_name: Callable[[str], bool]) -> None:
        """Of `storage`, believed for `seconds`; `is_name` says whether a filesystem can show a name."""
        self._storage = storage
        self._tree = tree
        self._is_name = is_name
        self._sweeps = Sweeps()
        self._may_be_partial = overrides(type(storage), "glance")
        self._watches: dict[Node, list[_Watch]] = {}
        self.hits = Hits()
        """Whether a listing that was wanted was there."""
        self.seconds = seconds

    def of(self, node: Node) -> Entries:
        """The storage's entries of a directory by name, none of them partial.

        Those that no filesystem can show are left out and logged.
        """
        fresh = self.fresh(node)
        if fresh is not None and not self._is_partial(fresh):
            self.hits.hits += 1
            return fresh
        self.hits.misses += 1
        asked = node.changes
        with self._tree.reading(node) as path:
            return self._made(node, asked, path, self._storage.scandir)

    def fresh(self, node: Node) -> Entries | None:
        """The listing that is believed of a directory."""
        return node.listing if node.listing is not None and time.monotonic() < node.listing_expires else None

    def to_look_in(self, node: Node, path: str) -> Entries | None:
        """The listing that answers for a name in a directory: one that is fresh, or is worth to be made again.

        Its entries may be partial. The caller has a lease on it.
        """
        listing, known = self.fresh(node), node.listing
        if listing is None and known is not None:
            return self._sweeps.sweep(
                node, len(known), lambda: self._made(node, node.changes, path, self._storage.glance)
            )
        return listing

    def keep(self, node: Node, entries: Entries) -> None:
        """Believe that these are the entries of a directory. The caller holds the lock."""
        if self.seconds:
            node.listing, node.listing_expires = entries, time.monotonic() + self.seconds

    def amend(self, node: Node, change: Callable[[], None], stored: Mapping[str, Entry]) -> None:
        """Call `change`, which adds to a directory what is `stored`; its listing holds. The caller holds the lock."""
        listing, changes = node.listing, node.changes
        change()
        for watch in self._watches.get(node, ()):
            if watch.changes == changes:  # else something else was done, and the listing will not do
                watch.changes = node.changes
                watch.stored.update(stored)
        if listing is not None and len(listing) < _AMENDED:
            node.listing = {**listing, **stored} if stored else listing  # others may be reading the old one

    def correct(self, node: Node, name: str, entry: Entry) -> None:
        """An entry of a directory was asked for by itself: its listing has that. The caller holds the lock."""
        listing = node.listing
        listed = listing.get(name, entry) if listing is not None else entry
        if listing is not None and listed != entry and not listed.partial:
            node.listing = {**listing, name: entry} if len(listing) < _AMENDED else None

    def shrink(self, node: Node, name: str, change: Callable[[], None]) -> None:
        """Call `change`, which takes `name` from a directory; its listing holds. The caller holds the lock."""
        listing = node.listing
        change()
        if listing is not None and len(listing) < _AMENDED:
            node.listing = {other: entry for other, entry in listing.items() if other != name}

    def _is_partial(self, listing: Entries) -> bool:
        return self._may_be_partial and any(entry.partial for entry in listing.values())

    def _made(self, node: Node, asked: int, path: str, scan: Callable[[str], Iterator[Entry]]) -> Entries:
        """What the storage has in `node` by `scan`, believed if there are no changes but those `asked` for.

        The caller has a lease on it.
        """
        with self._watching(node, asked) as watch:
            entries = self._shown(node, path, scan)
            with self._tree.lock:
                if node.changes == watch.changes:
                    entries |= watch.stored
                    self.keep(node, entries)
        return entries

    def _shown(self, node: Node, path: str, scan: Callable[[str], Iterator[Entry]]) -> Entries:
        entries: Entries = {}
        try:
            for entry in scan(path):
                if self._is_name(entry.name):
                    entries[entry.name] = entry
                else:
                    logger.warning("left out of the listing of %r: the name %r cannot be shown", path, entry.name)
        except FileNotFoundError:
            if not node.virtual:
                raise
        return entries

    @contextmanager
    def _watching(self, node: Node, changes: int) -> Iterator[_Watch]:
        """A block in which is noted what the mount adds to a directory that had been changed so often before."""
        watch = _Watch(changes)
        with self._tree.lock:
            self._watches.setdefault(node, []).append(watch)
        try:
            yield watch
        finally:
            with self._tree.lock:
                self._watches[node].remove(watch)
                if not self._watches[node]:
                    del self._watches[node]
