"""What is called of libfuse 2 beside the bindings of fusepy, and its replies looked through.

libfuse resolves the kernel's node numbers to paths. Of a file that was unlinked or replaced since the kernel looked it
up it has none, or a hidden one, and answers ENOENT; so open(2) would report a file as missing that is being replaced by
rename(2) and was there all the time. The right answer is ESTALE, on which the kernel looks up again. `Replies` makes
that of it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import Any

try:
    import fuse
except OSError as error:  # fusepy looks for libfuse when it is imported
    raise ImportError("libfuse 2 was not found") from error

__all__ = ("Arguments", "Library", "Replies", "fuse")

_BY_FILE = frozenset({3, 4, 5, 14})
"""The kernel's requests about a file that it has looked up: GETATTR, SETATTR, READLINK, OPEN."""
_REPLY = struct.Struct("=IiQ")
"""The header of a reply: its length, the negative errno, the number of the request."""


class _Vector(ctypes.Structure):
    """The system's `struct iovec`."""

    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


_Receive = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
_Send = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(_Vector), ctypes.c_size_t)
_Destroy = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class _ChannelOperations(ctypes.Structure):
    """libfuse's `struct fuse_chan_ops`."""

    _fields_ = [("receive", _Receive), ("send", _Send), ("destroy", _Destroy)]


class Arguments(ctypes.Structure):
    """libfuse's `struct fuse_args`."""

    _fields_ = [("argc", ctypes.c_int), ("argv", ctypes.POINTER(ctypes.c_char_p)), ("allocated", ctypes.c_int)]


class Library:
    """The functions of libfuse that are called here, with their types."""

    def __init__(self) -> None:
        """Look the functions up in the library that fusepy loaded."""
        pointer, arguments = ctypes.c_void_p, ctypes.POINTER(Arguments)
        operations = ctypes.POINTER(fuse.fuse_operations)
        self.mount = _function("fuse_mount", pointer, ctypes.c_char_p, arguments)
        self.unmount = _function("fuse_unmount", None, ctypes.c_char_p, pointer)
        self.new = _function("fuse_new", pointer, pointer, arguments, operations, ctypes.c_size_t, pointer)
        self.destroy = _function("fuse_destroy", None, pointer)
        self.session = _function("fuse_get_session", pointer, pointer)
        self.exited = _function("fuse_session_exited", ctypes.c_int, pointer)
        self.exit = _function("fuse_session_exit", None, pointer)
        self.buffer_size = _function("fuse_chan_bufsize", ctypes.c_size_t, pointer)
        self.receive = _function(
            "fuse_chan_recv", ctypes.c_int, ctypes.POINTER(pointer), ctypes.c_void_p, ctypes.c_size_t
        )
        self.process = _function("fuse_session_process", None, pointer, ctypes.c_void_p, ctypes.c_size_t, pointer)
        self.new_channel = _function(
            "fuse_chan_new", pointer, ctypes.POINTER(_ChannelOperations), ctypes.c_int, ctypes.c_size_t, pointer
        )
        self.descriptor = _function("fuse_chan_fd", ctypes.c_int, pointer)
        self.context = fuse._libfuse.fuse_get_context


def _function(name: str, result: Any, *arguments: Any) -> Any:
    """A function of libfuse in the version of its API that this module is written to (2.6).

    Linux's libfuse still carries older functions under the same names, and an unversioned lookup finds those.
    """
    prototype = ctypes.CFUNCTYPE(result, *arguments)
    if os.uname().sysname == "Linux":
        find = ctypes.CDLL(None).dlvsym
        find.restype, find.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p]
        for version in (b"FUSE_2.6", b"FUSE_2.4", b"FUSE_2.2"):
            address = find(fuse._libfuse._handle, name.encode(), version)
            if address:
                return prototype(address)
    return prototype((name, fuse._libfuse))


class Replies:
    """Replies of libfuse on their way to the kernel: ENOENT for what was looked up becomes ESTALE."""

    def __init__(self, library: Library) -> None:
        """For the requests of one mount."""
        self._library = library
        self._operations = _ChannelOperations(send=_Send(self._send))
        self._descriptor = -1

    def channel(self, channel: ctypes.c_void_p) -> int:
        """A channel of libfuse that sends to where `channel` does, by way of this object; it lives as long."""
        self._descriptor = self._library.descriptor(channel)
        size = self._library.buffer_size(channel)
        made: int = self._library.new_channel(ctypes.byref(self._operations), self._descriptor, size, None)
        if not made:
            raise MemoryError("libfuse has no room for a channel")
        return made

    def expect(self, buffer: Any) -> bool:
        """Whether the reply to the request in `buffer` is to be looked at, so that it must be sent this way."""
        return struct.unpack_from("=I", buffer, 4)[0] in _BY_FILE

    def _send(self, _channel: int, vectors: Any, count: int) -> int:
        reply = b"".join(ctypes.string_at(vectors[i].base, vectors[i].length) for i in range(count))
        length, error, request = _REPLY.unpack_from(reply)
        if error == -errno.ENOENT:
            reply = _REPLY.pack(length, -errno.ESTALE, request)
        try:
            os.write(self._descriptor, reply)
        except OSError as failure:  # ENOENT: the caller was interrupted and has gone
            return -(failure.errno or errno.EIO)
        return 0
