"""Folders that nobody else may look into: of records and sockets, of what waits for a storage, of what was read."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def make_private(folder: Path) -> None:
    """Make a folder for this user alone, unless it is there; PermissionError (EACCES) for one that others may enter."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not is_private(folder):
        raise PermissionError(errno.EACCES, "it must belong to you alone (mode 0700)", str(folder))


def is_private(folder: Path) -> bool:
    """Whether it is this user's, and closed to all others."""
    found = folder.lstat()
    return found.st_uid == os.geteuid() and not stat.S_IMODE(found.st_mode) & 0o077
