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
from pathlib import Path
from typing import TYPE_CHECKING

from storage.remote.secrets import without_secrets
from vfs.guard import NotAskedError
from vfs.names.tree import NamelessError, Node, Tree
from vfs.spool.background import Background
from vfs.spool.conflicts import Digest
from vfs.spool.journal import Base, Note, State
from vfs.spool.spool import SpoolFile

if TYPE_CHECKING:
    from vfs.content.spooled import SpooledFile

logger = logging.getLogger("vfs")

GRACE = 1.0
"""Seconds after which what is being written has a note; most files are closed before, and need none but that."""
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
    sent: Digest | None = None
    """What an upload that failed may have brought to the storage all the same."""
    partial: bool = False
    """Whether parts of a closed content are in the storage alone, as the note says."""
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
        if fate.partial:  # what is missing by the note must not be taken for what is written now
            self.note(file, State.WRITING if file.missing else State.CLOSED)
        elif fate.state is None and not GRACE:
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
        content = self._new()
        file.fate.former, file.fate.state, file.fate.lasting = file.content, None, False
        return content

    def note(self, file: SpooledFile, state: State, *, lasting: bool = False) -> None:
        """Put on disk what `file` is to become, under the name that it has now; nothing for one without a name."""
        try:
            name = self._tree.path(file.node)
        except NamelessError:
            self.forget(file)
            return
        fate, kept = file.fate, file.node.kept
        fate.since = fate.since or time.time()
        attributes = {} if kept is None else {key: getattr(kept, key) for key in _KEPT}
        file.content.note(
            Note(
                name,
                state,
                fate.base,
                fate.since,
                file.mtime_ns,
                {key: value for key, value in attributes.items() if value is not None},
                missing=file.missing,
                replaces="" if fate.former is None else place(fate.former.path),
            ),
            sync=lasting,
        )
        is_closed = state is State.CLOSED
        fate.state, fate.lasting, fate.partial = state, lasting and is_closed, is_closed and bool(file.missing)
        with self._told:
            self._files[file] = None
        if is_closed and fate.former is not None:
            fate.former.remove()
            fate.former = None

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
        """The name or what is kept of `node`, or the name of a directory above, has changed: so do the notes."""
        for file in self.files():
            if not self._tree.is_within(file.node, node):
                continue
            if not file.lock.acquire(blocking=False):  # it is being stored: then there will be no note, or a new one
                file.fate.lasting = False
                continue
            try:
                if file.fate.state is not None:
                    self.note(file, file.fate.state, lasting=file.fate.lasting)
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
        if fate.attempts and fate.sent is None and not file.missing and file.promised_of is None:
            fate.sent = Digest.of(file.content.chunks())


def place(path: Path) -> str:
    """What a content is called by the note of another, maybe in another spool."""
    return f"{path.parent.name}/{path.name}"


def describe(error: BaseException) -> str:
    """An error in a few words, for people, without the secrets that an address may have."""
    if isinstance(error, OSError) and error.strerror:
        return without_secrets(error.strerror)
    return without_secrets(f"{type(error).__name__}: {error}") if str(error) else type(error).__name__
