"""RealDirectories: the rules of POSIX for servers that have directories, and rename them themselves."""

from __future__ import annotations

import errno

from storage.base import RENAME_NOREPLACE, Storage
from storage.entry import Entry
from storage.exceptions import DirectoryNotEmptyError, os_error
from storage.names import checked_name, split_name

DIRECTORY_MODE = 0o755
"""Of the directories that a file needs."""


class RealDirectories(Storage):
    """A part of a storage, before the class that knows how to look; what has underscores here is the server's half."""

    def _make_directory(self, name: str, mode: int) -> None:
        """Make a directory in one that is there; FileNotFoundError where the root itself is missing."""
        raise NotImplementedError

    def _remove_directory(self, name: str) -> None:
        """Remove an empty directory."""
        raise NotImplementedError

    def _rename_entry(self, src: str, dst: str, replace: bool) -> None:
        """Rename a file or directory at once, over a file with `replace`."""
        raise NotImplementedError

    def _remove_drafts(self, name: str) -> None:
        """Remove what cut off uploads have left in a directory that shows nothing else."""
        raise NotImplementedError

    def mkdir(self, name: str, *, mode: int = 0o777, uid: int | None = None, gid: int | None = None) -> None:
        """Make a directory, with the mode where the protocol has modes, of the user of the connection."""
        above = split_name(checked_name(name))[0]
        if above and not self.stat(above).is_dir:
            raise os_error(errno.ENOTDIR, name)
        if self.find(name) is not None:
            raise os_error(errno.EEXIST, name)
        self._make_or_find(name, mode)
        self._changed("mkdir", name)

    def _make_or_find(self, name: str, mode: int) -> None:
        """Make a directory; FileExistsError also of a server that says so in no way that can be understood."""
        try:
            self._make_directory(name, mode)
        except OSError as error:
            if self.find(name) is not None:  # somebody was faster
                raise os_error(errno.EEXIST, name) from error
            raise

    def rmdir(self, name: str) -> None:
        """Remove an empty directory, with what cut off uploads left; DirectoryNotEmptyError, NotADirectoryError."""
        if not self.stat(checked_name(name)).is_dir:
            raise os_error(errno.ENOTDIR, name)
        if any(True for _ in self.scandir(name)):
            raise DirectoryNotEmptyError(name)
        # There is no telling whether an upload is still going on, as servers have no locks, and clocks of their own. Of
        # one that is, the rename to its name fails: FileNotFoundError, upon which who can makes the directory anew.
        self._remove_drafts(name)
        self._remove_directory(name)
        self._changed("rmdir", name)

    def rename(self, src: str, dst: str, flags: int = 0) -> None:
        """Give a file or directory another name at once, over what has that name, by the rules of rename(2)."""
        if flags & ~RENAME_NOREPLACE:
            raise self._unsupported("rename this way")
        entry = self.stat(checked_name(src))
        if entry.is_dir and checked_name(dst).startswith(f"{src}/"):
            raise os_error(errno.EINVAL, dst)
        replaced = self.find(checked_name(dst))
        if replaced is not None:
            self._check_rename(entry, replaced, dst, flags)
        if src == dst:
            return
        if replaced is not None and replaced.is_dir:
            self._remove_drafts(dst)
            self._remove_directory(dst)
        try:
            self._rename_entry(src, dst, not flags)
        except OSError as error:
            if flags and self.find(dst) is not None:  # somebody was faster, which SFTP calls no more than "Failure"
                raise os_error(errno.EEXIST, dst) from error
            raise
        self._changed("rename", src, dst)

    def _check_rename(self, entry: Entry, replaced: Entry, dst: str, flags: int) -> None:
        if flags:
            raise os_error(errno.EEXIST, dst)
        if entry.is_dir != replaced.is_dir:
            raise os_error(errno.EISDIR if replaced.is_dir else errno.ENOTDIR, dst)
        if replaced.is_dir and any(True for _ in self.scandir(dst)):
            raise DirectoryNotEmptyError(dst)
