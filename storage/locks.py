"""Advisory locks on whole files, in the manner of flock(2).

    with open("counter", "r+b") as file:
        lock(file, LOCK_EX)

The locks are held by the open file, not by the process: closing it releases them.
"""

from __future__ import annotations

import sys
from typing import Protocol

__all__ = ("LOCK_EX", "LOCK_NB", "LOCK_SH", "lock", "unlock")


class HasFileno(Protocol):
    """Anything with a descriptor."""

    def fileno(self) -> int:
        """The descriptor."""


if sys.platform == "win32":
    LOCK_SH = LOCK_NB = LOCK_EX = 0

    def lock(f: HasFileno | int, flags: int) -> bool:
        """Locks are not supported here: False, nothing is locked."""
        return False

    def unlock(f: HasFileno | int) -> bool:
        """Locks are not supported here: True, nothing was locked."""
        return True

else:
    import fcntl

    LOCK_SH = fcntl.LOCK_SH
    LOCK_NB = fcntl.LOCK_NB
    LOCK_EX = fcntl.LOCK_EX

    def lock(f: HasFileno | int, flags: int) -> bool:
        """Lock a file or descriptor; `flags` is LOCK_SH or LOCK_EX, with LOCK_NB not to wait.

        False when LOCK_NB was given and somebody else holds the lock.
        """
        try:
            fcntl.flock(f, flags)
        except BlockingIOError:
            return False
        return True

    def unlock(f: HasFileno | int) -> bool:
        """Release the lock of a file or descriptor; always True."""
        fcntl.flock(f, fcntl.LOCK_UN)
        return True
