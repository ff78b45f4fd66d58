"""One request of the kernel, read field by field as its opcode needs it."""

from __future__ import annotations

import errno
import os
from struct import Struct
from typing import Any

from vfs.callers import Caller
from vfs.transports.kernel.protocol import IN_HEADER

_BODY = IN_HEADER.size


class Request:
    """A request in a buffer, whose first `length` bytes are its own."""

    __slots__ = ("buffer", "claimed", "gid", "length", "nodeid", "opcode", "pid", "uid", "unique")

    def __init__(self, buffer: bytearray, length: int) -> None:
        """Over `buffer`, which must hold a header; what follows it is looked at when it is asked for."""
        self.buffer = buffer
        self.length = length
        self.claimed: int
        """The length that the header says."""
        self.claimed, self.opcode, self.unique, self.nodeid, self.uid, self.gid, self.pid, _, _ = IN_HEADER.unpack_from(
            buffer
        )

    @property
    def caller(self) -> Caller:
        """The process that asks."""
        return Caller(self.uid, self.gid, self.pid)

    def detach(self) -> bytearray:
        """Go on with a copy of its own; returns the buffer."""
        buffer, self.buffer = self.buffer, self.buffer[: self.length]
        return buffer

    def read(self, structure: Struct) -> tuple[Any, ...]:
        """The structure that follows the header; OSError (EINVAL) where the request is too short for it."""
        if _BODY + structure.size > self.length:
            raise malformed()
        return structure.unpack_from(self.buffer, _BODY)

    def name(self, skip: int = 0) -> str:
        """The name that follows `skip` bytes of structure, without its NUL."""
        return self.buffer[_BODY + skip : self.length - 1].decode("utf-8", "surrogateescape")

    def names(self, count: int, skip: int = 0) -> list[str]:
        """The `count` names that follow `skip` bytes of structure; OSError (EINVAL) for fewer."""
        names = bytes(self.buffer[_BODY + skip : self.length - 1]).split(b"\0")
        if len(names) != count:
            raise malformed()
        return [os.fsdecode(name) for name in names]

    def rest(self, skip: int) -> memoryview:
        """All that follows `skip` bytes of structure."""
        return memoryview(self.buffer)[_BODY + skip : self.length]


def malformed() -> OSError:
    """The error for a request that does not say what its opcode needs."""
    return OSError(errno.EINVAL, "malformed request")


def stale() -> OSError:
    """The error for a number that stands for nothing (any more)."""
    return OSError(errno.ESTALE, os.strerror(errno.ESTALE))
