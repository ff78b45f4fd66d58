"""The filesystem: POSIX verbs over any storage, with no FUSE in them.

A transport calls one verb for each request of the kernel and hands on what it returns or raises; nothing here knows
errno of a transport, paths of a mountpoint, or the kernel. Verbs are addressed by `Node` (see vfs.names.tree), which
`lookup()` and the verbs that make something return with one lookup counted: `forget()` takes it back.

Two kinds of storage. Where `storage.in_place` holds, an open file writes straight to its content. All others get
whole objects from the spool, when a file is flushed by the process that opened it, synced, or closed for the last
time. What such a storage cannot keep, the mount keeps for as long as it lives (directories, modes, owners, times) or
refuses (links, devices: EPERM).

Checks that the kernel makes under `default_permissions` (rights, sticky bits, set-group-id on chmod) are not repeated
here.
"""

from __future__ import annotations

from vfs.names.tree import Node
from vfs.verbs.attributes import AttributeVerbs
from vfs.verbs.names import NameVerbs


class FileSystem(NameVerbs, AttributeVerbs):
    """A tree of nodes over one storage, with the verbs of `vfs.verbs`, and what concerns all of it."""

    def refresh(self, path: str = "") -> list[Node]:
        """Ask the storage again for all at `path` and below, "" being the root; returns the nodes that are known there.

        What is open is read on as the version that it was opened in.
        """
        return self.names.doubt(path)

    def believe_for(self, seconds: float) -> None:
        """Change `cache_seconds`, for what the storage says from now on."""
        self._group_seconds = min(seconds, 1.0)
        if self.storage.blocking:
            self.names.cache_seconds = seconds

    def pending(self) -> list[Node]:
        """The nodes with content that the storage does not have yet."""
        return [file.node for file in self.contents.uploads.unsaved()]

    def open_files(self) -> int:
        """How many files somebody has open."""
        return self.contents.open_files()

    def drain(self, seconds: float | None = None) -> list[str]:
        """Store all that is pending, for up to `seconds`; returns the names of what is still pending."""
        return self.contents.uploads.drain(seconds)

    def close(self) -> list[str]:
        """Close every file; what is still pending is kept in the spool, and where is returned."""
        return self.contents.close()
