"""From an `Entry` to the attributes that stat(2) shows, and the policy for what a backend does not know."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import NamedTuple

from storage.entry import Entry, Kind

BLOCK = 512
"""Bytes in a unit of `Attributes.blocks`, by POSIX."""
_DIRECTORY = Kind.DIRECTORY


class Attributes(NamedTuple):
    """What stat(2) shows of a node: `mode` with its type bits, times in ns, `blocks` of 512 bytes."""

    ino: int
    mode: int
    nlink: int
    uid: int
    gid: int
    rdev: int
    size: int
    blocks: int
    atime_ns: int
    mtime_ns: int
    ctime_ns: int
    btime_ns: int | None = None
    """When it was made, where the storage knows."""


@dataclass(slots=True)
class Kept:
    """Attributes that the mount keeps for a node because the storage cannot, for as long as the mount lives."""

    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    atime_ns: int | None = None
    mtime_ns: int | None = None
    ctime_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """What to show where a backend knows no owner, mode or time, and what the mount's options override.

    `uid` and `gid` replace what the storage says when given (mount options `uid=`, `gid=`); `umask`
    is taken off every mode shown when given.
    """

    uid: int | None = None
    gid: int | None = None
    umask: int | None = None
    owner: int = field(default_factory=os.getuid)
    group: int = field(default_factory=os.getgid)
    mounted_ns: int = field(default_factory=time.time_ns)

    def attributes(self, entry: Entry, ino: int, kept: Kept | None = None) -> Attributes:
        """The attributes of `entry` as the mount shows them: options, then what the mount keeps, then the storage."""
        mode, uid, gid, atime, mtime, ctime = (
            entry.mode,
            entry.uid,
            entry.gid,
            entry.atime_ns,
            entry.mtime_ns,
            entry.ctime_ns,
        )
        if kept is not None:
            mode = mode if kept.mode is None else kept.mode
            uid = uid if kept.uid is None else kept.uid
            gid = gid if kept.gid is None else kept.gid
            atime = atime if kept.atime_ns is None else kept.atime_ns
            mtime = mtime if kept.mtime_ns is None else kept.mtime_ns
            ctime = ctime if kept.ctime_ns is None else kept.ctime_ns
        is_dir = entry.kind is _DIRECTORY
        if mode is None:
            mode = 0o755 if is_dir else 0o644
        if self.umask is not None:
            mode &= ~self.umask
        if mtime is None:
            mtime = self.mounted_ns
        return Attributes(
            ino,
            mode | entry.kind.type_bits,
            (2 if is_dir else 1) if entry.nlink is None else entry.nlink,
            self.uid if self.uid is not None else self.owner if uid is None else uid,
            self.gid if self.gid is not None else self.group if gid is None else gid,
            entry.rdev,
            entry.size,
            -(-entry.size // BLOCK) if entry.blocks is None else entry.blocks,
            mtime if atime is None else atime,
            mtime,
            mtime if ctime is None else ctime,
            entry.btime_ns,
        )
