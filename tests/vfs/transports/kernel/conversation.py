"""The kernel's end of a conversation, played by a test: bytes in, bytes out, and no mount.

A pair of sockets that keep messages apart stands in for the device; the transport reads requests from its end as it
reads /dev/fuse.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import threading
from typing import NamedTuple

from vfs.transports.kernel import protocol
from vfs.transports.kernel.protocol import IN_HEADER, OUT_HEADER, Init, Opcode
from vfs.transports.kernel.session import KernelTransport

SECONDS = 5
KERNEL_FLAGS = 0xFFFF_FFFF & ~Init.PASSTHROUGH
"""What a kernel offers that has everything but passthrough."""


class Reply(NamedTuple):
    """What came back for a request: a positive errno, or 0, and the body."""

    unique: int
    code: int
    body: bytes

    @property
    def error(self) -> str:
        return errno.errorcode[self.code] if self.code else ""


class Conversation:
    """A transport that serves a device which is a socket."""

    def __init__(self, transport: KernelTransport) -> None:
        self.transport = transport
        self.ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.ours.settimeout(SECONDS)
        theirs.setblocking(False)
        transport._channel.descriptor = theirs.detach()
        self._unique = 0
        self._thread = threading.Thread(target=transport.serve, daemon=True)
        self._thread.start()

    def send(self, opcode: int, body: bytes = b"", nodeid: int = protocol.ROOT, *, length: int | None = None) -> int:
        """Send a request; returns its unique number. `length` is what its header says, if not the truth."""
        self._unique += 2
        length = IN_HEADER.size + len(body) if length is None else length
        self.raw(
            IN_HEADER.pack(length, opcode, self._unique, nodeid, os.getuid(), os.getgid(), os.getpid(), 0, 0) + body
        )
        return self._unique

    def raw(self, message: bytes) -> None:
        """Send bytes, whatever they are."""
        self.ours.send(message)

    def receive(self) -> Reply:
        """The next message of the transport; TimeoutError."""
        message = self.ours.recv(1 << 21)
        length, code, unique = OUT_HEADER.unpack_from(message)
        assert length == len(message)
        return Reply(unique, -code, message[OUT_HEADER.size :])

    def ask(self, opcode: int, body: bytes = b"", nodeid: int = protocol.ROOT) -> Reply:
        """Send a request and take its reply."""
        unique = self.send(opcode, body, nodeid)
        reply = self.receive()
        assert reply.unique == unique
        return reply

    def greet(self, flags: int = KERNEL_FLAGS, minor: int = protocol.MINOR) -> Reply:
        """INIT, as a kernel of that version with those flags begins."""
        body = protocol.INIT_IN.pack(protocol.MAJOR, minor, 1 << 17, flags & 0xFFFF_FFFF)
        return self.ask(Opcode.INIT, body + struct.pack("=I44x", flags >> 32))

    def lookup(self, name: str, directory: int = protocol.ROOT) -> int:
        """The node id of a name, which is there; a lookup is counted."""
        reply = self.ask(Opcode.LOOKUP, name.encode() + b"\0", directory)
        assert not reply.code, reply.error
        nodeid: int = protocol.ENTRY_OUT.unpack(reply.body)[0]
        return nodeid

    def create(self, name: str, flags: int = os.O_RDWR) -> tuple[int, int]:
        """Make and open a file in the root: its node id and the number of the handle."""
        reply = self.ask(Opcode.CREATE, protocol.CREATE_IN.pack(flags, 0o100644, 0, 0) + name.encode() + b"\0")
        assert not reply.code, reply.error
        nodeid: int = protocol.ENTRY_OUT.unpack_from(reply.body)[0]
        handle: int = protocol.OPEN_OUT.unpack_from(reply.body, protocol.ENTRY_OUT.size)[0]
        return nodeid, handle

    def write(self, nodeid: int, handle: int, data: bytes, offset: int = 0) -> int:
        """Write to an open file; how much of it was written."""
        body = protocol.WRITE_IN.pack(handle, offset, len(data), 0, 0, 0, 0) + data
        written: int = protocol.WRITE_OUT.unpack(self.ask(Opcode.WRITE, body, nodeid).body)[0]
        return written

    def read(self, nodeid: int, handle: int, size: int, offset: int = 0) -> bytes:
        """Read from an open file."""
        reply = self.ask(Opcode.READ, protocol.READ_IN.pack(handle, offset, size, 0, 0, 0, 0), nodeid)
        assert not reply.code, reply.error
        return reply.body

    def release(self, nodeid: int, handle: int) -> None:
        """Close an open file."""
        self.ask(Opcode.RELEASE, protocol.RELEASE_IN.pack(handle, 0, 0, 0), nodeid)

    def forget(self, nodeid: int, count: int = 1) -> None:
        """Take lookups back; there is no reply."""
        self.send(Opcode.FORGET, protocol.FORGET_IN.pack(count), nodeid)

    def is_over(self) -> bool:
        """Whether the transport has ended, or does so soon."""
        self._thread.join(SECONDS)
        return not self._thread.is_alive()

    def end(self) -> None:
        """Close the kernel's end, as an unmount does."""
        self.ours.close()
        assert self.is_over(), "the loop did not end"
