"""How files get into a local directory: what is missing above them is made, they appear whole, with the right owner."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, NamedTuple, Self

from storage.filesystem.atomic import move_to_free_name, sweep_once
from storage.filesystem.beneath import DIRECTORY, ENTRY, Beneath, Place
from storage.posix import set_attributes_of_fd


class Attributes(NamedTuple):
    """What a new file is to be like; None leaves it as the system makes it."""

    mode: int | None = None
    uid: int | None = None
    gid: int | None = None

    def apply(self, fd: int) -> None:
        """Give an open file these attributes; an owner that one may not give is left out."""
        st = os.fstat(fd)
        uid = -1 if self.uid is None else self.uid
        gid = -1 if self.gid is None else self.gid
        if uid not in (-1, st.st_uid) or gid not in (-1, st.st_gid):
            with suppress(PermissionError):
                os.fchown(fd, uid, gid)
        if self.mode is not None:
            os.fchmod(fd, self.mode)

    @classmethod
    def of(cls, st: os.stat_result | None) -> Attributes:
        """Those of a regular file, less its set-id bits; of nothing and of anything else, nothing."""
        if st is None or not stat.S_ISREG(st.st_mode):
            return cls()
        return cls(st.st_mode & 0o777, st.st_uid, st.st_gid)

    def or_else(self, others: Attributes) -> Attributes:
        """These, and where they say nothing, the others."""
        return Attributes(*(other if own is None else own for own, other in zip(self, others, strict=True)))


class Upload:
    """A finished temporary file that is to be moved to its place; open for reading as `fd`, until the `with` ends."""

    def __init__(self, path: str) -> None:
        """Open it; OSError where it is no regular file."""
        self._path = path
        self.fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        if not stat.S_ISREG(os.fstat(self.fd).st_mode):
            os.close(self.fd)
            raise OSError(errno.EINVAL, "Not a regular file", path)

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        os.close(self.fd)

    def publish(self, directory: int, name: str, *, overwrite: bool) -> None:
        """Move it to `name` in `directory`; FileExistsError where that is taken, EXDEV for another filesystem."""
        if overwrite:
            os.rename(self._path, name, dst_dir_fd=directory)
        else:
            move_to_free_name(None, self._path, directory, name)

    def copy_attributes(self, fd: int) -> None:
        """Give its mode and times to a copy."""
        st = os.fstat(self.fd)
        set_attributes_of_fd(fd, mode=stat.S_IMODE(st.st_mode), atime_ns=st.st_atime_ns, mtime_ns=st.st_mtime_ns)


def write_content(fd: int, content: Any) -> None:
    """Write what `content.chunks()` yields: bytes, or str in the locale's encoding."""
    chunks = iter(content.chunks())
    first = next(chunks, b"")
    with open(fd, "w" if isinstance(first, str) else "wb", closefd=False) as file:
        file.write(first)
        file.writelines(chunks)


def open_directory(beneath: Beneath, name: str, mode: int | None, *, follow: bool) -> int:
    """Open a directory for drafts, after making it and those above it where they are missing; swept of stale ones.

    New directories get exactly `mode`; None leaves it to the umask.
    """
    try:
        return _open_for_drafts(beneath, name, follow)
    except FileNotFoundError:
        _make_directory(beneath, name, mode, follow)
    return _open_for_drafts(beneath, name, follow)


def chmod_entry(directory: int | None, name: str, mode: int) -> None:
    """Change the mode of an entry, never through a link, which has none."""
    if not hasattr(os, "O_PATH"):
        os.chmod(name, mode, dir_fd=directory, follow_symlinks=False)
        return
    fd = os.open(name, ENTRY | os.O_NOFOLLOW, dir_fd=directory)
    try:
        os.chmod(f"/proc/self/fd/{fd}", mode)
    finally:
        os.close(fd)


def make_exact(fd: int, mode: int, uid: int | None, gid: int | None) -> None:
    """Give a new file, open as `fd`, what the umask and the directory's group have kept from it."""
    st = os.fstat(fd)
    if _differs(st, uid, gid):
        os.fchown(fd, kept_owner(uid), kept_owner(gid))
    if stat.S_IMODE(st.st_mode) != mode:
        os.fchmod(fd, mode)


def make_exact_entry(
    place: Place, mode: int | None, uid: int | None, gid: int | None, undo: Callable[..., None]
) -> None:
    """The same of a new entry of any kind, by its name; undone where that is refused."""
    try:
        st = place.stat()
        if _differs(st, uid, gid):
            os.chown(place.name, kept_owner(uid), kept_owner(gid), dir_fd=place.fd, follow_symlinks=False)
        if mode is not None and stat.S_IMODE(st.st_mode) != mode:
            chmod_entry(place.fd, place.name, mode)
    except BaseException:
        undo(place.name, dir_fd=place.fd)
        raise


def kept_owner(owner: int | None) -> int:
    """An owner as chown() takes it."""
    return -1 if owner is None else owner


def _differs(st: os.stat_result, uid: int | None, gid: int | None) -> bool:
    return (uid is not None and uid != st.st_uid) or (gid is not None and gid != st.st_gid)


def _open_for_drafts(beneath: Beneath, name: str, follow: bool) -> int:
    try:
        fd = beneath.open(name, os.O_RDONLY | os.O_DIRECTORY, follow=follow)
    except PermissionError:
        return beneath.open(name, DIRECTORY, follow=follow)  # a drop box: may be written to, not listed
    try:
        sweep_once(fd)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _make_directory(beneath: Beneath, name: str, mode: int | None, follow: bool) -> None:
    parent, _, last = name.rpartition("/")
    if not parent:
        _make_from_outside(beneath.path(name), mode)
        return
    fd = open_directory(beneath, parent, mode, follow=follow)
    try:
        with suppress(FileExistsError):  # somebody was faster, or it is no directory: opening it tells
            os.mkdir(last, dir_fd=fd)
            _set_directory_mode(fd, last, mode)
    finally:
        os.close(fd)


def _make_from_outside(path: str, mode: int | None) -> None:
    """Make the location, and with it a directory right in it, by path: nothing on the way is another's to swap."""
    missing = []
    above = path
    while not os.path.lexists(above):
        missing.append(above)
        above = os.path.dirname(above)
    os.makedirs(path, exist_ok=True)
    for made in missing:
        _set_directory_mode(None, made, mode)


def _set_directory_mode(directory: int | None, name: str, mode: int | None) -> None:
    """Give a new directory its mode, in spite of the umask; the inherited set-group-id bit stays."""
    if mode is None:
        return
    st = os.stat(name, dir_fd=directory, follow_symlinks=False)
    chmod_entry(directory, name, mode | st.st_mode & stat.S_ISGID)
