"""How the kernel treats each open file: whether it reads and writes the content itself, what it may keep cached.

Passthrough. Where an open file's content is a descriptor (a local file, a memfd), the kernel is given that descriptor
and its reads, writes and mappings never come to us. It takes CAP_SYS_ADMIN and a kernel that offers it; without either
the same files go through READ and WRITE requests.

A small file in memory that is only read goes into the kernel's cache instead, with the reply to its open: to make a
descriptor of it would cost more, and no read comes to us either. Only with the first of its handles, for a page that is
being read by another is locked until we have answered.

One inode cannot be open in two modes at once, nor over two descriptors. So the first open of a file decides, and all
that follow get the same until the last has gone. The kernel opens the descriptor's file again for each, with the flags
of that open, so a descriptor that was opened for reading serves those who write too.

What the kernel writes by itself it knows of, and asks for the attributes again. But a store through a mapping changes
times without a word to anybody, so of a file that may be mapped for writing (open for both) no attributes are believed.

Caches. What the kernel has read of a file it may keep over the next open (KEEP_CACHE) when the file's version, size
and time are still what they were.
"""

from __future__ import annotations

import errno
import logging
import threading
from typing import Any, NamedTuple

from vfs.content.openfile import Handle, InPlaceFile, OpenFile
from vfs.names.tree import Node
from vfs.transports.kernel import device
from vfs.transports.kernel.protocol import Fopen

logger = logging.getLogger("vfs")

_NOFLUSH, _PASSTHROUGH, _KEEP_CACHE = int(Fopen.NOFLUSH), int(Fopen.PASSTHROUGH), int(Fopen.KEEP_CACHE)
NO_FILE = 0
"""In place of the number of a backing file."""
SMALL = 1 << 17
"""Bytes that one READ brings."""
REMEMBERED = 1 << 16
"""Of how many files it is remembered what the kernel has cached."""


class _Mode:
    """What holds for an open file until its last handle is gone."""

    __slots__ = ("backing", "handles", "is_mappable")

    def __init__(self, backing: int) -> None:
        self.backing = backing
        self.handles = 0
        self.is_mappable = False


class Opened(NamedTuple):
    """What the kernel is told of an open file."""

    flags: int
    backing: int
    content: bytes | None
    """All of it, for the kernel's cache."""


class OpenModes:
    """The modes of all open files of one mount."""

    def __init__(self, *, on_disk: bool) -> None:
        """Without passthrough, until `offer()`; `on_disk` says that all contents are files there."""
        self._on_disk = on_disk
        self._device: int | None = None
        self._modes: dict[OpenFile, _Mode] = {}
        self._cached: dict[Node, tuple[Any, ...]] = {}
        self._lock = threading.Lock()

    def offer(self, descriptor: int) -> None:
        """The kernel on that device takes backing files."""
        self._device = descriptor

    @property
    def passes_through(self) -> bool:
        """Whether the kernel is given backing files."""
        return self._device is not None

    def open(self, handle: Handle) -> Opened:
        """Count one more handle; what to answer its open with."""
        file = handle.file
        with self._lock:
            mode = self._modes.get(file)
            if mode is None:
                mode = self._modes[file] = _Mode(self._back(handle))
            elif mode.backing and handle.readable:
                file.content_fd(False)  # from now on it may be mapped
            mode.handles += 1
            if handle.writable and handle.readable:
                mode.is_mappable = mode.backing != NO_FILE
        try:
            return self._opened(handle, mode)
        except BaseException:
            self.release(handle)
            raise

    def _opened(self, handle: Handle, mode: _Mode) -> Opened:
        file = handle.file
        flags = 0 if handle.writable and not isinstance(file, InPlaceFile) else _NOFLUSH
        if mode.backing:
            return Opened(flags | _PASSTHROUGH, mode.backing, None)
        if handle.writable:
            self._cached.pop(handle.node, None)
            return Opened(flags, NO_FILE, None)
        if self._is_cached(handle.node):
            return Opened(flags | _KEEP_CACHE, NO_FILE, None)
        if not self._on_disk and mode.handles == 1 and isinstance(file, InPlaceFile):
            content = file.read(SMALL, 0)
            if len(content) < SMALL:
                return Opened(flags | _KEEP_CACHE, NO_FILE, content)
        return Opened(flags, NO_FILE, None)

    def release(self, handle: Handle) -> None:
        """One handle is gone; with the last the kernel's hold on the content."""
        with self._lock:
            mode = self._modes[handle.file]
            mode.handles -= 1
            if mode.handles:
                return
            del self._modes[handle.file]
            if mode.backing and self._device is not None:
                device.backing_close(self._device, mode.backing)

    def is_mappable(self, file: OpenFile) -> bool:
        """Whether the content of `file` may be changed by stores to memory that nobody is told of."""
        mode = self._modes.get(file)
        return mode is not None and mode.is_mappable

    def forget(self, node: Node) -> None:
        """The kernel has dropped the inode, and what it had cached of it."""
        self._cached.pop(node, None)

    def _back(self, handle: Handle) -> int:
        """The number under which the kernel has the content of the file, or NO_FILE."""
        file, write = handle.file, handle.writable
        if self._device is None or not (write or self._on_disk or file.entry(None).size > SMALL):
            return NO_FILE
        descriptor = file.content_fd(write, mappable=handle.readable)  # what is not open for reading cannot be mapped
        if descriptor is None:
            return NO_FILE
        try:
            return device.backing_open(self._device, descriptor)
        except OSError as error:
            logger.debug("%r is not passed through: %s", file.node, error)
            if error.errno == errno.EPERM:
                self._device = None
            return NO_FILE

    def _is_cached(self, node: Node) -> bool:
        """Whether what the kernel may have read of `node` before is still true; from now on it has what is there."""
        entry = node.entry
        if entry is None:
            self._cached.pop(node, None)
            return False
        now = (entry.version, entry.size, entry.mtime_ns)
        before = self._cached.pop(node, None)
        self._cached[node] = now
        if len(self._cached) > REMEMBERED:
            del self._cached[next(iter(self._cached))]
        return before == now
