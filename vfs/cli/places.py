"""A file that a command works on: a name in a storage, together with how the user calls it.

The local filesystem is a storage too, rooted at "/". So what a command does is written once, on `Place`; a
`LocalPlace` differs where local files have rules of their own: links on the way are followed, devices are written to
rather than replaced, and a new file's mode is up to the umask.
"""

from __future__ import annotations

import errno
import functools
import os
import posixpath
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from vfs.cli.errors import CommandError
from vfs.cli.names import escape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from storage.base import Storage
    from storage.entry import Entry
    from storage.filesystem.saving import Attributes
    from vfs.cli.targets import Target

_CHUNK = 1 << 20
_LINKS_MAX = 40


class Place:
    """The name `name` in `storage`; `label` is how it is called in messages, as in "media:a/b"."""

    local = False

    def __init__(self, storage: Storage, name: str, label: str) -> None:
        """Nothing is looked at yet, and nothing needs to be there."""
        self.storage = storage
        self.name = name
        self.label = label

    @property
    def shown(self) -> str:
        """The label, safe to print."""
        return escape(self.label)

    @property
    def last(self) -> str:
        """The last component of the name."""
        return self.name.rpartition("/")[2]

    def __truediv__(self, last: str) -> Self:
        """The entry `last` of this directory."""
        label = self.label if self.label.endswith((":", "/")) else f"{self.label}/"
        return type(self)(self.storage, f"{self.name}/{last}" if self.name else last, f"{label}{last}")

    def renamed(self, name: str) -> Self:
        """Another name of the storage, under the same label."""
        return type(self)(self.storage, name, self.label)

    def stat(self, *, follow: bool = False) -> Entry:
        """What is there; FileNotFoundError. With `follow`, where a symbolic link leads."""
        entry = self.storage.stat(self.name)
        return self.storage.stat(self.followed().name) if follow and is_link(entry) else entry

    def link_target(self, entry: Entry) -> str | None:
        """Where this place leads, if `entry`, which describes it, is a symbolic link."""
        if not is_link(entry) or entry.target is not None:
            return entry.target
        return self.storage.readlink(self.name)

    def find(self, *, follow: bool = False) -> Entry | None:
        """`stat()`, or None where there is nothing."""
        try:
            return self.stat(follow=follow)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def scandir(self) -> Iterator[Entry]:
        """What is in this directory."""
        return self.storage.scandir(self.name)

    def kinds(self) -> Iterator[Entry]:
        """What is in this directory; of a backend where size and time cost a request a file, name and kind alone."""
        from storage.entry import Entry, Kind
        from storage.listing import components
        from storage.remote.django import DjangoStorage

        if isinstance(self.storage, DjangoStorage):
            directories, files = components(self.name, *self.storage.listdir(self.name))
            if directories or files:  # else scandir() has to say what is missing
                yield from (Entry(name, Kind.DIRECTORY) for name in directories)
                yield from (Entry(name, Kind.FILE) for name in files)
                return
        yield from self.scandir()

    def open(self) -> BinaryIO:
        """Open it to be read, links followed."""
        file: Any = self.storage.open(self.name, "rb")
        return file  # type: ignore[no-any-return]

    def followed(self) -> Self:
        """Where the symbolic link leads, or the place itself; OSError for a link that leads in circles or outside."""
        name = self.name
        for _ in range(_LINKS_MAX):
            if not is_link(self.storage.stat(name)):
                return self.renamed(name)
            target = self.storage.readlink(name)
            name = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
            if name.startswith(("/", "../")) or name == "..":
                raise CommandError(f"the symbolic link leads outside of the storage, to {target!r}")
            name = "" if name == "." else name
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), self.name)

    def store(self, content: Any, *, mode: int | None, if_absent: bool) -> None:
        """Put the content there, whole or not at all; the storage decides about the mode. FileExistsError."""
        from storage.files import File

        self.storage.replace(self.name, File(content, self.last), if_absent=if_absent)

    def mkdir(self, mode: int | None = None) -> bool:
        """Make it a directory, by default with the mode that the storage gives those; False where it is one already.

        NotImplementedError where the storage has no directories, CommandError where something else has the name.
        """
        if not self.name:
            return False
        try:
            self.storage.mkdir(self.name, mode=self._directory_mode() if mode is None else mode)
        except FileExistsError:
            if self.stat().is_dir:
                return False
            raise CommandError("it is there and is no directory") from None
        return True

    def make_parents(self) -> None:
        """Make the directories above it, as storing a file would; nothing where the storage has none."""
        parent = self.renamed(self.name.rpartition("/")[0])
        try:
            if parent.name and parent.find() is None:
                parent.make_parents()
                parent.mkdir()
            elif not parent.name:
                os.makedirs(self.storage.path(""), exist_ok=True)
        except NotImplementedError:
            return

    def real_path(self) -> str | None:
        """The local path, links on the way followed; None for what is not a local file."""
        try:
            directory, last = os.path.split(self.storage.path(self.name))
        except NotImplementedError:
            return None
        return os.path.join(os.path.realpath(directory), last)

    def contains(self, other: Place) -> bool:
        """Whether `other` is this file, or would be below this directory."""
        mine, theirs = self.real_path(), other.real_path()
        if mine is None or theirs is None:
            if self.storage is not other.storage:
                return False
            mine, theirs = f"/{self.name}", f"/{other.name}"
        return theirs == mine or theirs.startswith(os.path.join(mine, ""))

    def _directory_mode(self) -> int:
        mode = getattr(self.storage, "directory_permissions_mode", None)
        return 0o777 & ~umask() if mode is None else int(mode)


class LocalPlace(Place):
    """A local file; its name is its absolute path without the first '/'."""

    local = True

    @classmethod
    def of(cls, path: str) -> LocalPlace:
        """The place at a path as the user wrote it; links on the way to it are followed, not one at its end."""
        directory, last = os.path.split(path.rstrip("/") or "/")
        if last in ("", ".", ".."):
            return cls(_root(), os.path.realpath(path).lstrip("/"), path)
        return cls(_root(), os.path.join(os.path.realpath(directory), last).lstrip("/"), path)

    @property
    def path(self) -> str:
        """The absolute path."""
        return f"/{self.name}"

    def stat(self, *, follow: bool = False) -> Entry:
        """What is there; FileNotFoundError. With `follow`, where a symbolic link leads."""
        from storage.posix import entry_of_stat

        return entry_of_stat(self.last, os.stat(self.path, follow_symlinks=follow))

    def open(self) -> BinaryIO:
        """Open it to be read, links followed; of a pipe this waits for the writer."""
        return open(self.path, "rb")

    def followed(self) -> Self:
        """Where the symbolic link leads, or the place itself; also where it leads to something without a name."""
        path = os.path.realpath(self.path)
        return self.renamed(path.lstrip("/")) if os.path.lexists(path) else self

    def store(self, content: Any, *, mode: int | None, if_absent: bool) -> None:
        """Put the content there, whole or not at all, with `mode` less the umask, or the mode of what is replaced.

        FileExistsError, IsADirectoryError. What is neither file nor directory, as /dev/null, is written to and never
        replaced, also where a link leads to it, as /dev/stdout does.
        """
        from storage.filesystem.saving import Attributes

        existing = self.find()
        if existing is not None and (if_absent or existing.is_dir):
            code = errno.EEXIST if if_absent else errno.EISDIR
            raise OSError(code, os.strerror(code), self.path)
        if self.is_device():
            self._write_into(content)
        elif existing is None or is_link(existing):
            self._write_new(content, Attributes((0o666 if mode is None else mode & 0o777) & ~umask()), if_absent)
        else:
            self._write_new(content, Attributes(existing.mode, existing.uid, existing.gid), if_absent)

    def is_device(self) -> bool:
        """Whether there is something that is neither file nor directory, or a link to such a thing."""
        reached = self.find(follow=True)
        return reached is not None and not reached.is_file and not reached.is_dir

    def _write_into(self, content: Any) -> None:
        with open(self.path, "wb") as device:
            while data := content.read(_CHUNK):
                device.write(data)

    def _write_new(self, content: Any, attributes: Attributes, if_absent: bool) -> None:
        """By a draft that has content and attributes before it gets its name."""
        from storage.copying import write_all
        from storage.filesystem.atomic import Draft

        directory = os.open(os.path.dirname(self.path), os.O_RDONLY | os.O_DIRECTORY)
        try:
            with Draft(directory, 0o600) as draft:
                while data := content.read(_CHUNK):
                    write_all(draft.fd, data)
                attributes.apply(draft.fd)
                draft.publish(directory, self.last, overwrite=not if_absent)
        finally:
            os.close(directory)

    def make_parents(self) -> None:
        """Nothing: as with cp and mv, local directories must be there."""

    def real_path(self) -> str:
        """The path; only its last component can be a link."""
        return self.path


def place_of(target: Target) -> Place:
    """The place that a target names; CommandError where the storage cannot be worked with from here."""
    if target.alias is None:
        return LocalPlace.of(target.path)
    from vfs.cli.access import storage_of

    name = target.name
    return Place(storage_of(target.alias, target.text), name, f"{target.alias}:{name}")


def is_link(entry: Entry) -> bool:
    """Whether it is a symbolic link."""
    from storage.entry import Kind

    return entry.kind is Kind.SYMLINK


@functools.cache
def _root() -> Storage:
    from storage.filesystem import FileSystemStorage

    return FileSystemStorage("/")


@functools.cache
def umask() -> int:
    """The umask of this process."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
