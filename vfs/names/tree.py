"""The tree of nodes: which inode has which names, who still knows it, and who may change its path.

A `Node` is an inode. Its names are `links`: (parent node, name) pairs, none for a file that was unlinked while open,
several for a hard-linked one. A path is computed upwards from a link when a storage is called, so a renamed directory
carries its open files along and nothing below it has to be told.

Identity. Two lookups give one node when the storage says that they show one file (`Entry.identity`: device and inode of
a local file, the file object in memory). Where a storage has no identities, a name and its kind stand for it. A
lookup that finds another identity under a name detaches the old node from that name and makes a new one. Of several
links the last is the one that was seen last, and the node's path goes by it: others may be stale, if somebody renamed
behind the mount's back. Numbers are a matter of vfs.names.inodes.

Life. A transport that hands a node to the kernel counts a lookup, and takes it back with `forget()`. A node without
lookups, links to children, open file or anything that only the mount knows is idle; idle nodes are dropped, oldest
first, beyond a limit, which is low where a storage is quick to ask.

Paths. What a directory's path is, and which nodes are above it, is kept until some directory loses a name.

Locks. `Tree.lock` guards every field of every node and is held for a few instructions, never across a storage call.
(One lookup in a dictionary needs no lock.) What spans a storage call is a lease (vfs.names.leases). Lock order of the
package: leases -> `OpenFile.lock` -> `Tree.lock` -> spool.
"""

from __future__ import annotations

import errno
import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING

from storage.entry import Entry
from vfs.names.inodes import Inodes
from vfs.names.leases import Lease, PathLease
from vfs.names.node import Link, Node

if TYPE_CHECKING:
    from vfs.content.openfile import OpenFile

__all__ = ("IDLE_LIMIT", "NamelessError", "Node", "Tree")

IDLE_LIMIT = 65_536
"""Nodes that nobody refers to and that are kept all the same, to answer the next walk without asking."""
QUICK_IDLE_LIMIT = 1024
"""The same where asking costs next to nothing: the directories of a few walks."""
_ROUTES = 1024
"""Directories whose paths are kept."""
_GONE = object()
"""The identity of a node whose file is known to be gone."""

Route = tuple[str, tuple[Node, ...]]
"""A node's path, and the node with all above it."""


class NamelessError(FileNotFoundError):
    """A path was asked of a node that has lost its last name."""


class Tree(Inodes):
    """All nodes of a mount, from the root down."""

    def __init__(self, root: Entry, *, quick: bool = False) -> None:
        """A tree that holds `root`, a storage's entry for ""; `quick` for a storage that can be asked at any time."""
        super().__init__(root)
        self.lock = threading.RLock()
        self.freed = threading.Condition(self.lock)
        """Told when a lease is given back while others wait for one."""
        self.leases: set[Lease] = set()
        """The leases that somebody has."""
        self.queue: list[Lease] = []
        """The leases that are waited for, in the order in which they came."""
        self.claims: set[Link] = set()
        """The names that somebody is about to give or take."""
        self.losses = 0
        """Counts the names that nodes have lost: as long as it stays, so do all paths."""
        self._opened: dict[Node, None] = {}
        """The nodes with a file, in the order in which they got it: few, where all may be a million."""
        self._routes: dict[Node, Route] = {}
        self._idle: OrderedDict[Node, None] = OrderedDict()
        self._quick = quick
        self.root = self._new(root.kind, self.key(root.identity), "")
        self.root.lookups = 1

    def __len__(self) -> int:
        """How many nodes are in memory."""
        return len(self.by_ino)

    # -- paths and leases

    def path(self, node: Node) -> str:
        """The storage's name of `node`, "" for the root; NamelessError when its last name is gone."""
        route = self._routes.get(node)
        if route is None:
            with self.lock:
                route = self.route(node)
        return route[0]

    def route(self, node: Node) -> Route:
        """The path of `node`, and the node with all above it; NamelessError. The caller holds the lock."""
        directory = node if node.is_dir else node.parent
        if directory is None:
            raise NamelessError(errno.ENOENT, "this file has no name any more")
        route = self._routes.get(directory)
        if route is None:
            route = self._find_route(directory)
        if directory is node:
            return route
        path, chain = route
        return f"{path}/{node.name}" if path else node.name, (node, *chain)

    def _find_route(self, directory: Node) -> Route:
        chain = tuple(self.ancestry((directory,)))
        if chain[-1] is not self.root:
            raise NamelessError(errno.ENOENT, "this directory has no name any more")
        if len(self._routes) >= _ROUTES:
            self._routes.clear()
        route = self._routes[directory] = "/".join(node.name for node in chain[-2::-1]), chain
        return route

    def chain(self, nodes: Sequence[Node]) -> Sequence[Node]:
        """`ancestry()`, mostly known already where it is that of one directory."""
        route = self._routes.get(nodes[0]) if len(nodes) == 1 else None
        return self.ancestry(nodes) if route is None else route[1]

    def ancestry(self, nodes: Iterable[Node]) -> list[Node]:
        """`nodes` and every node above them, each once. The caller holds the lock."""
        chain: dict[Node, None] = {}
        for one in nodes:
            node: Node | None = one
            while node is not None and node not in chain:
                chain[node] = None
                node = node.parent
        return list(chain)

    def is_within(self, node: Node, directory: Node) -> bool:
        """Whether `directory` is `node` or above it."""
        with self.lock:
            return directory in self.ancestry((node,))

    def reading(self, node: Node) -> PathLease:
        """A block in which `node` keeps the path that the block is given."""
        return PathLease(self, node)

    def changing(
        self, shared: Iterable[Node], exclusive: Iterable[Node | None], claims: Iterable[tuple[Node, str]] = ()
    ) -> Lease:
        """A block in which nobody else uses the paths of `exclusive` (less None) or changes those of `shared`.

        Nor is there anybody else who `claims` one of these names, whatever is known of them.
        """
        return Lease(self, tuple(shared), exclusive, claims)

    # -- names

    def child(self, parent: Node, name: str) -> Node | None:
        """The node known under `name`, or None, without asking the storage."""
        return parent.children.get(name)

    def ino(self, parent: Node, entry: Entry) -> int:
        """The inode number that the entry of `parent` would get, or has."""
        key = self.key(entry.identity)
        node = self._with_key(key)
        if node is not None:
            return node.ino
        return self._number(key, f"{self.path(parent)}/{entry.name}" if key is None else "", 0)

    def attach(self, parent: Node, name: str, entry: Entry, *, made: bool = False) -> Node:
        """The node for what `parent` shows as `name`: the known one if their identities agree, else a new one.

        Of a file that was just `made`, whichever node has the identity under another name stands for one that is gone.
        """
        with self.lock:
            known = parent.children.get(name)
            if known is not None:
                if self.shows(known, entry):
                    known.add_link(parent, name)
                    return known
                self.detach(parent, name)
            key = self.key(entry.identity)
            node = self._with_key(key)
            if made and node is not None:
                self._disown(node)
                node = None
            if node is None or node.kind is not entry.kind:
                node = self._new(entry.kind, key, f"{self.path(parent)}/{name}" if key is None else name)
            elif node.is_dir:
                self._detach_all(node)  # a directory has one name: it was moved behind the mount's back
            self._link(node, parent, name)
            return node

    def adopt(self, parent: Node, name: str, entry: Entry) -> Node | None:
        """A new node for what `parent` shows as `name`, with a lookup counted; None if anything is known of it."""
        with self.lock:
            key = self.key(entry.identity)
            if name in parent.children or self._with_key(key) is not None:
                return None
            if self.claims and (parent, name) in self.claims:
                return None
            node = self._new(entry.kind, key, f"{self.path(parent)}/{name}" if key is None else name)
            node.lookups = 1
            self._link(node, parent, name)
            return node

    def detach(self, parent: Node, name: str) -> None:
        """Take the name from its node; an open node lives on without it."""
        with self.lock:
            node = parent.children.pop(name, None)
            if node is not None:
                self._unlink(node, parent, name)
                if node.parent is None:
                    self._forget_identity(node)
                    node.pinned = node.renumbered = False
                self._settle(node)
            self._settle(parent)

    def move(self, parent: Node, name: str, new_parent: Node, new_name: str) -> None:
        """The name `parent`/`name` is now `new_parent`/`new_name`; what was there loses that name."""
        with self.lock:
            node = parent.children.pop(name, None)
            self.detach(new_parent, new_name)
            if node is None:
                return
            self._unlink(node, parent, name)
            self._link(node, new_parent, new_name)
            if node.identity is None:
                node.renumbered = True  # its inode number is a hash of the old name
            self._settle(parent)

    def exchange(self, parent: Node, name: str, new_parent: Node, new_name: str) -> None:
        """The two names swap their nodes; one that is not known here is forgotten at the other name as well."""
        with self.lock:
            first, second = parent.children.get(name), new_parent.children.get(new_name)
            for node, place, leaf in ((first, parent, name), (second, new_parent, new_name)):
                if node is not None:
                    place.children.pop(leaf)
                    self._unlink(node, place, leaf)
            for node, place, leaf in ((first, new_parent, new_name), (second, parent, name)):
                if node is not None:
                    place.children[leaf] = node
                    node.add_link(place, leaf)

    def add_nameless(self, entry: Entry) -> Node:
        """A node for a file that was made without a name; nobody finds it before `add_name()`."""
        with self.lock:
            node = self._new(entry.kind, self.key(entry.identity), "")
            self._forget_identity(node)
            node.renumbered = False  # it goes with its last handle
            return node

    def add_name(self, node: Node, parent: Node, name: str) -> None:
        """`parent`/`name` is the first name of `node`; what was known under that name has lost it."""
        with self.lock:
            self.detach(parent, name)
            self._link(node, parent, name)
            if node.identity is None:
                node.renumbered = True  # its number is not that of the name
            elif node.identity != node.ino:
                self._by_identity[node.identity] = node

    def above(self, node: Node) -> Node:
        """The directory that `node` is in; the root is in itself, and so is what has lost its name."""
        return node.parent or node

    def with_identity(self, identity: Hashable | None) -> Node | None:
        """The node of this identity, whatever its name."""
        with self.lock:
            return self._with_key(self.key(identity))

    def identify(self, node: Node, identity: Hashable | None) -> None:
        """`node` is the same file under a new identity: its content was stored as a new object. Its number stays."""
        with self.lock:
            self._forget_identity(node)
            node.identity = self.key(identity)
            if node.identity is not None and node.parent is not None:
                self._by_identity[node.identity] = node
                node.renumbered = node.ino != self._number(node.identity, "", 0)

    # -- life

    def remember(self, node: Node) -> Node:
        """Count one more lookup of `node` by a transport."""
        with self.lock:
            node.lookups += 1
            self._idle.pop(node, None)
            return node

    def remember_child(self, parent: Node, name: str, node: Node) -> bool:
        """Count one more lookup of `node`, unless the name has gone to another meanwhile; whether it was counted."""
        with self.lock:
            if parent.children.get(name) is not node:
                return False
            node.lookups += 1
            self._idle.pop(node, None)
            return True

    def forget(self, node: Node, count: int = 1) -> None:
        """Take back `count` lookups."""
        with self.lock:
            node.lookups -= count
            self._settle(node)

    def settle(self, node: Node) -> None:
        """Look again whether `node` is idle, after its file was closed or what the mount kept was given up."""
        with self.lock:
            self._settle(node)

    def set_file(self, node: Node, file: OpenFile | None) -> None:
        """Make `file` the content of `node`, or None when it is closed."""
        with self.lock:
            node.file = file
            if file is None:
                self._opened.pop(node, None)
            else:
                self._opened[node] = None

    def files(self) -> list[OpenFile]:
        """A snapshot of the contents that nodes have."""
        with self.lock:
            return [node.file for node in self._opened if node.file is not None]

    # -- with the lock held

    def _link(self, node: Node, parent: Node, name: str) -> None:
        node.add_link(parent, name)
        parent.children[name] = node
        self._idle.pop(parent, None)

    def _unlink(self, node: Node, parent: Node, name: str) -> None:
        node.remove_link(parent, name)
        self.losses += 1
        if node.is_dir:
            self._routes.clear()

    def _detach_all(self, node: Node) -> None:
        for parent, name in node.links:
            parent.children.pop(name, None)
            self._unlink(node, parent, name)

    def _disown(self, node: Node) -> None:
        """The file that `node` stands for is gone."""
        self._forget_identity(node)
        node.identity = _GONE
        if node in self._idle and not self._is_leased(node):
            self._drop(node)

    def _is_leased(self, node: Node) -> bool:
        """Whether a request is at work on `node` or below it."""
        return any(lease.covers(node) for lease in self.leases)

    def _settle(self, node: Node) -> None:
        occupied = node.lookups > 0 or node.children or node.file is not None or node is self.root
        if occupied or node.pinned or node.renumbered:
            self._idle.pop(node, None)
            return
        if node.parent is None:
            self._drop(node)
            return
        self._idle[node] = None
        self._idle.move_to_end(node)
        limit = min(IDLE_LIMIT, QUICK_IDLE_LIMIT) if self._quick else IDLE_LIMIT
        while len(self._idle) > limit:
            oldest = next((idle for idle in self._idle if not self._is_leased(idle)), None)
            if oldest is None:  # all are in use by requests; the next node that becomes idle tries again
                return
            self._drop(oldest)

    def _drop(self, node: Node) -> None:
        self._idle.pop(node, None)
        if self.by_ino.get(node.ino) is node:
            del self.by_ino[node.ino]
        self._forget_identity(node)
        for parent, name in node.links:
            if parent.children.get(name) is node:
                del parent.children[name]
            self._unlink(node, parent, name)
            self._settle(parent)
