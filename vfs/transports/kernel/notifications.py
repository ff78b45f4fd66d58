"""Telling the kernel what changed without it: names and contents that the program changed through the storage object.

INVAL_ENTRY waits in the kernel while a request in that directory is unanswered. So a thread of its own sends them,
which holds nothing that a request could need. Who made the change waits until they are sent, so that it is seen at
once; not for ever, for it may hold a lock of the program's own that the answer to such a request needs. What the
serving threads change themselves came from the kernel, which knows, and so did what the mount's own threads do
(`vfs.spool.background`: uploads, the steps of a rename) and those of a guard (`vfs.guard`).
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from storage.entry import Change
from vfs.names.tree import Node
from vfs.transports.kernel import protocol
from vfs.transports.kernel.protocol import Notify

if TYPE_CHECKING:
    from vfs.filesystem import FileSystem

SENT_SECONDS = 1.0
"""How long a change waits until the kernel knows of it."""


class Notifier:
    """Sends what the subscribers of a storage are told to the kernel."""

    def __init__(
        self,
        send: Callable[[bytes], object],
        nodeid: Callable[[Node], int],
        filesystem: FileSystem,
        serving: set[int],
    ) -> None:
        """By way of `send`, with the kernel's numbers of nodes.

        What the threads with the numbers `serving` change is known already, and what the file system's own do.
        """
        self._send = send
        self._nodeid = nodeid
        self._filesystem = filesystem
        self._serving = serving
        self._waiting: queue.SimpleQueue[tuple[list[bytes], threading.Event] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._send_all, name="vfs-notifier", daemon=True)
        self._subscription = filesystem.storage.subscribe(self._changed)
        self._thread.start()

    def stop(self) -> None:
        """Send no more."""
        self._subscription.stop()
        self._waiting.put(None)
        self._thread.join()

    def _changed(self, change: Change) -> None:
        if threading.get_ident() in self._serving or self._filesystem.contents.uploads.is_here:
            return
        sent = threading.Event()
        self._waiting.put((list(self._messages(change)), sent))
        sent.wait(SENT_SECONDS)

    def _messages(self, change: Change) -> Iterator[bytes]:
        tree = self._filesystem.tree
        node = tree.with_identity(change.identity)
        if node is not None:
            yield self._content(node)
        for name in (change.name, change.target):
            if name is None:
                continue
            directory, leaf = self._nearest(name)
            child = tree.child(directory, leaf)
            if child is not None and child is not node:
                yield self._content(child)
            if change.action not in {"write", "attributes"}:
                yield self._content(directory)
                yield self._name(directory, leaf)

    def _nearest(self, path: str) -> tuple[Node, str]:
        """The deepest directory on `path` that has a node, and the name in it that `path` goes on with."""
        tree = self._filesystem.tree
        node, names = tree.root, path.split("/")
        for name in names[:-1]:
            below = tree.child(node, name)
            if below is None:
                return node, name
            node = below
        return node, names[-1]

    def _content(self, node: Node) -> bytes:
        """Attributes and content of `node` are to be asked for again."""
        self._filesystem.names.touch(node)
        return inode_changed(self._nodeid(node), content=True)

    def _name(self, directory: Node, name: str) -> bytes:
        return name_changed(self._nodeid(directory), name)

    def _send_all(self) -> None:
        while (work := self._waiting.get()) is not None:
            messages, sent = work
            for message in messages:
                self._send(message)
            sent.set()


def name_changed(directory: int, name: str) -> bytes:
    """The message that what a directory has under `name`, or that it has nothing, is to be asked for again."""
    leaf = os.fsencode(name)
    return _message(Notify.INVAL_ENTRY, protocol.INVAL_ENTRY_OUT.pack(directory, len(leaf), 0) + leaf + b"\0")


def all_names_changed() -> bytes:
    """The message that every name is to be asked for again; EINVAL from a kernel before Linux 6.16."""
    return _message(Notify.INC_EPOCH, b"")


def inode_changed(nodeid: int, *, content: bool) -> bytes:
    """The message that attributes, and with `content` the cached content as well, are to be asked for again."""
    return _message(Notify.INVAL_INODE, protocol.INVAL_INODE_OUT.pack(nodeid, 0 if content else -1, 0))


def content_read(nodeid: int, content: bytes) -> bytes:
    """The message that `content` is all that a file has, for the kernel's cache."""
    return _message(Notify.STORE, protocol.STORE_OUT.pack(nodeid, 0, len(content), 0) + content)


def _message(code: Notify, body: bytes) -> bytes:
    return protocol.OUT_HEADER.pack(protocol.OUT_HEADER.size + len(body), code, 0) + body
