"""Taking up what another mount has left in its spool, because it was killed, or because its storage was down.

What was closed goes back to where it was: each content becomes the open, unsaved file of a node, which the mount shows
from then on, stores in the background, and keeps beside where the storage has changed meanwhile. What nobody had closed
stays where it is, for its owner to look at (`vfs recover`).

Where a directory was being renamed by copies, what is noted under its old name is of the new one. It waits until all is
copied, since what it is to replace may be shown as another version then.
"""

from __future__ import annotations

import dataclasses
import errno
import logging
import threading
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from storage.entry import Entry, Kind
from vfs.content.spooled import SpooledFile
from vfs.filesystem import FileSystem
from vfs.names.moves import left_in
from vfs.names.tree import Node
from vfs.spool.conflicts import conflict_name, has_content
from vfs.spool.journal import SUFFIX, Base, NewerFormatError, Note, State
from vfs.spool.pending import Fate, describe, place
from vfs.spool.spool import SpoolFile

if TYPE_CHECKING:
    from storage.base import Storage
    from vfs.names.directorymoves import Move
    from vfs.spool.spool import Spool
    from vfs.spool.spools import StorageSpools

logger = logging.getLogger("vfs")

COMPARED = 16 << 20
"""Bytes of a content that is compared with the storage's before it is taken up; a mount waits for that."""


@dataclasses.dataclass(frozen=True, slots=True)
class Left:
    """A content that stays in the spool where it was found."""

    path: Path
    name: str
    """What it was to become in the storage; "" where no note says it."""
    size: int
    why: str
    closed: bool = False
    """Whether it is to be stored, once that can be."""
    discarded: bool = False


class Recovery:
    """The spools that were left for one filesystem, from `take_up()` to `close()`."""

    def __init__(self, filesystem: FileSystem) -> None:
        """Nothing yet."""
        self._filesystem = filesystem
        self._names = filesystem.names
        self._spools: list[Spool] = []
        self.taken: list[SpooledFile] = []
        """What is on its way to the storage."""
        self.stored: list[str] = []
        """The names of what the storage has already."""
        self.left: list[Left] = []
        """What is not."""
        self._missed: list[tuple[Spool, Path, Note]] = []
        self._waiting: dict[Path, list[tuple[Spool, Path, Note]]] = {}
        """What was below a directory that was being renamed, by the path of the list of that."""
        self._lock = threading.RLock()
        """Held by who goes on in the background."""
        self.moves: list[Path] = []
        """The notes of renames that were broken off."""

    def take_up(self, spools: list[Spool]) -> None:
        """Take up what is in `spools`, and begin to store it."""
        self._spools += spools
        self.moves = [path for spool in spools for path in left_in(spool.directory)]
        moves = self._filesystem.contents.uploads.moves
        moves.on_copied = self._arrived
        renames = {spool: moves.under_way(spool.directory) for spool in spools}
        found = [(spool, path, note) for spool in spools for path, note in spool.notes()]
        replaced = {note.replaces for *_, note in found if isinstance(note, Note) and note.is_closed}
        for spool, path, note in found:
            if place(path) in replaced:
                SpoolFile(path, spool.room, left=True).discard()
            elif isinstance(note, NewerFormatError):
                self._leave(path, "", str(note), closed=True)
            elif note is None:
                self._leave(path, "", "what it was to become is not known")
            elif note.copies:
                self._leave(path, note.name, f"it was to be a copy of {note.copies!r}, which could not be made")
            elif note.state is State.WRITING and not path.stat().st_size:
                SpoolFile(path, spool.room, left=True).discard()
            else:
                self._sort(spool, path, note, renames[spool])

    def _arrived(self, move: Move) -> None:
        """Take up what was below a directory that was being renamed; all that it had is at the new place by now."""
        with self._lock:
            waiting = self._waiting.get(move.path, [])
            while waiting:
                spool, path, note = waiting[0]
                note = self._renamed(note, move)
                note.write(path.with_suffix(SUFFIX), sync=True)  # while the list is there: else it has the old name
                waiting.pop(0)
                self.left = [left for left in self.left if left.path != path]
                self._sort(spool, path, note)

    def _renamed(self, note: Note, move: Move) -> Note:
        """`note` after the rename: what it is to replace, if that has come along, is what the new name shows."""
        name, listed, base = move.new_name(note.name) or note.name, move.listed(note.name), note.base
        if listed is not None and base.version is not None and base.version == listed.version:
            entry = self._filesystem.storage.find(name)
            if entry is not None and entry.size == listed.size:
                base = Base.of(entry)
        return dataclasses.replace(note, name=name, base=base)

    def _sort(self, spool: Spool, path: Path, note: Note, renames: Iterable[Move] = ()) -> None:
        """Leave what nobody had closed, and take up the rest, unless one of `renames` is to come first."""
        move = next((move for move in renames if move.new_name(note.name)), None)
        if move is not None:
            self._waiting.setdefault(move.path, []).append((spool, path, note))
            note = dataclasses.replace(note, name=move.new_name(note.name) or "")
        if note.state is State.WRITING:
            self._leave(path, note.name, "it was being written, and nobody had closed it")
        elif not note.is_closed:
            self._leave(path, note.name, "the machine went down while it was stored, and some of it may be missing")
        elif move is not None:
            self._leave(path, note.name, "the rename of its directory goes on first", closed=True)
        else:
            self._try_to_take(spool, path, note)

    @property
    def is_complete(self) -> bool:
        """Whether all that was closed is on its way; else `try_again()` may help, when the storage answers."""
        return not self._missed

    def try_again(self) -> None:
        """Take up what could not be before."""
        with self._lock:
            missed, self._missed = self._missed, []
            again = {path for _, path, _ in missed}
            self.left = [left for left in self.left if left.path not in again]
            for one in missed:
                self._try_to_take(*one)

    def discard_left(self) -> None:
        """Delete what stays in the spools because nobody had closed it."""
        for index, left in enumerate(self.left):
            if left.closed:
                continue
            left.path.with_suffix(SUFFIX).unlink(missing_ok=True)
            left.path.unlink()
            self.left[index] = dataclasses.replace(left, discarded=True)

    def close(self) -> None:
        """Let go of the spools; those that hold nothing any more are removed."""
        for spool in self._spools:
            spool.close()
        self._spools.clear()

    def _try_to_take(self, spool: Spool, path: Path, note: Note) -> None:
        try:
            self._take(SpoolFile(path, spool.room, left=True), note)
        except OSError as error:
            self._missed.append((spool, path, note))
            self._leave(path, note.name, describe(error), closed=True)

    def _leave(self, path: Path, name: str, why: str, *, closed: bool = False) -> None:
        self.left.append(Left(path, name, path.stat().st_size, why, closed))
        logger.warning("left in the spool as %s: %r: %s", path, name, why)

    def _take(self, content: SpoolFile, note: Note) -> None:
        """Make `content` the unsaved file of its node, unless the storage has just this."""
        try:
            parent, name = self._names.place(note.name)
            node = self._names.find_or_none(parent, name)
            if note.unlinking and not self._is_base(node, note):
                content.discard()
                logger.info("dropped from the spool, for its name was unlinked: %r", note.name)
                return
            if node is not None and self._is_stored(node, note, content):
                content.discard()
                self.stored.append(note.name)
                return
            file = self._place(parent, name, node, content, note).file
        except BaseException:
            content.keep()
            raise
        assert isinstance(file, SpooledFile)
        logger.info("taken up from the spool: %r, %d bytes", note.name, content.size())
        self.taken.append(file)
        self._filesystem.contents.uploads.take_up(file)
        content.rest()

    def _is_base(self, node: Node | None, note: Note) -> bool:
        """Whether the storage still has what the content was begun with, so that an unlink did not come to pass."""
        entry = node.entry if node is not None and node.file is None else None
        return entry is not None and Base.of(entry) == note.base

    def _is_stored(self, node: Node, note: Note, content: SpoolFile) -> bool:
        """Whether the upload had succeeded, and only that was not noted any more."""
        entry = node.entry
        if node.file is not None or entry is None or not entry.is_file or note.missing or entry.size > COMPARED:
            return False  # or it is seen when it is stored
        return Base.of(entry) != note.base and has_content(self._filesystem.storage, note.name, entry, content)

    def _place(self, parent: Node, name: str, node: Node | None, content: SpoolFile, note: Note) -> Node:
        """The node called `name`, or beside where that is another's, with `content` open."""
        if node is not None and (node.kind is not Kind.FILE or node.file is not None):
            name, node = conflict_name(name, self._names.name_max), None
            note = dataclasses.replace(note, base=Base(absent=True))
        make = partial(self._open, note, content)
        if node is None:
            return self._names.add_virtual(parent, name, Kind.FILE, note.attributes, make)
        self._names.tree.set_file(node, make(node))
        self._names.keep(node, note.attributes)
        return node

    def _open(self, note: Note, content: SpoolFile, node: Node) -> SpooledFile:
        """The open file of `node` with a content that was left; OSError (ESTALE) if what it lacks cannot be had."""
        storage, source = self._filesystem.storage, None
        if note.missing:
            entry = Entry(node.name, Kind.FILE, content.size(), version=note.base.version)
            source = storage.open_version(note.name, entry)
            if not source.ranged:
                source.close()
                raise OSError(errno.ESTALE, "the storage does not have the version any more that parts of it are from")
        file = SpooledFile(node, storage, content, source, pending=self._filesystem.contents.uploads.pending)
        file.resume(note.missing)
        file.mtime_ns = note.mtime_ns
        file.fate = Fate(note.base.cautious, State.CLOSED, note.since, lasting=True, partial=bool(note.missing))
        file.fate.attempts = 1
        return file


@dataclasses.dataclass(slots=True)
class Outcome:
    """What has become of what was left for one storage."""

    stored: list[str] = dataclasses.field(default_factory=list)
    conflicts: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    """Names, and what the contents are called now."""
    failed: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    """Names, and errors; they stay in the spool."""
    left: list[Left] = dataclasses.field(default_factory=list)
    busy: int = 0
    """How many spools belong to mounts that run."""


def recover(storage: Storage, spools: StorageSpools, *, discard: bool = False) -> Outcome:
    """Store what mounts of `storage` have left in `spools`, and with `discard` delete what nobody had closed."""
    filesystem = FileSystem(storage, spool=spools.new())
    recovery, outcome = Recovery(filesystem), Outcome()
    found = spools.left()
    outcome.busy = spools.count() - len(found)
    recovery.take_up(found)
    for path in recovery.moves:
        try:
            filesystem.contents.uploads.moves.resume(path)
        except (OSError, NewerFormatError) as error:
            outcome.failed.append((str(path), f"the rename cannot go on: {describe(error)}"))
    names = {file: filesystem.tree.path(file.node) for file in recovery.taken}
    filesystem.drain()
    outcome.conflicts = [(it["name"], it["kept_as"]) for it in filesystem.contents.uploads.conflicts]
    outcome.failed += [(name, file.fate.error) for file, name in names.items() if file.dirty]
    beside = {name for name, _ in outcome.conflicts}
    outcome.stored = recovery.stored + [name for file, name in names.items() if not file.dirty and name not in beside]
    if discard:
        recovery.discard_left()
    outcome.failed += [(left.name, left.why) for left in recovery.left if left.closed]
    outcome.left = [left for left in recovery.left if not left.closed]
    filesystem.close()
    recovery.close()
    return outcome
