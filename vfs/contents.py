"""Contents of a mount: opening nodes, storing what was written, letting go of what is closed."""

from __future__ import annotations

import errno
import logging
import os

from storage.entry import Entry, Kind
from storage.files import File
from vfs.attributes import Kept
from vfs.namespace import Namespace, join, supports
from vfs.openfile import Handle, InPlaceFile, OpenFile, SpooledFile
from vfs.spool import Spool
from vfs.tree import NamelessError, Node

logger = logging.getLogger("vfs")


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
        if node.kind is not Kind.FILE:
            raise OSError(errno.EISDIR if node.is_dir else errno.ENXIO, "not a regular file")
        write = flags & os.O_ACCMODE != os.O_RDONLY or bool(flags & os.O_TRUNC)
        while True:
            file = node.file or self._load(node, write)
            if write and isinstance(file, InPlaceFile) and not file.writable:
                file.reopen(self._stored_file(node, "r+b"))
            with file.lock:
                if node.file is file:  # else it was closed while we looked
                    file.handles += 1
                    return Handle(file, flags, pid)

    def create(self, parent: Node, name: str, mode: int, uid: int | None, gid: int | None) -> Node:
        """A new file, with its content open; FileExistsError."""
        if not self.creates:
            owner = {key: value for key, value in (("mode", mode), ("uid", uid), ("gid", gid)) if value is not None}
            content = self.spool.open()
            try:
                return self.names.add_virtual(
                    parent, name, Kind.FILE, owner, lambda node: SpooledFile(node, self.storage, content, None)
                )
            except BaseException:
                content.discard()
                raise
        with self.tree.reading(parent) as directory:
            file = self.storage.create(join(directory, name), mode=mode, uid=uid, gid=gid)
            node = self.names.made(parent, name, file.stat())
            self._adopt(node, InPlaceFile(node, file, writable=True))
            return node

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

    # -- storing

    def store(self, file: OpenFile) -> None:
        """Bring what is dirty to the storage, under its present name; a file without one has nothing to store."""
        if not isinstance(file, SpooledFile) or not file.dirty:
            return
        node = file.node
        try:
            with self.tree.reading(node) as path:
                file.save(path, lambda entry: self._stored(node, path, entry))
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
        for node in self.tree.nodes():
            file, node.file = node.file, None
            try:
                if isinstance(file, SpooledFile) and file.dirty and node.links:
                    name = self.tree.path(node)
                    kept.append(file.keep(name=name))
                    logger.error("not stored: %r; its content is kept in %s", name, kept[-1])
                elif file is not None:
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

    def _load(self, node: Node, write: bool) -> OpenFile:
        if not self.in_place:
            source = self._stored_file(node, "rb")
            return self._adopt(node, SpooledFile(node, self.storage, self.spool.open(), source))
        return self._adopt(node, InPlaceFile(node, self._stored_file(node, "r+b" if write else "rb"), write))

    def _stored_file(self, node: Node, mode: str) -> File:
        """The storage's file for `node`, which is checked to be the same as the node's when the storage can tell."""
        with self.tree.reading(node) as path:
            file = self.storage.open(path, mode)
        if self.in_place and file.stat().identity != node.identity:
            file.close()
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), path)
        return file

    def _adopt(self, node: Node, file: OpenFile) -> OpenFile:
        """Make `file` the content of `node`, unless somebody was quicker; whichever it is."""
        with self.tree.lock:
            if node.file is None:
                node.file = file
                return file
            quicker = node.file
        file.close()
        return quicker
