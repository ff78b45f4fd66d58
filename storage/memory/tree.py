"""Changing the tree of an in-memory storage by POSIX's rules.

Of the times: an entry made or removed changes the directory's mtime and ctime; a link made, removed or renamed changes
the inode's ctime.
"""

from __future__ import annotations

import errno
import os
import stat as _stat

from storage.base import RENAME_EXCHANGE, RENAME_NOREPLACE
from storage.entry import Entry, Kind
from storage.exceptions import DirectoryNotEmptyError, SuspiciousFileOperation, VersionMismatchError
from storage.memory.lookup import Lookup, Place, components, fail
from storage.memory.nodes import Directory, Inode, Special, Symlink, owner
from storage.memory.regular import RegularFile


class MemoryTree(Lookup):
    """Directories, links and inodes under one root; thread-safe."""

    def new_file(self, mode: int, uid: int | None, gid: int | None) -> RegularFile:
        """A regular file without a name: `enter()` gives it one, `release()` of its handle frees it otherwise."""
        with self.lock:
            return RegularFile(self.number(), mode, *owner(uid, gid), self.now(), self.budget)

    def create(self, name: str, mode: int, uid: int | None, gid: int | None) -> RegularFile:
        """A new empty file (the lock is held); FileExistsError."""
        place = self.free_place(name)
        now = self.now()
        node = RegularFile(self.number(), mode, *owner(uid, gid), now, self.budget)
        self.enter(place, node, now)
        return node

    def mkdir(self, name: str, mode: int, uid: int | None, gid: int | None) -> None:
        """A new directory; FileExistsError."""
        with self.lock:
            place = self.free_place(name)
            now = self.now()
            self.enter(place, Directory(self.number(), mode, *owner(uid, gid), now), now)

    def put(self, name: str, node: RegularFile) -> None:
        """Give a nameless file this name; a file that had it is replaced, and leaves its mode and owner to `node`.

        IsADirectoryError.
        """
        with self.lock:
            place = self.place(name)
            old = place[2]
            if isinstance(old, Directory):
                fail(errno.EISDIR, name)
            if isinstance(old, RegularFile):
                node.mode, node.uid, node.gid = old.mode, old.uid, old.gid
            self.enter(place, node, self.now())

    def check(self, name: str, if_version: str | None, if_absent: bool) -> None:
        """Raise where a file may not be put: IsADirectoryError, FileExistsError, VersionMismatchError."""
        with self.lock:
            try:
                entry: Entry | None = self.stat(name)
            except FileNotFoundError:
                entry = None
            if entry is not None and entry.is_dir:
                fail(errno.EISDIR, name)
            if if_absent and entry is not None:
                fail(errno.EEXIST, name)
            if if_version is not None and (entry is None or entry.version != if_version):
                raise VersionMismatchError(name)

    def copy(self, source: str, target: str) -> None:
        """A file of its own called `target`, over a file, with what `source` holds now; IsADirectoryError."""
        with self.lock:
            node = self.find(source)
            if isinstance(node, Directory):
                fail(errno.EISDIR, source)
            if not isinstance(node, RegularFile):
                fail(errno.EINVAL, source)
            if self.place(target)[2] is node:
                return
            twin = self.new_file(node.mode, None, None)
            try:
                twin.copy_from(node)
                self.put(target, twin)
            except BaseException:
                twin.unused()
                raise

    def make_directories(self, name: str, mode: int) -> None:
        """Make every directory of `name` that is missing; NotADirectoryError for another thing in the way."""
        with self.lock:
            parts = components(name)
            for depth in range(1, len(parts) + 1):
                above = "/".join(parts[:depth])
                node = self.place(above)[2]
                if node is None:
                    self.mkdir(above, mode, None, None)
                elif not isinstance(node, Directory):
                    fail(errno.ENOTDIR, above)

    def symlink(self, target: str, name: str, uid: int | None, gid: int | None) -> None:
        """A new symbolic link to `target`, which is kept as it is; FileExistsError."""
        if not target or "\0" in target:
            fail(errno.ENOENT if not target else errno.EINVAL, name)
        try:
            os.fsencode(target)
        except UnicodeEncodeError as error:
            raise SuspiciousFileOperation(f"{target!r} stands for no bytes") from error
        with self.lock:
            place = self.free_place(name)
            now = self.now()
            self.enter(place, Symlink(self.number(), *owner(uid, gid), now, target), now)

    def mknod(self, name: str, mode: int, rdev: int, uid: int | None, gid: int | None) -> None:
        """A new special or regular file, as the S_IFMT bits of `mode` say (none: regular); PermissionError, EINVAL."""
        try:
            kind = Kind.of_mode(mode) if _stat.S_IFMT(mode) else Kind.FILE
        except ValueError:
            fail(errno.EINVAL, name)
        if kind is Kind.DIRECTORY:
            fail(errno.EPERM, name)
        if kind is Kind.SYMLINK:
            fail(errno.EINVAL, name)
        device = rdev if kind in (Kind.CHARACTER_DEVICE, Kind.BLOCK_DEVICE) else 0
        with self.lock:
            if kind is Kind.FILE:
                self.create(name, mode, uid, gid)
                return
            place = self.free_place(name)
            now = self.now()
            self.enter(place, Special(self.number(), mode, *owner(uid, gid), now, kind, device), now)

    def link(self, source: str, name: str) -> None:
        """A second name for a file that is no directory; FileExistsError, PermissionError (EPERM)."""
        with self.lock:
            node = self.find(source)
            place = self.free_place(name)
            if isinstance(node, Directory):
                fail(errno.EPERM, source)
            self.enter(place, node, self.now())

    def readlink(self, name: str) -> str:
        """What a symbolic link points to; OSError (EINVAL) for anything else."""
        with self.lock:
            node = self.find(name)
            if not isinstance(node, Symlink):
                fail(errno.EINVAL, name)
            return node.target

    def unlink(self, name: str) -> None:
        """Remove one name of what is no directory; FileNotFoundError, IsADirectoryError."""
        if not name:
            fail(errno.EISDIR, name)
        with self.lock:
            directory, leaf, node = self.existing(name)
            if isinstance(node, Directory):
                fail(errno.EISDIR, name)
            self._remove(directory, leaf, node)

    def rmdir(self, name: str) -> None:
        """Remove an empty directory; DirectoryNotEmptyError, NotADirectoryError, OSError (EBUSY) for the root."""
        with self.lock:
            directory, leaf, node = self.existing(name)
            if not isinstance(node, Directory):
                fail(errno.ENOTDIR, name)
            if node.entries:
                raise DirectoryNotEmptyError(name)
            self._remove(directory, leaf, node)

    def remove_tree(self, name: str) -> None:
        """Remove `name` and everything below it."""
        with self.lock:
            directory, leaf, node = self.existing(name)
            self._remove(directory, leaf, node)
            doomed = [node]
            while doomed:
                node = doomed.pop()
                if isinstance(node, Directory):
                    for below, child in list(node.entries.items()):
                        self._remove(node, below, child)
                        doomed.append(child)

    def rename(self, source: str, target: str, flags: int = 0) -> None:
        """rename(2): over a file, or an empty directory, or with RENAME_NOREPLACE or RENAME_EXCHANGE not over it."""
        if flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE):
            raise NotImplementedError(f"rename() knows no flags {flags:#x}")
        if flags == RENAME_NOREPLACE | RENAME_EXCHANGE:
            fail(errno.EINVAL, target)
        with self.lock:
            old_directory, old_leaf, node = self.existing(source)
            place = self.place(target)
            _check_rename(source, target, flags, node, old_directory, place)
            over = place[2]
            if over is node:
                return  # two links of one file, or one name twice: nothing is to be done, says POSIX
            if flags & RENAME_EXCHANGE and over is not None:
                self._exchange((old_directory, old_leaf, node), (place[0], place[1], over))
                return
            self._detach(old_directory, old_leaf, node)
            self.enter(place, node, self.now())

    def enter(self, place: Place, node: Inode, now: int) -> None:
        """Give `node` a name, in place of what had it, at the time `now`."""
        directory, leaf, former = place
        if former is not None:
            self._remove(directory, leaf, former)
        directory.entries[leaf] = node
        node.nlink += 1
        if isinstance(node, Directory):
            node.parent = directory
            directory.nlink += 1
        node.ctime_ns = directory.mtime_ns = directory.ctime_ns = now

    def _exchange(self, one: tuple[Directory, str, Inode], other: tuple[Directory, str, Inode]) -> None:
        for place in (one, other):
            self._detach(*place)
        for (directory, leaf, _), (_, _, node) in ((one, other), (other, one)):
            self.enter((directory, leaf, None), node, self.now())

    def _remove(self, directory: Directory, leaf: str, node: Inode) -> None:
        """Take a link away for good."""
        self._detach(directory, leaf, node)
        if isinstance(node, Directory):
            node.nlink = 0
            node.parent = None
        node.unused()

    def _detach(self, directory: Directory, leaf: str, node: Inode) -> None:
        """Take a link away from an inode that lives on."""
        del directory.entries[leaf]
        node.nlink -= 1
        if isinstance(node, Directory):
            directory.nlink -= 1
        node.ctime_ns = directory.mtime_ns = directory.ctime_ns = self.now()

    def free_place(self, name: str) -> Place:
        """`place()` of a name that must be free (the lock is held); FileExistsError."""
        if not name:
            fail(errno.EEXIST, name)
        place = self.place(name)
        if place[2] is not None:
            fail(errno.EEXIST, name)
        return place


def _check_rename(source: str, target: str, flags: int, node: Inode, old_directory: Directory, place: Place) -> None:
    """Raise what rename(2) would."""
    directory, _, over = place
    if flags & RENAME_NOREPLACE and over is not None:
        fail(errno.EEXIST, target)
    if flags & RENAME_EXCHANGE and over is None:
        fail(errno.ENOENT, target)
    if isinstance(node, Directory) and directory.within(node):
        fail(errno.EINVAL, target)
    if over is None or over is node:
        return
    if flags & RENAME_EXCHANGE:
        if old_directory.within(over):
            fail(errno.EINVAL, source)
        return
    if isinstance(node, Directory):
        if not isinstance(over, Directory):
            fail(errno.ENOTDIR, target)
        if over.entries:
            raise DirectoryNotEmptyError(target)
    elif isinstance(over, Directory):
        fail(errno.EISDIR, target)
