"""Contents of a mount: opening nodes, storing what was written, letting go of what is closed."""

from __future__ import annotations

import errno
import logging
import os
import time

from storage.entry import Entry, Kind
from storage.extents import overlap
from storage.files import File
from vfs.attributes import Kept
from vfs.namespace import Namespace, join, supports
from vfs.openfile import Handle, InPlaceFile, OpenFile
from vfs.spool import CHUNK, Spool
from vfs.spooled import SpooledFile
from vfs.tree import NamelessError, Node

logger = logging.getLogger("vfs")

_FILE = Kind.FILE


class Contents:
    """The open files of one mount."""

    def __init__(self, names: Namespace, spool: Spool) -> None:
        """Over the storage of `names`, with `spool` for what cannot be written in place."""
        self.names = names
        self.tree = names.tree
        self.storage = names.storage
        self.spool = spool
        self.in_place = names.storage.in_place
        self.keeps_attributes = supports(names.storage, "set_attributes")
        self._sets_owner = os.geteuid() == 0
        self.creates = self.in_place and supports(names.storage, "create")

    # -- opening

    def open(self, node: Node, flags: int, pid: int) -> Handle:
        """A handle on `node` with open(2)'s `flags`; OSError (ESTALE) when its name shows another file by now."""
        if node.kind is not _FILE:
            raise OSError(errno.EISDIR if node.is_dir else errno.ENXIO, "not a regular file")
        write = flags & os.O_ACCMODE != os.O_RDONLY or bool(flags & os.O_TRUNC)
        while True:
            file = node.file or self._load(node, write)
            if file is None:
                continue
            if write and isinstance(file, InPlaceFile) and not file.writable:
                file.reopen(self._stored_file(node, "r+b"))
            with file.lock:
                if node.file is file:  # else it was closed while we looked
                    file.handles += 1
                    return Handle(file, flags, pid)

    def create(self, parent: Node, name: str, mode: int, uid: int | None, gid: int | None) -> tuple[Node, Entry | None]:
        """A new file, with its content open, and the storage's entry of it if it is there; FileExistsError."""
        if not self.creates:
            content = self.spool.open()
            try:
                owner = _given(mode=mode, uid=uid, gid=gid)
                node = self.names.add_virtual(
                    parent, name, Kind.FILE, owner, lambda node: SpooledFile(node, self.storage, content, None)
                )
            except BaseException:
                content.discard()
                raise
            return node, None
        with self.tree.reading(parent) as directory:
            file = self.storage.create(join(directory, name), mode=mode, uid=uid, gid=gid)
            entry = file.stat()
            node = self.names.made(parent, name, entry)
            self._adopt(node, InPlaceFile(node, file, writable=True))
            return node, entry

    def tmpfile(self, parent: Node, mode: int, uid: int | None, gid: int | None) -> Node:
        """A new file without a name, with its content open; NotImplementedError where the storage has no such files.

        Where contents are stored whole it lives in the spool, until it has a name to be stored under.
        """
        if self.in_place:
            with self.tree.reading(parent) as directory:
                stored = self.storage.tmpfile(directory, mode=mode, uid=uid, gid=gid)
            entry = stored.stat()
            node = self.tree.add_nameless(entry)
            node.entry, node.file = entry, InPlaceFile(node, stored, writable=True)
        else:
            content, now = self.spool.open(), time.time_ns()
            entry = Entry("", Kind.FILE, 0, now, now, now, nlink=0)
            node = self.tree.add_nameless(entry)
            node.entry, node.virtual = entry, True
            self.names.keep(node, _given(mode=mode, uid=uid, gid=gid))
            node.file = SpooledFile(node, self.storage, content, None)
        node.file.nameless = True
        return node

    def name(self, node: Node, file: OpenFile, parent: Node, name: str) -> None:
        """Give a node of `tmpfile()` its first name; FileExistsError."""
        if isinstance(file, InPlaceFile):
            with self.tree.reading(parent) as directory:
                file.file.link(join(directory, name))
                self.names.named(node, parent, name, file.file.stat())
        else:
            self.names.name_virtual(node, parent, name)
        file.nameless = False

    def set_attributes(self, node: Node, changes: dict[str, int]) -> bool:
        """Change attributes through the open file of `node`, which needs no name for that; False if it has none."""
        file = node.file
        if not isinstance(file, InPlaceFile):
            return False
        with file.lock:
            if node.file is not file:  # closed meanwhile
                return False
            file.file.set_attributes(**changes)
            return True

    def copy_range(self, source: OpenFile, offset: int, target: OpenFile, target_offset: int, size: int) -> int:
        """Copy up to `size` bytes, in the storage where it can; returns how many, 0 at the end of the source.

        OSError (EINVAL) for ranges of one file that overlap.
        """
        size = min(size, source.size() - offset)
        if size <= 0:
            return 0
        if source is target and overlap(offset, target_offset, size):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        if offset == target_offset and isinstance(source, SpooledFile) and isinstance(target, SpooledFile):
            promised = target.promise(source, offset, size, self.release)
        else:
            promised = False
        if promised:
            return size
        try:
            return source.copy_range(offset, target, target_offset, size)
        except NotImplementedError:
            return _copied_here(source, offset, target, target_offset, size)

    # -- storing

    def store(self, file: OpenFile) -> None:
        """Bring what is dirty to the storage, under its present name; a file without one has nothing to store."""
        if not isinstance(file, SpooledFile) or not file.dirty:
            return
        node, source = file.node, file.promised_of
        try:
            with self.tree.changing((node,) if source is None else (node, source), ()):
                path = self.tree.path(node)
                original = (source, self.tree.path(source)) if source is not None and source.links else None
                file.save(path, lambda entry: self._stored(node, path, entry), original)
        except NamelessError:
            return

    def release(self, handle: Handle) -> None:
        """The last descriptor of `handle` is gone; the last handle of a file stores what is still dirty.

        Nobody hears an error from here, so it is logged, and what could not be stored stays pending.
        """
        file = handle.file
        with file.lock:
            file.handles -= 1
            last = file.handles == 0
        if last:
            if file.dirty:
                self.try_store(file)
            self.settle(file.node)

    def try_store(self, file: OpenFile) -> bool:
        """Store, and say whether it went well: an error goes to the log and leaves the content pending."""
        try:
            self.store(file)
        except Exception:
            logger.exception("not stored, and pending: %r", file.node)
            return False
        return True

    def secure(self, node: Node | None) -> None:
        """Before `node` loses a name: what its handles will read must be here."""
        if node is not None and node.file is not None and node.file.handles:
            node.file.secure()

    def settle(self, node: Node | None) -> None:
        """Close the file of `node` if no handle is left and nothing is pending."""
        file = node.file if node is not None else None
        if node is None or file is None:
            return
        with file.lock:
            if file.handles or node.file is not file or (file.dirty and node.links):
                return
            node.file = None
            file.close()
        self.tree.settle(node)

    def close(self) -> list[str]:
        """Close all files; what is still pending stays in the spool with a note beside it. Returns where that is."""
        kept = []
        files = [node.file for node in self.tree.nodes() if node.file is not None]
        # First those that are pending: what they are copies of must still be open.
        for file in sorted(files, key=lambda file: not file.dirty):
            node, file.node.file = file.node, None
            try:
                if isinstance(file, SpooledFile) and file.dirty and node.links:
                    name = self.tree.path(node)
                    kept.append(file.keep(name=name))
                    logger.error("not stored: %r; its content is kept in %s", name, kept[-1])
                else:
                    file.close()
            except Exception:  # the others are still to be kept
                logger.exception("not closed: %r", node)
        self.spool.close()
        return kept

    def _stored(self, node: Node, path: str, entry: Entry) -> None:
        """The content of `node` is in the storage, where nobody can rename or unlink it before this has returned."""
        before = None if node.virtual else node.entry
        self.names.stored(node, entry)
        if self.keeps_attributes:
            self._hand_over(node, path, before, entry)

    def _hand_over(self, node: Node, path: str, before: Entry | None, entry: Entry) -> None:
        """Give a newly stored object what the mount kept for it, and mode and owner of the one that it replaced."""
        kept = node.kept or Kept()
        wanted = {"mode": kept.mode, "uid": kept.uid, "gid": kept.gid}
        if before is not None:
            inherited = ("mode", "uid", "gid") if self._sets_owner else ("mode",)
            wanted |= {key: getattr(before, key) for key in inherited if wanted[key] is None}
        changes = {key: value for key, value in wanted.items() if value not in (None, getattr(entry, key))}
        times = {"atime_ns": kept.atime_ns, "mtime_ns": kept.mtime_ns}
        changes |= {key: value for key, value in times.items() if value is not None}
        if changes:
            self.storage.set_attributes(path, **changes)
            self.names.learn(node, self.storage.stat(path))
        if node.kept is not None:
            node.kept, node.pinned = None, False

    # -- loading

    def _load(self, node: Node, write: bool) -> OpenFile | None:
        """The content of `node`, as the storage has it; None if the mount has stored another meanwhile."""
        if self.in_place:
            return self._adopt(node, InPlaceFile(node, self._stored_file(node, "r+b" if write else "rb"), write))
        asked, known = node.changes, node.entry  # from before the opening, so that what is read is no older
        try:
            source = self._stored_file(node, "rb")
        except FileNotFoundError:
            if node.file is None and node.changes == asked:
                raise
            return None  # while a storage replaces an object, there is none at some moments
        return self._adopt(node, SpooledFile(node, self.storage, self.spool.open(), source, known), asked)

    def _stored_file(self, node: Node, mode: str) -> File:
        """The storage's file for `node`, which is checked to be the same as the node's when the storage can tell.

        OSError (ESTALE) when its last name went to another file, or away, since it was looked up.
        """
        try:
            with self.tree.reading(node) as path:
                file = self.storage.open(path, mode)
        except NamelessError as error:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE)) from error
        if self.in_place and self.tree.key(file.identity()) != node.identity:
            file.close()
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), path)
        return file

    def _adopt(self, node: Node, file: OpenFile, asked: int | None = None) -> OpenFile | None:
        """Make `file` the content of `node`, unless somebody was quicker; whichever it is.

        None if it is of no use, for `node` has been changed since it was `asked` for.
        """
        with self.tree.lock:
            quicker = node.file
            if quicker is None and asked in (None, node.changes):
                node.file = file
                return file
        file.close()
        return quicker


def _given(**attributes: int | None) -> dict[str, int]:
    """Those that are not None."""
    return {key: value for key, value in attributes.items() if value is not None}


def _copied_here(source: OpenFile, offset: int, target: OpenFile, target_offset: int, size: int) -> int:
    """Copy `size` bytes by reading and writing; returns how many there were."""
    copied = 0
    while copied < size:
        data = source.read(min(CHUNK, size - copied), offset + copied)
        if not data:
            break
        copied += target.write(data, target_offset + copied)
    return copied
