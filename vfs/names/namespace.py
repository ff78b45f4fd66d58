"""Names of a mount: making them, taking them away, and what the mount itself keeps of them.

It stands between the verbs (vfs.filesystem) and the tree (vfs.names.tree): whatever needs both a storage call and a
node by name is here, and what only looks at names in `Lookups`. A node is *ahead* of the storage when the mount knows
it better: it is virtual (no object shows it), or its content is not stored yet. The storage is not asked about such a
node.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from storage.entry import Entry, Kind
from storage.exceptions import DirectoryNotEmptyError
from vfs.names.attributes import Kept
from vfs.names.listings import NOTHING
from vfs.names.lookups import Lookups, join, require_directory
from vfs.names.node import Link, Node

if TYPE_CHECKING:
    from vfs.content.openfile import OpenFile


class Namespace(Lookups):
    """The names of one mount over one storage."""

    def require_empty(self, node: Node, path: str) -> bool:
        """DirectoryNotEmptyError if mount or storage show an entry of `node`, a directory leased for a change.

        Storages with directories of their own see to what they have. Returns whether the storage may have the directory
        itself; it may not where it was asked, and knows none.
        """
        if self.children_ahead(node):
            raise DirectoryNotEmptyError(path)
        if self.real_directories:
            return True
        try:
            entries = self.storage.glance(path)
        except FileNotFoundError:
            return False
        if any(True for _ in entries):
            raise DirectoryNotEmptyError(path)
        return True

    def path(self, parent: Node, name: str) -> str:
        """The storage's name of `name` in `parent`."""
        return join(self.tree.path(parent), name)

    def place(self, path: str, *, makes: bool = True) -> Link:
        """Where `path` is; a directory above it that is missing lives in the mount from now on.

        FileNotFoundError unless that `makes` it.
        """
        *above, name = path.split("/")
        parent = self.tree.root
        for directory in above:
            found = self.find_or_none(parent, directory) if makes else self.find(parent, directory)
            parent = found or self.add_virtual(parent, directory, Kind.DIRECTORY, {})
        return parent, name

    def make(
        self, parent: Node, name: str, make: Callable[[str], Entry | None], what: str = "", *, links: bool = False
    ) -> tuple[Node, Entry]:
        """The node for what `make(path)` makes, and the storage's entry of it, which is asked for unless `make` has it.

        Where the storage has no `what`, OSError (EPERM) as POSIX asks.

        `links` says that it is one more name for something.
        """
        require_directory(parent, name)
        known = self.tree.child(parent, name)
        if known is not None and self.is_ahead(known):  # which the storage may not know of
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
        with self.tree.reading(parent) as directory:
            path = join(directory, name)
            try:
                made = make(path)
            except NotImplementedError as error:
                raise PermissionError(errno.EPERM, f"this storage has no {what}", path) from error
            entry = made or self.storage.stat(path)
            return self.made(parent, name, entry, links=links), entry

    def made(self, parent: Node, name: str, entry: Entry, *, links: bool = False) -> Node:
        """The node for what the mount has just made in the storage; see `make()`."""
        with self.tree.lock:
            node = self.tree.attach(parent, name, entry, made=not links)
            if self.exact:
                self.touch(parent)
            else:
                self._amend(parent, {name: entry})
            self.learn(node, entry)
            if node.is_dir:
                self.listings.keep(node, {})
            self._tell(parent, name)
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
            path = self.path(parent, name)
            self.storage.check_name(f"{path}/file" if kind is Kind.DIRECTORY else path)  # or its upload is refused
            node = self.tree.attach(parent, name, entry)
            node.entry, node.virtual = entry, True
            self.keep(node, attributes)
            if content is not None:
                self.tree.set_file(node, content(node))
            self._amend(parent)
            if kind is Kind.DIRECTORY:  # nothing is below a name that is free
                self.listings.keep(node, {})
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
            self.storage.check_name(self.path(parent, name))
            self.tree.add_name(node, parent, name)
            if node.entry is not None:
                node.entry = node.entry._replace(name=name, nlink=None)
            self.keep(node, {})
            self._amend(parent)

    @contextmanager
    def _taking(self, parent: Node, name: str) -> Iterator[None]:
        """A block, with the tree's lock held, in which a name is free and nobody else takes it; FileExistsError."""
        if self.find_or_none(parent, name) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
        with self.tree.changing((parent,), (), ((parent, name),)), self.tree.lock:
            if self.tree.child(parent, name) is not None:  # somebody was faster
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
            yield

    def stored(self, node: Node, entry: Entry, written_ns: int | None = None) -> None:
        """`node` is in the storage now, as `entry`; the caller holds a lease on it.

        Where the storage tells but the time of the upload, the mount goes on showing when the content was `written_ns`.
        """
        with self.tree.lock:
            node.virtual = False
            if written_ns is not None:
                node.kept = node.kept or Kept()
                if node.kept.mtime_ns is None:
                    node.kept.mtime_ns = node.kept.ctime_ns = written_ns
            node.pinned = node.kept is not None
            self.tree.identify(node, entry.identity)
            self.touch(node)
            for parent, name in node.links:
                self._amend(parent, {name: entry}, keeps_time=False)
                self._tell(parent, name)
            node.entry = entry  # the change is ours, and takes nothing from what the mount keeps
            self.learn(node, entry)

    def copied(self, node: Node, path: str, entry: Entry | None) -> None:
        """The storage has renamed `node` to `path` by a copy, which looks new: the mount keeps its time of change.

        `entry` is that of the copy, if it is known.
        """
        entry = entry or self.storage.stat(path)
        with self.tree.lock:
            old, node.entry = node.entry, entry
            if old is not None and old.mtime_ns not in (None, entry.mtime_ns) and not self.is_ahead(node):
                self.keep(node, {} if node.kept and node.kept.mtime_ns is not None else {"mtime_ns": old.mtime_ns})

    def removed(self, parent: Node, name: str) -> None:
        """The mount has taken `name` from `parent`, in the storage and here."""
        with self.tree.lock:
            self.touch(self.tree.child(parent, name))
            self.tree.detach(parent, name)
            self.removed_from(parent, name)

    def removed_from(self, parent: Node, name: str) -> None:
        """The entry `name` of `parent` is gone; directories that no object shows any more live on in the mount."""
        with self.tree.lock:
            if not self.real_directories:
                for directory in self.tree.ancestry((parent,)):
                    directory.virtual = directory.pinned = directory is not self.tree.root
            self.listings.shrink(parent, name, lambda: self.changed(parent))

    def renamed(self, node: Node, parent: Node, name: str) -> None:
        """The mount has given `node` the name `name` of `parent`, in the storage and here."""
        with self.tree.lock:
            entry = node.entry
            self._tell(parent, name)
            if self.exact:
                self.touch(node)
            else:  # what is in a directory may have been copied, and be shown as other versions
                self.doubt_within(node)
            if self.is_ahead(node):
                self._amend(parent)
            elif entry is None or node.identity is not None:  # its attributes may have changed with its name
                self.changed(parent)
            else:
                entry = entry._replace(name=name)
                self._amend(parent, {name: entry})
                self.learn(node, entry)

    def _tell(self, parent: Node, name: str) -> None:
        if self.on_made is not None:
            self.on_made(self.path(parent, name))

    def changed(self, directory: Node, *, keeps_time: bool = True) -> None:
        """The mount has made or taken an entry of `directory`; its time is kept here where the storage has none."""
        entry, expires = directory.entry, directory.expires
        self.touch(directory)
        if not self._dates_directories or (entry is not None and entry.mtime_ns is None):
            directory.expires = expires  # nothing of it shows what is in it
            if keeps_time:
                self.keep(directory, {"mtime_ns": time.time_ns()})

    def _amend(self, directory: Node, stored: Mapping[str, Entry] = NOTHING, *, keeps_time: bool = True) -> None:
        """As `changed()`, where what was listed still holds but for what the mount has `stored` since.

        Else a program that fills a directory would have the storage asked for each name that it makes.
        """
        self.listings.amend(directory, lambda: self.changed(directory, keeps_time=keeps_time), stored)

    def keep(self, node: Node, changes: dict[str, int]) -> None:
        """Keep attributes of `node` in the mount: mode, uid, gid, atime_ns, mtime_ns."""
        with self.tree.lock:
            node.kept = node.kept or Kept()
            node.pinned = node.parent is not None  # what has no name goes with its last handle
            for key, value in changes.items():
                setattr(node.kept, key, value)
            node.kept.ctime_ns = time.time_ns()

    def given_up(self, node: Node, changes: Iterable[str]) -> None:
        """The storage has these attributes of `node` by now, and the mount does not keep them any more."""
        with self.tree.lock:
            if node.kept is None:
                return
            for key in (*changes, "ctime_ns"):
                setattr(node.kept, key, None)
            if node.kept == Kept():
                node.kept, node.pinned = None, node.virtual
