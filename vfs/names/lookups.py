"""What is known of names and nodes, and what the storage is asked for that is not.

What the storage says may be overtaken while it is on its way: by a create, an upload, an unlink of this very mount. So
each change counts in `Node.changes` of what it changes and of the directory, and an answer that was asked for before
is used once but not believed for the cache time, nor does it take the place of what was made meanwhile.

A storage that is quick and keeps everything itself (`exact`: memory, local files) is asked each time, and what it said
of files, of which there may be millions, is not kept.
"""

from __future__ import annotations

import errno
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress

from storage.base import Storage, overrides
from storage.entry import Entry, Kind
from storage.exceptions import NameTooLongError
from vfs.names.listings import Listings
from vfs.names.sweeps import Entries
from vfs.names.tree import NamelessError, Node, Tree
from vfs.watch.metrics import Hits

_NEVER_A_NAME = frozenset({"", ".", ".."})
_ABSENT = 64
"""Directories of which the name is kept that they were last found not to have."""


def join(directory: str, name: str) -> str:
    """The storage's name of `name` in `directory`, "" being the root."""
    return f"{directory}/{name}" if directory else name


def supports(storage: Storage, method: str) -> bool:
    """Whether `storage` overrides an operation of the extended surface that the base class only refuses."""
    return overrides(type(storage), method)


class Lookups:
    """The names of one mount over one storage, as far as they are found and looked at."""

    def __init__(self, storage: Storage, cache_seconds: float) -> None:
        """Over `storage`; what it said is believed for `cache_seconds`, 0 asks each time."""
        self.storage = storage
        self.name_max = storage.name_max
        self._forbidden = frozenset(storage.name_forbidden) - {"/", "\0"}
        self.real_directories = supports(storage, "mkdir")
        self._dates_directories = self.real_directories and storage.dates_directories
        self.exact = storage.in_place and not cache_seconds
        self._may_list_at_once = supports(storage, "scandir")
        self._absent: OrderedDict[Node, tuple[str, int, float]] = OrderedDict()
        """The name that a directory was last found not to have, its changes by then, and until when it is believed."""
        self.hits = Hits()
        """Whether a name or an attribute that was wanted was known, or the storage had to be asked for it."""
        self.on_made: Callable[[str], None] | None = None
        """Told the path of whatever the mount puts into the storage, while nobody can take it away: must not wait."""
        self.tree = Tree(storage.stat(""), quick=not storage.blocking)
        self.listings = Listings(storage, self.tree, cache_seconds, is_name=self._is_name)

    @property
    def cache_seconds(self) -> float:
        """How long is believed what the storage said; a change goes for what it says from then on."""
        return self.listings.seconds

    @cache_seconds.setter
    def cache_seconds(self, seconds: float) -> None:
        self.listings.seconds = seconds

    @property
    def _lists_at_once(self) -> bool:
        return self._may_list_at_once and bool(self.listings.seconds)

    def check(self, name: str) -> None:
        """OSError (ENAMETOOLONG, EINVAL) for a name that no entry can have."""
        if (len(name) > self.name_max or not name.isascii()) and len(os.fsencode(name)) > self.name_max:
            raise NameTooLongError(name)
        if not self._is_name(name):
            raise OSError(errno.EINVAL, "not the name of an entry", name)

    def _is_name(self, name: str) -> bool:
        if name in _NEVER_A_NAME or "/" in name or "\0" in name:
            return False
        return not self._forbidden or self._forbidden.isdisjoint(name)

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
        require_directory(parent, name)
        while True:
            known = parent.children.get(name)
            if known is not None and (known.writer or (not self.exact and self._is_fresh(known))):
                self.hits.hits += 1
                return known, None  # until a change is done, all is as it was
            if known is None and self.tree.claims and (parent, name) in self.tree.claims:
                with self.tree.changing((parent,), (), ((parent, name),)):
                    continue  # what has come to this name by now
            if known is None and self._is_absent(parent, name):
                self.hits.hits += 1
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
            asked_of_it = known.changes if known is not None else 0
            asked = parent.changes + asked_of_it
            entry = self._find_stored(parent, name)
            if entry is None:
                if self._is_gone(parent, name, known, asked):
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
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
            if same and self.cache_seconds:
                self._note_absent(parent, name)
            return True

    def _note_absent(self, parent: Node, name: str) -> None:
        """The storage has no such name. One a directory is kept: a kernel looks for a name right before it makes it."""
        self._absent.pop(parent, None)
        self._absent[parent] = name, parent.changes, time.monotonic() + self.cache_seconds
        if len(self._absent) > _ABSENT:
            self._absent.popitem(last=False)

    def _is_absent(self, parent: Node, name: str) -> bool:
        """Whether a name was not there a moment ago, and the mount has changed nothing in the directory since."""
        found = self._absent.get(parent)
        return found is not None and found[:2] == (name, parent.changes) and time.monotonic() < found[2]

    def is_known_absent(self, parent: Node, name: str) -> bool:
        """Whether it was seen a moment ago that a directory has no such name."""
        with self.tree.lock:
            listing = self.listings.fresh(parent)
            is_listed = listing is None or name in listing
            return name not in parent.children and (self._is_absent(parent, name) or not is_listed)

    def looked_up(self, node: Node) -> Entry | None:
        """What the storage said of `node`, if that is believed and the mount has no content of its own for it."""
        is_told = self._is_fresh(node) and not self.is_ahead(node) and node.file is None
        return node.entry if is_told else None

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
            self.hits.hits += 1
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

    def doubt_attributes(self, node: Node) -> None:
        """Ask again next time for those of `node`, which the mount has changed; what is in a directory is as it was."""
        with self.tree.lock:
            node.changes += 1
            node.expires = 0.0

    def doubt(self, path: str) -> list[Node]:
        """Believe nothing any more of what is at `path` and below; returns the nodes that are known there."""
        with self.tree.lock:
            node = self.tree.root
            for name in filter(None, path.split("/")):
                node.listing = None
                if name not in node.children:
                    return []
                node = node.children[name]
            self.touch(node.parent)
            return self.doubt_within(node)

    def doubt_within(self, node: Node) -> list[Node]:
        """The same for a node and what is below it."""
        with self.tree.lock:
            found = [node]
            for one in found:  # which grows
                found.extend(one.children.values())
            self.touch(*found)
            return found

    def _is_overtaken(self, known: Node | None, asked: int, entry: Entry) -> bool:
        """Whether `entry` shows another file than `known` only because the mount is storing that, or has just."""
        if known is None or known.identity == self.tree.key(entry.identity):
            return False
        return known.changes != asked or self.is_ahead(known)

    def _ask(self, node: Node) -> Entry:
        asked, file = node.changes, node.file
        self.hits.misses += 1
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
            for parent, name in () if self.exact else node.links:
                self.listings.correct(parent, name, entry)
        return entry

    def _find_stored(self, parent: Node, name: str) -> Entry | None:
        """The storage's entry, from the listing of `parent` if that is fresh; None where there is nothing.

        What is quick to ask is asked without a lease, and with it only where somebody has one.
        """
        tree = self.tree
        if self.exact and not tree.leases:
            losses = tree.losses
            try:
                entry = self.storage.find(join(tree.path(parent), name))
            except (FileNotFoundError, NotADirectoryError):
                entry = None
            if losses == tree.losses and not tree.leases:
                return entry
        try:
            with tree.reading(parent) as directory:
                listing = self._listing_of(parent, directory) if parent.listing is not None else None
                self.hits.count(1, int(listing is None))
                entry = None if listing is None else listing.get(name)
                is_told = listing is not None and (entry is None or not entry.partial)
                return entry if is_told else self.storage.find(join(directory, name))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _listing_of(self, parent: Node, directory: str) -> Entries | None:
        """The listing of `parent` that answers for its names."""
        return self.listings.to_look_in(parent, directory) if self._lists_at_once else self.listings.fresh(parent)

    def _other_name(self, known: Node | None, entry: Entry, believed: bool) -> Node | None:
        """The node that has the identity of `entry` under another name, unless that is sure to be a hard link.

        When a file loses its last name its identity may be given to another file at once, so while names are changed
        the same identity need not mean the same file.
        """
        other = self.tree.with_identity(entry.identity)
        return other if other is not known and other is not None and (other.writer or not believed) else None


def _changes(parent: Node, known: Node | None) -> int:
    """How often the mount has changed either node."""
    return parent.changes + (known.changes if known is not None else 0)


def require_directory(parent: Node, name: str) -> None:
    """NotADirectoryError below a file, which the storage may not have yet."""
    if not parent.is_dir:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name)
