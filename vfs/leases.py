"""Leases: who may use, and who may change, the paths of nodes while a storage is called.

A shared lease on a node covers it and all above it; an exclusive one covers a node whose name is about to change
(rename, unlink, rmdir). A name that nothing has yet is claimed by who is about to give it to something: a rename to it
may be a copy that takes its time. All leases of a call are taken at once or not at all, so two calls cannot wait for
each other.

Fairness. Uploads below a directory may follow each other without a gap, and its rename would never come to its turn. So
who wants a lease waits also behind those that came before and want a node of it exclusively. A thread that has a lease
already does not: those before it may be waiting for just that one. The first in the queue waits for nobody but
holders, so the queue moves.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vfs.tree import Node, Tree


class Lease:
    """The right to use, or to change, the paths of some nodes for the length of a `with` block."""

    __slots__ = ("_chain", "_claims", "_exclusive", "_shared", "_tree")

    def __init__(
        self,
        tree: Tree,
        shared: Iterable[Node],
        exclusive: Iterable[Node] = (),
        claims: Iterable[tuple[Node, str]] = (),
    ) -> None:
        """A lease yet to be taken: `shared` nodes with all above them, `exclusive` ones alone, `claims` of names."""
        self._tree = tree
        self._shared = shared
        self._exclusive = tuple(dict.fromkeys(exclusive))
        self._claims = tuple(claims)
        self._chain: list[Node] = []

    def __enter__(self) -> Lease:
        tree = self._tree
        with tree.lock:
            self._chain = tree.ancestry(self._shared)
            if self._must_wait():
                self._wait()
            for node in self._chain:
                node.readers += 1
            for node in self._exclusive:
                node.writer = True
            if self._claims:
                tree.claims.update(self._claims)
            tree.thread.leases = self._held() + 1
        return self

    def __exit__(self, *_: object) -> None:
        tree = self._tree
        with tree.lock:
            for node in self._chain:
                node.readers -= 1
            for node in self._exclusive:
                node.writer = False
            if self._claims:
                tree.claims.difference_update(self._claims)
            tree.thread.leases -= 1
            if tree.queue:
                tree.lock.notify_all()

    def _held(self) -> int:
        """How many leases this thread has."""
        held: int = getattr(self._tree.thread, "leases", 0)
        return held

    def _wait(self) -> None:
        tree = self._tree
        tree.queue.append(self)
        try:
            while self._must_wait():
                tree.lock.wait()
                self._chain = tree.ancestry(self._shared)
        finally:
            tree.queue.remove(self)
            tree.lock.notify_all()  # somebody may have waited behind this one

    def _must_wait(self) -> bool:
        if any(node.writer for node in self._chain) or any(node.writer or node.readers for node in self._exclusive):
            return True
        if self._claims and not self._tree.claims.isdisjoint(self._claims):
            return True
        queue = self._tree.queue
        return bool(queue) and not self._held() and any(map(self._is_behind, queue[: self._place()]))

    def _place(self) -> int:
        queue = self._tree.queue
        return queue.index(self) if self in queue else len(queue)

    def _is_behind(self, earlier: Lease) -> bool:
        return any(node in self._chain or node in self._exclusive for node in earlier._exclusive)


class PathLease(Lease):
    """A shared lease on one node, whose block is given the node's path."""

    __slots__ = ("_node",)

    def __init__(self, tree: Tree, node: Node) -> None:
        """A lease on `node` and all above it."""
        super().__init__(tree, (node,))
        self._node = node

    def __enter__(self) -> str:  # type: ignore[override]
        """Take the lease; NamelessError for a node that has lost its last name."""
        super().__enter__()
        try:
            return self._tree.path(self._node)
        except BaseException:
            super().__exit__()
            raise
