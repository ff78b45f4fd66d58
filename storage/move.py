"""Moving a file of the local filesystem: without a copy where that is possible, and never over another by accident."""

from __future__ import annotations

import contextlib
import os
from shutil import copymode, copystat
from typing import BinaryIO

from storage import locks

__all__ = ["file_move_safe"]

Path = str | os.PathLike[str]


def file_move_safe(
    old_file_name: Path,
    new_file_name: Path,
    chunk_size: int = 1024 * 64,
    allow_overwrite: bool = False,
) -> None:
    """Move a file, by rename where both names are on one filesystem, by copy and delete otherwise.

    FileExistsError when the new name is taken and `allow_overwrite` is False: of two processes that move to one
    name, one gets it.
    """
    if _same_file(old_file_name, new_file_name):
        return
    if not allow_overwrite and os.path.lexists(new_file_name):
        raise _destination_exists(new_file_name)
    if _rename(old_file_name, new_file_name, allow_overwrite):
        return
    with open(old_file_name, "rb") as source:
        _copy(source, new_file_name, chunk_size, allow_overwrite)
    _copy_attributes(old_file_name, new_file_name)
    os.remove(old_file_name)


def _same_file(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:  # one of them is missing, so they are not the same
        return False


def _destination_exists(name: Path) -> FileExistsError:
    return FileExistsError(f"Destination file {os.fspath(name)} exists and allow_overwrite is False.")


def _rename(old: Path, new: Path, allow_overwrite: bool) -> bool:
    """Rename without a copy; False when the filesystem cannot, and a copy has to do."""
    try:
        if allow_overwrite:
            os.rename(old, new)
            return True
        # A rename would take the place of a file that appeared a moment ago; a link fails.
        os.link(old, new, follow_symlinks=False)
    except FileExistsError as error:
        raise _destination_exists(new) from error
    except (OSError, NotImplementedError):
        return False
    try:
        os.unlink(old)
    except BaseException:
        os.unlink(new)
        raise
    return True


def _copy(source: BinaryIO, new: Path, chunk_size: int, allow_overwrite: bool) -> None:
    """Write the content of `source` to `new`; what a failure leaves half-written there is removed."""
    flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0)
    try:
        fd = os.open(new, flags | (os.O_TRUNC if allow_overwrite else os.O_EXCL), 0o666)
    except FileExistsError as error:
        raise _destination_exists(new) from error
    try:
        with open(fd, "wb", buffering=0) as target:
            locks.lock(target, locks.LOCK_EX)
            while chunk := source.read(chunk_size):
                rest = memoryview(chunk)
                while rest:
                    rest = rest[target.write(rest) :]
    except BaseException:
        os.unlink(new)
        raise


def _copy_attributes(old: Path, new: Path) -> None:
    """Copy mode, times and what else the filesystems share; some (CIFS, SELinux) forbid one or all of it."""
    try:
        copystat(old, new)
    except PermissionError:
        with contextlib.suppress(PermissionError):
            copymode(old, new)
