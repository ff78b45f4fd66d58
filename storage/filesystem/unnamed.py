"""Files that have no name yet, and perhaps never get one: the system frees them with their last descriptor."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable

from storage.filesystem.beneath import Beneath, Place
from storage.filesystem.file import LocalFile, Opener

_O_TMPFILE = getattr(os, "O_TMPFILE", 0)
_NO_TMPFILE = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL})

Namer = Callable[[int, str], tuple[str, Opener]]
"""Links a descriptor to a name of the storage; answers the path for messages, and how to open that."""


class UnnamedFile(LocalFile):
    """A new file, open for reading and writing, that `link()` gives a name."""

    def __init__(self, fd: int, namer: Namer) -> None:
        """Own the descriptor `fd`."""
        super().__init__(io.FileIO(fd, "r+b"))
        self.name = None
        self._namer = namer

    def link(self, name: str) -> None:
        """Give it a name; FileExistsError."""
        self.name, self._opener = self._namer(self._flushed(), name)


def open_unnamed(beneath: Beneath, directory: str) -> int:
    """A descriptor of a new file that nobody but its owner may open, on the filesystem of `directory`.

    NotImplementedError where the system or that filesystem has no files without a name.
    """
    if not _O_TMPFILE or not os.path.exists("/proc/self/fd"):
        raise NotImplementedError("This system cannot make files without a name.")
    try:
        return beneath.open(directory, _O_TMPFILE | os.O_RDWR)
    except OSError as error:
        if error.errno not in _NO_TMPFILE:
            raise
        raise NotImplementedError("This filesystem cannot make files without a name.") from error


def link_descriptor(fd: int, place: Place) -> None:
    """Give an open file the name that `place` is; FileExistsError.

    By way of /proc, because linking a descriptor itself is for privileged processes only. That path is absolute, so
    the descriptor that it would be relative to is not used: without one Python would not follow the link.
    """
    os.link(f"/proc/self/fd/{fd}", place.name, src_dir_fd=fd, dst_dir_fd=place.fd, follow_symlinks=True)
