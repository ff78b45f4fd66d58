"""One request of the kernel, read field by field as its opcode needs it."""

from __future__ import annotations

import errno
import os
from struct import Struct
from time import perf_counter_ns
from typing import Any

from vfs.callers import Caller
from vfs.transports.kernel.protocol import IN_HEADER

_BODY = IN_HEADER.size


class Request:
    """A request in a buffer, whose first `length` bytes are its own; the next one may come into the same buffer."""

    __slots__ = ("arrived", "buffer", "claimed", "gid", "length", "nodeid", "opcode", "pid", "uid", "unique")

    def __init__(self, buffer: bytearray) -> None:
        """None yet."""
        self.buffer = buffer

    def arrive(self, length: int) -> None:
        """The request that is in the buffer, which must hold a header; the rest is looked at when it is asked for."""
        self.arrived = perf_counter_ns()
        """When it came (time.perf_counter_ns)."""
        self.length = length
        self.claimed: int
        """The length that the header says."""
        self.claimed, self.opcode, self.unique, self.nodeid, self.uid, self.gid, self.pid, _, _ = IN_HEADER.unpack_from(
            self.buffer
        )

    @property
    def caller(self) -> Caller:
        """The process that asks."""
        return Caller(self.uid, self.gid, self.pid)

    def copy(self) -> Request:
        """The same request, over a buffer of its own that is no longer than it."""
        copy = Request(self.buffer[: self.length])
        copy.arrive(self.length)
        return copy

    def part(self, spare: bytearray) -> Request:
        """The same request, over the buffer that it is in; the next one comes into `spare`."""
        taken = Request(self.buffer)
        taken.arrive(self.length)
        self.buffer = spare
        return taken

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
