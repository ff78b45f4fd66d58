"""The extended surface of the in-memory storage: each operation is the tree's, and then told to the subscribers."""

from __future__ import annotations

from collections.abc import Iterator

from storage.base import RENAME_EXCHANGE, Storage
from storage.entry import Entry, Usage
from storage.memory.memfd import available_memory
from storage.memory.tree import MemoryTree


class MemoryOperations(Storage):
    """What a filesystem asks of a `MemoryTree`; the names are plain, and no symbolic link is followed."""

    blocking = False
    _tree: MemoryTree

    @property
    def capacity(self) -> int | None:
        """How many bytes the contents may take together; None for no limit.

        It holds for what is written through the storage, so set it before descriptors are handed out (`content_fd()`).
        """
        return self._tree.budget.capacity

    @capacity.setter
    def capacity(self, limit: int | None) -> None:
        self._tree.budget.capacity = limit

    def stat(self, name: str) -> Entry:
        """What there is under `name`; FileNotFoundError, NotADirectoryError."""
        tree = self._tree
        with tree.lock:
            return tree.find(name).entry(name.rpartition("/")[2])

    def find(self, name: str) -> Entry | None:
        """`stat()`, or None where there is nothing."""
        tree = self._tree
        with tree.lock:
            node = tree.find_or_none(name)
            return None if node is None else node.entry(name.rpartition("/")[2])

    def scandir(self, path: str = "") -> Iterator[Entry]:
        """The entries of a directory as it is now, in the order in which they were made."""
        return self._tree.scandir(path)

    def copy(self, src: str, dst: str) -> None:
        """Copy a file, over `dst` where that is one; IsADirectoryError."""
        self._tree.copy(src, dst)
        self._changed("save", dst)

    def rename(self, src: str, dst: str, flags: int = 0) -> None:
        """Give a file or directory another name, by the rules of rename(2); RENAME_NOREPLACE, RENAME_EXCHANGE."""
        self._tree.rename(src, dst, flags)
        self._changed("rename", src, dst)
        if flags & RENAME_EXCHANGE:
            self._changed("rename", dst, src)

    def mkdir(self, name: str, *, mode: int = 0o777, uid: int | None = None, gid: int | None = None) -> None:
        """Make a directory with exactly this mode and owner; FileExistsError, FileNotFoundError for the parent."""
        self._tree.mkdir(name, mode, uid, gid)
        self._changed("mkdir", name)

    def rmdir(self, name: str) -> None:
        """Remove an empty directory; DirectoryNotEmptyError, NotADirectoryError."""
        self._tree.rmdir(name)
        self._changed("rmdir", name)

    def symlink(self, target: str, name: str, *, uid: int | None = None, gid: int | None = None) -> None:
        """Make a symbolic link called `name`; FileExistsError."""
        self._tree.symlink(target, name, uid, gid)
        self._changed("save", name)

    def readlink(self, name: str) -> str:
        """The target of a symbolic link, as it was given; OSError (EINVAL) for another kind."""
        return self._tree.readlink(name)

    def link(self, src: str, dst: str) -> None:
        """Give the file `src` a second name; FileExistsError, PermissionError for a directory."""
        self._tree.link(src, dst)
        self._changed("save", dst, identity=self._tree.stat(dst).identity if self._subscriptions else None)

    def mknod(self, name: str, mode: int, rdev: int = 0, *, uid: int | None = None, gid: int | None = None) -> None:
        """Make an entry of the kind that the type bits of `mode` say: a file, FIFO, socket or device."""
        self._tree.mknod(name, mode, rdev, uid, gid)
        self._changed("save", name)

    def unlink(self, name: str) -> None:
        """Remove a name of what is not a directory; FileNotFoundError, IsADirectoryError."""
        identity = self._tree.stat(name).identity if self._subscriptions else None
        self._tree.unlink(name)
        self._changed("delete", name, identity=identity)

    def set_attributes(
        self,
        name: str,
        *,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
        atime_ns: int | None = None,
        mtime_ns: int | None = None,
    ) -> None:
        """Change what is given."""
        tree = self._tree
        with tree.lock:
            tree.find(name).set_attributes(tree.now(), mode, uid, gid, atime_ns, mtime_ns)
        self._changed("attributes", name)

    def getxattr(self, name: str, key: str) -> bytes:
        """The extended attribute `key`; OSError (ENODATA) when it is not set."""
        with self._tree.lock:
            return self._tree.find(name).getxattr(key)

    def setxattr(self, name: str, key: str, value: bytes, flags: int = 0) -> None:
        """Set an extended attribute; `flags` is os.XATTR_CREATE or os.XATTR_REPLACE."""
        tree = self._tree
        with tree.lock:
            tree.find(name).setxattr(key, value, flags, tree.now())
        self._changed("attributes", name)

    def listxattr(self, name: str) -> list[str]:
        """The names of the extended attributes."""
        with self._tree.lock:
            return list(self._tree.find(name).xattrs or {})

    def removexattr(self, name: str, key: str) -> None:
        """Remove an extended attribute; OSError (ENODATA) when it is not set."""
        tree = self._tree
        with tree.lock:
            tree.find(name).removexattr(key, tree.now())
        self._changed("attributes", name)

    def usage(self) -> Usage:
        """What the contents take, and what they still may: up to the capacity, or to the memory that is available."""
        with self._tree.lock:
            used = self._tree.budget.measured()
        if self.capacity is not None:
            return Usage(self.capacity, used, max(self.capacity - used, 0))
        free = available_memory()
        return Usage(used + free, used, free)
