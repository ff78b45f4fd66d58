"""A filesystem that tells the program which serves it what others have changed through the mount.

A change is told when the storage has it: of a content when it is stored, and the last who had it open has closed it. A
shell that says `> file` stores it twice, empty at first, and that is told once. Those who have subscribed are called in
a thread of their own, one change after the other, those of one name in order; so they may take their time, use the
storage and the mount, and fail. By then a name may be gone again.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
from contextlib import suppress
from typing import Any

from storage.base import RENAME_EXCHANGE
from storage.changes import Observed
from storage.entry import Change
from vfs.callers import Caller
from vfs.content.openfile import Handle, OpenFile
from vfs.filesystem import FileSystem
from vfs.names.attributes import Attributes
from vfs.names.lookups import join
from vfs.names.tree import NamelessError, Node

logger = logging.getLogger("vfs")

LAST_SECONDS = 5.0
"""How long the end of a mount waits for those who are told of the last changes."""


class Changes(Observed):
    """What was changed through one mount, on its way to those who have subscribed."""

    def __init__(self) -> None:
        """Nothing, and nobody."""
        self._queue: queue.SimpleQueue[Change | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._is_closed = False

    @property
    def wanted(self) -> bool:
        """Whether anybody has subscribed."""
        return bool(self._subscriptions)

    def tell(self, action: str, name: str, target: str | None = None) -> None:
        """Have the subscribers told, soon."""
        if not self._subscriptions:
            return
        with self._lock:
            if self._is_closed:
                return
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="vfs-changes", daemon=True)
                self._thread.start()
            self._queue.put(Change(action, name, target))

    def close(self) -> None:
        """Take no more, and wait a while until all is told."""
        with self._lock:
            self._is_closed, thread = True, self._thread
            self._queue.put(None)
        if thread is not None and thread is not threading.current_thread():
            thread.join(LAST_SECONDS)
            if thread.is_alive():
                logger.warning("who is told of changes takes longer than %.0f s, and is not waited for", LAST_SECONDS)

    def _run(self) -> None:
        while (change := self._queue.get()) is not None:
            self._changed(*change[:3])


class ObservedFileSystem(FileSystem):
    """The verbs, each told when it has succeeded."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """See `FileSystem`."""
        super().__init__(*args, **options)
        self.changes = Changes()
        self.contents.uploads.on_stored = self._stored
        self._stored_open: set[OpenFile] = set()
        """What was stored while somebody had it open."""
        self._telling = threading.Lock()
        """Held while something is found to be told of, and told: before its name goes, and once."""
        self._opened: dict[Handle, tuple[int, int] | None] = {}
        """What contents in place were like when somebody opened them to write; None for new ones."""

    def mkdir(self, parent: Node, name: str, mode: int, caller: Caller) -> tuple[Node, Attributes]:
        """See `FileSystem.mkdir`."""
        made = super().mkdir(parent, name, mode, caller)
        self._tell("mkdir", parent, name)
        return made

    def rmdir(self, parent: Node, name: str) -> None:
        """See `FileSystem.rmdir`."""
        super().rmdir(parent, name)
        self._tell("rmdir", parent, name)

    def link(self, node: Node, parent: Node, name: str) -> tuple[Node, Attributes]:
        """See `FileSystem.link`."""
        made = super().link(node, parent, name)
        if not node.virtual:
            self._tell("save", parent, name)
        return made

    def unlink(self, parent: Node, name: str) -> None:
        """See `FileSystem.unlink`; nobody was told of what was never stored."""
        known = self._about_to_change(parent, name)
        is_stored = known is None or not known.virtual
        super().unlink(parent, name)
        if is_stored:
            self._tell("delete", parent, name)

    def rename(self, parent: Node, name: str, new_parent: Node, new_name: str, flags: int = 0) -> None:
        """See `FileSystem.rename`; what is not stored yet is told of by its new name, when it is."""
        known = self._about_to_change(parent, name)
        is_stored = known is None or known.is_dir or not known.virtual
        super().rename(parent, name, new_parent, new_name, flags)
        if not is_stored or not self.changes.wanted:
            return
        with suppress(NamelessError):  # a directory was removed meanwhile
            src, dst = self._path(parent, name), self._path(new_parent, new_name)
            self.changes.tell("rename", src, dst)
            if flags == RENAME_EXCHANGE:
                self.changes.tell("rename", dst, src)

    def setattr(self, node: Node, *, size: int | None = None, **changes: Any) -> Attributes:
        """See `FileSystem.setattr`; a file that somebody has open is told of when that is closed."""
        attributes = super().setattr(node, size=size, **changes)
        file = node.file
        if size is not None and self.contents.in_place and (file is None or not file.is_open):
            self._tell_saved(node)
        return attributes

    def create(self, parent: Node, name: str, mode: int, flags: int, caller: Caller) -> tuple[Node, Attributes, Handle]:
        """See `FileSystem.create`."""
        node, attributes, handle = super().create(parent, name, mode, flags, caller)
        if self.changes.wanted and self.contents.in_place:
            self._opened[handle] = None
        return node, attributes, handle

    def open(self, node: Node, flags: int, caller: Caller) -> Handle:
        """See `FileSystem.open`."""
        wanted = self.changes.wanted and self.contents.in_place and flags & (os.O_ACCMODE | os.O_TRUNC)
        before = _state(self.names.current(node)) if wanted else None
        handle = super().open(node, flags, caller)
        if wanted:
            self._opened[handle] = before
        return handle

    def release(self, handle: Handle) -> None:
        """See `FileSystem.release`."""
        file = handle.file
        with self._telling:
            is_changed = handle in self._opened and _state(file.entry(None)) != self._opened.pop(handle)
            if is_changed or (file.handles == 1 and not file.dirty and self._take(file)):
                self._tell_saved(handle.node)
        super().release(handle)
        if not file.is_open and self._take(file) and not file.dirty:  # two have closed it at the same time
            self._tell_saved(handle.node)

    def _about_to_change(self, parent: Node, name: str) -> Node | None:
        """The node under a name that goes; what was written to it is told of first.

        Whoever wrote it has closed it, as a rule, but of that the kernel says nothing that could be waited for.
        """
        node = parent.children.get(name)
        file = node.file if node is not None else None
        if node is None or file is None or not self.changes.wanted:
            return node
        with self._telling:
            is_changed = self._take(file) and not file.dirty
            for handle, before in list(self._opened.items()):
                if handle.file is file and (now := _state(file.entry(None))) != before:
                    self._opened[handle], is_changed = now, True
            if is_changed:
                self._tell_saved(node)
        return node

    def _take(self, file: OpenFile) -> bool:
        """Whether it was stored while it was open, and nobody has told of it."""
        try:
            self._stored_open.remove(file)
        except KeyError:
            return False
        return True

    def _stored(self, file: OpenFile, name: str) -> None:
        """The storage has a content; the lock of `file` is held, which whoever closes it needs as well."""
        if file.is_open and self.changes.wanted:
            self._stored_open.add(file)
        else:
            self._stored_open.discard(file)
            self.changes.tell("save", name)

    def close(self) -> list[str]:
        """See `FileSystem.close`; of what was closed just before the end the kernel may have said nothing any more."""
        opened, self._opened = self._opened, {}
        changed = {it.file for it, before in opened.items() if _state(it.file.entry(None)) != before}
        for file in changed | {file for file in list(self._stored_open) if self._take(file) and not file.dirty}:
            self._tell_saved(file.node)
        return super().close()

    def _tell(self, action: str, parent: Node, name: str) -> None:
        if self.changes.wanted:
            with suppress(NamelessError):  # the directory was removed meanwhile
                self.changes.tell(action, self._path(parent, name))

    def _tell_saved(self, node: Node) -> None:
        with suppress(NamelessError):  # it was unlinked
            self.changes.tell("save", self.tree.path(node))

    def _path(self, parent: Node, name: str) -> str:
        return join(self.tree.path(parent), name)


def _state(entry: Any) -> tuple[int, int]:
    return entry.size, entry.mtime_ns
