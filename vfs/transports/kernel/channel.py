"""The device of one mount: requests are read from it, replies and notifications written to it.

Errors of it that are part of the conversation end here: a request whose process went away before it was read, a reply
that nobody waits for any more, a mount that is gone.
"""

from __future__ import annotations

import errno
import logging
import os

from vfs.transports.kernel.protocol import OUT_HEADER

logger = logging.getLogger("vfs")

JOINED = 4096
"""Bytes of a reply from which on it is not copied to its header."""
_GONE = frozenset({errno.ENODEV, errno.ECONNABORTED, errno.EBADF})


class Channel:
    """An open descriptor of /dev/fuse, or none yet, or none any more."""

    __slots__ = ("descriptor",)

    def __init__(self) -> None:
        """Not connected."""
        self.descriptor = -1

    def receive(self, buffer: bytearray) -> int | None:
        """Read the next request; how many bytes it has, 0 when the mount is gone, None when there is none after all."""
        try:
            return os.readv(self.descriptor, (buffer,))
        except (BlockingIOError, InterruptedError, FileNotFoundError):
            return None  # another thread was faster, or the process that asked went away before we looked
        except OSError as error:
            if error.errno not in _GONE:
                logger.error("the device failed, and the mount ends: %s", error)
            return 0

    def send(self, unique: int, code: int, body: bytes | memoryview, name: str) -> bool:
        """Reply to the request `unique`, which log messages call `name`; whether the kernel took it."""
        header = OUT_HEADER.pack(OUT_HEADER.size + len(body), -code, unique)
        try:
            if len(body) < JOINED:
                os.write(self.descriptor, header + body)
            else:
                os.writev(self.descriptor, (header, body))
        except OSError as error:
            if error.errno == errno.EINVAL:
                logger.error("the kernel did not take the reply to %s", name)
                os.write(self.descriptor, OUT_HEADER.pack(OUT_HEADER.size, -errno.EIO, unique))
            elif error.errno != errno.ENOENT and error.errno not in _GONE:
                logger.error("a reply was not sent: %s", error)
            return False
        return True

    def notify(self, message: bytes) -> bool:
        """Tell the kernel what nobody asked for; whether it understood."""
        try:
            os.write(self.descriptor, message)
        except FileNotFoundError:
            return True  # the kernel has no such inode or name: just as well
        except OSError as error:
            logger.debug("the kernel took no notification: %s", error)
            return False
        return True

    def close(self) -> None:
        """Let go of the device."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
