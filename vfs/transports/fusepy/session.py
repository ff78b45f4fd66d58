"""The fusepy transport: libfuse 2 through ctypes, on Linux, macOS and BSD.

libfuse's high-level interface speaks paths, the core speaks nodes: `_at()` walks a path to its node, which costs
a dict lookup for each component that is known. fusepy lends its bindings (structures, callback types, the library);
its class `FUSE` is not used, because it decodes names as strict UTF-8, rounds times, returns garbage as success for a
SystemExit, and installs signal handlers of its own. So a callback here takes C values and gives a C int, through the
one guard of `Transport`.

Choices that are not obvious:
- An open file that is unlinked or replaced: libfuse renames it to `.fuse_hidden...` first, so that it has a path for
  a fstat() that the kernel sends without a handle. Here that name exists for libfuse alone: the storage sees the
  unlink or the rename that was asked for, atomic as ever. To tell the two apart one must know the kernel's request, so
  the loop is ours.
- `attr_timeout=0`: libfuse has one kernel inode for each path, so what one hard link changes would stay invisible
  through another.
- A file that is replaced while its open(2) waits is looked up again: see `Replies`.
- `atomic_o_trunc`: else the kernel truncates by path before it opens, which would store an empty object first.
- without `xattr` no callback for it is given, and one ENOSYS keeps the kernel from asking again before each write.
"""

from __future__ import annotations

import ctypes
import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vfs.filesystem import FileSystem
from vfs.mounts.mountpoint import MountError
from vfs.mounts.options import MountOptions
from vfs.transports.base import Transport
from vfs.transports.fusepy.callbacks import Callbacks
from vfs.transports.fusepy.library import Arguments, Library, Replies, fuse

MAX_WRITE = 1 << 17
"""Bytes in a write request: the most that libfuse 2 takes."""
THREADS = 10
"""How many requests are served at once where a storage may wait for a network."""


class FusepyTransport(Transport):
    """One mount through libfuse 2."""

    name = "fusepy"

    def __init__(
        self, filesystem: FileSystem, mountpoint: Path, options: MountOptions, source: str, *, shared: bool = False
    ) -> None:
        """See `Transport`."""
        super().__init__(filesystem, mountpoint, options, source, shared=shared)
        self._library = Library()
        self._replies = Replies(self._library)
        self._callbacks = Callbacks(filesystem, self._library)
        self._operations = self._table()
        self._channel: int | None = None
        self._fuse: int | None = None

    # -- life

    def mount(self) -> None:
        """See `Transport.mount`."""
        words = [b"vfs", b"-o", ",".join(self._mount_options()).encode()]
        argv = (ctypes.c_char_p * len(words))(*words)
        arguments = Arguments(len(words), argv, 0)
        path = os.fsencode(self.mountpoint)
        self._channel = self._library.mount(path, ctypes.byref(arguments))
        if not self._channel:
            raise MountError(
                f"libfuse could not mount at {str(self.mountpoint)!r}; its own words are above or in the log"
            )
        os.set_inheritable(self._library.descriptor(self._channel), False)  # who has it keeps the mount alive
        self._fuse = self._library.new(
            self._channel,
            ctypes.byref(arguments),
            ctypes.byref(self._operations),
            ctypes.sizeof(self._operations),
            None,
        )
        if not self._fuse:
            self._library.unmount(path, self._channel)
            raise MountError("libfuse refused the mount options")

    def serve(self) -> None:
        """See `Transport.serve`."""
        several = self.filesystem.storage.blocking if self.options.threads is None else self.options.threads
        others = [
            threading.Thread(target=self._answer_requests, name=f"vfs-request-{number}", daemon=True)
            for number in range(1, THREADS if several else 1)
        ]
        for thread in others:
            thread.start()
        try:
            self._answer_requests()
            for thread in others:
                thread.join()
        finally:
            self._library.unmount(os.fsencode(self.mountpoint), self._channel)
            self._library.destroy(self._fuse)

    def _answer_requests(self) -> None:
        """libfuse's loop, with a note of the request that is being answered."""
        library, channel = self._library, ctypes.c_void_p(self._channel)
        session = library.session(self._fuse)
        size = library.buffer_size(channel)
        replies = self._replies.channel(channel)
        self._callbacks.request.buffer = buffer = ctypes.create_string_buffer(size)
        while not library.exited(session):
            length = library.receive(ctypes.byref(channel), buffer, size)
            if length > 0:
                checked = self._replies.expect(buffer)
                library.process(session, buffer, length, replies if checked else channel)
            elif length != -errno.EINTR:
                library.exit(session)  # unmounted, or the device is gone

    @property
    def handles(self) -> int:
        """See `Transport.handles`."""
        return len(self._callbacks.handles)

    def leave(self) -> None:
        """See `Transport.leave`: close the device."""
        if self._channel:
            os.close(self._library.descriptor(self._channel))

    def _mount_options(self) -> list[str]:
        options = self.options
        own = 0.0 if self.shared else 1.0  # nothing can be invalidated
        entry = own if options.entry_timeout is None else options.entry_timeout
        attributes = 0.0 if options.attr_timeout is None else options.attr_timeout
        if self.filesystem.storage.blocking:
            _, believed, entry = options.believed(shared=self.shared)
            attributes = min(attributes, believed)
        words = [
            f"fsname={self.source}",
            "subtype=vfs",
            "default_permissions",
            "use_ino",
            "big_writes",
            "atomic_o_trunc",
            "auto_cache",
            f"max_write={MAX_WRITE}",
            f"entry_timeout={entry}",
            f"attr_timeout={attributes}",
        ]
        if os.uname().sysname == "Darwin":  # macFUSE has neither
            words = [word for word in words if word not in {"big_writes", "atomic_o_trunc"}]
        words += ["ro"] * options.ro + ["allow_other"] * options.allow_other + ["noexec"] * options.noexec
        return words

    def _table(self) -> fuse.fuse_operations:
        """The table of callbacks: each method of `Callbacks` that has the name of an operation, behind the guard."""
        table = fuse.fuse_operations()
        left_out = set() if self.options.xattr else {"getxattr", "setxattr", "listxattr", "removexattr"}
        for name, prototype, *_ in fuse.fuse_operations._fields_:
            if name == "init":
                table.init = prototype(self._initialised)
            method = getattr(self._callbacks, name, None)
            if method is not None and name not in left_out:
                setattr(table, name, prototype(self._guarded(name, method)))
        table.flag_nullpath_ok = 1
        table.flag_utime_omit_ok = 1
        return table

    def _guarded(self, name: str, method: Callable[..., int | None]) -> Callable[..., int]:
        guard, tracing = self.guard, self.tracing

        def answer(*arguments: Any) -> int:
            if tracing.is_on:
                return self._traced(name, method, arguments)
            return guard(name, lambda: method(*arguments) or 0)

        return answer

    def _traced(self, name: str, method: Callable[..., int | None], arguments: tuple[Any, ...]) -> int:
        """A request that is told to who traces; what it is about is seen before, as a release forgets it."""
        began = time.perf_counter_ns()
        paths = self._callbacks.paths(name, arguments)
        result = self.guard(name, lambda: method(*arguments) or 0)
        self.tracing.tell(name, paths, self._callbacks.caller().pid, time.perf_counter_ns() - began, max(0, -result))
        return result

    def _initialised(self, _connection: int) -> int:
        self.ready.set()
        return 0
