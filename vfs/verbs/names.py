"""The verbs on names: to find, list, make, remove and rename what has one."""

from __future__ import annotations

import errno
import os
import stat

from storage.base import RENAME_EXCHANGE, RENAME_NOREPLACE
from storage.entry import Entry, Kind
from vfs.callers import Caller
from vfs.names.attributes import Attributes
from vfs.names.directory_entries import DirectoryEntry, Listing
from vfs.names.renaming import Changing, check_rename, is_stored, rename_stored, unlink_stored
from vfs.names.tree import NamelessError, Node
from vfs.verbs.files import FileVerbs


class NameVerbs(FileVerbs):
    """The part of `FileSystem` that is about names; a new one may come with an open file."""

    def lookup(self, parent: Node, name: str) -> tuple[Node, Attributes]:
        """The node called `name` in `parent` and its attributes; counts one lookup. FileNotFoundError."""
        self.names.check(name)
        while True:
            node, entry = self.names.look_up(parent, name)
            try:
                attributes = self._shown(node, entry)
            except NamelessError:  # it lost its name meanwhile, which may be another's
                continue
            if self.tree.remember_child(parent, name, node):  # else it was dropped before anybody could count on it
                return node, attributes

    def forget(self, node: Node, count: int = 1) -> None:
        """Take back `count` lookups of `node`."""
        self.tree.forget(node, count)

    def readdir(self, node: Node) -> list[DirectoryEntry]:
        """A snapshot of the entries of a directory, without "." and ".."."""
        listing = Listing(self.names, self.policy, node)
        before = self.names.children_ahead(node)
        entries = self.names.listings.of(node)
        ahead = self.names.children_ahead(node)
        # What was stored while the storage made its list may have been absent for a moment.
        ahead |= {name: child for name, child in before.items() if self.tree.child(node, name) is child}
        found = [DirectoryEntry(listing, name, self.names.known(child), child) for name, child in ahead.items()]
        found += [DirectoryEntry(listing, name, entry) for name, entry in entries.items() if name not in ahead]
        return found

    def adopt(self, parent: Node, line: DirectoryEntry) -> tuple[Node, Attributes]:
        """`lookup()` of what `readdir(parent)` has listed; it asks the storage only if there may be news of it.

        Counts one lookup. FileNotFoundError.
        """
        entry = line.news()
        node = self.names.adopt(parent, line.name, entry) if entry is not None else None
        if entry is None or node is None:
            return self.lookup(parent, line.name)
        return node, self.policy.attributes(entry, node.ino, node.kept)

    def mkdir(self, parent: Node, name: str, mode: int, caller: Caller) -> tuple[Node, Attributes]:
        """Make a directory with the permission bits `mode`, for `caller`; counts one lookup."""
        self._check_writable(name)
        mode, uid, gid = self._ownership(parent, mode, caller, directory=True)
        attributes = {"mode": mode, "uid": caller.uid, "gid": caller.gid if gid is None else gid}
        if not self.names.real_directories:
            return self._answer(self.names.add_virtual(parent, name, Kind.DIRECTORY, attributes))

        is_free = self.storage.takes_looked_up and self.names.is_known_absent(parent, name)
        seen = {"looked_up": True} if is_free else {}

        def make(path: str) -> Entry | None:
            return self.storage.mkdir(path, mode=mode, uid=uid, gid=gid, **seen)

        node, entry = self.names.make(parent, name, make)
        if entry.mode is None:  # a service has directories, and knows nothing of them
            self.names.keep(node, attributes)
        return self._answer(node, entry)

    def rmdir(self, parent: Node, name: str) -> None:
        """Remove an empty directory; DirectoryNotEmptyError, NotADirectoryError."""
        self._check_writable(name)
        with Changing(self.names, (parent, name)) as (node,):
            assert node is not None
            if not node.is_dir:
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name)
            path = self.names.path(parent, name)
            may_be_stored = self.names.require_empty(node, path)
            if self.names.real_directories:
                self.storage.rmdir(path)
            elif may_be_stored and is_stored(self.storage, path):
                raise PermissionError(errno.EPERM, "the storage keeps this directory, though it is empty", path)
            self.names.removed(parent, name)

    def mknod(self, parent: Node, name: str, mode: int, rdev: int, caller: Caller) -> tuple[Node, Attributes]:
        """Make a file, fifo, socket or device by the type bits of `mode`; counts one lookup."""
        self._check_writable(name)
        permissions, uid, gid = self._ownership(parent, stat.S_IMODE(mode), caller)
        if stat.S_ISREG(mode) and not self.contents.creates:
            node, attributes, handle = self.create(parent, name, mode, os.O_RDWR | os.O_EXCL, caller)
            self.contents.release(handle)
            return node, attributes
        mode = stat.S_IFMT(mode) | permissions

        def make(path: str) -> None:
            self.storage.mknod(path, mode, rdev, uid=uid, gid=gid)

        return self._answer(*self.names.make(parent, name, make, "such files"))

    def symlink(self, parent: Node, name: str, target: str, caller: Caller) -> tuple[Node, Attributes]:
        """Make a symbolic link that points to `target`; counts one lookup."""
        self._check_writable(name)
        _, uid, gid = self._ownership(parent, 0o777, caller)

        def make(path: str) -> None:
            self.storage.symlink(target, path, uid=uid, gid=gid)

        return self._answer(*self.names.make(parent, name, make, "symbolic links"))

    def readlink(self, node: Node) -> str:
        """Where a symbolic link points."""
        with self._known(node) as path:
            return self.storage.readlink(path)

    def link(self, node: Node, parent: Node, name: str) -> tuple[Node, Attributes]:
        """Give `node` one more name; counts one lookup.

        PermissionError where contents are stored as whole objects: what one name gets, the other would not show.
        """
        self._check_writable(name)
        file = node.file
        if file is not None and file.nameless:
            self.contents.name(node, file, parent, name)
            return self._answer(node)
        if node.kind is Kind.FILE and not self.contents.in_place:
            raise PermissionError(errno.EPERM, "this storage has no hard links", name)
        with self.tree.changing((node, parent), ()):
            source = self.tree.path(node)
            made = self.names.make(parent, name, lambda path: self.storage.link(source, path), "hard links", links=True)
        self.names.touch(node)
        return self._answer(*made)

    def unlink(self, parent: Node, name: str) -> None:
        """Take the name of a file that is no directory; an open file lives on until its last release."""
        self._check_writable(name)
        with Changing(self.names, (parent, name), trusting=True) as (node,):
            assert node is not None
            if node.is_dir:
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
            self.contents.secure(node)
            with self.contents.uploads.unnaming(node):
                unlink_stored(self.storage, self.names.path(parent, name), missing_ok=self.names.is_ahead(node))
                self.names.removed(parent, name)
        self.contents.settle(node)

    def rename(self, parent: Node, name: str, new_parent: Node, new_name: str, flags: int = 0) -> None:
        """Give `parent`/`name` the name `new_parent`/`new_name`, by rename(2)'s rules.

        `flags` are RENAME_NOREPLACE (FileExistsError) and RENAME_EXCHANGE; any other, or one that the storage cannot
        do, is EINVAL.
        """
        self._check_writable(name, new_name)
        if flags not in (0, RENAME_NOREPLACE, RENAME_EXCHANGE):
            raise OSError(errno.EINVAL, "unknown rename flags")
        if flags == RENAME_EXCHANGE:
            self._store((parent, name), (new_parent, new_name))
        with Changing(self.names, (parent, name), (new_parent, new_name), trusting=not flags) as (node, target):
            assert node is not None
            if node is target and flags != RENAME_NOREPLACE:
                return  # two names of one file: POSIX says that nothing happens
            check_rename(self.tree, node, parent, target, new_parent, flags)
            if flags != RENAME_EXCHANGE:
                self.contents.secure(target)
            src, dst = self.names.path(parent, name), self.names.path(new_parent, new_name)
            if target is not None and target.is_dir and not flags:
                self.names.require_empty(target, dst)
            with self.contents.following(node, target if flags == RENAME_EXCHANGE else None) as following:
                moved = rename_stored(self.names, self.contents.uploads.moves, following, node, src, dst, flags)
                with self.tree.lock:
                    move = self.tree.exchange if flags == RENAME_EXCHANGE else self.tree.move
                    move(parent, name, new_parent, new_name)
                    self.names.touch(target)
                    self.names.removed_from(parent, name)
                    self.names.renamed(node, new_parent, new_name)
                    if flags == RENAME_EXCHANGE and target is not None:
                        self.names.renamed(target, parent, name)
                following.finish(moved)
            self.contents.uploads.renamed(node, target if flags != RENAME_EXCHANGE else None)
            if flags == RENAME_EXCHANGE and target is not None:
                self.contents.uploads.renamed(target)
            self.contents.uploads.moves.finish(src)
        self.contents.settle(target)

    def _store(self, *places: tuple[Node, str]) -> None:
        """Store what is pending under these names."""
        for place in places:
            node = self.names.find_or_none(*place)
            file = node.file if node is not None else None
            if file is not None:
                self.contents.uploads.store(file)
