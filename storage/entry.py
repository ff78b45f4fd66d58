"""What a storage says about one name: the `Entry`, and the small records beside it."""

from __future__ import annotations

import enum
import stat as _stat
from collections.abc import Hashable
from typing import NamedTuple


class Kind(enum.Enum):
    """The type of an entry, by POSIX's names."""

    FILE = _stat.S_IFREG
    DIRECTORY = _stat.S_IFDIR
    SYMLINK = _stat.S_IFLNK
    FIFO = _stat.S_IFIFO
    SOCKET = _stat.S_IFSOCK
    CHARACTER_DEVICE = _stat.S_IFCHR
    BLOCK_DEVICE = _stat.S_IFBLK

    def __init__(self, type_bits: int) -> None:
        """`type_bits` is the value once more, where it is quick to come by."""
        self.type_bits = type_bits

    @classmethod
    def of_mode(cls, mode: int) -> Kind:
        """The kind that the file-type bits of `mode` (as in `st_mode`) say; ValueError for none."""
        return cls(_stat.S_IFMT(mode))


class Entry(NamedTuple):
    """One name in a storage, as a listing or a `stat()` shows it; frozen; None is "the backend does not know".

    Times are nanoseconds since the epoch, `size` is bytes, `blocks` counts 512 bytes, `mode` is the
    permission bits alone (0o7777). A symbolic link is described itself, never what it points to.
    """

    name: str
    """The last component; "" for the root."""
    kind: Kind
    size: int = 0
    mtime_ns: int | None = None
    atime_ns: int | None = None
    ctime_ns: int | None = None
    btime_ns: int | None = None
    version: str | None = None
    """Changes whenever the content does (an etag); only ever compared for equality."""
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    nlink: int | None = None
    rdev: int = 0
    identity: Hashable | None = None
    """Equal for two names of one file (hard links), different for a file that replaced another: (device, inode)."""
    target: str | None = None
    """Where a symbolic link points, when the listing says so for free."""
    blocks: int | None = None
    partial: bool = False
    """Whether `stat()` tells more than this, which is what `glance()` saw: attributes, or that a file is a link."""

    @property
    def is_dir(self) -> bool:
        """Whether this is a directory."""
        return self.kind is Kind.DIRECTORY

    @property
    def is_file(self) -> bool:
        """Whether this is a regular file."""
        return self.kind is Kind.FILE


class Usage(NamedTuple):
    """How full a storage is: bytes, and files where the backend counts them (None where it does not)."""

    total: int
    used: int
    free: int
    files: int | None = None
    files_free: int | None = None


class Change(NamedTuple):
    """One change made through a storage object, as `Storage.subscribe()` tells it.

    `action` is "save", "delete", "rename", "mkdir", "rmdir", "attributes" or "write"; `target` is the new name of a
    rename. "save" stands for whatever is new under a name, and for the directories above it where they were missing;
    "delete" for a name with all that was below it.

    "write" is a change of the bytes through an open file, `name` being what the file was opened as. It may have another
    name by now, or none, so `identity` says which it is, as `Entry.identity` does; "attributes" have it where they
    were set through an open file. Only those storages tell of these whose files are open in place: memory, and local
    files that were opened since somebody subscribed. Where `link()` adds a name to a file, or `unlink()` takes one, its
    other names show a change as well, so those tell which it is, too.
    """

    action: str
    name: str
    target: str | None = None
    identity: Hashable | None = None
