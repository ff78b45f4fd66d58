"""Where a mount hangs in the tree of directories, and how it leaves it: nothing else is unmounted in its place."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import threading
import time
from pathlib import Path

from vfs.mounts import mountpoint as mountpoints
from vfs.mounts.mountpoint import POLL, MountError

logger = logging.getLogger("vfs")

FORCED_SECONDS = 0.5
"""How long an unmount by force, which ends the connection first, may take to take the mount out of the tree."""


class Attachment:
    """One mount in the tree, from `begin()` until it is served no more."""

    def __init__(self, mountpoint: Path) -> None:
        """Of what is to be mounted at `mountpoint`, an absolute path."""
        self._mountpoint = mountpoint
        self._device: int | None = None
        """As in `st_dev`, while it is served: another mount may have the number after that."""
        self._is_served = False
        self._is_aborted = False
        self._detaching = threading.Lock()

    def begin(self) -> None:
        """It was mounted just now; before it answers."""
        lying = mountpoints.mounted_at(self._mountpoint)
        self._device = None if lying is None else lying.device
        self._is_served = True

    def look(self) -> int:
        """The mount's `st_dev`, as it answers itself; OSError."""
        answered = os.stat(self._mountpoint).st_dev
        if self._is_served and self._device is None:  # the system has no table of mounts
            self._device = answered
        return answered

    @property
    def is_ending(self) -> bool:
        """Whether it is out of the tree already, by whomever, and only served to those who have files open."""
        table = mountpoints.mount_table()
        return self._device is None or (bool(table) and all(entry.device != self._device for entry in table))

    def detach(self, *, lazy: bool) -> bool:
        """Whether the mount is out of the tree now; not while it is busy. MountError where another lies on top."""
        with self._detaching:
            if not self._is_on_top():
                return True
            try:
                mountpoints.detach(self._mountpoint, lazy=lazy)
            except OSError as error:
                if error.errno == errno.EBUSY:
                    return False
                if error.errno != errno.EINVAL:  # nothing is mounted there any more: just what is wanted
                    raise
            return True

    def abort(self) -> None:
        """End the connection, and leave the tree."""
        self._is_aborted = True
        device = self._device
        if device is not None:
            with contextlib.suppress(OSError):
                mountpoints.abort_connection(self._mountpoint, device)
        with contextlib.suppress(OSError, MountError):
            self.detach(lazy=True)

    def end(self) -> bool:
        """It is served no more, and leaves nothing dead there. Whether it was cut off: nobody had unmounted it."""
        forced = time.monotonic() + FORCED_SECONDS
        was_cut_off = False
        while self._lies_there():
            if self._is_aborted or was_cut_off:
                with contextlib.suppress(OSError, MountError):
                    self.detach(lazy=True)
                break
            time.sleep(POLL)
            was_cut_off = time.monotonic() > forced
        self._is_served, self._device = False, None
        return was_cut_off

    def _is_on_top(self) -> bool:
        """Whether what would be unmounted at the mountpoint is this mount; MountError when it is, but below another."""
        if not self._is_served:
            return False
        lying = mountpoints.mounts_at(self._mountpoint)
        if not lying:
            return not mountpoints.mount_table()  # which not every system has
        if lying[-1].device == self._device:
            return True
        if self._lies_there():
            where = str(self._mountpoint)
            raise MountError(f"{lying[-1].kind} is mounted on top of the mount at {where!r}: unmount that first")
        return False

    def _lies_there(self) -> bool:
        """Whether it is in the tree, as far as the system tells."""
        return any(entry.device == self._device for entry in mountpoints.mounts_at(self._mountpoint))
