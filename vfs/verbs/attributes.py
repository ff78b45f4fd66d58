"""The verbs on attributes: changing those of stat(2), extended ones, and what statvfs(3) shows of the whole."""

from __future__ import annotations

import logging
import os

from storage.entry import Usage
from vfs.content.spooled import SpooledFile
from vfs.names.attributes import Attributes
from vfs.names.tree import NamelessError, Node
from vfs.verbs.base import Verbs

logger = logging.getLogger("vfs")

UNKNOWN_SIZE = 1 << 50
"""Bytes shown as the size of a storage that does not know its own and was given none: 1 PiB."""


class AttributeVerbs(Verbs):
    """The part of `FileSystem` that is about attributes."""

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
        is_kept = bool(changes) and (self.names.is_ahead(node) or not self.contents.keeps_attributes)
        if is_kept:
            self.names.keep(node, changes)
            self.contents.uploads.pending.renote(node)
            is_late = self.contents.keeps_attributes and not self.names.is_ahead(node)  # it was stored without
        else:
            is_late = bool(changes) and not self.contents.set_attributes(node, changes)
        if is_late:
            self._set_stored_attributes(node, changes)
        if is_late or not is_kept or size is not None:
            self.names.doubt_attributes(node)
        return self.getattr(node)

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

    def _truncate(self, node: Node, size: int) -> None:
        handle = self.contents.open(node, os.O_WRONLY, 0)
        try:
            handle.file.truncate(size)
            if handle.file.handles == 1:
                self.contents.uploads.finish(handle.file)  # nobody else will, and truncate(2) is to report its error
        finally:
            self.contents.release(handle)

    def _set_stored_attributes(self, node: Node, changes: dict[str, int]) -> None:
        try:
            with self.tree.reading(node) as path:
                self.storage.set_attributes(path, **changes)
            self.names.given_up(node, changes)
            file = node.file
            if isinstance(file, SpooledFile):
                self.contents.uploads.rebase(node, file)
        except NamelessError:
            self.names.keep(node, changes)
        except NotImplementedError as error:  # the storage may keep them for some nodes only
            if not node.is_dir:
                _tell_of_kept(node, error)
            self.names.keep(node, changes)


def _tell_of_kept(node: Node, error: NotImplementedError) -> None:
    """Log, once for each, that what was set of a file goes with the mount."""
    kept = node.kept
    if kept is None or (kept.mode, kept.uid, kept.gid, kept.mtime_ns) == (None, None, None, None):
        words = "the mode, owner or times of %r go with this mount, unless its content is stored again: %s"
        logger.warning(words, node, error)
