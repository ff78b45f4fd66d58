"""FsspecStorage: anything that fsspec reaches, as a storage.

A *protocol* (`protocol.Protocol`) says what is true of one kind of filesystem and translates what is asked of it; the
*client* (`client.Client`) makes the filesystem objects, lets each serve one call at a time where it must, makes new
ones where a connection has died, and turns their errors into ours; the *storage* puts the rules of a `Storage` on top.
"""

from __future__ import annotations

from storage.remote.fsspec.directories import FsspecDirectoryStorage
from storage.remote.fsspec.storage import FsspecStorage

__all__ = ("FsspecDirectoryStorage", "FsspecStorage")
