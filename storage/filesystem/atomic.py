"""Files that appear under their name whole, or not at all.

A `Draft` is a new file that has no name yet: on Linux an unnamed one (O_TMPFILE), which the kernel frees if the process
dies; elsewhere one with a hidden name. Once its content is complete it is *published*: linked to a name that must be
free, or renamed over what has the name.

A hidden name has a fixed pattern (`storage.drafts`). Its owner holds a lock
(flock) on the file for as long as it is in use; a hidden file that can be locked has been left behind by a process that
died, and is swept. Where a filesystem has no locks nothing is swept, as nothing could be known.
"""

from __future__ import annotations

import errno
import fcntl
import functools
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

from storage.drafts import is_draft, new_draft
from storage.syscalls import renameat2

_O_TMPFILE = getattr(os, "O_TMPFILE", 0)
_NO_TMPFILE = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT})
_NO_LINK = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})
_NO_SYNC = frozenset({errno.EBADF, errno.EINVAL})
_RENAME_NOREPLACE = 1
_SWEPT_MAX = 10_000
_LOCK_SECONDS = 3.0
"""After which a lock on a directory is taken for that of another program."""
_LOCK_PAUSE = 0.002
"""Seconds between two tries to get it: only flock() itself tells of its end, and that waits without limit."""

_swept: set[tuple[int, int]] = set()


class Draft:
    """A new, empty file without a name in a directory, open for reading and writing as `fd`.

    A context manager: what was not published by its end is gone.
    """

    def __init__(self, directory: int, mode: int = 0o666) -> None:
        """Make it in the directory that is open as `directory`, with `mode` less the umask."""
        self._directory = directory
        self._hidden: str | None = None
        self.fd = self._open(mode)

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the file unless it was published, and close it."""
        try:
            self._remove_hidden()
        finally:
            os.close(self.fd)

    def publish(self, directory: int, name: str, *, overwrite: bool) -> None:
        """Give the file its name in `directory` (the one it was made in, or the new one if that was removed).

        FileExistsError where the name is taken; with `overwrite` only where a directory has it: IsADirectoryError.
        """
        if self._hidden is None:
            if self._link(directory, name, may_exist=overwrite):
                return
            self._hide(directory)
        hidden = str(self._hidden)
        if overwrite:
            os.rename(hidden, name, src_dir_fd=self._directory, dst_dir_fd=directory)
        else:
            move_to_free_name(self._directory, hidden, directory, name)
        self._hidden = None

    def _open(self, mode: int) -> int:
        if _O_TMPFILE and _can_link_descriptors():
            try:
                return os.open(".", _O_TMPFILE | os.O_RDWR, mode, dir_fd=self._directory)
            except OSError as error:
                if error.errno not in _NO_TMPFILE:
                    raise
        while True:
            self._hidden = new_draft()
            fd = os.open(self._hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode, dir_fd=self._directory)
            _lock(fd, fcntl.LOCK_EX)
            if os.fstat(fd).st_nlink:
                return fd
            os.close(fd)  # swept between its making and its lock

    def _link(self, directory: int, name: str, *, may_exist: bool) -> bool:
        """Link the unnamed file to a free name; False where the name is taken and `may_exist`."""
        try:
            os.link(f"/proc/self/fd/{self.fd}", name, dst_dir_fd=directory, follow_symlinks=True)
        except FileExistsError:
            if not may_exist:
                raise
            return False
        return True

    def _hide(self, directory: int) -> None:
        """Give the unnamed file a hidden name, as only a name can be renamed over another."""
        _lock(self.fd, fcntl.LOCK_EX)
        hidden = new_draft()
        self._link(directory, hidden, may_exist=False)
        self._directory, self._hidden = directory, hidden

    def _remove_hidden(self) -> None:
        if self._hidden is not None:
            with suppress(FileNotFoundError):
                os.unlink(self._hidden, dir_fd=self._directory)


def move_to_free_name(src_fd: int | None, src: str, dst_fd: int | None, dst: str) -> None:
    """Rename a file to a name that must be free, in one step where the filesystem can; FileExistsError if it is taken.

    The descriptors are those of the directories; None where the name is an absolute path.
    """
    try:
        renameat2(src_fd, src, dst_fd, dst, _RENAME_NOREPLACE)
    except NotImplementedError:
        try:
            os.link(src, dst, src_dir_fd=src_fd, dst_dir_fd=dst_fd, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
            _move_to_reserved_name(src_fd, src, dst_fd, dst)
        else:
            os.unlink(src, dir_fd=src_fd)


def _move_to_reserved_name(src_fd: int | None, src: str, dst_fd: int | None, dst: str) -> None:
    """Take the name with an empty file, and rename over that: for filesystems that have neither flags nor links."""
    os.close(os.open(dst, os.O_WRONLY | os.O_CREAT | os.O_EXCL, dir_fd=dst_fd))
    try:
        os.rename(src, dst, src_dir_fd=src_fd, dst_dir_fd=dst_fd)
    except BaseException:
        os.unlink(dst, dir_fd=dst_fd)
        raise


@contextmanager
def replacing(directory: int, needed_for: str | None = None) -> Iterator[None]:
    """Keep others who use this from replacing an entry of the directory: for a check and a rename that are one step.

    They keep it for less than a second; but whoever may read a directory can keep a lock on it, as `flock DIR rsync`
    does for hours. What the lock is `needed_for`, a path, then fails (OSError, EBUSY); anything else goes on without.
    """
    if not _lock_soon(directory) and needed_for is not None:
        raise OSError(errno.EBUSY, "Another program keeps a lock (flock) on the directory", needed_for)
    try:
        yield
    finally:
        with suppress(OSError):  # no locks here, so there is none to release
            fcntl.flock(directory, fcntl.LOCK_UN)


def sync_names(directory: int) -> None:
    """Return when the names in the directory are on the disk.

    As far as can be had: what is open only to be searched cannot be synced, nor a directory of some filesystems.
    """
    try:
        os.fsync(directory)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


def sweep(directory: int) -> int:
    """Remove the drafts in the directory that no living process holds; returns how many there were."""
    with os.scandir(directory) as entries:
        hidden = [entry.name for entry in entries if is_draft(entry.name)]
    return sum(_sweep_one(directory, name) for name in hidden)


def sweep_once(directory: int) -> None:
    """Sweep a directory unless this process has done so before."""
    st = os.fstat(directory)
    identity = (st.st_dev, st.st_ino)
    if identity in _swept:
        return
    if len(_swept) >= _SWEPT_MAX:
        _swept.clear()
    _swept.add(identity)
    sweep(directory)


def _sweep_one(directory: int, name: str) -> bool:
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
    except OSError:  # gone meanwhile, or somebody else's
        return False
    try:
        # A shared lock is enough to learn that nobody holds an exclusive one, and needs no permission to write.
        if not stat.S_ISREG(os.fstat(fd).st_mode) or not _lock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB):
            return False
        os.unlink(name, dir_fd=directory)
    except (FileNotFoundError, PermissionError):
        return False
    finally:
        os.close(fd)
    return True


def _lock_soon(fd: int) -> bool:
    """Take an exclusive flock; False where another has kept it for too long. A filesystem without locks has none."""
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_LOCK_PAUSE)
        except OSError:
            return True
        else:
            return True


def _lock(fd: int, operation: int) -> bool:
    """Take a flock; False where another has it (LOCK_NB) or the filesystem has no locks."""
    try:
        fcntl.flock(fd, operation)
    except OSError:
        return False
    return True


@functools.cache
def _can_link_descriptors() -> bool:
    """Whether an open file can be given a name: through /proc, as no other way is open to ordinary users."""
    return os.path.exists("/proc/self/fd")
