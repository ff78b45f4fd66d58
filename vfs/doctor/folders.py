"""The folders of a mount on the local disk: the spool, which it must not lose, and the cache."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from vfs import amounts
from vfs.cache.disk import FOLDER
from vfs.doctor.checks import Check, failure, ok, warning
from vfs.mounts.mountpoint import mount_table
from vfs.mounts.options import MountOptions
from vfs.private_folders import is_private
from vfs.spool.spools import StorageSpools, default_root

_LITTLE = 1 << 30
"""Bytes of a spool below which a large upload may well not fit."""
_GIB = 1 << 30
_OPTIONS = {"spool": "spool", "cache": "cache_dir"}
_ELSEWHERE = "make room, or put it elsewhere with -o spool=DIRECTORY"


def checks(options: MountOptions) -> Iterator[Check]:
    """Look at the folders that a mount with these options would use; nothing is made."""
    yield _spool(Path(options.spool) if options.spool else default_root(), options.spool_size)
    yield _cache(Path(options.cache_dir) if options.cache_dir else None, options.cache_size)


def _spool(folder: Path, size: int | None) -> Check:
    name, there = "spool", _nearest(folder)
    wrong = _unusable(name, folder, there)
    if wrong is not None:
        return wrong
    try:
        opened = [spools.folder for spools in StorageSpools.all(folder) if not is_private(spools.folder)]
    except (OSError, ValueError, KeyError) as error:
        return failure(name, f"what is in {folder} cannot be understood: {error}", "`vfs recover` cannot use it either")
    if opened:
        return warning(name, f"others may look into {opened[0]}", f"close it with: chmod 700 {opened[0]}")
    free = shutil.disk_usage(there).free
    if _is_in_memory(there):
        message = f"{folder} is in memory: what waits there is lost when the machine stops"
        return warning(name, message, "put it on a disk with -o spool=DIRECTORY")
    if free < (size or _LITTLE):
        wanted = f"; spool_size allows {amounts.size(size)}" if size else ", and larger uploads fail with ENOSPC"
        return warning(name, f"{folder} has {amounts.size(free)} of room{wanted}", _ELSEWHERE)
    return ok(name, f"{folder} {_state(folder)}; it has {amounts.size(free)} of room")


def _cache(folder: Path | None, size: int) -> Check:
    name = "cache"
    if folder is None:
        return ok(name, "what is read is kept in memory alone", "-o cache_dir=DIRECTORY keeps it for the next mount")
    blocks = folder / FOLDER
    there = _nearest(blocks)
    wrong = _unusable(name, folder, there)
    if wrong is not None:
        return wrong
    if there == blocks and not is_private(blocks):
        return failure(name, f"{blocks} must belong to this user alone", f"use another folder, or: chmod 700 {blocks}")
    room = shutil.disk_usage(there).free + _size_of(blocks)
    if room < size:
        advice = f"say -o cache_size={max(room // _GIB // 2, 1)}G, or make room"
        return warning(
            name, f"cache_size allows {amounts.size(size)}, and {folder} has room for {amounts.size(room)}", advice
        )
    return ok(name, f"{folder} {_state(folder)}; it has room for {amounts.size(room)}")


def _nearest(folder: Path) -> Path:
    """The folder, or the closest above it that is there."""
    return next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))


def _unusable(name: str, folder: Path, there: Path) -> Check | None:
    """What keeps this user from making files in the folder."""
    if not there.is_dir():
        return failure(name, f"{there} is not a directory", f"choose another folder than {folder}")
    if not os.access(there, os.R_OK | os.W_OK | os.X_OK):
        what = f"{folder} cannot be used" if there == folder else f"{folder} cannot be made in {there}"
        return failure(name, f"{what} by this user", f"choose another with -o {_OPTIONS[name]}=DIRECTORY")
    return None


def _is_in_memory(folder: Path) -> bool:
    device = folder.stat().st_dev
    return any(entry.kind in ("tmpfs", "ramfs") and entry.device == device for entry in mount_table())


def _size_of(folder: Path) -> int:
    """Bytes of what is in a folder that others may be changing."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(path, name)).st_size
            except FileNotFoundError:
                continue
    return total


def _state(folder: Path) -> str:
    return "is there" if folder.exists() else "will be made"
