"""Telling the kernel what changed without it: names and contents that the program changed through the storage object.

INVAL_ENTRY waits in the kernel while a request in that directory is unanswered. So a thread of its own sends them,
which holds nothing that a request could need. What the serving threads change themselves came from the kernel, which
knows.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
from typing import TYPE_CHECKING

from storage.entry import Change
from vfs.transports.kernel import protocol
from vfs.transports.kernel.protocol import Notify
from vfs.tree import Node

if TYPE_CHECKING:
    from vfs.filesystem import FileSystem

logger = logging.getLogger("vfs")


class Notifier:
    """Sends what the subscribers of a storage are told to the kernel."""

    def __init__(self, descriptor: int, filesystem: FileSystem, serving: set[int]) -> None:
        """On the device `descriptor`; what the threads with the numbers `serving` change is known already."""
        self._descriptor = descriptor
        self._filesystem = filesystem
        self._serving = serving
        self._waiting: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._send_all, name="vfs-notifier", daemon=True)
        self._subscription = filesystem.storage.subscribe(self._changed)
        self._thread.start()

    def stop(self) -> None:
        """Send no more."""
        self._subscription.stop()
        self._waiting.put(None)
        self._thread.join()

    def _changed(self, change: Change) -> None:
        if threading.get_ident() in self._serving:
            return
        tree = self._filesystem.tree
        if change.identity is not None and (node := tree.with_identity(change.identity)) is not None:
            self._content(node)
        for name in (change.name, change.target):
            if name is None:
                continue
            directory, leaf = self._nearest(name)
            self._filesystem.names.touch(directory)
            node = tree.child(directory, leaf)
            if node is not None:
                self._content(node)
            if change.action not in {"write", "attributes"}:
                self._content(directory)
                self._name(directory, leaf)

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

    def _content(self, node: Node) -> None:
        """Attributes and content of `node` are to be asked for again."""
        self._filesystem.names.touch(node)
        nodeid = protocol.ROOT if node is self._filesystem.root else node.ino
        self._put(Notify.INVAL_INODE, protocol.INVAL_INODE_OUT.pack(nodeid, 0, 0))

    def _name(self, directory: Node, name: str) -> None:
        """What `directory` has under `name`, or that it has nothing, is to be asked for again."""
        nodeid = protocol.ROOT if directory is self._filesystem.root else directory.ino
        leaf = os.fsencode(name)
        self._put(Notify.INVAL_ENTRY, protocol.INVAL_ENTRY_OUT.pack(nodeid, len(leaf), 0) + leaf + b"\0")

    def _put(self, code: Notify, body: bytes) -> None:
        self._waiting.put(protocol.OUT_HEADER.pack(protocol.OUT_HEADER.size + len(body), code, 0) + body)

    def _send_all(self) -> None:
        while (message := self._waiting.get()) is not None:
            try:
                os.write(self._descriptor, message)
            except FileNotFoundError:
                continue  # the kernel has no such inode or name: just as well
            except OSError as error:
                logger.debug("the kernel took no notification: %s", error)
