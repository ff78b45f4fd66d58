"""Leases: who may use, and who may change, the paths of nodes while a storage is called.

A shared lease on a node covers it and all above it; an exclusive one covers a node whose name is about to change
(rename, unlink, rmdir). Names are claimed by who changes what they stand for, since what is known of them is no node's
to guard: a rename may be a copy that takes its time, to a name that nothing has yet. All leases of a call are taken at
once or not at all, so two calls cannot wait for each other.

Fairness. Uploads below a directory may follow each other without a gap, and its rename would never come to its turn. So
who wants a lease waits also behind those that came before and want a node of it exclusively. A thread that has a lease
already does not: those before it may be waiting for just that one. The first in the queue waits for nobody but
holders, so the queue moves.

Cost. Most leases meet nobody: taking one is then to note it in `Tree.leases`, however deep the node. Who wants to
change a node looks through those that are noted, which are as many as there are requests at work.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from threading import get_ident
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vfs.names.node import Link, Node
    from vfs.names.tree import Tree


class Lease:
    """The right to use, or to change, the paths of some nodes for the length of a `with` block."""

    __slots__ = ("_chain", "_claims", "_exclusive", "_shared", "_thread", "_tree")

    def __init__(
        self,
        tree: Tree,
        shared: Sequence[Node],
        exclusive: Iterable[Node | None] = (),
        claims: Iterable[Link] = (),
    ) -> None:
        """A lease yet to be taken: `shared` nodes with all above them, `exclusive` ones alone, `claims` of names."""
        self._tree = tree
        self._shared = shared
        self._exclusive = tuple(filter(None, exclusive))
        self._claims = tuple(claims)
        self._chain: Sequence[Node] = ()
        self._thread = 0

    def __enter__(self) -> Lease:
        with self._tree.lock:
            self._take()
        return self

    def __exit__(self, *_: object) -> None:
        tree = self._tree
        with tree.lock:
            tree.leases.discard(self)
            for node in self._exclusive:
                node.writer = False
            if self._claims:
                tree.claims.difference_update(self._claims)
            if tree.queue:
                tree.freed.notify_all()

    def covers(self, node: Node) -> bool:
        """Whether `node` is to stay as it is, or is being changed."""
        return node in self._chain or node in self._exclusive

    def _locate(self) -> None:
        """Find the nodes whose names are not to change."""
        self._chain = self._tree.chain(self._shared)

    def _take(self) -> None:
        """Note the lease, after waiting for whoever is in its way. The lock is held."""
        tree = self._tree
        self._thread = get_ident()
        self._locate()
        if (tree.leases or tree.queue) and self._must_wait():
            self._wait()
        for node in self._exclusive:
            node.writer = True
        if self._claims:
            tree.claims.update(self._claims)
        tree.leases.add(self)

    def _wait(self) -> None:
        tree = self._tree
        tree.queue.append(self)
        try:
            while self._must_wait():
                tree.freed.wait()
                self._locate()
        finally:
            tree.queue.remove(self)
            tree.freed.notify_all()  # somebody may have waited behind this one

    def _must_wait(self) -> bool:
        tree = self._tree
        if any(node.writer for node in self._chain):
            return True
        if any(lease.covers(node) for node in self._exclusive for lease in tree.leases):
            return True
        if not tree.claims.isdisjoint(self._claims):
            return True
        return bool(tree.queue) and not self._has_another() and any(map(self._is_behind, tree.queue[: self._place()]))

    def _has_another(self) -> bool:
        """Whether this thread has a lease already."""
        return any(lease._thread == self._thread for lease in self._tree.leases)

    def _place(self) -> int:
        queue = self._tree.queue
        return queue.index(self) if self in queue else len(queue)

    def _is_behind(self, earlier: Lease) -> bool:
        return any(self.covers(node) for node in earlier._exclusive)


class PathLease(Lease):
    """A shared lease on one node, whose block is given the node's path."""

    __slots__ = ("_node", "_path")

    def __init__(self, tree: Tree, node: Node) -> None:
        """A lease on `node` and all above it."""
        self._tree = tree
        self._node = node
        self._exclusive = ()
        self._claims = ()

    def __enter__(self) -> str:  # type: ignore[override]
        """Take the lease; NamelessError for a node that has lost its last name."""
        with self._tree.lock:
            self._take()
            return self._path

    def _locate(self) -> None:
        self._path, self._chain = self._tree.route(self._node)
