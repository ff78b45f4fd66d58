"""Names of a mount: finding, listing and making nodes, and what the mount itself keeps of them.

It stands between the verbs (vfs.filesystem) and the tree (vfs.tree): whatever needs both a storage call and a node by
name is here. A node is *ahead* of the storage when the mount knows it better: it is virtual (no object shows it),
or its content is not stored yet. The storage is not asked about such a node.

What the storage says may be overtaken while it is on its way: by a create, an upload, an unlink of this very mount. So
each change counts in `Node.changes` of what it changes and of the directory, and an answer that was asked for before
is used once but not believed for the cache time, nor does it take the place of what was made meanwhile.

A storage that is quick and keeps everything itself (`exact`: memory, local files) is asked each time, and what it said
of files, of which there may be millions, is not kept.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from storage.base import Storage
from storage.entry import Entry, Kind
from storage.exceptions import DirectoryNotEmptyError, NameTooLongError
from vfs.attributes import Kept
from vfs.tree import NamelessError, Node, Tree

if TYPE_CHECKING:
    from vfs.openfile import OpenFile

logger = logging.getLogger("vfs")

_NEVER_A_NAME = frozenset({"", ".", ".."})


def join(directory: str, name: str) -> str:
    """The storage's name of `name` in `directory`, "" being the root."""
    return f"{directory}/{name}" if directory else name


def supports(storage: Storage, method: str) -> bool:
    """Whether `storage` overrides an operation of the extended surface that the base class only refuses."""
    return getattr(type(storage), method) is not getattr(Storage, method)


class Namespace:
    """The names of one mount over one storage."""

    def __init__(self, storage: Storage, cache_seconds: float) -> None:
        """Over `storage`; what it said is believed for `cache_seconds`, 0 asks each time."""
        self.storage = storage
        self.cache_seconds = cache_seconds
        self.name_max = storage.name_max
        self._forbidden = frozenset(storage.name_forbidden) - {"/", "\0"}
        self.real_directories = supports(storage, "mkdir")
        self.exact = storage.in_place and not cache_seconds
        self.tree = Tree(storage.stat(""), quick=not storage.blocking)

    def check(self, name: str) -> None:
        """OSError (ENAMETOOLONG, EINVAL) for a name that no entry can have."""
        if len(name) > self.name_max or (not name.isascii() and len(os.fsencode(name)) > self.name_max):
            raise NameTooLongError(name)
        if not self._is_name(name):
            raise OSError(errno.EINVAL, "not the name of an entry", name)

    def _is_name(self, name: str) -> bool:
        if name in _NEVER_A_NAME or "/" in name or "\0" in name:
            return False
        return not self._forbidden or self._forbidden.isdisjoint(name)

    # -- what is known

    def is_ahead(self, node: Node) -> bool:
        """Whether the mount knows more of `node` than the storage does."""
        file = node.file
        return node.virtual or (file is not None and file.dirty)

    def children_ahead(self, node: Node) -> dict[str, Node]:
        """What the mount knows more of than the storage does, of the entries of a directory."""
        if self.exact:
            return {}
        with self.tree.lock:
            return {name: child for name, child in node.children.items() if self.is_ahead(child)}

    def find(self, parent: Node, name: str) -> Node:
        """The node called `name` in `parent`; FileNotFoundError, NotADirectoryError below a file."""
        return self.look_up(parent, name)[0]

    def look_up(self, parent: Node, name: str) -> tuple[Node, Entry | None]:
        """What `find()` finds, and what the storage said of it; None where there was no need to ask."""
        _require_directory(parent, name)
        while True:
            known = parent.children.get(name)
            if known is not None and (known.writer or (not self.exact and self._is_fresh(known))):
                return known, None  # until a change is done, all is as it was
            if known is None and self.tree.claims and (parent, name) in self.tree.claims:
                with self.tree.changing((parent,), (), ((parent, name),)):
                    continue  # what has come to this name by now
            asked_of_it = known.changes if known is not None else 0
            asked = parent.changes + asked_of_it
            try:
                with self.tree.reading(parent) as directory:
                    entry = self._look(parent, directory, name)
            except (FileNotFoundError, NotADirectoryError):
                if self._is_gone(parent, name, known, asked):
                    raise
                continue  # while a storage copies or saves, there is nothing at some moments
            with self.tree.lock:
                believed = _changes(parent, known) == asked
                if known is not None and parent.children.get(name) is known and self.tree.shows(known, entry):
                    known.add_link(parent, name)
                    self.learn(known, entry, believed=believed)
                    return known, entry
                other = self._other_name(known, entry, believed)
                if (
                    parent.children.get(name) is known
                    and other is None
                    and not self._is_overtaken(known, asked_of_it, entry)
                ):
                    node = self.tree.attach(parent, name, entry)
                    self.learn(node, entry, believed=believed)
                    return node, entry
            if other is not None:
                with suppress(NamelessError), self.tree.reading(other):
                    pass  # until what is being done to its names is done

    def adopt(self, parent: Node, name: str, entry: Entry) -> Node | None:
        """A node for an entry that was listed, with a lookup counted; None if anything is known of it."""
        node = self.tree.adopt(parent, name, entry)
        if node is not None and not self.exact:
            with self.tree.lock:
                self.learn(node, entry)
                node.expires = parent.listing_expires if parent.listing is not None else 0.0
        return node

    def _is_fresh(self, node: Node) -> bool:
        """Whether the storage need not be asked about `node`."""
        return self.is_ahead(node) or (node.expires > 0.0 and time.monotonic() < node.expires)

    def _is_gone(self, parent: Node, name: str, known: Node | None, asked: int) -> bool:
        """Whether there is nothing under a name, as the storage says; then `known` loses it."""
        with self.tree.lock:
            same = _changes(parent, known) == asked
            if known is not None and (known.writer or self.is_ahead(known) or not same):
                return False
            if same and parent.children.get(name) is known and (known is not None or not parent.lookups):
                self.tree.detach(parent, name)
            return True

    def find_or_none(self, parent: Node, name: str) -> Node | None:
        """The node called `name` in `parent`, None when there is none."""
        try:
            return self.find(parent, name)
        except FileNotFoundError:
            return None

    def known(self, node: Node) -> Entry:
        """What was last learnt of `node`, brought forward by its open file; asks the storage if nothing is kept."""
        entry, file = node.entry, node.file
        if entry is None:
            entry = self._of_open_file(node) or self._ask(node)
        return file.entry(entry) if file is not None and file.dirty else entry

    def current(self, node: Node) -> Entry:
        """What is true of `node` now, within the cache time; ESTALE when its name shows another file."""
        entry = self._of_open_file(node)
        if entry is not None:
            return entry
        if self._is_fresh(node):
            return self._named(node, self.known(node))
        file = node.file
        try:
            entry = self._ask(node)
        except NamelessError as error:
            entry = file.entry(node.entry) if file is not None else node.entry
            if entry is None:
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE)) from error
        return self._named(node, file.entry(entry) if file is not None and file.dirty else entry)

    def _named(self, node: Node, entry: Entry) -> Entry:
        """`entry` as it is by now, that of a file which has lost its last name shows no links."""
        return entry if node.parent is not None or node is self.tree.root else entry._replace(nlink=0)

    def _of_open_file(self, node: Node) -> Entry | None:
        """What an open file that is written in place says of itself; None without one."""
        file = node.file
        if file is None or not file.knows_links:
            return None
        with file.lock:
            return file.entry(node.entry) if node.file is file else None  # closed while we looked

    def learn(self, node: Node, entry: Entry, *, believed: bool = True) -> None:
        """Take over what the storage said of `node`; times that the mount kept fall to a change from outside.

        What is not `believed`, because something was changed since it was asked for, is asked again next time.
        """
        if self.exact and node.kind is not Kind.DIRECTORY:
            return
        old, kept = node.entry, node.kept
        if kept is not None and old is not None and (old.version, old.size) != (entry.version, entry.size):
            kept.atime_ns = kept.mtime_ns = kept.ctime_ns = None
        node.entry = entry
        node.expires = time.monotonic() + self.cache_seconds if self.cache_seconds and believed else 0.0

    def touch(self, *nodes: Node | None) -> None:
        """Ask again next time: what the storage said of `nodes`, or is about to say, no longer holds."""
        with self.tree.lock:
            for node in nodes:
                if node is not None:
                    node.changes += 1
                    node.expires = 0.0
                    node.listing = None

    def listing(self, node: Node) -> dict[str, Entry]:
        """The storage's entries of a directory by name; those that no filesystem can show are left out and logged."""
        fresh = self._fresh_listing(node)
        if fresh is not None:
            return fresh
        entries: dict[str, Entry] = {}
        asked = node.changes
        with self.tree.reading(node) as path:
            try:
                for entry in self.storage.scandir(path):
                    if self._is_name(entry.name):
                        entries[entry.name] = entry
                    else:
                        logger.warning("left out of the listing of %r: the name %r cannot be shown", path, entry.name)
            except FileNotFoundError:
                if not node.virtual:
                    raise
        with self.tree.lock:
            if self.cache_seconds and node.changes == asked:
                node.listing, node.listing_expires = entries, time.monotonic() + self.cache_seconds
        return entries

    def require_empty(self, node: Node, path: str) -> None:
        """DirectoryNotEmptyError if mount or storage show an entry of `node`, a directory leased for a change.

        Storages with directories of their own see to what they have.
        """
        if self.children_ahead(node) or (not self.real_directories and self._has_entries(path)):
            raise DirectoryNotEmptyError(path)

    # -- making

    def path(self, parent: Node, name: str) -> str:
        """The storage's name of `name` in `parent`."""
        return join(self.tree.path(parent), name)

    def make(
        self, parent: Node, name: str, make: Callable[[str], None], what: str = "", *, links: bool = False
    ) -> tuple[Node, Entry]:
        """The node for what `make(path)` makes, and the storage's entry of it.

        Where the storage has no `what`, OSError (EPERM) as POSIX asks.

        `links` says that it is one more name for something.
        """
        _require_directory(parent, name)
        known = self.tree.child(parent, name)
        if known is not None and self.is_ahead(known):  # which the storage may not know of
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
        with self.tree.reading(parent) as directory:
            path = join(directory, name)
            try:
                make(path)
            except NotImplementedError as error:
                raise PermissionError(errno.EPERM, f"this storage has no {what}", path) from error
            entry = self.storage.stat(path)
            return self.made(parent, name, entry, links=links), entry

    def made(self, parent: Node, name: str, entry: Entry, *, links: bool = False) -> Node:
        """The node for what the mount has just made in the storage; see `make()`."""
        with self.tree.lock:
            node = self.tree.attach(parent, name, entry, made=not links)
            self.touch(parent)
            self.learn(node, entry)
            return node

    def add_virtual(
        self,
        parent: Node,
        name: str,
        kind: Kind,
        attributes: dict[str, int],
        content: Callable[[Node], OpenFile] | None = None,
    ) -> Node:
        """A node that lives in the mount alone until the storage shows it, with attributes to keep; FileExistsError.

        `content` makes the open file of a file, of which nobody must see the node without.
        """
        now = time.time_ns()
        entry = Entry(name, kind, 0, now, now, now)
        with self._taking(parent, name):
            node = self.tree.attach(parent, name, entry)
            node.entry, node.virtual = entry, True
            self.keep(node, attributes)
            node.file = content(node) if content is not None else None
            self.changed(parent)
            return node

    def named(self, node: Node, parent: Node, name: str, entry: Entry) -> None:
        """A node that had no name has been given one in the storage."""
        with self.tree.lock:
            self.tree.add_name(node, parent, name)
            self.touch(parent)
            node.entry = None  # as it was without a name
            self.learn(node, entry)

    def name_virtual(self, node: Node, parent: Node, name: str) -> None:
        """Give a node that lives in the mount alone its first name; FileExistsError."""
        with self._taking(parent, name):
            self.tree.add_name(node, parent, name)
            if node.entry is not None:
                node.entry = node.entry._replace(name=name, nlink=None)
            self.keep(node, {})
            self.changed(parent)

    @contextmanager
    def _taking(self, parent: Node, name: str) -> Iterator[None]:
        """A block, with the tree's lock held, in which a name is free and nobody else takes it; FileExistsError."""
        if self.find_or_none(parent, name) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
        with self.tree.changing((parent,), (), ((parent, name),)), self.tree.lock:
            if self.tree.child(parent, name) is not None:  # somebody was faster
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
            yield

    def stored(self, node: Node, entry: Entry) -> None:
        """`node` is in the storage now, as `entry`; the caller holds a lease on it."""
        with self.tree.lock:
            node.virtual = False
            node.pinned = node.kept is not None
            self.tree.identify(node, entry.identity)
            self.touch(node, *(parent for parent, _ in node.links))
            node.entry = entry  # the change is ours, and takes nothing from what the mount keeps
            self.learn(node, entry)

    def copied(self, node: Node, path: str) -> None:
        """The storage has renamed `node` to `path` by a copy, which looks new: the mount keeps its time of change."""
        entry = self.storage.stat(path)
        with self.tree.lock:
            old, node.entry = node.entry, entry
            if old is not None and old.mtime_ns is not None and not self.is_ahead(node):
                self.keep(node, {} if node.kept and node.kept.mtime_ns is not None else {"mtime_ns": old.mtime_ns})

    def removed(self, parent: Node, name: str) -> None:
        """The mount has taken `name` from `parent`, in the storage and here."""
        with self.tree.lock:
            self.touch(self.tree.child(parent, name))
            self.tree.detach(parent, name)
            self.removed_from(parent)

    def removed_from(self, parent: Node) -> None:
        """An entry of `parent` is gone; directories that no object shows any more live on in the mount."""
        with self.tree.lock:
            if not self.real_directories:
                for directory in self.tree.ancestry((parent,)):
                    directory.virtual = directory.pinned = directory is not self.tree.root
            self.changed(parent)

    def changed(self, directory: Node) -> None:
        """The mount has made or taken an entry of `directory`; its time is kept here where the storage has none."""
        self.touch(directory)
        if not self.real_directories:
            self.keep(directory, {"mtime_ns": time.time_ns()})

    def keep(self, node: Node, changes: dict[str, int]) -> None:
        """Keep attributes of `node` in the mount: mode, uid, gid, atime_ns, mtime_ns."""
        with self.tree.lock:
            node.kept = node.kept or Kept()
            node.pinned = node.parent is not None  # what has no name goes with its last handle
            for key, value in changes.items():
                setattr(node.kept, key, value)
            node.kept.ctime_ns = time.time_ns()

    # -- asking

    def _is_overtaken(self, known: Node | None, asked: int, entry: Entry) -> bool:
        """Whether `entry` shows another file than `known` only because the mount is storing that, or has just."""
        if known is None or known.identity == self.tree.key(entry.identity):
            return False
        return known.changes != asked or self.is_ahead(known)

    def _ask(self, node: Node) -> Entry:
        asked, file = node.changes, node.file
        with self.tree.reading(node) as path:
            try:
                entry = self.storage.stat(path)
            except (FileNotFoundError, NotADirectoryError):
                if file is None:
                    raise
                return file.entry(node.entry)  # removed behind the mount's back, and open here
        if not self.tree.shows(node, entry):
            if file is not None:
                return file.entry(node.entry)
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), path)
        with self.tree.lock:
            self.learn(node, entry, believed=node.changes == asked)
        return entry

    def _look(self, parent: Node, directory: str, name: str) -> Entry:
        """The storage's entry, from the listing of `parent` if that is fresh."""
        listing = self._fresh_listing(parent) if parent.listing is not None else None
        if listing is None:
            return self.storage.stat(f"{directory}/{name}" if directory else name)
        if name not in listing:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return listing[name]

    def _other_name(self, known: Node | None, entry: Entry, believed: bool) -> Node | None:
        """The node that has the identity of `entry` under another name, unless that is sure to be a hard link.

        When a file loses its last name its identity may be given to another file at once, so while names are changed
        the same identity need not mean the same file.
        """
        other = self.tree.with_identity(entry.identity)
        return other if other is not known and other is not None and (other.writer or not believed) else None

    def _has_entries(self, path: str) -> bool:
        try:
            return any(True for _ in self.storage.scandir(path))
        except FileNotFoundError:
            return False

    def _fresh_listing(self, node: Node) -> dict[str, Entry] | None:
        return node.listing if node.listing is not None and time.monotonic() < node.listing_expires else None


def _changes(parent: Node, known: Node | None) -> int:
    """How often the mount has changed either node."""
    return parent.changes + (known.changes if known is not None else 0)


def _require_directory(parent: Node, name: str) -> None:
    """NotADirectoryError below a file, which the storage may not have yet."""
    if not parent.is_dir:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name)
