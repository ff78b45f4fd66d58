"""The tree of nodes: which inode has which names, who still knows it, and who may change its path.

A `Node` is an inode. Its names are `links`: (parent node, name) pairs, none for a file that was unlinked while open,
several for a hard-linked one. A path is computed upwards from a link when a storage is called, so a renamed directory
carries its open files along and nothing below it has to be told.

Identity. Two lookups give one node when the storage says that they show one file (`Entry.identity`: device and inode of
a local file, the file object in memory). Where a storage has no identities, a name and its kind stand for it. A
lookup that finds another identity under a name detaches the old node from that name and makes a new one. Of several
links the last is the one that was seen last, and the node's path goes by it: others may be stale, if somebody renamed
behind the mount's back.

Life. A transport that hands a node to the kernel counts a lookup, and takes it back with `forget()`. A node without
lookups, links to children, open file or anything that only the mount knows is idle; idle nodes are dropped, oldest
first, beyond `IDLE_LIMIT`. An inode number comes from the identity, or is a hash of the first name, so a dropped node
comes back under the same number.

Locks. `Tree.lock` guards every field of every node and is held for a few instructions, never across a storage call.
What spans a storage call is a lease (vfs.leases). Lock order of the package: leases -> `OpenFile.lock` -> `Tree.lock`
-> spool.
"""

from __future__ import annotations

import errno
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING

from storage.entry import Entry, Kind
from vfs.leases import Lease, PathLease

if TYPE_CHECKING:
    from vfs.attributes import Kept
    from vfs.openfile import OpenFile

IDLE_LIMIT = 65_536
"""Nodes that nobody refers to and that are kept all the same, to answer the next walk without asking."""


ROOT_INO = 1
"""The number by which the kernel calls the root, so no other node has it."""


class NamelessError(FileNotFoundError):
    """A path was asked of a node that has lost its last name."""


class Node:
    """One inode of a mount."""

    __slots__ = (
        "changes",
        "children",
        "entry",
        "expires",
        "file",
        "identity",
        "ino",
        "kept",
        "kind",
        "links",
        "listing",
        "listing_expires",
        "lookups",
        "pinned",
        "readers",
        "renumbered",
        "virtual",
        "writer",
    )

    def __init__(self, ino: int, kind: Kind, identity: Hashable | None) -> None:
        """A node without a name; `Tree.attach()` gives it one."""
        self.ino = ino
        self.kind = kind
        self.identity = identity
        self.links: dict[tuple[Node, str], None] = {}
        self.children: dict[str, Node] = {}
        self.changes = 0
        """Counts what the mount did to it: an answer of the storage from before that is not to be believed."""
        self.entry: Entry | None = None
        """What the storage said last, good until `expires` (time.monotonic seconds)."""
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
        self.readers = 0
        self.writer = False

    @property
    def is_dir(self) -> bool:
        """Whether this node is a directory."""
        return self.kind is Kind.DIRECTORY

    def __repr__(self) -> str:
        names = ", ".join(repr(name) for _, name in self.links) or "no name"
        return f"<Node {self.ino} {self.kind.name.lower()} {names}>"


class Tree:
    """All nodes of a mount, from the root down."""

    def __init__(self, root: Entry) -> None:
        """A tree that holds `root`, a storage's entry for ""."""
        self.lock = threading.Condition(threading.RLock())
        self.queue: list[Lease] = []
        """The leases that are waited for, in the order in which they came."""
        self.claims: set[tuple[Node, str]] = set()
        """The names that nothing has yet, and that somebody is about to give to something."""
        self.thread = threading.local()
        self._by_identity: dict[Hashable, Node] = {}
        self.by_ino: dict[int, Node] = {}
        """Every node in memory by its inode number, for transports that address them so."""
        self._idle: OrderedDict[Node, None] = OrderedDict()
        self.device = root.identity[0] if isinstance(root.identity, tuple) and len(root.identity) == 2 else None
        """The first half of identities: the device of local files, 0 in memory; None where there is no such thing."""
        self.root = self._new(root, "")
        self.root.lookups = 1

    def __len__(self) -> int:
        """How many nodes are in memory."""
        return len(self.by_ino)

    # -- paths and leases

    def path(self, node: Node) -> str:
        """The storage's name of `node`, "" for the root; NamelessError when its last name is gone."""
        with self.lock:
            parts: list[str] = []
            while node is not self.root:
                if not node.links:
                    raise NamelessError(errno.ENOENT, "this file has no name any more")
                node, name = next(reversed(node.links))
                parts.append(name)
            parts.reverse()
            return "/".join(parts)

    def ancestry(self, nodes: Iterable[Node]) -> list[Node]:
        """`nodes` and every node above them, each once. The caller holds the lock."""
        chain: dict[Node, None] = {}
        for node in nodes:
            while node not in chain:
                chain[node] = None
                if not node.links:
                    break
                node = next(reversed(node.links))[0]
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

        Nor does anybody else who `claims` one of these names, of which nothing is known yet, make anything there.
        """
        return Lease(self, tuple(shared), tuple(node for node in exclusive if node is not None), claims)

    # -- names

    def child(self, parent: Node, name: str) -> Node | None:
        """The node known under `name`, or None, without asking the storage."""
        with self.lock:
            return parent.children.get(name)

    def ino(self, parent: Node, entry: Entry) -> int:
        """The inode number that the entry of `parent` would get, or has."""
        node = self._by_identity.get(entry.identity) if entry.identity is not None else None
        return node.ino if node is not None else self._number(entry.identity, f"{self.path(parent)}/{entry.name}", 0)

    def attach(self, parent: Node, name: str, entry: Entry) -> Node:
        """The node for what `parent` shows as `name`: the known one if their identities agree, else a new one."""
        with self.lock:
            known = parent.children.get(name)
            if known is not None and known.kind is entry.kind and known.identity == entry.identity:
                if len(known.links) > 1:
                    self._see(known, parent, name)
                return known
            node = self._by_identity.get(entry.identity) if entry.identity is not None else None
            if node is None or node.kind is not entry.kind or node.is_dir:
                if known is not None:
                    self.detach(parent, name)
                if node is not None and node.is_dir and node.kind is entry.kind:
                    self._detach_all(node)  # a directory has one name: it was moved behind the mount's back
                else:
                    node = self._new(entry, f"{self.path(parent)}/{name}")
            elif known is not None:
                self.detach(parent, name)
            self._see(node, parent, name)
            parent.children[name] = node
            self._idle.pop(parent, None)
            return node

    def detach(self, parent: Node, name: str) -> None:
        """Take the name from its node; an open node lives on without it."""
        with self.lock:
            node = parent.children.pop(name, None)
            if node is not None:
                node.links.pop((parent, name), None)
                if not node.links:
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
            node.links.pop((parent, name), None)
            node.links[new_parent, new_name] = None
            new_parent.children[new_name] = node
            self._idle.pop(new_parent, None)
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
                    node.links.pop((place, leaf))
            for node, place, leaf in ((first, new_parent, new_name), (second, parent, name)):
                if node is not None:
                    place.children[leaf] = node
                    node.links[place, leaf] = None

    def above(self, node: Node) -> Node:
        """The directory that `node` is in; the root is in itself, and so is what has lost its name."""
        with self.lock:
            return next(reversed(node.links))[0] if node.links else node

    def with_identity(self, identity: Hashable | None) -> Node | None:
        """The node of this identity, whatever its name."""
        with self.lock:
            return None if identity is None else self._by_identity.get(identity)

    def disown(self, identity: Hashable | None) -> None:
        """A file was just made that has this identity, so whichever node has it stands for one that is gone."""
        with self.lock:
            node = self.with_identity(identity)
            if node is not None:
                self._forget_identity(node)
                if node in self._idle and not node.readers and not node.writer:
                    self._drop(node)

    def identify(self, node: Node, identity: Hashable | None) -> None:
        """`node` is the same file under a new identity: its content was stored as a new object. Its number stays."""
        with self.lock:
            self._forget_identity(node)
            node.identity = identity
            if identity is not None and node.links:
                self._by_identity[identity] = node
                node.renumbered = node.ino != self._number(identity, "", 0)

    # -- life

    def remember(self, node: Node) -> Node:
        """Count one more lookup of `node` by a transport."""
        with self.lock:
            node.lookups += 1
            self._idle.pop(node, None)
            return node

    def forget(self, node: Node, count: int = 1) -> None:
        """Take back `count` lookups."""
        with self.lock:
            node.lookups -= count
            self._settle(node)

    def settle(self, node: Node) -> None:
        """Look again whether `node` is idle, after its file was closed or what the mount kept was given up."""
        with self.lock:
            self._settle(node)

    def nodes(self) -> list[Node]:
        """A snapshot of all nodes in memory."""
        with self.lock:
            return list(self.by_ino.values())

    # -- with the lock held

    def _see(self, node: Node, parent: Node, name: str) -> None:
        """Make this the last of the node's links."""
        node.links.pop((parent, name), None)
        node.links[parent, name] = None

    def _new(self, entry: Entry, first_name: str) -> Node:
        node = Node(self._ino(entry.identity, first_name), entry.kind, entry.identity)
        node.renumbered = node.ino != self._number(entry.identity, first_name, 0)
        self.by_ino[node.ino] = node
        if entry.identity is not None:
            self._by_identity[entry.identity] = node
        return node

    def _ino(self, identity: Hashable | None, first_name: str) -> int:
        """The inode number for a new node: the backing one or a hash; another hash while a living node has that one."""
        salt, ino = 0, self._number(identity, first_name, 0)
        while ino in self.by_ino or (ino == ROOT_INO and self.by_ino):
            salt += 1
            ino = self._number(None, f"{identity}{first_name}", salt)
        return ino

    def _number(self, identity: Hashable | None, name: str, salt: int) -> int:
        if isinstance(identity, tuple) and len(identity) == 2 and identity[0] == self.device:
            return int(identity[1])
        text = f"{salt}:{name if identity is None else identity!r}".encode(errors="surrogateescape")
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1 | 1 << 62

    def _detach_all(self, node: Node) -> None:
        for parent, name in list(node.links):
            parent.children.pop(name, None)
        node.links.clear()

    def _forget_identity(self, node: Node) -> None:
        if node.identity is not None and self._by_identity.get(node.identity) is node:
            del self._by_identity[node.identity]

    def _settle(self, node: Node) -> None:
        occupied = node.lookups > 0 or node.children or node.file is not None or node is self.root
        if occupied or node.pinned or node.renumbered:
            self._idle.pop(node, None)
            return
        if not node.links:
            self._drop(node)
            return
        self._idle[node] = None
        self._idle.move_to_end(node)
        while len(self._idle) > IDLE_LIMIT:
            oldest = next((idle for idle in self._idle if not idle.readers and not idle.writer), None)
            if oldest is None:  # all are in use by requests; the next node that becomes idle tries again
                return
            self._drop(oldest)

    def _drop(self, node: Node) -> None:
        self._idle.pop(node, None)
        if self.by_ino.get(node.ino) is node:
            del self.by_ino[node.ino]
        self._forget_identity(node)
        for parent, name in list(node.links):
            if parent.children.get(name) is node:
                del parent.children[name]
            self._settle(parent)
        node.links.clear()
