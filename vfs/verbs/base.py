"""What all verbs share: the parts of the core, and what a new node is to be like."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager

from storage.base import Storage
from storage.entry import Entry
from vfs.cache import BlockCache
from vfs.callers import Caller
from vfs.content.contents import Contents
from vfs.names.attributes import Attributes, Policy
from vfs.names.namespace import Namespace
from vfs.names.tree import NamelessError, Node
from vfs.spool.spool import Spool
from vfs.watch.metrics import Traffic


class Verbs:
    """The state of a `FileSystem`, and the one verb that others ask as well."""

    def __init__(
        self,
        storage: Storage,
        *,
        read_only: bool = False,
        policy: Policy | None = None,
        cache_seconds: float = 1.0,
        size: int | None = None,
        spool: Spool | None = None,
        cache: BlockCache | None = None,
        write_back: float | None = None,
        overwrites: bool = False,
        retries: bool = False,
    ) -> None:
        """A filesystem over `storage`; see `Contents` for what becomes of what is written.

        `cache_seconds` is how long what a storage that waits for a network said is believed; one that does not wait is
        asked each time. `size` is the total that statfs shows for a storage without figures of its own, in bytes.
        """
        self.storage = storage
        self.read_only = read_only
        self.policy = policy or Policy()
        self.size = size
        self.names = Namespace(storage, cache_seconds if storage.blocking else 0.0)
        self.contents = Contents(
            self.names,
            spool or Spool(),
            cache=cache,
            write_back=write_back,
            overwrites=overwrites,
            retries=retries,
        )
        self.traffic = Traffic()
        """What was read and written through the verbs, which is not what a kernel does by a descriptor of its own."""
        self.tree = self.names.tree
        self.root = self.tree.root
        self._sets_owner = os.geteuid() == 0
        self._group_seconds = min(cache_seconds, 1.0)
        self._group: tuple[Node | None, float, int | None] = (None, 0.0, None)
        """The directory that something was last made in, until when (time.monotonic) its group is known, and that."""

    def getattr(self, node: Node) -> Attributes:
        """What stat(2) shows of `node`, even without a name; OSError (ESTALE) if the name shows another file."""
        return self.policy.attributes(self.names.current(node), node.ino, node.kept)

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
        self._group = parent, time.monotonic() + self._group_seconds, gid
        return gid

    @contextmanager
    def _known(self, node: Node) -> Iterator[str]:
        """A block with the path of a node that was looked up; OSError (ESTALE) if its last name is gone since then."""
        try:
            with self.tree.reading(node) as path:
                yield path
        except NamelessError as error:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE)) from error
