"""Finding inodes by name in an in-memory storage: the half of its tree that changes nothing.

One re-entrant lock guards everything; a method that does not take it says that its caller holds it. (Re-entrant,
because a handle that is forgotten unclosed releases its inode whenever the garbage collector runs, also inside a
method.) Names are '/'-separated and plain. No method but `follow()` follows a symbolic link, and one in the middle of
a name is "not a directory".
"""

from __future__ import annotations

import errno
import functools
import os
import threading
import time
from collections.abc import Iterator
from typing import Any, NoReturn

from storage.entry import Entry
from storage.exceptions import NameTooLongError, SuspiciousFileOperation
from storage.memory.content import Budget
from storage.memory.nodes import Directory, Inode, Symlink

_NAME_MAX = 255
_NEVER_A_NAME = frozenset({"", ".", ".."})
_DOTS = frozenset({".", ".."})
_HOPS = 40
_strerror = functools.cache(os.strerror)


Place = tuple[Directory, str, Inode | None]
"""Where a name is, or would be: its directory, its last component, and the inode there."""


class Lookup:
    """A root directory, and the ways to what is below it."""

    def __init__(self) -> None:
        """An empty root directory."""
        self.lock = threading.RLock()
        self.budget = Budget()
        self._clock = 0
        self._inodes = 0
        self.root = Directory(self.number(), 0o755, os.geteuid(), os.getegid(), self.now())
        self.root.nlink = 2

    def now(self) -> int:
        """Nanoseconds since the epoch, never less than before, also where the system's clock is set back."""
        now = time.time_ns()
        if now < self._clock:
            return self._clock
        self._clock = now
        return now

    def __getstate__(self) -> dict[str, Any]:
        """What pickle and copy keep: everything but the lock."""
        return {key: value for key, value in self.__dict__.items() if key != "lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """The same tree, nobody in it."""
        self.__dict__.update(state, lock=threading.RLock())

    def find(self, name: str) -> Inode:
        """The inode called `name`; FileNotFoundError, NotADirectoryError."""
        node = self.find_or_none(name)
        if node is None:
            fail(errno.ENOENT, name)
        return node

    def find_or_none(self, name: str) -> Inode | None:
        """The inode called `name`, None where there is none; NotADirectoryError."""
        # What is no name need not be asked first: it is in no directory.
        node: Inode = self.root
        if name:
            for part in name.split("/"):
                below = node.entries.get(part)
                if below is None:
                    components(name)
                    if not isinstance(node, Directory):
                        fail(errno.ENOTDIR, name)
                    return None
                node = below
        return node

    def find_directory(self, name: str) -> Directory:
        """The directory called `name`; FileNotFoundError, NotADirectoryError."""
        node = self.find(name)
        if not isinstance(node, Directory):
            fail(errno.ENOTDIR, name)
        return node

    def place(self, name: str) -> Place:
        """Where `name` is or would be, which is nowhere for the root: OSError (EBUSY)."""
        above, slash, leaf = name.rpartition("/")
        if not leaf or (slash and not above):
            components(name)
            fail(errno.EBUSY, name)
        directory: Inode = self.root
        if above:
            try:
                directory = self.find(above)
            except OSError:
                components(name)  # the better error
                raise
        if not isinstance(directory, Directory):
            components(name)
            fail(errno.ENOTDIR, name)
        node = directory.entries.get(leaf)
        if node is None and not (leaf.isascii() and len(leaf) <= _NAME_MAX and "\0" not in leaf and leaf not in _DOTS):
            components(name)
        return directory, leaf, node

    def existing(self, name: str) -> tuple[Directory, str, Inode]:
        """`place()` of a name that must be there; FileNotFoundError."""
        directory, leaf, node = self.place(name)
        if node is None:
            fail(errno.ENOENT, name)
        return directory, leaf, node

    def follow(self, name: str) -> str:
        """The name that `name` comes to when symbolic links are followed, each inside this tree.

        What is not there stays as it is. FileNotFoundError for a link that leads outside, OSError (ELOOP).
        """
        hops = 0
        done: list[str] = []
        left = components(name)[::-1]
        node: Inode | None = self.root
        while left:
            part = left.pop()
            child = None if node is None else node.entries.get(part)
            if part == "..":
                if not done:
                    fail(errno.ENOENT, name)
                done.pop()
                node = self.find("/".join(done))
            elif isinstance(child, Symlink):
                hops += 1
                if hops > _HOPS:
                    fail(errno.ELOOP, name)
                if child.target.startswith("/"):
                    fail(errno.ENOENT, name)
                left += [step for step in reversed(child.target.split("/")) if step not in ("", ".")]
            else:
                done.append(part)
                node = child
        return "/".join(done)

    def stat(self, name: str) -> Entry:
        """What is known of `name`; "" is the root."""
        with self.lock:
            return self.find(name).entry(name.rpartition("/")[2])

    def scandir(self, name: str) -> Iterator[Entry]:
        """The entries of a directory as it is now; what goes away meanwhile is left out."""
        with self.lock:
            listing = list(self.find_directory(name).entries.items())
        return self._entries(listing)

    def _entries(self, listing: list[tuple[str, Inode]]) -> Iterator[Entry]:
        for leaf, node in listing:
            with self.lock:
                entry = node.entry(leaf) if node.nlink else None
            if entry is not None:
                yield entry

    def number(self) -> int:
        """The next inode number (the lock is held)."""
        self._inodes += 1
        return self._inodes


def components(name: str) -> list[str]:
    """The components of a plain name, none for the root; SuspiciousFileOperation, NameTooLongError."""
    if not name:
        return []
    parts = name.split("/")
    if not _NEVER_A_NAME.isdisjoint(parts) or "\0" in name:
        raise SuspiciousFileOperation(f"{name!r} is not a plain name below the root")
    if len(name) > _NAME_MAX or not name.isascii():
        for part in parts:
            try:
                too_long = len(os.fsencode(part)) > _NAME_MAX
            except UnicodeEncodeError as error:
                raise SuspiciousFileOperation(f"{name!r} stands for no bytes") from error
            if too_long:
                raise NameTooLongError(name)
    return parts


def fail(code: int, name: str) -> NoReturn:
    """Raise the OSError of `code`, which is of the builtin class for it."""
    raise OSError(code, _strerror(code), name)
