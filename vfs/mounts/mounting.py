"""A mount served by threads of this process, and the `with` block around one.

Everything that mounts goes through `Mount`: the daemon (vfs.mounts.daemon) has one in its process, `mounted()` one in
yours. A process that uses a mount of its own can stop itself, in ways that no care here can prevent:

- mmap or execution of a file of the own mount faults with the interpreter's lock held, which the serving thread needs;
- Debian 12's own Python 3.11.2 waits with vfork in `subprocess.run(cwd=PATH_BELOW_THE_MOUNT)`; newer ones do not;
- exiting with a file open on the own mount would wait for an answer of a thread that is gone.

So the mounts of a process are aborted when it exits, and a forked child lets go of the device. Leave the block before
you exit.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storage.backends import import_string
from storage.exceptions import ImproperlyConfigured, SuspiciousFileOperation
from vfs.cache import BlockCache, DiskCache
from vfs.filesystem import FileSystem
from vfs.guard import GuardedStorage, guarded, is_outage
from vfs.mounts.attachment import Attachment
from vfs.mounts.mountpoint import POLL, MisconfiguredError, MountError, absolute, prepare
from vfs.mounts.options import LAST_WRITER_WINS, MountOptions
from vfs.names.attributes import Policy
from vfs.observed import ObservedFileSystem
from vfs.spool.pending import describe
from vfs.spool.recovery import Recovery
from vfs.spool.spools import StorageSpools
from vfs.transports import load
from vfs.watch.metrics import Events

if TYPE_CHECKING:
    from storage.base import Storage
    from storage.changes import Callback, Subscription
    from storage.entry import Change

logger = logging.getLogger("vfs")

START_SECONDS = 20.0
"""How long the kernel may take to greet a new mount."""

RECOVER_SECONDS = 15.0
"""Seconds until what another mount has left is looked at again, where the storage did not answer."""

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
        self.mountpoint = absolute(mountpoint)
        prepare(self.mountpoint)
        _refuse_own_folder(self.storage, self.mountpoint)
        transport_class = load(transport)
        listener = _listener(self.options.on_change) if self.options.on_change else None
        self._spools = StorageSpools.of(storage_or_alias, Path(self.options.spool) if self.options.spool else None)
        if not (self.options.ro or self.storage.in_place):
            _prepare(self._spools)
        try:
            self.filesystem = _filesystem(self.storage, self.options, shared, self._spools)
        except FileNotFoundError as error:
            missing = f": {error.filename!r} does not exist; make it, or mend its location" if error.filename else ""
            raise MountError(f"the storage {self.source!r} has no root{missing}") from error
        except NotADirectoryError as error:
            raise MisconfiguredError(f"the storage {self.source!r} cannot be used: {error}") from error
        except OSError as error:
            what = "is not reached" if is_outage(error) else "cannot be used"
            raise MountError(f"the storage {self.source!r} {what}: {describe(error)}") from error
        if listener is not None:
            self.on_change(partial(listener, self.source))
        self.transport = transport_class(self.filesystem, self.mountpoint, self.options, self.source, shared=shared)
        self._thread = threading.Thread(target=self._serve, name=f"vfs {self.mountpoint}", daemon=True)
        self._ended = threading.Event()
        self.drain_seconds = self.options.drain
        """How long the end of it waits for the storage to take what is pending."""
        self.recovery = Recovery(self.filesystem)
        self.events = Events()
        """Reloads of the configuration, by what came of them."""
        self._attachment = Attachment(self.mountpoint)
        self.was_cut_off = False
        """Whether it has ended and nobody has unmounted it: another aborted its connection, or the transport failed."""

    def start(self) -> Mount:
        """Mount, and return when it answers; MountError. What another mount has left unsaved is taken up before."""
        try:
            self._recover()
            self.transport.mount()
        except BaseException:
            self._close()
            raise
        self._attachment.begin()
        _living.add(self)
        self._thread.start()
        if not self.transport.ready.wait(START_SECONDS):
            self.abort()
            raise MountError(f"the kernel did not greet the mount within {START_SECONDS:.0f} s")
        try:
            device = self._attachment.look()
        except OSError as error:
            self.abort()
            raise MountError(f"the new mount does not answer: {error}") from error
        self.transport.tune(device)
        return self

    def _recover(self) -> None:
        if self.options.ro or self.filesystem.contents.in_place or not self._spools.inherits:
            return
        self.recovery.take_up(self._spools.left())
        self._recover_later()
        for path in self.recovery.moves:
            self.filesystem.contents.uploads.moves.resume_later(path)

    def _recover_later(self) -> None:
        """See to it that what could not be taken up is, when the storage answers."""
        if not self.recovery.is_complete:
            self.filesystem.contents.uploads.do_later(RECOVER_SECONDS, self._recover_again)

    def _recover_again(self) -> None:
        self.recovery.try_again()
        self._recover_later()

    def _serve(self) -> None:
        has_failed = False
        try:
            self.transport.serve()
        except Exception:
            logger.exception("the transport ended with an error")
            has_failed = True
        if self._attachment.end():
            logger.error("the mount at %s was cut off: nobody has unmounted it", self.mountpoint)
            has_failed = True
        self.was_cut_off = has_failed
        try:
            self.filesystem.drain(self.drain_seconds)
            self._close()
        except Exception:
            logger.exception("not everything could be stored or kept")
        finally:
            _living.discard(self)
            self._ended.set()

    def _close(self) -> None:
        """Let go of all but the storage, which is the program's: threads, files, the folders that one mount uses."""
        with contextlib.ExitStack() as stack:
            if isinstance(self.filesystem.storage, GuardedStorage):
                stack.callback(self.filesystem.storage.guard.close)
            if isinstance(self.filesystem, ObservedFileSystem):
                stack.callback(self.filesystem.changes.close)
            stack.callback(self.recovery.close)
            self.filesystem.close()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until the mount has ended, by whomever, and everything is stored or kept; whether it has."""
        return self._ended.wait(seconds)

    @property
    def is_ending(self) -> bool:
        """Whether it is out of the tree already, by whomever, and only served to those who have files open."""
        return self._attachment.is_ending

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
        while not self._attachment.detach(lazy=lazy):
            if time.monotonic() > deadline:
                raise MountError(f"{str(self.mountpoint)!r} is busy: close what is open there, or unmount lazily")
            self._ended.wait(POLL)
        if not self.wait(wait) and not lazy:
            raise MountError(f"the mount at {str(self.mountpoint)!r} does not come to its end")

    def drain(self, seconds: float | None = None) -> list[str]:
        """Store what is pending, for up to `seconds`; returns the names of what could not be.

        Whoever waits for the storage when the time is over hears that it did not answer.
        """
        began = time.monotonic()
        unsaved = self.filesystem.drain(seconds)
        if unsaved and seconds is not None and time.monotonic() - began >= seconds:
            self.let_go()
        return unsaved

    def let_go(self) -> None:
        """Whoever waits for the storage does so no longer, if the mount has a timeout."""
        storage = self.filesystem.storage
        if isinstance(storage, GuardedStorage):
            storage.guard.calls.let_go()

    def refresh(self, path: str = "") -> int:
        """Believe nothing any more of what is at `path` and below, here and in the kernel; returns how many nodes."""
        nodes = self.filesystem.refresh(path)
        self.transport.forget(nodes)
        return len(nodes)

    def on_change(self, callback: Callback) -> Subscription:
        """Have `callback` called with a `storage.Change` after each change that others make through the mount.

        That is "save", "delete", "rename", "mkdir" or "rmdir", when the storage has it, in a thread that holds nothing;
        what it raises is logged. `.stop()` of what is returned ends that. ValueError for a mount that is made neither
        by `vfs.mount()` nor with the option `on_change`: it does not look for what would be told.
        """
        if not isinstance(self.filesystem, ObservedFileSystem):
            raise ValueError("a mount tells of changes when it is made by vfs.mount(), or with the option on_change")
        return self.filesystem.changes.subscribe(callback)

    def abort(self) -> None:
        """End the mount at once, without waiting for anybody; what is not stored is kept in the spool."""
        self._attachment.abort()

    def __enter__(self) -> Path:
        self.start()
        return self.mountpoint

    def __exit__(self, *_: object) -> None:
        self.unmount()


def _refuse_own_folder(storage: Storage, mountpoint: Path) -> None:
    """MisconfiguredError for a mount within the files that it shows: whoever serves it would wait for himself."""
    try:
        folder = Path(os.path.realpath(storage.path("")))
        found, identity = os.stat(folder), storage.stat("").identity
    except (NotImplementedError, ImproperlyConfigured, ValueError, SuspiciousFileOperation, OSError):
        return  # its files are elsewhere, or cannot be had, which is told of later
    if identity in (None, (found.st_dev, found.st_ino)) and folder in (mountpoint, *mountpoint.parents):
        raise MisconfiguredError(
            f"{str(mountpoint)!r} is within the storage's own folder {str(folder)!r}, which the mount would show, and "
            "itself in it; mount elsewhere, or give the storage another location"
        )


def _filesystem(storage: Storage, options: MountOptions, shared: bool, spools: StorageSpools) -> FileSystem:
    if options.size is not None and hasattr(storage, "capacity"):
        storage.capacity = options.size
    cache = _cache(storage, options, spools)
    if not storage.in_place:
        cache.follow(storage)
    waited_for = guarded(storage, options.timeout) if options.timeout else storage
    try:
        return (ObservedFileSystem if shared or options.on_change else FileSystem)(
            waited_for,
            read_only=options.ro,
            policy=Policy(uid=options.uid, gid=options.gid, umask=options.umask),
            cache_seconds=options.believed(shared=shared).here,
            size=options.size,
            spool=spools.new(options.spool_size),
            cache=cache,
            write_back=options.write_back,
            overwrites=options.on_conflict == LAST_WRITER_WINS,
            retries=True,
        )
    except BaseException:
        cache.close()
        if isinstance(waited_for, GuardedStorage):
            waited_for.guard.close()
        raise


def _listener(path: str) -> Callable[[str, Change], None]:
    """The function of this dotted path; MisconfiguredError."""
    try:
        found = import_string(path)
    except ImportError as error:
        hint = "; what is installed is found, and what is in a folder of PYTHONPATH"
        why = f"{error}{hint}" if isinstance(error, ModuleNotFoundError) else str(error.__cause__ or error)
        raise MisconfiguredError(f"on_change={path} names nothing that can be called: {why}") from error
    if not callable(found):
        raise MisconfiguredError(f"on_change={path} names nothing that can be called: it is a {type(found).__name__}")
    listener: Callable[[str, Change], None] = found
    return listener


def _prepare(spools: StorageSpools) -> None:
    """See to it that the first writer finds a spool; MisconfiguredError."""
    try:
        spools.prepare()
    except OSError as error:
        raise MisconfiguredError(
            f"the spool folder {error.filename!r} cannot be used: {error.strerror}; "
            "choose another with the option spool=DIRECTORY, or mount with ro"
        ) from error


def _cache(storage: Storage, options: MountOptions, spools: StorageSpools) -> BlockCache:
    """What was read is kept on disk under what the spools are called by: that tells which storage it was."""
    if options.cache_dir is None or storage.in_place:
        return BlockCache(options.cache_memory)
    identity = spools.folder.name if spools.inherits else secrets.token_hex()
    try:
        return BlockCache(options.cache_memory, DiskCache(Path(options.cache_dir), options.cache_size, identity))
    except OSError as error:
        is_mistake = isinstance(error, PermissionError | NotADirectoryError | FileExistsError)
        kind = MisconfiguredError if is_mistake else MountError
        raise kind(f"the cache folder {options.cache_dir!r} cannot be used: {error.strerror}") from error


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
