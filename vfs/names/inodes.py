"""Nodes by number and by identity.

An inode number comes from the identity, or is a hash of the first name, so a node that was dropped comes back under the
same number. On the root's own device the inode number is the whole identity (`key()`), and a node is found by its
number; only the others are in a dictionary by identity.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable

from storage.entry import Entry, Kind
from vfs.names.node import Node

ROOT_INO = 1
"""The number by which the kernel calls the root, so no other node has it."""


class Inodes:
    """The nodes of a mount, whatever their names: the half of a `Tree` that knows none. The same lock guards it."""

    def __init__(self, root: Entry) -> None:
        """No nodes yet; `root` tells which device is the root's."""
        self.by_ino: dict[int, Node] = {}
        """Every node in memory by its inode number, for transports that address them so."""
        self._by_identity: dict[Hashable, Node] = {}
        self.device = root.identity[0] if isinstance(root.identity, tuple) and len(root.identity) == 2 else None
        """The first half of identities: the device of local files, 0 in memory; None where there is no such thing."""

    def key(self, identity: Hashable | None) -> Hashable | None:
        """What a node has as its `identity`: of a file on the root's device, the inode number alone."""
        if type(identity) is tuple and len(identity) == 2 and identity[0] == self.device:
            return int(identity[1])
        return identity

    def shows(self, node: Node, entry: Entry) -> bool:
        """Whether `entry` is of the file that `node` stands for, as far as identities tell."""
        return node.kind is entry.kind and node.identity == self.key(entry.identity)

    def _new(self, kind: Kind, key: Hashable | None, first_name: str) -> Node:
        number = ino = self._number(key, first_name, 0)
        if number in self.by_ino or number == ROOT_INO:
            ino = self._free_number(number, key, first_name)
        node = Node(ino, kind, key)
        node.renumbered = ino != number
        self.by_ino[ino] = node
        if key is not None and key != ino:
            self._by_identity[key] = node
        return node

    def _free_number(self, number: int, key: Hashable | None, first_name: str) -> int:
        """The inode number for a new node: `number`, or a hash while a living node has that one."""
        salt = 0
        while number in self.by_ino or (number == ROOT_INO and self.by_ino):
            salt += 1
            number = self._number(None, f"{key}{first_name}", salt)
        return number

    def _number(self, key: Hashable | None, name: str, salt: int) -> int:
        if type(key) is int and self.device is not None:
            return key
        text = f"{salt}:{name if key is None else repr(key)}".encode(errors="surrogateescape")
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1 | 1 << 62

    def _with_key(self, key: Hashable | None) -> Node | None:
        if key is None:
            return None
        node = self._by_identity.get(key)
        if node is None and type(key) is int:
            node = self.by_ino.get(key)
            if node is not None and (node.identity != key or node.parent is None):
                return None
        return node

    def _forget_identity(self, node: Node) -> None:
        if node.identity is not None and self._by_identity.get(node.identity) is node:
            del self._by_identity[node.identity]
