"""What the storage lacks of a mount's files: which they are, since when, why, and the notes of them on disk.

A file is *unsaved* from the first change until the storage has it. It is *pending* once somebody has closed it: it is
to be stored as it is, now or later, by this process or by the next (vfs.spool.journal).
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from storage.remote.secrets import without_secrets
from vfs.guard import NotAskedError
from vfs.names.tree import NamelessError, Node, Tree
from vfs.spool.background import Background
from vfs.spool.conflicts import Digest
from vfs.spool.journal import Base, Note, State, this_start
from vfs.spool.spool import SpoolFile

if TYPE_CHECKING:
    from vfs.content.spooled import SpooledFile

logger = logging.getLogger("vfs")

GRACE = 1.0
"""Seconds after which what is being written has a note; most files are closed before, and need none but that."""
REMEMBERED = 16
"""Of how many contents of a file it is known that an upload of them failed."""
_KEPT = ("mode", "uid", "gid", "atime_ns", "mtime_ns")
"""What is to be kept of a file beyond this process."""


@dataclasses.dataclass(slots=True)
class Fate:
    """How far one file has come on its way to the storage."""

    base: Base
    """What the storage had when the content was begun."""
    state: State | None = None
    """What the note on disk says; None for no note."""
    since: float = 0.0
    """When it was first changed, in seconds since the epoch."""
    lasting: bool = False
    """Whether content and note are forced to the disk as they are now, to be stored so."""
    error: str = ""
    """Why it could not be stored when that was last tried."""
    tried: float = 0.0
    """When the storage was asked for that last (time.monotonic seconds: clocks are set back and forth)."""
    attempts: int = 0
    """How often it was tried in vain."""
    sent: tuple[Digest, ...] = ()
    """What uploads that failed may have brought to the storage all the same, of contents that were changed since."""
    changed_at: int = 0
    """How often it had been tried when it was changed last."""
    partial: bool = False
    """Whether parts of a closed content are in the storage alone by the note, and may have come or changed since."""
    conflicted: bool = False
    """Whether it has got a name beside, because the storage had another version."""
    former: SpoolFile | None = None
    """A content that is to be stored if this one does not come to be closed."""


class Pending:
    """The unsaved files of one mount."""

    def __init__(self, tree: Tree, new: Callable[[], SpoolFile], background: Background) -> None:
        """None yet; `tree` says what their names are, `new` makes an empty content."""
        self._tree = tree
        self._new = new
        self._background = background
        self._begun: list[SpooledFile] = []
        """Those that are being written, and have no note yet."""
        self._told = threading.Condition(threading.Lock())
        """Told whenever a file was stored, or could not be."""
        self._files: dict[SpooledFile, None] = {}

    def files(self) -> list[SpooledFile]:
        """Those that have a note, oldest first."""
        with self._told:
            return list(self._files)

    def add(self, file: SpooledFile) -> None:
        """`file` has its note already, from another process."""
        with self._told:
            self._files[file] = None

    def begin(self, file: SpooledFile) -> None:
        """`file` is about to be changed; OSError when the disk has no room for a note that must be there before."""
        fate = file.fate
        self._remember_sent(file)
        if fate.state is None and not GRACE:
            self.note(file, State.WRITING)
        elif fate.state is None:
            fate.state, fate.since = State.WRITING, fate.since or time.time()
            with self._told:
                self._begun.append(file)
            self._background.schedule(self, GRACE, self._note_begun)
        fate.lasting = False

    def begin_anew(self, file: SpooledFile) -> SpoolFile:
        """An empty content for `file`; what it has stays to be stored until the new one is closed."""
        self._remember_sent(file)
        fate, content = file.fate, self._new()
        fate.former, fate.state, fate.lasting, fate.partial = file.content, None, False, False
        return content

    def note(self, file: SpooledFile, state: State, *, lasting: bool = False) -> None:
        """Put on disk what `file` is to become, under the name that it has now; nothing for one without a name.

        What is forced to the disk takes its time, in which the name may change: then it is noted once more.
        """
        fate, is_closed, noted = file.fate, state is State.CLOSED, None
        lasting = lasting or (is_closed and fate.former is not None)  # that goes now, and was promised to last
        fate.since = fate.since or time.time()
        try:
            while (note := self._note_of(file, state, lasting=lasting)) != noted:
                fate.lasting = lasting and is_closed  # until `renote()` says otherwise
                file.content.note(note, sync=lasting)
                noted = note
        except NamelessError:
            self.forget(file)
            return
        except BaseException:
            fate.lasting = False
            raise
        fate.state, fate.partial = state, is_closed and bool(file.missing)
        with self._told:
            self._files[file] = None
        if is_closed and fate.former is not None:
            fate.former.remove()
            fate.former = None

    def _note_of(self, file: SpooledFile, state: State, *, lasting: bool) -> Note:
        fate, kept = file.fate, file.node.kept
        attributes = {} if kept is None else {key: getattr(kept, key) for key in _KEPT}
        return Note(
            self._tree.path(file.node),
            state,
            fate.base,
            fate.since,
            file.mtime_ns,
            {key: value for key, value in attributes.items() if value is not None},
            missing=file.missing,
            replaces="" if fate.former is None else place(fate.former.path),
            copies=self._original_of(file),
            start=this_start() if state is State.CLOSED and not lasting else "",
        )

    def _original_of(self, file: SpooledFile) -> str:
        """The name of what `file`, which could not be stored, is to be a copy of; "" for none, or for one without."""
        source = file.promised_of
        try:
            return self._tree.path(source) if source is not None and file.fate.error else ""
        except NamelessError:
            return ""

    def failed(self, file: SpooledFile, error: BaseException) -> None:
        """`file` could not be stored: it stays, whatever happens to this process or machine."""
        fate = file.fate
        if isinstance(error, NotAskedError):
            fate.error, fate.tried = describe(error), error.asked_at
        else:
            fate.error, fate.tried = describe(error), time.monotonic()
            fate.attempts += 1
        if fate.state is not State.CLOSED or not fate.lasting:
            self.noted_as(file)
        file.content.rest()
        with self._told:
            self._told.notify_all()

    def closed(self) -> list[SpooledFile]:
        """Those that are to be stored as they are."""
        return [file for file in self.files() if file.is_closed]

    def wait(self, since: float, seconds: float) -> list[SpooledFile]:
        """Wait, for up to `seconds`, until all are stored or have failed after `since`; returns those that are not.

        `since` is of time.monotonic, as is `Fate.tried`.
        """

        def left() -> list[SpooledFile]:
            return [it for it in self._files if it.is_closed and it.fate.tried < since]

        with self._told:
            self._told.wait_for(lambda: not left(), seconds)
            return left()

    def noted_as(self, file: SpooledFile) -> None:
        """Put on disk to stay that `file` is to be stored under the name it has by now; the log says if that fails.

        Of a copy that the storage is to make there is no content yet that another process could store.
        """
        state = State.CLOSED if file.promised_of is None else State.WRITING
        with file.lock:
            try:
                self.note(file, state, lasting=True)
            except OSError:
                logger.exception("not noted on disk, and pending: %r", file.node)

    def unlinking(self, file: SpooledFile, *, begun: bool) -> None:
        """The last name of `file` is about to go or, if that has not `begun`, stays after all: so say its notes.

        A note that finds no room stays as it is: then a crash might bring the name back, or what was closed last be
        taken for unlinked, which the log says.
        """
        for content in (file.content if file.is_noted else None, file.fate.former):
            try:
                if content is not None:
                    content.change_note(unlinking=begun, sync=file.fate.lasting)
            except OSError:
                logger.exception("not noted on disk, and %s: %r", "unlinked" if begun else "pending", file.node)

    def forget(self, file: SpooledFile) -> None:
        """Nothing is to become of the content of `file` any more: it is stored, or its name is gone."""
        fate = file.fate
        if fate.state is not None:  # else there may be no content, and none is to be made
            file.content.forget()
        if fate.former is not None:
            fate.former.remove()
        file.fate = Fate(fate.base)
        with self._told:
            self._files.pop(file, None)
            self._told.notify_all()

    def renote(self, node: Node) -> None:
        """The name or what is kept of `node`, or the name of a directory above, has changed: so do the notes.

        That has come to pass already: where there is no room for a note the log says so.
        """
        for file in self.files():
            if not self._tree.is_within(file.node, node):
                continue
            if not file.lock.acquire(blocking=False):  # it is being stored, or noted: who does it may be past the name
                file.fate.lasting = False
                self._background.schedule((file, self.renote), GRACE, partial(self.renote, file.node))
                continue
            try:
                if file.fate.state is not None:
                    self.note(file, file.fate.state, lasting=file.fate.lasting)
            except OSError:
                logger.exception("not noted on disk under its new name: %r", file.node)
            finally:
                file.lock.release()

    def _note_begun(self) -> None:
        """Note what is still being written."""
        with self._told:
            begun, self._begun = self._begun, []
        for file in begun:
            if file.fate.state is not State.WRITING or file.content.is_noted:
                continue
            if not file.lock.acquire(blocking=False):  # next time
                with self._told:
                    self._begun.append(file)
                self._background.schedule(self, GRACE, self._note_begun)
                continue
            try:
                if file.fate.state is State.WRITING:
                    self.note(file, State.WRITING)
            except OSError:
                logger.exception("not noted on disk: %r", file.node)
            finally:
                file.lock.release()

    def _remember_sent(self, file: SpooledFile) -> None:
        """Before a content is changed that an upload may have brought to the storage, though it seemed to fail."""
        fate = file.fate
        if fate.attempts > fate.changed_at and not file.missing and file.promised_of is None:
            fate.sent = (*fate.sent[1 - REMEMBERED :], Digest.of(file.content.chunks()))
            fate.changed_at = fate.attempts


def place(path: Path) -> str:
    """What a content is called by the note of another, maybe in another spool."""
    return f"{path.parent.name}/{path.name}"


def describe(error: BaseException) -> str:
    """An error in a few words, for people, without the secrets that an address may have."""
    if isinstance(error, OSError) and error.strerror:
        return without_secrets(error.strerror)
    return without_secrets(f"{type(error).__name__}: {error}") if str(error) else type(error).__name__
