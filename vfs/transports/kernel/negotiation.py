"""INIT, the first request: what the kernel and this transport agree that both can do."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from vfs.mounts.mountpoint import MountError
from vfs.transports.kernel import device, protocol
from vfs.transports.kernel.protocol import Init
from vfs.transports.kernel.request import Request

logger = logging.getLogger("vfs")

MAX_PAGES = 256
MAX_WRITE = MAX_PAGES * 4096
"""Bytes in the largest request: 1 MiB, the most that the kernel sends."""
MAX_BACKGROUND = 128
"""How many requests that no process waits for, and reads ahead, the kernel has in flight."""
WANTED = (
    Init.ASYNC_READ
    | Init.ATOMIC_O_TRUNC
    | Init.BIG_WRITES
    | Init.AUTO_INVAL_DATA
    | Init.DO_READDIRPLUS
    | Init.READDIRPLUS_AUTO
    | Init.ASYNC_DIO
    | Init.PARALLEL_DIROPS
    | Init.MAX_PAGES
    | Init.CACHE_SYMLINKS
    | Init.INIT_EXT
    | Init.PASSTHROUGH
)


@dataclass(frozen=True, slots=True)
class Agreement:
    """What holds for a mount from its first request on."""

    minor: int
    """Of the protocol's version, whose major number is always the same."""
    read_ahead: int
    """Bytes that the kernel may read ahead."""
    flags: int
    depth: int
    """How many filesystems may lie upon each other where files are passed through; 0 where none is."""

    @property
    def passes_through(self) -> bool:
        """Whether the kernel may be lent descriptors."""
        return bool(self.flags & Init.PASSTHROUGH)

    def reply(self) -> bytes:
        """What the kernel is told of it."""
        return protocol.INIT_OUT.pack(
            protocol.MAJOR,
            self.minor,
            self.read_ahead,
            self.flags & 0xFFFF_FFFF,
            MAX_BACKGROUND,
            MAX_BACKGROUND * 3 // 4,
            MAX_WRITE,
            1,
            MAX_PAGES,
            0,
            self.flags >> 32,
            self.depth,
            0,
        )


def agree(request: Request, backing: int | None) -> Agreement:
    """What comes of an INIT for a storage on the device `backing`, if any; MountError for a kernel too old."""
    major, minor, read_ahead, flags = request.read(protocol.INIT_IN)
    if major < protocol.MAJOR or (major == protocol.MAJOR and minor < protocol.MINOR_MIN):
        raise MountError(f"the kernel speaks FUSE {major}.{minor}; this needs {protocol.MAJOR}.{protocol.MINOR_MIN}")
    if flags & Init.INIT_EXT:
        flags |= protocol.FLAGS2.unpack_from(request.rest(protocol.INIT_IN.size))[0] << 32
    agreed = WANTED & flags
    if agreed & Init.PASSTHROUGH and not device.may_pass_through():
        logger.info("no passthrough, which takes CAP_SYS_ADMIN: reads and writes go through the daemon")
        agreed &= ~Init.PASSTHROUGH
    depth = device.stack_depth(backing) if agreed & Init.PASSTHROUGH else 0
    return Agreement(min(minor, protocol.MINOR), max(read_ahead, MAX_WRITE), agreed, depth)
