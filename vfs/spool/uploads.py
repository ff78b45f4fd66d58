"""What was written, on its way to the storage: at once or later, again when it failed, and beside where it is too late.

A file is stored under the name that it has at that moment, with a shared lease on it, so that nobody renames or unlinks
it meanwhile. Files are stored side by side: by whoever closes them, by the threads of the background, by a drain.
"""

from __future__ import annotations

import copy
import logging
import os
import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from storage.entry import Entry
from storage.exceptions import VersionMismatchError
from vfs.content.openfile import OpenFile
from vfs.content.spooled import SpooledFile
from vfs.guard import NotAskedError
from vfs.names.attributes import Kept
from vfs.names.lookups import join, supports
from vfs.names.moves import Moves
from vfs.names.namespace import Namespace
from vfs.names.tree import NamelessError, Node
from vfs.spool.background import Background
from vfs.spool.conflicts import conflict_name
from vfs.spool.journal import Base
from vfs.spool.pending import Fate, Pending, describe
from vfs.spool.spool import Spool
from vfs.watch.metrics import Events

logger = logging.getLogger("vfs")

LONGEST_PAUSE = 60.0
"""Seconds between two attempts to store a file."""
CONFLICTS = 100
"""How many conflicts are remembered."""


class Uploads:
    """The way of one mount's spooled files to the storage."""

    def __init__(
        self,
        names: Namespace,
        spool: Spool,
        settle: Callable[[Node], None],
        *,
        write_back: float | None = None,
        overwrites: bool = False,
        retries: bool = False,
    ) -> None:
        """To the storage of `names`, from `spool`; `settle` is called with each node whose file may be closed by now.

        `write_back` is how many seconds after its close a file is stored; None stores before close() returns.
        `overwrites` says that a close wins over what somebody else stored meanwhile. `retries` says that what could not
        be stored is tried again by itself.
        """
        self._names = names
        self._tree = names.tree
        self._storage = names.storage
        self._spool = spool
        self._settle = settle
        self.write_back = write_back
        """As above; may be changed for what is closed from then on, as may be `overwrites`."""
        self.overwrites = overwrites
        self._retries = retries
        self._background = Background()
        self._sets_owner = os.geteuid() == 0
        self.keeps_attributes = supports(names.storage, "set_attributes")
        self._stores_attributes = names.storage.stores_attributes
        self.pending = Pending(self._tree, spool.open, self._background)
        self.moves = Moves(names, lambda: spool.directory, self._background)
        self.on_stored: Callable[[OpenFile, str], None] = lambda file, name: None
        """Told when the storage has a content under a name, which nobody can take away meanwhile: it must not wait."""
        self.conflicts: deque[dict[str, Any]] = deque(maxlen=CONFLICTS)
        """The conflicts that this mount has lost: name, kept_as, time."""
        self.events = Events()
        """Uploads, by whether it was "stored", "failed" or "conflict", and drains, by whether all was stored."""

    # -- storing

    def store(self, file: OpenFile) -> None:
        """Bring what is dirty to the storage, under its present name; a file without one has nothing to store.

        VersionMismatchError (ESTALE) when somebody else has changed what it was made from; it is then stored beside.
        """
        if isinstance(file, SpooledFile) and file.dirty:
            self._store(file, Base() if self.overwrites and not file.fate.attempts else None)

    def finish(self, file: OpenFile) -> None:
        """Somebody has closed `file`: `store()` it, or with write-back see to it that it will be."""
        if not isinstance(file, SpooledFile) or not file.dirty:
            return
        if self.write_back is None or file.promised_of is not None or self._spool.room.is_tight:
            self.store(file)
            return
        try:
            if not file.fate.lasting:  # else it may be on its way already, which is not waited for
                file.commit()
            file.content.rest()
        except OSError as error:
            words = self.shown(file), describe(error)
            logger.warning("stored at once, as it cannot be written back: %s: %s", *words)
            self.store(file)
        else:
            self._background.schedule(file, self.write_back, partial(self.retry, file))

    def retry(self, file: SpooledFile) -> None:
        """Store what is pending in the background; errors are in its fate. Who is at work on it will store it."""
        if file.is_closed:
            with suppress(Exception):
                self.store(file)
        self._settle(file.node)

    def take_up(self, file: SpooledFile) -> None:
        """`file` was left unsaved by another mount, and is stored as soon as may be."""
        self.pending.add(file)
        if self._retries:
            self._background.schedule(file, 0.0, partial(self.retry, file))

    def drain(self, seconds: float | None = None) -> list[str]:
        """Store all that is pending, for up to `seconds`; returns the names of what could not be.

        What somebody is writing, and has not closed, may be half of anything, and is not to replace what is whole. Then
        go on with renames of which something is left to do.
        """
        until = None if seconds is None else time.monotonic() + seconds
        files = [file for file in self.unsaved() if not file.is_unfinished]
        stored = set()

        def drain(file: OpenFile) -> None:
            if self.try_to(self.store, file):
                stored.add(file)
            self._settle(file.node)

        self._background.for_each(drain, files, seconds)
        failed = []
        for file in files:
            with suppress(NamelessError):  # unlinked meanwhile
                if file not in stored and file.dirty:
                    failed.append(self._tree.path(file.node))
        self.moves.go_on(None if until is None else max(0.0, until - time.monotonic()))
        self.events.add("drain", "incomplete" if failed else "complete")
        return failed

    def unsaved(self) -> list[SpooledFile]:
        """Those with a content that the storage does not have yet, and a name to have it under."""
        files = [file for file in self._tree.files() if isinstance(file, SpooledFile)]
        return [file for file in files if file.dirty and file.node.links]

    def flush(self, since: float | None, seconds: float) -> dict[str, Any]:
        """Store what is pending at once, or with `since` see for up to `seconds` how far that has come.

        Returns `since` (time.monotonic seconds) for the next time, files and bytes that are under way, and for each of
        those that `failed` meanwhile name and error.
        """
        if since is None:
            since = time.monotonic()
            for file in self.pending.closed():
                self._background.schedule(file, 0.0, partial(self.retry, file))
        left = self.pending.wait(since, seconds)
        failed = [line for line in self.report() if line["tried"] is not None and line["tried"] >= since]
        return {"since": since, "files": len(left), "bytes": sum(it.entry(None).size for it in left), "failed": failed}

    def report(self) -> list[dict[str, Any]]:
        """For `vfs status`, of each file that the storage does not have yet: name, bytes, error, age (seconds).

        `tried` is when it failed last (time.monotonic seconds of the daemon).
        """
        lines, now = [], time.time()
        for file in self.unsaved():
            with suppress(NamelessError):  # unlinked meanwhile
                line = {
                    "name": self._tree.path(file.node),
                    "bytes": file.entry(None).size,
                    "age": round(max(0.0, now - (file.fate.since or now)), 3),
                    "error": file.fate.error,
                    "tried": file.fate.tried or None,
                    "open": file.is_open,
                }
                lines.append(line)
        return lines

    def try_to(self, store: Callable[[OpenFile], None], file: OpenFile) -> bool:
        """Store, and say whether it went well: an error goes to the log and leaves the content pending."""
        try:
            store(file)
        except OSError as error:
            if not file.dirty:  # a conflict, which was told: it is stored beside
                return True
            if not self._retries:  # else it is told when it is to be tried again
                logger.warning("not stored, and pending: %s: %s", self.shown(file), describe(error))
            return False
        except Exception:
            logger.exception("not stored, and pending: %s", self.shown(file))
            return False
        return True

    def do_later(self, seconds: float, work: Callable[[], object]) -> None:
        """Call `work` in the background."""
        self._background.schedule(work, seconds, work)

    @property
    def is_here(self) -> bool:
        """Whether this thread is the mount's own, and what it changes nobody else has changed."""
        return self._background.is_here

    def stop(self) -> None:
        """Store nothing more in the background."""
        self._background.stop()

    # -- names that go or change

    @contextmanager
    def unnaming(self, node: Node) -> Iterator[None]:
        """A block that takes a name of `node`: what is pending under its last one is not to be stored any more."""
        file = node.file
        if not isinstance(file, SpooledFile) or len(node.links) > 1:
            yield
            return
        with file.lock:
            self.pending.unlinking(file, begun=True)  # before: the name must not come back with the next mount
        try:
            yield
        except BaseException:
            with file.lock:
                self.pending.unlinking(file, begun=False)
            raise
        with file.lock:  # who has closed it meanwhile has noted it under the name that it still had
            self.pending.forget(file)

    def renamed(self, node: Node, target: Node | None = None) -> None:
        """`node` has another name by now, which `target` has lost; what is open there goes on from that."""
        file, lost = node.file, target.file if target is not None else None
        if node.virtual and isinstance(file, SpooledFile):
            if isinstance(lost, SpooledFile):
                file.fate.base = lost.fate.base  # which may be to replace something itself
            elif target is None or target.virtual:
                file.fate.base = Base(absent=True)
            else:
                file.cover(target.entry)
        self.pending.renote(node)
        if target is not None and isinstance(lost, SpooledFile) and not target.links:
            self.pending.forget(lost)

    def rebase(self, node: Node, file: SpooledFile) -> None:
        """The mount has changed attributes of `node`, which the storage shows as another version now."""
        try:
            file.rebase(self._storage.stat(self._tree.path(node)))
        except OSError as error:
            logger.warning("what is written to %r may be taken for a conflict: %s", node, describe(error))

    # -- one upload

    def _store(self, file: SpooledFile, base: Base | None) -> None:
        node, source = file.node, file.promised_of
        try:
            with self._tree.changing((node,) if source is None else (node, source), ()):
                path = self._tree.path(node)
                original = (source, self._tree.path(source)) if source is not None and source.links else None
                attributes = partial(self._attributes, file) if self._stores_attributes else None
                file.save(
                    path,
                    lambda entry: self._stored(file, path, entry),
                    original,
                    base=base,
                    attributes=attributes,
                )
        except NamelessError:
            return
        except VersionMismatchError as error:
            if file.fate.conflicted or not self._keep_beside(file, path):
                self._failed(file, error)
            raise
        except BaseException as error:
            self._failed(file, error)
            raise

    def _failed(self, file: SpooledFile, error: BaseException) -> None:
        """It stays pending, and is tried again after a pause that grows."""
        self.events.add("upload", "failed")
        is_first = not file.fate.error
        self.pending.failed(file, error)
        if self._retries:
            pause = _pause(file.fate, error) * random.uniform(0.5, 1.0)  # noqa: S311 - not all in step
            level = logging.WARNING if is_first else logging.DEBUG  # thousands may fail again and again
            words = self.shown(file), describe(error)
            logger.log(level, "not stored, tried again in %.1f s and later: %s: %s", pause, *words)
            self._background.schedule(file, pause, partial(self.retry, file))

    def shown(self, file: OpenFile) -> str:
        """What a message calls it: name and size."""
        try:
            return f"{self._tree.path(file.node)!r}, {file.entry(None).size} bytes"
        except NamelessError:
            return "a file without a name"

    def _keep_beside(self, file: SpooledFile, path: str) -> bool:
        """Somebody else has changed `path`: the content of `file` gets another name, for its handles as well.

        False where it has another name by now, and is to be tried again under that.
        """
        node = file.node
        parent, name = node.parent, node.name
        if parent is None:
            return True
        beside = conflict_name(name, self._names.name_max)
        with self._tree.changing((parent,), (node,), ((parent, name), (parent, beside))), file.lock:
            if not file.dirty or not node.links:
                return True  # somebody was faster: it is stored, or gone
            if self._tree.path(node) != path:
                return False
            with self._tree.lock:
                self._tree.move(parent, name, parent, beside)
                node.virtual = True
                self._names.touch(node)
                self._names.changed(parent)
            file.fate.base, file.fate.conflicted = Base(absent=True), True
            self.pending.noted_as(file)
        kept_as = join(path.rpartition("/")[0], beside)
        logger.error("conflict: %r was changed by somebody else; what was written here is kept as %r", path, kept_as)
        self.events.add("upload", "conflict")
        self.conflicts.append({"name": path, "kept_as": kept_as, "time": time.time()})
        with suppress(Exception):  # it is pending then, and said so
            self._store(file, None)
        return True

    def _stored(self, file: SpooledFile, path: str, entry: Entry) -> None:
        """The content of `file` is in the storage, where nobody can rename or unlink it before this has returned."""
        self.events.add("upload", "stored")
        node, wanted = file.node, self._attributes(file)
        self._names.stored(node, entry, None if self.keeps_attributes else file.mtime_ns)
        if self.keeps_attributes:
            self._hand_over(node, path, wanted, entry)
        self.on_stored(file, path)

    def _attributes(self, file: SpooledFile) -> dict[str, int]:
        """What the object of `file` is to have: what the mount keeps for it, and what the one had that it replaces."""
        node = file.node
        kept, before = node.kept or Kept(), None if node.virtual else node.entry
        wanted = {"mode": kept.mode, "uid": kept.uid, "gid": kept.gid}
        if before is not None:
            inherited = ("mode", "uid", "gid") if self._sets_owner or self._stores_attributes else ("mode",)
            wanted |= {key: getattr(before, key) for key in inherited if wanted[key] is None}
        written = file.mtime_ns if self._stores_attributes else None
        wanted |= {"atime_ns": kept.atime_ns, "mtime_ns": written if kept.mtime_ns is None else kept.mtime_ns}
        return {key: value for key, value in wanted.items() if value is not None}

    def _hand_over(self, node: Node, path: str, wanted: dict[str, int], entry: Entry) -> None:
        """Give a newly stored object what it is `wanted` to have and, by its `entry`, does not have yet."""
        kept = copy.copy(node.kept)
        changes = {key: value for key, value in wanted.items() if value != getattr(entry, key)}
        if changes:
            try:
                self._storage.set_attributes(path, **changes)
            except NotImplementedError:  # of such an object it keeps them only when they come with the content
                self._names.keep(node, changes)
                return
            self._names.learn(node, self._storage.stat(path))
        with self._tree.lock:
            if kept is not None and node.kept == kept:  # else there is more to be kept by now
                node.kept, node.pinned = None, False


def _pause(fate: Fate, error: BaseException) -> float:
    """Seconds until a file is tried again that could not be stored.

    While the storage is not even asked that grows with the outage: there may be thousands of files.
    """
    if isinstance(error, NotAskedError):
        return min(LONGEST_PAUSE, max(1.0, (time.time() - fate.since) / 8))
    return min(LONGEST_PAUSE, 2.0 ** min(fate.attempts - 1, 16))
