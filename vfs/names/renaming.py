"""Names that go or change: who may do it, what POSIX has against it, and the storage's half of it.

The verbs unlink, rmdir and rename do it in a `Changing` block.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from storage.base import RENAME_EXCHANGE, RENAME_NOREPLACE, Storage
from storage.entry import Entry, Kind
from vfs.content.following import Following
from vfs.content.spooled import SpooledFile
from vfs.names.filemoves import Listed
from vfs.names.namespace import Namespace
from vfs.names.node import Link, Node
from vfs.names.tree import Tree

if TYPE_CHECKING:
    from vfs.names.moves import Moves


class Changing:
    """A block that alone changes some names and uses their nodes, which it is given.

    FileNotFoundError without the first, unless it may be missing (`missing_ok`). A name may have gone to another node
    while the lease was waited for: then all is looked up again. An exact storage itself refuses what must not be done
    to a plain file, so a `trusting` block goes by the nodes that are known.
    """

    __slots__ = ("_directories", "_lease", "_missing_ok", "_names", "_places", "_trusting")

    def __init__(self, names: Namespace, *places: Link, trusting: bool = False, missing_ok: bool = False) -> None:
        """For the names `places`, (directory, name) each."""
        self._names = names
        self._places = places
        self._directories = tuple({parent: None for parent, _ in places})
        self._trusting = trusting and names.exact
        self._missing_ok = missing_ok

    def __enter__(self) -> list[Node | None]:
        tree = self._names.tree
        while True:
            found = self._known_files() or self._found()
            self._lease = tree.changing(self._directories, found, self._places)
            self._lease.__enter__()
            if self._known() == found:
                return found
            self._lease.__exit__()

    def __exit__(self, *_: object) -> None:
        self._lease.__exit__()

    def _known(self) -> list[Node | None]:
        return [parent.children.get(name) for parent, name in self._places]

    def _found(self) -> list[Node | None]:
        if self._missing_ok:
            return [self._names.find_or_none(*place) for place in self._places]
        first, *others = self._places
        return [self._names.find(*first), *(self._names.find_or_none(*place) for place in others)]

    def _known_files(self) -> list[Node | None] | None:
        if not self._trusting:
            return None
        known = self._known()
        for node in known:
            if node is not None and node.is_dir:
                return None
        return known if known[0] is not None else None


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


def rename_stored(
    names: Namespace, moves: Moves, following: Following, node: Node, src: str, dst: str, flags: int
) -> Mapping[str, Listed] | None:
    """The storage's half of a rename, for a node that is in the storage at all; one of `moves` for most directories.

    Where it cannot move directories, EXDEV makes `mv` copy and delete. Returns what `Following.finish()` is to be told.
    """
    storage = names.storage
    if node.virtual and flags != RENAME_EXCHANGE and (not node.is_dir or not is_stored(storage, src)):
        if isinstance(node.file, SpooledFile) and node.file.has_under(src):
            unlink_stored(storage, src, missing_ok=True)
        return None
    if node.is_dir and not storage.renames_directories and flags != RENAME_EXCHANGE:
        return moves.move(src, dst)
    opened, seen, entry = following.entry(node), _seen(names, node, flags), None
    try:
        with _noted(moves, node, src, dst, opened):
            entry = _rename(storage, src, dst, flags, opened, seen)
    except NotImplementedError as error:
        if flags == RENAME_NOREPLACE and not node.is_dir:
            with _noted(moves, node, src, dst, opened):
                _rename(storage, src, dst, 0, opened, {})
        elif flags != RENAME_EXCHANGE and node.is_dir:
            raise OSError(errno.EXDEV, "the storage cannot rename directories", src) from error
        else:
            raise OSError(errno.EINVAL, "the storage cannot do that", src) from error
    if node.kind is Kind.FILE and node.identity is None:
        names.copied(node, dst, entry)
    return None


def _noted(moves: Moves, node: Node, src: str, dst: str, opened: Entry | None) -> AbstractContextManager[None]:
    """A block that renames in the storage, where a copy and a deletion are noted in case of a crash."""
    entry = opened or node.entry
    if node.is_dir or entry is None or moves.renames_in_one_step:
        return nullcontext()
    return moves.of_file(src, dst, entry)


def _seen(names: Namespace, node: Node, flags: int) -> dict[str, Entry]:
    """What the storage need not look at, since the mount just has: no directory is at the other name, or is renamed."""
    entry = names.looked_up(node) if names.storage.takes_looked_up and not (flags or node.is_dir) else None
    return {} if entry is None else {"looked_up": entry}


def _rename(
    storage: Storage, src: str, dst: str, flags: int, opened: Entry | None, seen: Mapping[str, Entry]
) -> Entry | None:
    """Rename in the storage, and only the version that is `opened` if one is; the new entry if that is known."""
    if opened is None:
        return storage.rename(src, dst, flags, **seen)
    storage.rename_version(src, opened, dst, flags)
    return None


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
