"""A mount served by threads of this process, and the `with` block around one.

Everything that mounts goes through `Mount`: the daemon (vfs.daemon) has one in its process, `mounted()` one in yours.
A process that uses a mount of its own can stop itself, in ways that no care here can prevent:

- mmap or execution of a file of the own mount faults with the interpreter's lock held, which the serving thread needs;
- Debian 12's own Python 3.11.2 waits with vfork in `subprocess.run(cwd=PATH_BELOW_THE_MOUNT)`; newer ones do not;
- exiting with a file open on the own mount would wait for an answer of a thread that is gone.

So the mounts of a process are aborted when it exits, and a forked child lets go of the device. Leave the block before
you exit.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import logging
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vfs import mountpoint as mountpoints
from vfs.attributes import Policy
from vfs.filesystem import FileSystem
from vfs.options import MountOptions
from vfs.transports import load
from vfs.transports.base import MountError

if TYPE_CHECKING:
    from storage.base import Storage

logger = logging.getLogger("vfs")

START_SECONDS = 20.0
"""How long the kernel may take to greet a new mount."""

_living: set[Mount] = set()
"""The mounts that this process serves."""


def resolve(storage_or_alias: Any) -> tuple[Storage, str]:
    """A storage with the extended surface, and what to call it: from an alias, one of ours, or any Django backend
    object.

    ImproperlyConfigured (InvalidStorageError) for an alias that is unknown or whose backend cannot be made.
    """
    from storage import storages
    from storage.remote.django import adapt

    if isinstance(storage_or_alias, str):
        return adapt(storages[storage_or_alias]), storage_or_alias
    return adapt(storage_or_alias), type(storage_or_alias).__name__


class Mount:
    """One storage mounted at one directory, from `start()` to `unmount()`; usable as a `with` block of its path."""

    def __init__(
        self,
        storage_or_alias: Any,
        mountpoint: Path | str,
        options: MountOptions | None = None,
        transport: str = "auto",
        *,
        shared: bool = False,
    ) -> None:
        """A mount to be. All arguments are checked now: MountError, ImproperlyConfigured.

        `shared` says that this process uses the storage beside the mount, and maybe the mount as well.
        """
        self.options = options or MountOptions()
        self.storage, self.source = resolve(storage_or_alias)
        self.mountpoint = mountpoints.absolute(mountpoint)
        mountpoints.prepare(self.mountpoint)
        transport_class = load(transport)
        try:
            self.filesystem = _filesystem(self.storage, self.options, shared)
        except FileNotFoundError as error:
            missing = f": {error.filename!r} does not exist; make it, or mend its location" if error.filename else ""
            raise MountError(f"the storage {self.source!r} has no root{missing}") from error
        except OSError as error:
            raise MountError(f"the storage {self.source!r} does not answer: {error}") from error
        self.transport = transport_class(self.filesystem, self.mountpoint, self.options, self.source, shared=shared)
        self._thread = threading.Thread(target=self._serve, name=f"vfs {self.mountpoint}", daemon=True)
        self._ended = threading.Event()
        self._device: int | None = None

    def start(self) -> Mount:
        """Mount, and return when it answers; MountError."""
        self.transport.mount()
        _living.add(self)
        self._thread.start()
        if not self.transport.ready.wait(START_SECONDS):
            self.abort()
            raise MountError(f"the kernel did not greet the mount within {START_SECONDS:.0f} s")
        try:
            self._device = os.stat(self.mountpoint).st_dev
        except OSError as error:
            self.abort()
            raise MountError(f"the new mount does not answer: {error}") from error
        self.transport.tune(self._device)
        return self

    def _serve(self) -> None:
        try:
            self.transport.serve()
        except Exception:
            logger.exception("the transport ended with an error")
        try:
            self.filesystem.drain()
            self.filesystem.close()
        except Exception:
            logger.exception("not everything could be stored or kept")
        finally:
            _living.discard(self)
            self._ended.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until the mount has ended, by whomever, and everything is stored or kept; whether it has."""
        return self._ended.wait(seconds)

    def unmount(self, *, wait: float = 10.0, lazy: bool = False) -> None:
        """Store what is pending, unmount, and return when all is done.

        MountError when files could not be stored (their content is kept, the mount stays) or when it is in use for
        `wait` seconds; `lazy` takes it out of the tree at once and goes on serving who has files open.
        """
        if self._ended.is_set():
            return
        unsaved = [] if lazy else self.filesystem.drain()
        if unsaved:
            raise MountError(f"{len(unsaved)} file(s) could not be stored, the first is {unsaved[0]!r}; see the log")
        deadline = time.monotonic() + wait
        while not self._detach(lazy):
            if time.monotonic() > deadline:
                raise MountError(f"{str(self.mountpoint)!r} is busy: close what is open there, or unmount lazily")
            self._ended.wait(mountpoints.POLL)
        if not self.wait(wait) and not lazy:
            raise MountError(f"the mount at {str(self.mountpoint)!r} does not come to its end")

    def _detach(self, lazy: bool) -> bool:
        """Whether the mount is out of the tree now; not while it is busy."""
        try:
            mountpoints.detach(self.mountpoint, lazy=lazy)
        except OSError as error:
            if error.errno == errno.EBUSY:
                return False
            if error.errno != errno.EINVAL:  # nothing is mounted there any more: just what is wanted
                raise
        return True

    def abort(self) -> None:
        """End the mount at once, without waiting for anybody; what is not stored is kept in the spool."""
        if self._device is not None:
            with contextlib.suppress(OSError):
                mountpoints.abort_connection(self.mountpoint, self._device)
        with contextlib.suppress(OSError, MountError):
            mountpoints.detach(self.mountpoint, lazy=True)

    def __enter__(self) -> Path:
        self.start()
        return self.mountpoint

    def __exit__(self, *_: object) -> None:
        self.unmount()


def _filesystem(storage: Storage, options: MountOptions, shared: bool) -> FileSystem:
    if options.size is not None and hasattr(storage, "capacity"):
        storage.capacity = options.size
    return FileSystem(
        storage,
        read_only=options.ro,
        policy=Policy(uid=options.uid, gid=options.gid, umask=options.umask),
        cache_seconds=(0.0 if shared else 1.0) if options.attr_timeout is None else options.attr_timeout,
        size=options.size,
    )


def mount(storage_or_alias: Any, mountpoint: Path | str, *, transport: str = "auto", **options: Any) -> Mount:
    """Mount a storage, or what an alias names, and serve it from threads of this process until `.unmount()`.

    `options` are the fields of `MountOptions`. The storage object is shared: what either side changes the other sees.
    """
    return Mount(storage_or_alias, mountpoint, MountOptions(**options), transport, shared=True).start()


@contextlib.contextmanager
def mounted(
    storage_or_alias: Any, mountpoint: Path | str | None = None, *, transport: str = "auto", **options: Any
) -> Iterator[Path]:
    """A directory that shows a storage for as long as the block lasts, at `mountpoint` or at a temporary one."""
    with contextlib.ExitStack() as stack:
        if mountpoint is None:
            mountpoint = tempfile.mkdtemp(prefix="vfs-")
            stack.callback(os.rmdir, mountpoint)
        running = mount(storage_or_alias, mountpoint, transport=transport, **options)
        stack.callback(_leave, running)
        yield running.mountpoint


def _leave(running: Mount) -> None:
    """Unmount; where that fails, out of the tree at least, and those are served who have files open."""
    try:
        running.unmount()
    except MountError:
        running.unmount(wait=0, lazy=True)
        raise


@atexit.register
def _abort_all() -> None:
    for running in list(_living):
        logger.warning("the process exits while %s is mounted; it is taken away", running.mountpoint)
        running.abort()


def _leave_in_child() -> None:
    for running in list(_living):
        running.transport.leave()
    _living.clear()


os.register_at_fork(after_in_child=_leave_in_child)
