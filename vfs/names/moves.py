"""The renames of directories by copies of one mount: those under way, and those of which something is left to do.

What is left is done in the background while the mount is used, so it is done with a lease as the rename itself was: on
both places for as long as copies are made, and then on the one where something is deleted.
"""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from storage.entry import Entry
from vfs.names.directorymoves import BACK, MOVED, PREFIXES, UNDER_WAY, Move
from vfs.names.filemoves import FILE_PREFIX, Listed, finish, noted
from vfs.names.namespace import Namespace
from vfs.names.renaming import Changing
from vfs.names.tree import NamelessError
from vfs.spool.background import Background
from vfs.spool.journal import NewerFormatError

logger = logging.getLogger("vfs")

PAUSE = 30.0
"""Seconds until what could not be finished is tried again."""


def left_in(folder: Path) -> list[Path]:
    """The notes of renames that were broken off, in the folder of a spool."""
    return sorted(path for prefix in (*PREFIXES, FILE_PREFIX) for path in folder.glob(f"{prefix}*.json"))


class Moves:
    """The renames of one mount that are journalled."""

    def __init__(self, names: Namespace, folder: Callable[[], Path], background: Background) -> None:
        """In the storage of `names`, with lists in `folder`; what is left over is done in the `background`."""
        self._names = names
        self._storage = names.storage
        self._folder = folder
        self._background = background
        self._lock = threading.Lock()
        self._number = 0
        self._running: dict[Move, None] = {}
        self._moved: dict[str, tuple[Move, bool]] = {}
        """By their old names those of which the mount has yet to do its half, and whether all is deleted."""
        self._unfinished: dict[Path, Move] = {}
        """By the paths of their lists those of which something is left to do."""
        self.on_copied: Callable[[Move], None] = lambda move: None
        """Told of one that was `under_way` when all is at the new place, and its list is there yet."""
        self.renames_in_one_step = names.storage.does_itself("rename")
        """Whether the storage renames a file in one step."""

    def move(self, src: str, dst: str) -> dict[str, Listed]:
        """Rename a directory, to a name where there is nothing or an empty one. The caller has leases on both.

        Returns what has moved: files by their old names, as they were. `finish()` is to follow.
        """
        move = Move(self._storage, src, dst, self._new_path(UNDER_WAY), self._background)
        self._running[move] = None
        try:
            move.begin()
            try:
                move.copy()
            except BaseException:
                self._take_back(move)
                raise
            self._moved[src] = move, self._delete(move)
            return move.moved
        finally:
            del self._running[move]

    def finish(self, src: str) -> None:
        """The mount has done its half of the rename of `src`, down to the notes of what is pending below it."""
        move, is_complete = self._moved.pop(src, (None, True))
        if move is None:
            return
        if is_complete:
            move.forget()
            return
        move.become(MOVED)
        self._leave(move)
        self.resume_later(move.path, PAUSE)

    def of_file(self, src: str, dst: str, entry: Entry) -> AbstractContextManager[None]:
        """A block in which the storage renames a file by a copy; see vfs.names.filemoves."""
        return noted(self._new_path(FILE_PREFIX), src, dst, entry)

    def under_way(self, folder: Path) -> list[Move]:
        """Those directories that were being renamed by the mount that has left `folder`, when it was killed."""
        moves = []
        for path in sorted(folder.glob(f"{UNDER_WAY}*.json")):
            with suppress(NewerFormatError):
                moves.append(self._left(path))
        return [move for move in moves if move is not None]

    def resume(self, path: Path) -> None:
        """Go on with one that was broken off, until it is done; an error leaves it for another time, or version."""
        if path.name.startswith(FILE_PREFIX):
            finish(self._storage, path)
            return
        move = self._left(path)
        if move is None:
            path.unlink()
            return
        with self._lock:
            if move in self._running:
                raise BlockingIOError(errno.EBUSY, "it goes on already")
            self._running[move] = None
        logger.info("the rename of %r to %r, %d files, goes on", move.src, move.dst, move.count)
        try:
            self._go_on(move)
        finally:
            del self._running[move]
            self._names.doubt(move.src)
            self._names.doubt(move.dst)
        move.forget()
        self._unfinished.pop(path, None)

    def resume_later(self, path: Path, pause: float = 0.0, copied: Callable[[Move], None] = lambda move: None) -> None:
        """The same in the background, as often as it takes."""

        def resume() -> None:
            try:
                self.resume(path)
            except OSError as error:
                logger.warning("the rename that %s is of is tried again later: %s", path, error)
                self.resume_later(path, PAUSE)
            except NewerFormatError as error:
                logger.warning("the rename that %s is of does not go on: %s", path, error)

        self._background.schedule(path, pause, resume)

    def go_on(self, seconds: float | None) -> None:
        """Go on at once with those of which something is left, for up to `seconds`; what cannot be done stays left."""

        def resume(path: Path) -> None:
            try:
                self.resume(path)
            except (OSError, NewerFormatError) as error:
                logger.warning("the rename that %s is of is left to the next mount: %s", path, error)

        self._background.for_each(resume, list(self._unfinished), seconds)

    def report(self) -> list[dict[str, Any]]:
        """For `vfs status`, of each: from, to, phase, and how many files of how many it is done with."""
        running = list(self._running)
        return [{"from": it.src, "to": it.dst, "phase": it.phase, "done": it.done, "of": it.count} for it in running]

    def _new_path(self, prefix: str) -> Path:
        with self._lock:
            self._number += 1
            return self._folder() / f"{prefix}{self._number}.json"

    def _take_back(self, move: Move) -> None:
        try:
            move.take_back()
        except OSError as error:
            logger.warning("not renamed to %r, where copies are left that go later: %s", move.dst, error)
            self._leave(move)
            self.resume_later(move.path, PAUSE)

    def _delete(self, move: Move) -> bool:
        """Whether that is done; else the rest goes later."""
        try:
            move.delete()
        except OSError as error:
            logger.warning("renamed to %r, but not all of %r is deleted yet: %s", move.dst, move.src, error)
            return False
        return True

    # -- what is left to do

    def _left(self, path: Path) -> Move | None:
        """The one whose list is at `path`; None for a list that is not whole. NewerFormatError."""
        move = self._unfinished.get(path) or Move.read(self._storage, path, self._background)
        if move is not None:
            self._leave(move)
        return move

    def _leave(self, move: Move) -> None:
        """Something is left to do of `move`: from now on it is told what the mount makes."""
        self._unfinished[move.path] = move
        self._names.on_made = self._tell

    def _tell(self, path: str) -> None:
        for move in list(self._unfinished.values()):
            move.made(path)

    def _go_on(self, move: Move) -> None:
        if move.state == BACK:
            with self._alone(move.dst):
                move.take_back_later(self._in_use())
            return
        if move.state == UNDER_WAY:
            with self._alone(move.src, made=move.dst):
                move.copy()
            self.on_copied(move)  # without a lease, as it looks for names at the new place
        with self._alone(move.src):
            move.delete(self._in_use())

    @contextmanager
    def _alone(self, *paths: str, made: str | None = None) -> Iterator[None]:
        """A block in which nobody else uses what is at `paths` or below, or at one that is `made` in it."""
        places = [] if made is None else [self._names.place(made)]
        for path in paths:
            with suppress(FileNotFoundError):  # what nothing is above of is nobody's
                places.append(self._names.place(path, makes=False))
        with Changing(self._names, *places, missing_ok=True):
            yield

    def _in_use(self) -> set[str]:
        """The paths of the files that somebody has open, or that are not stored yet."""
        paths = set()
        for file in self._names.tree.files():
            with suppress(NamelessError):
                paths.add(self._names.tree.path(file.node))
        return paths
