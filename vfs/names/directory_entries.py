"""What a directory lists: lines that cost little until somebody asks for more than their names.

A listing is a snapshot, and a line of it is given out later, maybe after the directory was changed. So it knows what
the directory's count of changes was (`Node.changes`), and only a line of an unchanged directory may stand for a lookup.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage.entry import Entry, Kind
from vfs.names.attributes import Attributes, Policy

if TYPE_CHECKING:
    from vfs.names.namespace import Namespace
    from vfs.names.node import Node


class Listing:
    """What all lines of one listing share: the directory, and how often it had been changed."""

    __slots__ = ("changes", "directory", "names", "policy")

    def __init__(self, names: Namespace, policy: Policy, directory: Node) -> None:
        """A listing of `directory` that is about to be made."""
        self.names = names
        self.policy = policy
        self.directory = directory
        self.changes = directory.changes


class DirectoryEntry:
    """One line of a listing; nothing that it tells costs a request of its own."""

    __slots__ = ("_entry", "_listing", "_node", "name")

    def __init__(self, listing: Listing, name: str, entry: Entry, node: Node | None = None) -> None:
        """What the storage listed as `name`, or what the mount knows better: `node`."""
        self.name = name
        self._entry = entry
        self._node = node
        self._listing = listing

    @property
    def kind(self) -> Kind:
        """What it is."""
        return self._entry.kind

    @property
    def ino(self) -> int:
        """Its inode number, the same as in `attributes`."""
        listing = self._listing
        node = self._node or listing.directory.children.get(self.name)
        return node.ino if node is not None else listing.names.tree.ino(listing.directory, self._entry)

    @property
    def attributes(self) -> Attributes:
        """What stat(2) shows of it, as it was listed."""
        node = self._node or self._listing.directory.children.get(self.name)
        return self._listing.policy.attributes(self._entry, self.ino, node.kept if node is not None else None)

    @property
    def is_current(self) -> bool:
        """Whether the mount has changed nothing in the directory since it was listed."""
        return self._listing.directory.changes == self._listing.changes

    def news(self) -> Entry | None:
        """The storage's entry if it may stand for a lookup: nothing has changed, and nothing is known of that name."""
        if self._node is not None or not self.is_current or self.name in self._listing.directory.children:
            return None
        return self._entry
