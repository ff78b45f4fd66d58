"""How the kernel treats each open file: whether it reads and writes the content itself, what it may keep cached.

Passthrough. Where an open file's content is a descriptor (a local file, a memfd), the kernel is given that descriptor
and its reads, writes and mappings never come to us. It takes CAP_SYS_ADMIN and a kernel that offers it; without either
the same files go through READ and WRITE requests.

A small file in memory that is only read is read into the kernel's cache instead: to make a descriptor of it would cost
more than the one request.

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
from typing import Any

from vfs.openfile import Handle, InPlaceFile, OpenFile
from vfs.transports.kernel import device
from vfs.transports.kernel.protocol import Fopen
from vfs.tree import Node

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

    def open(self, handle: Handle) -> tuple[int, int]:
        """Count one more handle; the flags and the backing file to answer its open with."""
        file = handle.file
        with self._lock:
            mode = self._modes.get(file)
            if mode is None:
                mode = self._modes[file] = _Mode(self._back(file, write=handle.writable))
            mode.handles += 1
            if handle.writable and handle.readable:
                mode.is_mappable = mode.backing != NO_FILE
        flags = 0 if handle.writable and not isinstance(file, InPlaceFile) else _NOFLUSH
        if mode.backing:
            return flags | _PASSTHROUGH, mode.backing
        return flags | self._keep_cache(handle), NO_FILE

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

    def _back(self, file: OpenFile, *, write: bool) -> int:
        """The number under which the kernel has the content of `file`, or NO_FILE."""
        if self._device is None or not (write or self._on_disk or file.entry(None).size > SMALL):
            return NO_FILE
        descriptor = file.content_fd(write)
        if descriptor is None:
            return NO_FILE
        try:
            return device.backing_open(self._device, descriptor)
        except OSError as error:
            logger.debug("%r is not passed through: %s", file.node, error)
            if error.errno == errno.EPERM:
                self._device = None
            return NO_FILE

    def _keep_cache(self, handle: Handle) -> int:
        """KEEP_CACHE if what the kernel may have of the file is still true."""
        entry = handle.node.entry
        if entry is None or handle.writable:
            self._cached.pop(handle.node, None)
            return 0
        now = (entry.version, entry.size, entry.mtime_ns)
        before = self._cached.pop(handle.node, None)
        self._cached[handle.node] = now
        if len(self._cached) > REMEMBERED:
            del self._cached[next(iter(self._cached))]
        return _KEEP_CACHE if before == now else 0
