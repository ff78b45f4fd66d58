"""FileSystemStorage: files in a directory of this machine.

This module is Django's part of it; a filesystem's operations are in `storage.filesystem.surface`. Names are resolved as
`storage.filesystem.beneath` describes, and here symbolic links are followed as long as they stay inside the location.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Hashable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

from storage.conf import setting_changed
from storage.copying import copy_content
from storage.deconstruct import deconstructible
from storage.drafts import is_draft, refuse_drafts
from storage.exceptions import FileInTheWayError, NameTooLongError, SuspiciousFileOperation
from storage.files import File
from storage.filesystem.atomic import Draft, replacing
from storage.filesystem.beneath import Beneath, Place
from storage.filesystem.file import LocalFile, Opener
from storage.filesystem.saving import Attributes, Upload, open_directory, write_content
from storage.filesystem.surface import LocalTree, remove_directory
from storage.names import checked_name, safe_join, split_name
from storage.times import shown

__all__ = ("FileSystemStorage",)

_ATTEMPTS = 8
_BARE_MODES = frozenset({"rb", "r+b", "rb+"})


@deconstructible(path="django.core.files.storage.FileSystemStorage")
class FileSystemStorage(LocalTree):
    """Files in a directory of this machine.

    A save appears under its name complete or not at all, and never takes a name from somebody else. It is as safe from
    a power failure as the filesystem makes it: what is to be on the disk wants `File.sync()` or `replace()`.
    """

    def __init__(
        self,
        location: str | os.PathLike[str] | None = None,
        base_url: Any = None,
        file_permissions_mode: int | None = None,
        directory_permissions_mode: int | None = None,
        allow_overwrite: bool = False,
        *,
        allow_outside_symlinks: bool = False,
    ) -> None:
        """Keep files in `location` (MEDIA_ROOT), which saving makes where it is missing.

        With `allow_overwrite` a save replaces what has the name; with `allow_outside_symlinks` symbolic links in the
        location may lead out of it.
        """
        self._init_settings(location, base_url, file_permissions_mode, directory_permissions_mode)
        self._allow_overwrite = allow_overwrite
        self._allow_outside_symlinks = allow_outside_symlinks

    def __getstate__(self) -> dict[str, Any]:
        """What pickle and copy keep: the options, not who is told of changes."""
        return {key: value for key, value in self.__dict__.items() if key != "_subscriptions"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """The same storage, following the settings as the first did."""
        self.__dict__.update(state)
        setting_changed.connect(self._clear_cached_properties)

    @property
    def in_place(self) -> bool:
        """Whether no subclass has put anything between a file and its content."""
        kind = type(self)
        return all(
            getattr(kind, method) is getattr(FileSystemStorage, method) for method in ("open", "save", "_open", "_save")
        )

    def path(self, name: str) -> str:
        """The absolute path of a name; SuspiciousFileOperation for one that leaves the location."""
        return safe_join(self.location, name)

    def is_name_available(self, name: str, max_length: int | None = None) -> bool:
        """Whether a new file can be called so; with `allow_overwrite`, whatever has the name now."""
        if self._allow_overwrite:
            return not (max_length and len(name) > max_length)
        return super().is_name_available(name, max_length=max_length)

    def get_alternative_name(self, file_root: str, file_ext: str) -> str:
        """Another name for a file whose name is taken or too long; with `allow_overwrite`, nothing is added to it."""
        if self._allow_overwrite:
            return f"{file_root}{file_ext}"
        return super().get_alternative_name(file_root, file_ext)

    def exists(self, name: str) -> bool:
        """Whether the name is taken, by anything: also by a symbolic link that leads nowhere."""
        located = self._located(name, hidden_ok=True)
        if is_draft(split_name(located)[1]):
            return False
        try:
            with self._beneath.place(located, follow=True) as place:
                return place.stat_or_none() is not None
        except (FileNotFoundError, NotADirectoryError, NameTooLongError):
            return False

    def delete(self, name: str) -> None:
        """Delete the file, symbolic link or empty directory; nothing happens when there is none."""
        if not name:
            raise ValueError("The name must be given to delete().")
        located = self._located(name)
        try:
            with self._beneath.place(located, follow=True) as place:
                if stat.S_ISDIR(place.stat().st_mode):
                    remove_directory(place)
                elif place.fd is None:
                    os.remove(place.name)  # as everybody calls it, for those who put something else in its place
                else:
                    os.remove(place.name, dir_fd=place.fd)
        except FileNotFoundError:  # also where another was faster
            return
        self._changed("delete", located)

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        """The names in a directory: those of directories and links to such, and those of everything else."""
        directories: list[str] = []
        others: list[str] = []
        fd = self._beneath.open(self._located(path), os.O_RDONLY | os.O_DIRECTORY, follow=True)
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    if not is_draft(entry.name):
                        (directories if _is_directory(entry) else others).append(entry.name)
        finally:
            os.close(fd)
        return directories, others

    def size(self, name: str) -> int:
        """The file's size in bytes."""
        return self._stat_of_file(name).st_size

    def get_accessed_time(self, name: str) -> datetime:
        """When the file was last read; aware if USE_TZ is on, else naive, in the zone of TIME_ZONE."""
        return self._datetime_from_timestamp(self._stat_of_file(name).st_atime)

    def get_created_time(self, name: str) -> datetime:
        """When the file or its attributes last changed (as Django has it); aware or naive as USE_TZ says."""
        return self._datetime_from_timestamp(self._stat_of_file(name).st_ctime)

    def get_modified_time(self, name: str) -> datetime:
        """When the content last changed; aware if USE_TZ is on, else naive, in the zone of TIME_ZONE."""
        return self._datetime_from_timestamp(self._stat_of_file(name).st_mtime)

    def _datetime_from_timestamp(self, ts: float) -> datetime:
        return shown(datetime.fromtimestamp(ts, UTC))

    def _stat_of_file(self, name: str) -> os.stat_result:
        return self._beneath.stat(self._located(name), follow=True)

    def _open(self, name: str, mode: str = "rb") -> File:
        located = self._located(name)
        path, opener = self._beneath.path(located), self._opener(located)
        tell = partial(self._told, name) if self._subscriptions else None
        if mode in _BARE_MODES:
            raw = _bare(opener(path, os.O_RDWR if "+" in mode else os.O_RDONLY), mode, path)
            return LocalFile(raw, opener=opener, tell=tell if "+" in mode else None)
        # With the size of the buffer given open() need not ask whether it is a terminal.
        stream = open(path, mode, io.DEFAULT_BUFFER_SIZE, opener=opener)
        return LocalFile(stream, opener=opener, tell=tell if stream.writable() else None)

    def _told(self, name: str, action: str, identity: Hashable) -> None:
        """Tell the subscribers of a change through an open file."""
        self._changed(action, name, identity=identity)

    def _opener(self, plain: str) -> Opener:
        """How the builtin open() is to open an entry: below the location, and without waiting for anybody.

        A FIFO that has no writer yet reads as empty, one without a reader cannot be opened for writing (ENXIO);
        otherwise an open of one would hang whoever serves files of others.
        """

        def opener(_path: str, flags: int) -> int:
            try:
                fd = self._beneath.open(plain, flags | os.O_NONBLOCK, 0o666, follow=True)
            except BlockingIOError:  # another program has a lease on the file: this is a wait that ends
                return self._beneath.open(plain, flags, 0o666, follow=True)
            os.set_blocking(fd, True)
            return fd

        return opener

    def _save(self, name: str, content: Any) -> str:
        if hasattr(content, "temporary_file_path"):
            return self._move_in(name, content.temporary_file_path())
        with self._draft(name) as draft:
            write_content(draft.fd, content)
            return self._publish(name, draft)

    def _move_in(self, name: str, path: str) -> str:
        """Move a finished upload to its place; from another filesystem, copy it."""
        with Upload(path) as upload:
            try:
                return self._publish(name, upload)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
            with self._draft(name) as draft:
                copy_content(upload.fd, draft.fd)
                upload.copy_attributes(draft.fd)
                name = self._publish(name, draft)
        os.remove(path)
        return name

    @contextmanager
    def _draft(self, name: str) -> Iterator[Draft]:
        """A draft in the directory where the file is to be."""
        beneath, destination = self._destination(name, overwrite=self._allow_overwrite)
        directory = self._open_parent(beneath, destination)
        try:
            with Draft(directory) as draft:
                yield draft
        finally:
            os.close(directory)

    def _publish(self, name: str, new: Draft | Upload) -> str:
        """Give new content its name, or the next one that is available; returns that."""
        overwrite = self._allow_overwrite
        attempts = _ATTEMPTS
        while True:
            try:
                self._put_in_place(name, new, overwrite)
            except FileInTheWayError:
                raise
            except FileExistsError:
                # Whoever chooses the same name for it again wants to overwrite.
                other = self.get_available_name(name)
                overwrite = overwrite or other == name
                name = other
            except FileNotFoundError:  # the directory has been removed, and is made again
                attempts -= 1
                if not attempts:
                    raise
            else:
                return self._located(name)

    def _put_in_place(self, name: str, new: Draft | Upload, overwrite: bool) -> None:
        """Publish under this name; FileExistsError where it is taken."""
        beneath, destination = self._destination(name, overwrite=overwrite)
        directory = self._open_parent(beneath, destination)
        with Place(directory, split_name(destination)[1], beneath.path(destination)) as place:
            attributes = Attributes(self.file_permissions_mode, gid=os.stat(self.location).st_gid)
            if not overwrite:
                attributes.apply(new.fd)
                new.publish(directory, place.name, overwrite=False)
                return
            with replacing(directory):
                attributes.or_else(Attributes.of(place.stat_or_none())).apply(new.fd)
                new.publish(directory, place.name, overwrite=True)

    def _destination(self, name: str, *, overwrite: bool) -> tuple[Beneath, str]:
        """Where a file is to be put: what is overwritten through a link is what the link points to."""
        beneath, located = self._beneath, self._located(name)
        if overwrite:
            with suppress(FileNotFoundError, NotADirectoryError):
                with beneath.place(located, follow=True) as place:
                    replaced = place.stat_or_none()
                if replaced is not None and stat.S_ISLNK(replaced.st_mode):
                    return beneath.resolved(located)
        return beneath, located

    def _open_parent(self, beneath: Beneath, name: str) -> int:
        """Open the directory of a file for drafts, after making what is missing of it."""
        parent = split_name(name)[0]
        try:
            return open_directory(beneath, parent, self.directory_permissions_mode, follow=True)
        except (FileExistsError, NotADirectoryError) as error:
            # Django's error for a file in the way is another one than for a file further up.
            if parent:
                beneath.stat(parent)
            raise FileInTheWayError(beneath.path(parent)) from error

    @property
    def _beneath(self) -> Beneath:
        """The location as it is now: settings may change it, and subclasses compute it."""
        location = self.location
        beneath: Beneath | None = self.__dict__.get("_last_beneath")
        if beneath is None or beneath.location != location:
            beneath = self.__dict__["_last_beneath"] = Beneath(location, outside=self._allow_outside_symlinks)
        return beneath

    def _located(self, name: str | os.PathLike[str], *, hidden_ok: bool = False) -> str:
        """The plain name of what Django's surface calls `name`: relative or absolute, normalised; "" is the location.

        SuspiciousFileOperation for one that leaves the location, or that is kept for drafts.
        """
        name = os.fspath(name)
        if type(self).path is FileSystemStorage.path and _is_surely_plain(name):
            return name
        located = _relative(self.path(name), self.location)
        if not hidden_ok:
            refuse_drafts(located)
        return located

    def _plain(self, name: str) -> str:
        """The name below the location of an entry of the extended surface; SuspiciousFileOperation for a bad one."""
        if type(self).path is FileSystemStorage.path:
            if not _is_surely_plain(name):
                refuse_drafts(checked_name(name, allow_root=True))
            return name
        return self._located(checked_name(name, allow_root=True))


def _is_surely_plain(name: str) -> bool:
    """Whether a name is plain and not hidden, told quickly; some plain names are not sure to be."""
    return not (name.startswith(("/", ".")) or name.endswith("/") or "/." in name or "//" in name or "\0" in name)


def _relative(path: str, location: str) -> str:
    """The name of an absolute path below the location, as a subclass's path() may answer any."""
    path = os.path.abspath(path)
    for base in (location, os.path.realpath(location)):
        prefix = os.path.join(base, "")
        if os.path.join(path, "").startswith(prefix) and "\0" not in path:
            return path[len(prefix) :]
    raise SuspiciousFileOperation(
        f"path() answered {path!r}, which is outside of the location {location!r}. Give the storage a location that "
        "all its files are below."
    )


def _bare(fd: int, mode: str, path: str) -> io.FileIO:
    """An open file without a buffer, called after its path as open() would."""
    try:
        file = io.FileIO(fd, mode)
    except OSError as error:  # a directory
        os.close(fd)
        error.filename = path
        raise
    file.name = path
    return file


def _is_directory(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a directory or a link to one; a link that goes round in circles is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False
