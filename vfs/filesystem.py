"""The filesystem: POSIX verbs over any storage, with no FUSE in them.

A transport calls one verb for each request of the kernel and hands on what it returns or raises; nothing here knows
errno of a transport, paths of a mountpoint, or the kernel. Verbs are addressed by `Node` (see vfs.tree), which
`lookup()` and the verbs that make something return with one lookup counted: `forget()` takes it back.

Two kinds of storage. Where `storage.in_place` holds, an open file writes straight to its content. All others get
whole objects from the spool, when a file is flushed by the process that opened it, synced, or closed for the last
time. What such a storage cannot keep, the mount keeps for as long as it lives (directories, modes, owners, times) or
refuses (links, devices: EPERM).

Checks that the kernel makes under `default_permissions` (rights, sticky bits, set-group-id on chmod) are not repeated
here.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from storage.base import RENAME_EXCHANGE, RENAME_NOREPLACE, Storage
from storage.entry import Entry, Kind, Usage
from vfs.attributes import Attributes, Policy
from vfs.callers import Caller, same_process
from vfs.contents import Contents
from vfs.listing import DirectoryEntry, Listing
from vfs.namespace import Namespace
from vfs.openfile import Handle
from vfs.ranges import RangeVerbs
from vfs.renaming import Changing, check_rename, is_stored, rename_stored, unlink_stored
from vfs.spool import Spool
from vfs.tree import NamelessError, Node

UNKNOWN_SIZE = 1 << 50
"""Bytes shown as the size of a storage that does not know its own and was given none: 1 PiB."""


class FileSystem(RangeVerbs):
    """A tree of nodes over one storage; the verbs on ranges of open files are `RangeVerbs`."""

    def __init__(
        self,
        storage: Storage,
        *,
        read_only: bool = False,
        policy: Policy | None = None,
        cache_seconds: float = 1.0,
        size: int | None = None,
        spool: Spool | None = None,
    ) -> None:
        """A filesystem over `storage`.

        `cache_seconds` is how long what a storage that waits for a network said is believed; one that does not wait is
        asked each time. `size` is the total that statfs shows for a storage without figures of its own, in bytes.
        """
        self.storage = storage
        self.read_only = read_only
        self.policy = policy or Policy()
        self.size = size
        self.names = Namespace(storage, cache_seconds if storage.blocking else 0.0)
        self.contents = Contents(self.names, spool or Spool())
        self.tree = self.names.tree
        self.root = self.tree.root
        self._sets_owner = os.geteuid() == 0
        self._cache_seconds = cache_seconds
        self._group: tuple[Node | None, float, int | None] = (None, 0.0, None)
        """The directory that something was last made in, until when (time.monotonic) its group is known, and that."""

    # -- nodes

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

    def getattr(self, node: Node) -> Attributes:
        """What stat(2) shows of `node`, even without a name; OSError (ESTALE) if the name shows another file."""
        return self.policy.attributes(self.names.current(node), node.ino, node.kept)

    def setattr(
        self,
        node: Node,
        *,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
        size: int | None = None,
        atime_ns: int | None = None,
        mtime_ns: int | None = None,
    ) -> Attributes:
        """Change what is not None: permission bits, owner, size in bytes, times in ns; returns the new attributes."""
        self._check_writable()
        self._group = (None, 0.0, None)
        if size is not None:
            self._truncate(node, size)
        wanted = {"mode": mode, "uid": uid, "gid": gid, "atime_ns": atime_ns, "mtime_ns": mtime_ns}
        changes = {key: value for key, value in wanted.items() if value is not None}
        if changes and (self.names.is_ahead(node) or not self.contents.keeps_attributes):
            self.names.keep(node, changes)
        elif changes and not self.contents.set_attributes(node, changes):
            self._set_stored_attributes(node, changes)
        self.names.touch(node)
        return self.getattr(node)

    # -- directories

    def readdir(self, node: Node) -> list[DirectoryEntry]:
        """A snapshot of the entries of a directory, without "." and ".."."""
        listing = Listing(self.names, self.policy, node)
        before = self.names.children_ahead(node)
        entries = self.names.listing(node)
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
        if self.names.real_directories:
            return self._answer(
                *self.names.make(parent, name, lambda path: self.storage.mkdir(path, mode=mode, uid=uid, gid=gid))
            )
        attributes = {"mode": mode, "uid": caller.uid, "gid": caller.gid if gid is None else gid}
        return self._answer(self.names.add_virtual(parent, name, Kind.DIRECTORY, attributes))

    def rmdir(self, parent: Node, name: str) -> None:
        """Remove an empty directory; DirectoryNotEmptyError, NotADirectoryError."""
        self._check_writable(name)
        with Changing(self.names, (parent, name)) as (node,):
            assert node is not None
            if not node.is_dir:
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name)
            path = self.names.path(parent, name)
            self.names.require_empty(node, path)
            if self.names.real_directories:
                self.storage.rmdir(path)
            elif is_stored(self.storage, path):
                raise PermissionError(errno.EPERM, "the storage keeps this directory, though it is empty", path)
            self.names.removed(parent, name)

    # -- files by name

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
        if node.file is not None and node.file.nameless:
            self.contents.name(node, node.file, parent, name)
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
            self.contents.secure(node)  # what is yet to be read of it goes by its old name
            self.contents.secure(target)
            src, dst = self.names.path(parent, name), self.names.path(new_parent, new_name)
            if target is not None and target.is_dir and not flags:
                self.names.require_empty(target, dst)
            rename_stored(self.names, node, src, dst, flags)
            with self.tree.lock:
                move = self.tree.exchange if flags == RENAME_EXCHANGE else self.tree.move
                move(parent, name, new_parent, new_name)
                self.names.touch(node, target)
                self.names.changed(new_parent)
                self.names.removed_from(parent)
        self.contents.settle(target)

    # -- open files

    def create(self, parent: Node, name: str, mode: int, flags: int, caller: Caller) -> tuple[Node, Attributes, Handle]:
        """Make and open a file, or open one that appeared meanwhile unless `flags` have O_EXCL. Counts one lookup."""
        self._check_writable(name)
        permissions, uid, gid = self._ownership(parent, stat.S_IMODE(mode), caller)
        try:
            node, entry = self.contents.create(parent, name, permissions, uid, gid)
        except FileExistsError:
            if flags & os.O_EXCL:
                raise
            node, entry = self.names.find(parent, name), None
        else:
            flags &= ~os.O_TRUNC
        handle = self.open(node, flags, caller)
        return *self._answer(node, entry), handle

    def tmpfile(self, parent: Node, mode: int, flags: int, caller: Caller) -> tuple[Node, Attributes, Handle]:
        """Make and open a file without a name, which `link()` may give it one. Counts one lookup.

        NotImplementedError where the storage has no such files.
        """
        self._check_writable()
        node = self.contents.tmpfile(parent, *self._ownership(parent, stat.S_IMODE(mode), caller))
        handle = self.contents.open(node, flags, caller.pid)
        return *self._answer(node), handle

    def open(self, node: Node, flags: int, caller: Caller) -> Handle:
        """Open a file with open(2)'s access mode, O_APPEND and O_TRUNC from `flags`.

        OSError (ESTALE) when the name shows another file by now: look it up again.
        """
        if flags & os.O_ACCMODE != os.O_RDONLY or flags & os.O_TRUNC:
            self._check_writable()
        handle = self.contents.open(node, flags, caller.pid)
        if flags & os.O_TRUNC:
            try:
                handle.file.truncate(0)
            except BaseException:
                self.contents.release(handle)
                raise
            self.names.touch(node)
        return handle

    def read(self, handle: Handle, size: int, offset: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer only at the end of the file."""
        handle.require(write=False)
        return handle.file.read(size, offset)

    def write(self, handle: Handle, data: bytes | memoryview, offset: int, *, mapped: bool = False) -> int:
        """Write all of `data`, at the end of the file for a handle opened with O_APPEND.

        What was `mapped` has its place: the kernel writes pages back by whatever handle there is.
        """
        handle.require(write=True)
        return handle.file.write(data, None if handle.append and not mapped else offset)

    def flush(self, handle: Handle, caller: Caller) -> None:
        """A descriptor of `handle` was closed: store what is dirty if the process that opened it closes it."""
        if handle.writable and handle.file.dirty and same_process(handle.pid, caller.pid):
            self.contents.store(handle.file)

    def fsync(self, handle: Handle) -> None:
        """Return when the storage has the content, or raise what kept it from that."""
        self.contents.store(handle.file)
        handle.file.sync()

    def release(self, handle: Handle) -> None:
        """The last descriptor of `handle` is gone; see `Contents.release`."""
        self.contents.release(handle)

    # -- the whole

    def statfs(self) -> Usage:
        """Total, used and free bytes and files; made up where the storage does not say."""
        try:
            return self.storage.usage()
        except NotImplementedError:
            total = self.size or UNKNOWN_SIZE
            return Usage(total, 0, total)

    def getxattr(self, node: Node, key: str) -> bytes:
        """The value of an extended attribute."""
        with self._known(node) as path:
            return self.storage.getxattr(path, key)

    def setxattr(self, node: Node, key: str, value: bytes, flags: int = 0) -> None:
        """Set an extended attribute; `flags` are setxattr(2)'s."""
        self._check_writable()
        with self._known(node) as path:
            self.storage.setxattr(path, key, value, flags)

    def listxattr(self, node: Node) -> list[str]:
        """The names of the extended attributes."""
        with self._known(node) as path:
            return self.storage.listxattr(path)

    def removexattr(self, node: Node, key: str) -> None:
        """Remove an extended attribute."""
        self._check_writable()
        with self._known(node) as path:
            self.storage.removexattr(path, key)

    def pending(self) -> list[Node]:
        """The nodes with content that the storage does not have yet."""
        files = [node.file for node in self.tree.nodes()]
        return [file.node for file in files if file is not None and file.dirty and file.node.links]

    def open_files(self) -> int:
        """How many nodes are open."""
        return sum(1 for node in self.tree.nodes() if node.file is not None)

    def drain(self) -> list[str]:
        """Store all that is pending; returns the names that could not be stored."""
        failed = []
        for node in self.pending():
            file = node.file
            if file is not None and not self.contents.try_store(file):
                with suppress(NamelessError):  # unlinked meanwhile
                    failed.append(self.tree.path(node))
            self.contents.settle(node)
        return failed

    def close(self) -> list[str]:
        """Close every file; what is still pending is kept in the spool, and where is returned."""
        return self.contents.close()

    # -- helpers

    def _answer(self, node: Node, entry: Entry | None = None) -> tuple[Node, Attributes]:
        """A node as a verb returns it: one lookup counted, with the attributes that were just learnt."""
        attributes = self._shown(node, entry)
        return self.tree.remember(node), attributes

    def _shown(self, node: Node, entry: Entry | None) -> Attributes:
        """The attributes of `node`, of which the storage has just said `entry`."""
        file = node.file
        if entry is None or (file is not None and file.dirty):
            entry = self.names.known(node)
        return self.policy.attributes(entry, node.ino, node.kept)

    def _check_writable(self, *names: str) -> None:
        if self.read_only:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        for name in names:
            self.names.check(name)

    def _ownership(
        self, parent: Node, mode: int, caller: Caller, *, directory: bool = False
    ) -> tuple[int, int | None, int | None]:
        """Mode and owner for a new entry: the caller's, the group and its bit inherited below a set-group-id directory.

        Only root can give files away: for any other daemon the owner is None, which leaves its own.
        """
        gid = self._inherited_group(parent)
        if gid is None:
            gid = caller.gid
        elif directory:
            mode |= stat.S_ISGID
        return (mode, caller.uid, gid) if self._sets_owner else (mode, None, None)

    def _inherited_group(self, parent: Node) -> int | None:
        """The group of a set-group-id directory, None for any other; kept for as long as attributes are believed."""
        directory, until, gid = self._group
        if directory is parent and time.monotonic() < until:
            return gid
        attributes = self.getattr(parent)
        gid = attributes.gid if attributes.mode & stat.S_ISGID else None
        self._group = parent, time.monotonic() + self._cache_seconds, gid
        return gid

    def _truncate(self, node: Node, size: int) -> None:
        handle = self.contents.open(node, os.O_WRONLY, 0)
        try:
            handle.file.truncate(size)
            if handle.file.handles == 1:
                self.contents.store(handle.file)  # nobody else will, and truncate(2) is to report its error
        finally:
            self.contents.release(handle)

    @contextmanager
    def _known(self, node: Node) -> Iterator[str]:
        """A block with the path of a node that was looked up; OSError (ESTALE) if its last name is gone since then."""
        try:
            with self.tree.reading(node) as path:
                yield path
        except NamelessError as error:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE)) from error

    def _store(self, *places: tuple[Node, str]) -> None:
        """Store what is pending under these names."""
        for place in places:
            node = self.names.find_or_none(*place)
            if node is not None and node.file is not None:
                self.contents.store(node.file)

    def _set_stored_attributes(self, node: Node, changes: dict[str, int]) -> None:
        try:
            with self.tree.reading(node) as path:
                self.storage.set_attributes(path, **changes)
        except NamelessError:
            self.names.keep(node, changes)
