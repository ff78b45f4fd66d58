"""Renaming directories where the storage cannot: every file is copied before the first is deleted, and a crash resumes.

What is to be moved is written down first, in the folder of the spool: each file with its version; then the name of each
that is copied. So whoever finds that list, this process or the one after a crash, goes on from what the storage shows,
whatever was done already:

- A file that is at the old place only, as it was listed, is copied.
- When every file is at the new place, those at the old one go, if they are still as they were listed.
- What somebody else has changed at the old place since then stays there, and what somebody else has put in the way at
  the new place stays as well: nothing is lost, but then there are two directories.

A rename that fails while it copies takes back its copies, and is as if it had not begun. One that cannot delete is
done, and the rest goes later.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from storage.base import Storage
from storage.entry import Entry
from storage.exceptions import DirectoryNotEmptyError
from vfs.names.filemoves import FILE_PREFIX, Listed, finish, is_copy, noted
from vfs.spool.background import Background
from vfs.spool.journal import FORMAT, NewerFormatError, require_known, sync_directory

logger = logging.getLogger("vfs")

PREFIX = "move-"
"""What the name of a list begins with."""
PAUSE = 30.0
"""Seconds until what could not be finished is tried again."""
_ATTRIBUTES = ("mode", "uid", "gid", "atime_ns", "mtime_ns")


class Move:
    """One rename of a directory."""

    def __init__(self, storage: Storage, src: str, dst: str, path: Path, background: Background) -> None:
        """From `src` to `dst`, with its list at `path`, by threads of the `background`."""
        self._storage = storage
        self._background = background
        self.src = src
        self.dst = dst
        self.path = path
        self._files: dict[str, Listed] = {}
        """By their names below the directories."""
        self._directories: list[str] = []
        self._here: dict[str, Listed] | None = None
        """What is at the old place, where that was listed just now."""
        self.phase = "listing"
        self.done = 0
        """How many files of `count` the phase is done with."""
        self._copied: list[str] = []
        self._noted: set[str] = set()
        """Those that are copied, by the list of a process that has ended."""
        self.moved: dict[str, Listed] = {}
        """What is at the new place, and has been deleted at the old one or is going to be, by its names there."""
        self._in_the_way: set[str] = set()
        """Those of which somebody else has put another at the new place."""

    @classmethod
    def read(cls, storage: Storage, path: Path, background: Background) -> Move | None:
        """The one whose list is at `path`; None for one that is not whole: then nothing was done yet.

        NewerFormatError.
        """
        try:
            first, *copied = path.read_bytes().splitlines()
            found = json.loads(first)
            require_known(found)
            move = cls(storage, found["src"], found["dst"], path, background)
            for line in copied:
                with suppress(ValueError):  # the last one may not have got to the disk whole
                    move._noted.add(json.loads(line))
            move._files = {name: Listed(*listed) for name, listed in found["files"].items()}
            move._directories = found["directories"]
        except (ValueError, TypeError, KeyError):
            return None
        return move

    @property
    def count(self) -> int:
        """How many files there are to move."""
        return len(self._files)

    def begin(self) -> None:
        """Write down what there is to be moved."""
        self._files, self._directories = self._found(self.src)
        self._here = self._files
        words = {
            "format": FORMAT,
            "src": self.src,
            "dst": self.dst,
            "directories": self._directories,
            "files": self._files,
        }
        temporary = self.path.with_suffix(".new")
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(f"{json.dumps(words)}\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path)
        sync_directory(self.path.parent)

    def copy(self) -> None:
        """Copy what is not at the new place yet; the first error ends it, when all that runs has ended."""
        there, _ = self._found(self.dst)
        here = self._found(self.src)[0] if self._here is None else self._here
        self._in_the_way = {name for name in there.keys() & self._files.keys() if not self._is_copy(name, there[name])}
        if type(self._storage).mkdir is not Storage.mkdir:
            for name in ["", *self._directories]:
                self._make_directory(name)
        wanted = [name for name in self._files if name not in there and self._files[name] == here.get(name)]
        self.phase, self.done = "copying", len(self._files) - len(wanted)
        self._all(self._copy_one, wanted)

    def take_back(self) -> None:
        """Delete what was copied."""
        self.phase, self.done = "taking back", 0
        self._background.for_each(self._quietly_unlink, self._copied)
        self.forget()

    def delete(self) -> None:
        """Delete at the old place what is at the new one; what has changed meanwhile stays, and the log says so."""
        here, there = self._found(self.src)[0], self._found(self.dst)[0]
        copied = self._files.keys() & there.keys() - self._in_the_way
        moved = [name for name, listed in self._files.items() if here.get(name) == listed and name in copied]
        for name in here.keys() - set(moved):
            logger.warning("left behind by the rename to %r: %r, which was changed here or there", self.dst, name)
        self.phase, self.done = "deleting", len(self._files) - len(moved)
        self.moved = {_join(self.src, name): self._files[name] for name in moved}
        self._all(self._unlink_one, moved)
        if type(self._storage).rmdir is not Storage.rmdir:
            for name in [*sorted(self._directories, reverse=True), ""]:
                with suppress(DirectoryNotEmptyError, FileNotFoundError):
                    self._storage.rmdir(_join(self.src, name))
        self.forget()

    def forget(self) -> None:
        """It is over."""
        self.path.unlink(missing_ok=True)

    def _found(self, top: str) -> tuple[dict[str, Listed], list[str]]:
        """The files and the directories below `top`, by their names from there."""
        files: dict[str, Listed] = {}
        directories = [""]
        with suppress(FileNotFoundError):
            for directory in directories:  # which grows
                for entry in self._storage.glance(_join(top, directory)):
                    name = _join(directory, entry.name)
                    if entry.is_dir:
                        directories.append(name)
                    else:
                        files[name] = Listed.of(entry)
        return files, directories[1:]

    def _make_directory(self, name: str) -> None:
        """Make a directory like the one at the old place, if that is still there, as far as the storage keeps such."""
        made = _join(self.dst, name)
        with suppress(FileExistsError):
            self._storage.mkdir(made)
        with suppress(FileNotFoundError, NotImplementedError):
            entry = self._storage.stat(_join(self.src, name))
            known = {key: value for key in _ATTRIBUTES if (value := getattr(entry, key)) is not None}
            if known:
                self._storage.set_attributes(made, **known)

    def _copy_one(self, name: str) -> None:
        target = _join(self.dst, name)
        self._copied.append(target)
        self._storage.copy(_join(self.src, name), target)
        # Lines are written at once, by whoever; what has no room for its line is compared after a crash.
        with suppress(OSError), open(self.path, "a", encoding="utf-8") as file:
            file.write(f"{json.dumps(name)}\n")

    def _is_copy(self, name: str, found: Listed) -> bool:
        """Whether what is at the new place has come there by this rename, as far as that can be told."""
        return name in self._noted or is_copy(
            self._storage, _join(self.src, name), self._files[name], _join(self.dst, name), found
        )

    def _unlink_one(self, name: str) -> None:
        with suppress(FileNotFoundError):
            self._storage.unlink(_join(self.src, name))

    def _quietly_unlink(self, path: str) -> None:
        try:
            self._storage.unlink(path)
        except FileNotFoundError:
            pass
        except OSError:
            logger.exception("left behind by a rename that failed: %r", path)

    def _all(self, do: Callable[[str], None], names: list[str]) -> None:
        errors: list[BaseException] = []

        def one(name: str) -> None:
            if errors:
                return
            try:
                do(name)
            except BaseException as error:  # noqa: BLE001 - it is raised below
                errors.append(error)
            else:
                self.done += 1

        self._background.for_each(one, names)
        if errors:
            raise errors[0]


def left_in(folder: Path) -> list[Path]:
    """The notes of renames that were broken off, in the folder of a spool."""
    return sorted(path for prefix in (PREFIX, FILE_PREFIX) for path in folder.glob(f"{prefix}*.json"))


class Moves:
    """The renames of one mount that are journalled."""

    def __init__(self, storage: Storage, folder: Callable[[], Path], background: Background) -> None:
        """In `storage`, with their lists in `folder`; what is left over is done in the `background`."""
        self._storage = storage
        self._folder = folder
        self._background = background
        self._lock = threading.Lock()
        self._number = 0
        self._running: dict[Move, None] = {}
        self.renames_in_one_step = storage.does_itself("rename")
        """Whether the storage renames a file in one step."""

    def move(self, src: str, dst: str) -> dict[str, Listed]:
        """Rename a directory, to a name where there is nothing or an empty one. The caller has leases on both.

        Returns what has moved: files by their old names, as they were.
        """
        move = Move(self._storage, src, dst, self._new_path(PREFIX), self._background)
        self._running[move] = None
        try:
            move.begin()
            try:
                move.copy()
            except BaseException:
                move.take_back()
                raise
            self._delete(move)
            return move.moved
        finally:
            del self._running[move]

    def of_file(self, src: str, dst: str, entry: Entry) -> AbstractContextManager[None]:
        """A block in which the storage renames a file by a copy; see vfs.names.filemoves."""
        return noted(self._new_path(FILE_PREFIX), src, dst, entry)

    def resume(self, path: Path) -> None:
        """Go on with one that was broken off, until it is done; an error leaves it for another time, or version."""
        if path.name.startswith(FILE_PREFIX):
            finish(self._storage, path)
            return
        move = Move.read(self._storage, path, self._background)
        if move is None:
            path.unlink()
            return
        self._running[move] = None
        logger.info("the rename of %r to %r, %d files, goes on", move.src, move.dst, move.count)
        try:
            move.copy()
            move.delete()
        finally:
            del self._running[move]

    def resume_later(self, path: Path, pause: float = 0.0) -> None:
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

    def report(self) -> list[dict[str, Any]]:
        """For `vfs status`, of each: from, to, phase, and how many files of how many it is done with."""
        running = list(self._running)
        return [{"from": it.src, "to": it.dst, "phase": it.phase, "done": it.done, "of": it.count} for it in running]

    def _new_path(self, prefix: str) -> Path:
        with self._lock:
            self._number += 1
            return self._folder() / f"{prefix}{self._number}.json"

    def _delete(self, move: Move) -> None:
        try:
            move.delete()
        except OSError as error:
            logger.warning("renamed to %r, but not all of %r is deleted yet: %s", move.dst, move.src, error)
            self.resume_later(move.path, PAUSE)


def _join(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory and name else directory or name
