"""Node: one inode of a mount, and the names that it has.

A kernel may know millions of nodes, so one is small: the name that was seen last stands in the node itself, further
ones (hard links) in a dictionary that few nodes have, and what is no directory shares one mapping of no children.
"""

from __future__ import annotations

from collections.abc import Hashable
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from storage.entry import Entry, Kind

if TYPE_CHECKING:
    from vfs.content.openfile import OpenFile
    from vfs.names.attributes import Kept

Link = tuple["Node", str]
"""A directory, and a name in it."""

_CHILDLESS = cast("dict[str, Node]", MappingProxyType({}))
"""The children of whatever is no directory."""
_DIRECTORY = Kind.DIRECTORY


class Node:
    """One inode of a mount."""

    __slots__ = (
        "_others",
        "changes",
        "children",
        "entry",
        "expires",
        "file",
        "identity",
        "ino",
        "kept",
        "kind",
        "listing",
        "listing_expires",
        "lookups",
        "name",
        "parent",
        "pinned",
        "renumbered",
        "virtual",
        "writer",
    )

    def __init__(self, ino: int, kind: Kind, identity: Hashable | None) -> None:
        """A node without a name; `identity` as `Tree.key()` has it."""
        self.ino = ino
        self.kind = kind
        self.identity = identity
        self.parent: Node | None = None
        """The directory of the name that was seen last; None for the root and for what has lost its last name."""
        self.name = ""
        self._others: dict[Link, None] | None = None
        self.children: dict[str, Node] = {} if kind is _DIRECTORY else _CHILDLESS
        self.changes = 0
        """Counts what the mount did to it: an answer of the storage from before that is not to be believed."""
        self.entry: Entry | None = None
        """What the storage said last, good until `expires` (time.monotonic seconds); None where asking is cheap."""
        self.expires = 0.0
        self.listing: dict[str, Entry] | None = None
        """A directory's entries as last listed, good until `listing_expires`; None when unknown."""
        self.listing_expires = 0.0
        self.file: OpenFile | None = None
        self.kept: Kept | None = None
        self.lookups = 0
        self.pinned = False
        """Never idle: the mount knows something of this node that the storage does not."""
        self.renumbered = False
        """Never idle: its number is not the one with which it would come back."""
        self.virtual = False
        """Lives in the mount alone: a directory that no object shows, a file not stored yet."""
        self.writer = False
        """Somebody has an exclusive lease on it (vfs.names.leases)."""

    @property
    def is_dir(self) -> bool:
        """Whether this node is a directory."""
        return self.kind is _DIRECTORY

    @property
    def links(self) -> tuple[Link, ...]:
        """All names of the node, the one that was seen last at the end."""
        if self.parent is None:
            return ()
        return (*(self._others or ()), (self.parent, self.name))

    def add_link(self, parent: Node, name: str) -> None:
        """The node was seen under this name, which may be new or not."""
        if self.parent is parent and self.name == name:
            return
        if self.parent is not None:
            others = self._others = self._others or {}
            others.pop((parent, name), None)
            others[self.parent, self.name] = None
        self.parent, self.name = parent, name

    def remove_link(self, parent: Node, name: str) -> None:
        """The node has that name no more."""
        if self.parent is parent and self.name == name:
            self.parent, self.name = self._others.popitem()[0] if self._others else (None, "")
        elif self._others:
            self._others.pop((parent, name), None)

    def __repr__(self) -> str:
        names = ", ".join(repr(name) for _, name in self.links) or "no name"
        return f"<Node {self.ino} {self.kind.name.lower()} {names}>"
