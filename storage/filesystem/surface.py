"""A filesystem's operations on a local directory: what `Storage` adds to Django's surface, by the system's own calls.

Every entry is reached as `storage.filesystem.beneath` describes, strictly: no symbolic link is followed. What POSIX
says about times, link counts and permissions the kernel does by itself.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Callable, Iterator
from typing import Any

from storage.api import Content
from storage.base import RENAME_EXCHANGE, Condition, Storage
from storage.copying import copy_content
from storage.drafts import is_draft
from storage.entry import Entry, Usage
from storage.exceptions import VersionMismatchError, os_error
from storage.files import File
from storage.filesystem.atomic import Draft, replacing, sweep, sync_names
from storage.filesystem.beneath import Beneath, Place
from storage.filesystem.file import LocalFile, Opener
from storage.filesystem.saving import (
    Attributes,
    chmod_entry,
    kept_owner,
    make_exact,
    make_exact_entry,
    open_directory,
    write_content,
)
from storage.filesystem.unnamed import UnnamedFile, link_descriptor, open_unnamed
from storage.mixins import StorageSettingsMixin
from storage.names import split_name
from storage.posix import entry_of_stat, identity_of_stat
from storage.syscalls import renameat2, set_times

_XATTRS = hasattr(os, "getxattr")


class LocalTree(StorageSettingsMixin, Storage):
    """The part of FileSystemStorage that is not Django's."""

    blocking = False

    @property
    def _beneath(self) -> Beneath:
        """The location as it is now."""
        raise NotImplementedError

    def _plain(self, name: str) -> str:
        """The name below the location of an entry of the extended surface; SuspiciousFileOperation for a bad one."""
        raise NotImplementedError

    def _opener(self, plain: str) -> Opener:
        """How the builtin open() is to open an entry."""
        raise NotImplementedError

    def does_itself(self, operation: str) -> bool:
        """As the class has it; a subclass that saves in its own way also replaces so."""
        return super().does_itself(operation) and (operation != "replace" or self.in_place)

    def holds(self, condition: Condition) -> bool:
        """A name is given where there is none in one step; who replaces a version is kept out only where he asks."""
        return self.in_place and condition == "if_absent"

    def stat(self, name: str) -> Entry:
        """What there is under `name`; FileNotFoundError, or NotADirectoryError below a file."""
        plain = self._plain(name)
        return entry_of_stat(split_name(name)[1], self._beneath.stat(plain))

    def scandir(self, path: str = "") -> Iterator[Entry]:
        """The entries of a directory as it is read, in no order; FileNotFoundError, NotADirectoryError for a file."""
        directory = _Directory(self._beneath.open(self._plain(path), os.O_RDONLY | os.O_DIRECTORY))
        return _entries(directory)

    def replace(self, name: str, content: Any, *, if_version: str | None = None, if_absent: bool = False) -> Entry:
        """Store the content under exactly this name, in one step, and return the new entry; it is on the disk by then.

        With `if_version` only over that version (VersionMismatchError; OSError, EBUSY, while another program keeps a
        lock on the directory), with `if_absent` only where nothing is (FileExistsError). IsADirectoryError over a
        directory. A new file takes the place of the old one, whose mode and owner it gets; other hard links keep the
        old content. Missing directories are made; when they are on the disk is the filesystem's affair.
        """
        if not self.in_place:  # a subclass's save() may change content on its way
            return super().replace(name, content, if_version=if_version, if_absent=if_absent)
        readable = content if isinstance(content, Content) else File(content, name)
        attributes = Attributes(self.file_permissions_mode)
        entry = self._put(
            name,
            lambda fd: write_content(fd, readable),
            attributes,
            if_version=if_version,
            if_absent=if_absent,
            lasting=True,
        )
        self._changed("save", name)
        return entry

    def copy(self, src: str, dst: str) -> None:
        """Copy a file, over `dst` where that is one; a new `dst` gets its mode. Blocks are shared where they can be."""
        with self._beneath.place(self._plain(src)) as place:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
            source = _Directory(os.open(place.name, flags, dir_fd=place.fd))
        mode = os.fstat(source.fd).st_mode
        if not stat.S_ISREG(mode):
            code = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
            raise os_error(code, src)
        if src == dst:
            return
        self._put(dst, lambda fd: copy_content(source.fd, fd), Attributes(stat.S_IMODE(mode) & 0o777))
        self._changed("save", dst)

    def _put(
        self,
        name: str,
        write: Callable[[int], None],
        attributes: Attributes,
        *,
        if_version: str | None = None,
        if_absent: bool = False,
        lasting: bool = False,
    ) -> Entry:
        """Have `write` fill a draft, and put that under the name; both are on the disk if it is to be `lasting`."""
        parent, last = split_name(self._plain(name))
        if not last:
            raise os_error(errno.EISDIR, name)
        directory = open_directory(self._beneath, parent, self.directory_permissions_mode, follow=False)
        with Place(directory, last, self._beneath.path(name)) as place, Draft(directory) as draft:
            _check_condition(place, if_version, if_absent)
            write(draft.fd)
            if lasting:
                os.fsync(draft.fd)
            with replacing(directory, needed_for=None if if_version is None else place.path):
                replaced = _check_condition(place, if_version, if_absent)
                Attributes.of(replaced).or_else(attributes).apply(draft.fd)
                draft.publish(directory, last, overwrite=not if_absent)
            if lasting:
                sync_names(directory)
            return entry_of_stat(last, os.fstat(draft.fd))

    def create(self, name: str, *, mode: int = 0o666, uid: int | None = None, gid: int | None = None) -> File:
        """Make an empty file with exactly this mode and owner, opened "r+b"; FileExistsError."""
        beneath, plain = self._beneath, self._plain(name)
        fd = beneath.open(plain, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode & 0o777)
        try:
            make_exact(fd, mode, uid, gid)
        except BaseException:
            os.close(fd)
            with beneath.place(plain) as place:
                os.unlink(place.name, dir_fd=place.fd)
            raise
        file = LocalFile(io.FileIO(fd, "r+b"), beneath.path(plain), self._opener(plain))
        self._changed("save", name)
        return file

    def tmpfile(self, directory: str, *, mode: int = 0o666, uid: int | None = None, gid: int | None = None) -> File:
        """Make an empty file without a name, opened "r+b", with exactly this mode and owner; `link()` names it."""
        fd = open_unnamed(self._beneath, self._plain(directory))
        try:
            make_exact(fd, mode, uid, gid)
        except BaseException:
            os.close(fd)
            raise
        return UnnamedFile(fd, self._link_descriptor)

    def _link_descriptor(self, fd: int, name: str) -> tuple[str, Opener]:
        beneath, plain = self._beneath, self._plain(name)
        with beneath.place(plain) as place:
            link_descriptor(fd, place)
        self._changed("save", name)
        return beneath.path(plain), self._opener(plain)

    def mkdir(self, name: str, *, mode: int = 0o777, uid: int | None = None, gid: int | None = None) -> None:
        """Make a directory with exactly this mode and owner; FileExistsError, FileNotFoundError for the parent."""
        with self._beneath.place(self._plain(name)) as place:
            os.mkdir(place.name, mode & 0o777, dir_fd=place.fd)
            make_exact_entry(place, mode, uid, gid, os.rmdir)
        self._changed("mkdir", name)

    def mknod(self, name: str, mode: int, rdev: int = 0, *, uid: int | None = None, gid: int | None = None) -> None:
        """Make an entry of the kind that the type bits of `mode` say: a file, FIFO, socket or device."""
        with self._beneath.place(self._plain(name)) as place:
            os.mknod(place.name, stat.S_IFMT(mode) | mode & 0o777, rdev, dir_fd=place.fd)
            make_exact_entry(place, stat.S_IMODE(mode), uid, gid, os.unlink)
        self._changed("save", name)

    def symlink(self, target: str, name: str, *, uid: int | None = None, gid: int | None = None) -> None:
        """Make a symbolic link called `name`; FileExistsError. The target may be anything: nothing here follows it."""
        with self._beneath.place(self._plain(name)) as place:
            os.symlink(target, place.name, dir_fd=place.fd)
            make_exact_entry(place, None, uid, gid, os.unlink)
        self._changed("save", name)

    def readlink(self, name: str) -> str:
        """The target of a symbolic link; OSError EINVAL for anything else."""
        with self._beneath.place(self._plain(name)) as place:
            return os.readlink(place.name, dir_fd=place.fd)

    def link(self, src: str, dst: str) -> None:
        """Give the file `src` a second name; FileExistsError."""
        with self._beneath.place(self._plain(src)) as old, self._beneath.place(self._plain(dst)) as new:
            os.link(old.name, new.name, src_dir_fd=old.fd, dst_dir_fd=new.fd, follow_symlinks=False)
        self._changed("save", dst, identity=self.stat(dst).identity if self._subscriptions else None)

    def unlink(self, name: str) -> None:
        """Delete what is not a directory; FileNotFoundError, IsADirectoryError."""
        with self._beneath.place(self._plain(name)) as place:
            identity = identity_of_stat(place.stat()) if self._subscriptions else None
            os.unlink(place.name, dir_fd=place.fd)
        self._changed("delete", name, identity=identity)

    def rmdir(self, name: str) -> None:
        """Remove an empty directory; DirectoryNotEmptyError, NotADirectoryError."""
        with self._beneath.place(self._plain(name)) as place:
            remove_directory(place)
        self._changed("rmdir", name)

    def rename(self, src: str, dst: str, flags: int = 0) -> None:
        """Give a file or directory another name, over what has that name, by the rules of rename(2).

        `flags` is 0, RENAME_NOREPLACE or RENAME_EXCHANGE; NotImplementedError where the system cannot do it.
        """
        beneath, plain = self._beneath, self._plain(src)
        with beneath.place(plain) as old, beneath.place_after(old, plain, self._plain(dst)) as new:
            if not flags:
                _rename(old, new)
            else:
                _rename_with_flags(src, old, dst, new, flags)
        self._changed("rename", src, dst)
        if flags & RENAME_EXCHANGE:
            self._changed("rename", dst, src)

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
        """Change what is given: the owner, then the mode, then the times; of a link itself, which has no mode."""
        with self._beneath.place(self._plain(name)) as place:
            if uid is not None or gid is not None:
                os.chown(place.name, kept_owner(uid), kept_owner(gid), dir_fd=place.fd, follow_symlinks=False)
            if mode is not None:
                chmod_entry(place.fd, place.name, mode)
            if atime_ns is not None or mtime_ns is not None:
                set_times(place.fd, place.name, atime_ns, mtime_ns)
        self._changed("attributes", name)

    def getxattr(self, name: str, key: str) -> bytes:
        """The extended attribute `key`; OSError ENODATA when it is not set."""
        with self._xattr_place("getxattr", name) as place:
            return os.getxattr(_path_through(place), key, follow_symlinks=False)

    def setxattr(self, name: str, key: str, value: bytes, flags: int = 0) -> None:
        """Set an extended attribute; `flags` is os.XATTR_CREATE or os.XATTR_REPLACE."""
        with self._xattr_place("setxattr", name) as place:
            os.setxattr(_path_through(place), key, value, flags, follow_symlinks=False)
        self._changed("attributes", name)

    def listxattr(self, name: str) -> list[str]:
        """The names of the extended attributes."""
        with self._xattr_place("listxattr", name) as place:
            return os.listxattr(_path_through(place), follow_symlinks=False)

    def removexattr(self, name: str, key: str) -> None:
        """Remove an extended attribute; OSError ENODATA when it is not set."""
        with self._xattr_place("removexattr", name) as place:
            os.removexattr(_path_through(place), key, follow_symlinks=False)
        self._changed("attributes", name)

    def usage(self) -> Usage:
        """How full the filesystem of the location is; `files` counts what it has room for."""
        fs = os.statvfs(self._beneath.location)
        used = (fs.f_blocks - fs.f_bfree) * fs.f_frsize
        return Usage(fs.f_blocks * fs.f_frsize, used, fs.f_bavail * fs.f_frsize, fs.f_files, fs.f_favail)

    def _xattr_place(self, operation: str, name: str) -> Place:
        if not _XATTRS:
            raise self._unsupported(operation)
        return self._beneath.place(self._plain(name))


class _Directory:
    """A descriptor that is closed with the last reference to it, so that an unused iterator leaks none."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        os.close(self.fd)


def _entries(directory: _Directory) -> Iterator[Entry]:
    with os.scandir(directory.fd) as found:
        for entry in found:
            if is_draft(entry.name):
                continue
            try:
                st = entry.stat(follow_symlinks=False)
            except FileNotFoundError:  # removed since it was read
                continue
            yield entry_of_stat(entry.name, st)


def _check_condition(place: Place, if_version: str | None, if_absent: bool) -> os.stat_result | None:
    """The attributes of what is to be replaced, None for nothing; raises where the condition of replace() is lost."""
    st = place.stat_or_none()
    if st is not None and stat.S_ISDIR(st.st_mode):
        raise os_error(errno.EISDIR, place.path)
    if st is not None and if_absent:
        raise os_error(errno.EEXIST, place.path)
    if if_version is not None and (st is None or entry_of_stat("", st).version != if_version):
        raise VersionMismatchError(place.path)
    return st


def remove_directory(place: Place) -> None:
    """Remove an empty directory, in which drafts that a dead process left do not count."""
    try:
        os.rmdir(place.name, dir_fd=place.fd)
    except OSError as error:
        if not _swept_after(error, place):
            raise
        os.rmdir(place.name, dir_fd=place.fd)


def _rename(old: Place, new: Place) -> None:
    try:
        os.rename(old.name, new.name, src_dir_fd=old.fd, dst_dir_fd=new.fd)
    except OSError as error:
        if not _swept_after(error, new):
            raise
        os.rename(old.name, new.name, src_dir_fd=old.fd, dst_dir_fd=new.fd)


def _swept_after(error: OSError, place: Place) -> bool:
    """Whether a directory was not empty because of stale drafts, which are gone now."""
    if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
        return False
    directory = _Directory(os.open(place.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=place.fd))
    return sweep(directory.fd) > 0


def _rename_with_flags(src: str, old: Place, dst: str, new: Place, flags: int) -> None:
    try:
        renameat2(old.fd, old.name, new.fd, new.name, flags)
    except NotImplementedError:
        # The system has one answer for what it cannot do and for a directory that is to go into itself.
        if src != dst and (dst.startswith(f"{src}/") or src.startswith(f"{dst}/")):
            raise os_error(errno.EINVAL, src) from None
        raise


def _path_through(place: Place) -> str:
    """A path to the entry for calls that know no descriptors: its directory is reached by way of /proc."""
    return place.name if place.fd is None else f"/proc/self/fd/{place.fd}/{place.name}"
