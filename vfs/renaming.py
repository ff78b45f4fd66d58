"""Names that go or change: who may do it, what POSIX has against it, and the storage's half of it.

The verbs unlink, rmdir and rename do it in a `Changing` block.
"""

from __future__ import annotations

import errno
import os

from storage.base import RENAME_EXCHANGE, RENAME_NOREPLACE, Storage
from storage.entry import Kind
from vfs.namespace import Namespace
from vfs.node import Link, Node
from vfs.tree import Tree


class Changing:
    """A block that alone changes some names and uses their nodes, which it is given.

    FileNotFoundError without the first. A name may have gone to another node while the lease was waited for: then all
    is looked up again. An exact storage itself refuses what must not be done to a plain file, so a `trusting` block
    goes by the nodes that are known.
    """

    __slots__ = ("_lease", "_names", "_places", "_trusting")

    def __init__(self, names: Namespace, *places: Link, trusting: bool = False) -> None:
        """For the names `places`, (directory, name) each."""
        self._names = names
        self._places = places
        self._trusting = trusting and names.exact

    def __enter__(self) -> list[Node | None]:
        tree, places = self._names.tree, self._places
        while True:
            found = self._known_files() or self._found()
            self._lease = tree.changing([parent for parent, _ in places], found, places)
            self._lease.__enter__()
            if [parent.children.get(name) for parent, name in places] == found:
                return found
            self._lease.__exit__()

    def __exit__(self, *_: object) -> None:
        self._lease.__exit__()

    def _found(self) -> list[Node | None]:
        first, *others = self._places
        return [self._names.find(*first), *(self._names.find_or_none(*place) for place in others)]

    def _known_files(self) -> list[Node | None] | None:
        if not self._trusting:
            return None
        known = [parent.children.get(name) for parent, name in self._places]
        directories = [node for node in known if node is not None and node.is_dir]
        return known if known[0] is not None and not directories else None


def check_rename(tree: Tree, node: Node, parent: Node, target: Node | None, new_parent: Node, flags: int) -> None:
    """Raise what POSIX has against this rename, as far as it is not the storage's to say."""
    if flags == RENAME_NOREPLACE and target is not None:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    if flags == RENAME_EXCHANGE and target is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    if node.is_dir and tree.is_within(new_parent, node):
        raise OSError(errno.EINVAL, "a directory cannot go below itself")
    if target is not None and target.is_dir and tree.is_within(parent, target):
        raise OSError(errno.EINVAL if flags else errno.ENOTEMPTY, "the target is above what is renamed")
    if target is not None and not flags and node.is_dir != target.is_dir:
        code = errno.ENOTDIR if node.is_dir else errno.EISDIR
        raise OSError(code, os.strerror(code))


def rename_stored(names: Namespace, node: Node, src: str, dst: str, flags: int) -> None:
    """The storage's half of a rename, for a node that is in the storage at all.

    Where it cannot move directories, EXDEV makes `mv` copy and delete.
    """
    storage = names.storage
    if node.virtual and flags != RENAME_EXCHANGE and (not node.is_dir or not is_stored(storage, src)):
        if not node.is_dir:  # its content replaces the target when it is stored, and what it has replaced here goes
            unlink_stored(storage, src, missing_ok=True)
        return
    try:
        storage.rename(src, dst, flags)
    except NotImplementedError as error:
        if flags == RENAME_NOREPLACE and not node.is_dir:
            storage.rename(src, dst)
        elif flags != RENAME_EXCHANGE and node.is_dir:
            raise OSError(errno.EXDEV, "the storage cannot rename directories", src) from error
        else:
            raise OSError(errno.EINVAL, "the storage cannot do that", src) from error
    if node.kind is Kind.FILE and node.identity is None:
        names.copied(node, dst)


def unlink_stored(storage: Storage, path: str, *, missing_ok: bool) -> None:
    """The storage's half of an unlink; what is not stored yet may all the same cover something that is."""
    try:
        storage.unlink(path)
    except FileNotFoundError:
        if not missing_ok:
            raise


def is_stored(storage: Storage, path: str) -> bool:
    """Whether the storage has anything called `path`."""
    try:
        storage.stat(path)
    except FileNotFoundError:
        return False
    return True
