"""InMemoryStorage: files that live as long as the process, as Django's, and as a POSIX filesystem would keep them.

Django's surface takes names as Django does: relative to `location` or absolute below it, normalised, symbolic links
followed inside the storage. The extended surface takes plain names and follows nothing; it goes straight to the tree
(`storage.memory.tree`), whose rules are POSIX's.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from storage.api import Content
from storage.base import Condition
from storage.conf import setting_changed
from storage.deconstruct import deconstructible
from storage.entry import Entry
from storage.exceptions import FileInTheWayError, NameTooLongError, SuspiciousFileOperation
from storage.files import File
from storage.memory.file import MemoryFile
from storage.memory.lookup import fail
from storage.memory.nodes import Directory, Inode, Symlink
from storage.memory.regular import RegularFile
from storage.memory.surface import MemoryOperations
from storage.memory.tree import MemoryTree
from storage.mixins import StorageSettingsMixin
from storage.names import join_name, safe_join, split_name
from storage.times import moment_at

_TO_NORMALISE = frozenset({"", ".", ".."})
_FILE_MODE = 0o644
_DIRECTORY_MODE = 0o755
_MODES = frozenset(first + rest for first in "rwax" for rest in ("", "b", "t", "+", "b+", "+b", "t+", "+t"))


@deconstructible(path="django.core.files.storage.InMemoryStorage")
class InMemoryStorage(StorageSettingsMixin, MemoryOperations):
    """A storage that keeps its files in memory; safe to use from many threads at once.

    `capacity` is how many bytes the contents may take together (None: as many as there is memory); it can be set at any
    time, and a write beyond it is a StorageFullError that leaves everything as it was.
    """

    def __init__(
        self,
        location: str | os.PathLike[str] | None = None,
        base_url: str | None = None,
        file_permissions_mode: int | None = None,
        directory_permissions_mode: int | None = None,
    ) -> None:
        """An empty storage; the options are Django's, each by default what the settings say."""
        self._init_settings(location, base_url, file_permissions_mode, directory_permissions_mode)
        self._tree = MemoryTree()

    @property
    def in_place(self) -> bool:
        """Whether no subclass has put anything between a file and its content."""
        kind = type(self)
        return all(
            getattr(kind, method) is getattr(InMemoryStorage, method) for method in ("open", "save", "_open", "_save")
        )

    def __getstate__(self) -> dict[str, Any]:
        """What pickle and copy keep: the files too, but not who is told of changes."""
        return {key: value for key, value in self.__dict__.items() if key != "_subscriptions"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """The same storage, following the settings as the first did."""
        self.__dict__.update(state)
        setting_changed.connect(self._clear_cached_properties)

    # Django's surface

    def path(self, name: str) -> str:
        """Where the file would be below `location`; there is nothing at that path."""
        return safe_join(self.location, name)

    def _open(self, name: str, mode: str = "rb") -> File:
        return self._opened(name, mode)

    def _opened(self, name: str, mode: str) -> MemoryFile:
        """A handle with a cursor of its own; writing modes make the file, and the directories that it needs."""
        if mode not in _MODES:
            raise ValueError(f"invalid mode: {mode!r}")
        action = ""
        tree = self._tree
        with tree.lock:
            if mode[0] == "r":
                plain, node = self._node_to_read(os.fspath(name))
            else:
                plain, node, made = self._node_to_write(self._plain(name), exclusively=mode[0] == "x")
                action = "save" if made else ""
            if not isinstance(node, RegularFile):
                fail(errno.EISDIR if isinstance(node, Directory) else errno.ENXIO, name)
            if mode[0] == "w" and not action:
                node.truncate(0, tree.now())
                action = "write"
            elif "+" not in mode:
                node.atime_ns = tree.now()  # by Django's rule the opening is the access
            file = MemoryFile(self, node, mode, name, plain)
        if action:
            self._changed(action, plain, identity=node.identity if action == "write" else None)
        return file

    def _node_to_read(self, name: str) -> tuple[str, Inode]:
        """The name in the tree, and the inode (the lock is held)."""
        try:
            node = self._tree.find(name)
            if not isinstance(node, Symlink):
                return name, node
        except (OSError, SuspiciousFileOperation):
            pass  # it may be there all the same, when it is normalised and links are followed
        return self._followed(self._plain(name))

    def _node_to_write(self, plain: str, *, exclusively: bool) -> tuple[str, Inode, bool]:
        """The name in the tree, the inode, and whether it had to be made (the lock is held)."""
        plain = self._slot(plain) if exclusively else self._tree.follow(plain)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            node = self._tree.find(plain)
            if exclusively:
                fail(errno.EEXIST, plain)
            return plain, node, False
        self._make_parents(plain)
        return plain, self._tree.create(plain, self._file_mode, None, None), True

    def _save(self, name: str, content: Any) -> str:
        with self._received(content) as node:
            plain = self._slot(self._plain(name))
            while not self._placed(node, plain):
                # Taken since its name was chosen. A subclass whose choice is the same name again wants to overwrite.
                other = self._slot(self._plain(self.get_available_name(plain)))
                if other == plain:
                    self._tree.put(plain, node)
                    break
                plain = other
        if hasattr(content, "temporary_file_path"):
            os.remove(content.temporary_file_path())
        return plain

    def _placed(self, node: RegularFile, plain: str) -> bool:
        """Give the file its name; False where that is taken."""
        with self._tree.lock:
            self._make_parents(plain)
            if self._tree.place(plain)[2] is not None:
                return False
            self._tree.put(plain, node)
            return True

    @contextlib.contextmanager
    def _received(self, content: Any) -> Iterator[RegularFile]:
        """The content as a file without a name, which goes away at the end unless it was given one."""
        tree = self._tree
        node = tree.new_file(self._file_mode, None, None)
        node.opens = 1
        try:
            offset = 0
            for chunk in content.chunks():
                data = memoryview(chunk.encode() if isinstance(chunk, str) else chunk).cast("B")
                with tree.lock:
                    node.write(data, offset, tree.now())
                offset += len(data)
            yield node
        finally:
            with tree.lock:
                node.release()

    def delete(self, name: str) -> None:
        """Delete the file, or the directory with all that is in it; nothing happens when there is none."""
        if not name:
            raise ValueError("The name must be given to delete().")
        plain = self._plain(name)
        try:
            with self._tree.lock:
                plain = self._slot(plain)
                self._tree.remove_tree(plain)
        except (FileNotFoundError, NotADirectoryError):
            return
        self._changed("delete", plain)

    def exists(self, name: str) -> bool:
        """Whether the name is taken, be it by a link that leads nowhere."""
        plain = self._plain(name)
        with self._tree.lock:
            try:
                self._tree.find(self._slot(plain))
            except (FileNotFoundError, NotADirectoryError, NameTooLongError):
                return False
        return True

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        """The names in a directory: those of directories and links to such, and those of everything else."""
        directories: list[str] = []
        files: list[str] = []
        with self._tree.lock:
            plain = self._plain(path)
            node = self._node(plain)
            if not isinstance(node, Directory):
                raise FileInTheWayError(self.path(path))
            for name, child in node.entries.items():
                end = self._linked(join_name(plain, name)) if isinstance(child, Symlink) else child
                (directories if isinstance(end, Directory) else files).append(name)
        return directories, files

    def size(self, name: str) -> int:
        """The file's size in bytes; IsADirectoryError."""
        entry = self._entry(name)
        if entry.is_dir:
            fail(errno.EISDIR, name)
        return entry.size

    def get_accessed_time(self, name: str) -> datetime:
        """When the file was last opened to be read, or the directory's entries last changed."""
        entry = self._entry(name)
        # Django counts a change of a directory as an access to it; POSIX does not.
        return moment_at(max(entry.atime_ns or 0, (entry.is_dir and entry.mtime_ns) or 0))

    def get_created_time(self, name: str) -> datetime:
        """When the file was made."""
        return moment_at(self._entry(name).btime_ns or 0)

    def get_modified_time(self, name: str) -> datetime:
        """When the content last changed."""
        return moment_at(self._entry(name).mtime_ns or 0)

    def _plain(self, name: str | os.PathLike[str]) -> str:
        """A name of Django's surface, relative and normalised; SuspiciousFileOperation where it leaves the storage."""
        name = os.fspath(name)
        if not name:
            return name
        if _TO_NORMALISE.isdisjoint(name.split("/")) and "\0" not in name:
            return name
        plain = os.path.relpath(self.path(name), self.location)
        return "" if plain == "." else plain

    def _slot(self, plain: str) -> str:
        """The name with the links on the way followed, but not one that has the name itself."""
        parent, leaf = split_name(plain)
        if not parent:
            return plain
        directory = self._tree.follow(parent)
        return f"{directory}/{leaf}" if directory else leaf

    def _node(self, plain: str) -> Inode:
        """The inode, links followed (the lock is held); FileNotFoundError, FileExistsError below a file."""
        return self._followed(plain)[1]

    def _followed(self, plain: str) -> tuple[str, Inode]:
        """`_node()`, and the name that the links come to."""
        try:
            plain = self._tree.follow(plain)
            return plain, self._tree.find(plain)
        except NotADirectoryError as error:
            raise self._in_the_way(plain) from error

    def _in_the_way(self, plain: str) -> FileInTheWayError:
        """The error for a name that has a file among its directories (the lock is held)."""
        above, _ = split_name(plain)
        with contextlib.suppress(NotADirectoryError):
            self._tree.find(self._tree.follow(above))
            return FileInTheWayError(self.path(above))
        return self._in_the_way(above)

    def _linked(self, plain: str) -> Inode | None:
        """What a symbolic link leads to, if anything (the lock is held)."""
        try:
            return self._node(plain)
        except OSError:
            return None

    def _entry(self, name: str) -> Entry:
        plain = self._plain(name)
        with self._tree.lock:
            return self._node(plain).entry(split_name(plain)[1])

    @property
    def _file_mode(self) -> int:
        mode = self.file_permissions_mode
        return _FILE_MODE if mode is None else mode

    def _make_parents(self, plain: str) -> None:
        """Make the directories that `plain` needs; FileExistsError where a file is in the way."""
        parent, _ = split_name(plain)
        mode = self.directory_permissions_mode
        try:
            self._tree.make_directories(parent, _DIRECTORY_MODE if mode is None else mode)
        except NotADirectoryError as error:
            raise FileInTheWayError(self.path(error.filename)) from error

    # What of the extended surface depends on the options

    def does_itself(self, operation: str) -> bool:
        """As the class has it; a subclass that saves in its own way also replaces so."""
        return super().does_itself(operation) and (operation != "replace" or self.in_place)

    def holds(self, condition: Condition) -> bool:
        """All that is changed in one step."""
        return self.in_place

    def replace(self, name: str, content: Any, *, if_version: str | None = None, if_absent: bool = False) -> Entry:
        """Store the content under exactly this name, all at once, and return the new entry.

        A file that had the name leaves its mode and owner to the new one, and lives on in its handles.
        VersionMismatchError, FileExistsError, IsADirectoryError.
        """
        if not self.in_place:  # a subclass's save() may change the content on its way
            return super().replace(name, content, if_version=if_version, if_absent=if_absent)
        self._tree.check(name, if_version, if_absent)  # before the content is read for nothing
        with self._received(content if isinstance(content, Content) else File(content, name)) as node:
            with self._tree.lock:
                self._tree.check(name, if_version, if_absent)
                self._make_parents(name)
                self._tree.put(name, node)
            entry = self._tree.stat(name)
        self._changed("save", name)
        return entry

    def create(self, name: str, *, mode: int = 0o666, uid: int | None = None, gid: int | None = None) -> File:
        """Make an empty file with exactly this mode and owner, opened "r+b"; FileExistsError."""
        tree = self._tree
        with tree.lock:
            file = MemoryFile(self, tree.create(name, mode, uid, gid), "r+b", name, name)
        self._changed("save", name)
        return file

    def tmpfile(self, directory: str, *, mode: int = 0o666, uid: int | None = None, gid: int | None = None) -> File:
        """Make an empty file without a name, opened "r+b", with exactly this mode and owner; `link()` names it."""
        tree = self._tree
        with tree.lock:
            tree.find_directory(directory)
            return MemoryFile(self, tree.new_file(mode, uid, gid), "r+b", None, "")
