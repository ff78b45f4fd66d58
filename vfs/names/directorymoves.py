"""Renaming a directory where the storage cannot: every file is copied before the first is deleted, and a crash resumes.

What is to be moved is written down first, in the folder of the spool: each file with its version; then the name of each
that is copied. So whoever finds that list, this process or the one after a crash, goes on from what the storage shows,
whatever was done already:

- A file that is at the old place only, as it was listed, is copied, unless that was done: who has deleted it at the new
  place since then does not get it back.
- When every file is copied, those at the old place go, if they are still as they were listed.
- What somebody else has changed at the old place since then stays there, and what somebody else has put in the way at
  the new place stays as well: nothing is lost, but then there are two directories.

How a list is called says who finds it what has become of the rename:

- `move-`: nothing was said yet. It goes on, and what was noted of files under their old names is of the new ones.
- `moved-`: it is done, but not all could be deleted. The rest goes later, and nothing is copied any more.
- `back-`: it has failed while it copied, and is as if it had not begun: its copies go, at once or later. Later one goes
  only if it is still a copy of what is at the old place.

Between a rename and what is done later the mount is used. What it puts there meanwhile where something is to be deleted
is added to the list and stays, be it the same as was listed, such as what was moved back.
"""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Callable, Container, Iterable
from contextlib import suppress
from pathlib import Path

from storage.base import Storage
from storage.exceptions import DirectoryNotEmptyError
from vfs.names.filemoves import Listed, is_copy
from vfs.spool.background import Background
from vfs.spool.journal import FORMAT, require_known, sync_directory

logger = logging.getLogger("vfs")

UNDER_WAY, MOVED, BACK = PREFIXES = "move-", "moved-", "back-"
"""What the name of a list begins with; an older vfs knows the first, and leaves alone what it would misread."""
_ATTRIBUTES = ("mode", "uid", "gid", "atime_ns", "mtime_ns")
_NOBODYS: frozenset[str] = frozenset()


class Move:
    """One rename of a directory."""

    def __init__(self, storage: Storage, src: str, dst: str, path: Path, background: Background) -> None:
        """From `src` to `dst`, with its list at `path`, by threads of the `background`."""
        self._storage = storage
        self._background = background
        self.src = src
        self.dst = dst
        self.path = path
        self.state = next((prefix for prefix in PREFIXES if path.name.startswith(prefix)), UNDER_WAY)
        """What has become of it, as one of the `PREFIXES`."""
        self._files: dict[str, Listed] = {}
        """By their names below the directories."""
        self._directories: list[str] = []
        self._here: dict[str, Listed] | None = None
        """What is at the old place, where that was listed just now."""
        self.phase = "listing"
        self.done = 0
        """How many files of `count` the phase is done with."""
        self._begun: list[str] = []
        """Those of which a copy may have been made."""
        self._made: list[str] = []
        """The directories that were made at the new place."""
        self._noted: set[str] = set()
        """Those that were copied when this was last broken off, whatever was done at the new place since then."""
        self._copied: set[str] = set()
        """Those that are since then."""
        self._kept: set[str] = set()
        """What the mount itself has put since then where something is to be deleted, with all below it."""
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
            first, *lines = path.read_bytes().splitlines()
            found = json.loads(first)
            require_known(found)
            move = cls(storage, found["src"], found["dst"], path, background)
            for line in lines:
                with suppress(ValueError, AttributeError):  # the last one may not have got to the disk whole
                    name = json.loads(line)
                    (move._kept if name.startswith("/") else move._noted).add(name.removeprefix("/"))
            move._files = {name: Listed(*listed) for name, listed in found["files"].items()}
            move._directories = found["directories"]
        except (ValueError, TypeError, KeyError, AttributeError):
            return None
        if move.state == MOVED:
            move._noted.update(move._files)
        return move

    @property
    def count(self) -> int:
        """How many files there are to move."""
        return len(self._files)

    def new_name(self, name: str) -> str | None:
        """What the file `name` at the old place is called at the new one; None for one that is not at the old one."""
        return f"{self.dst}{name.removeprefix(self.src)}" if name.startswith(f"{self.src}/") else None

    def listed(self, name: str) -> Listed | None:
        """The file `name` at the old place as it was when this began; None if there was none."""
        return self._files.get(name.removeprefix(f"{self.src}/"))

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
        self._noted |= self._copied
        there, _ = self._found(self.dst)
        here = self._found(self.src)[0] if self._here is None else self._here
        self._here = None
        self._in_the_way = {name for name in there.keys() & self._files.keys() if not self._is_copy(name, there[name])}
        if type(self._storage).mkdir is not Storage.mkdir:
            for name in ["", *self._directories]:
                self._make_directory(name)
        done = there.keys() | self._noted
        wanted = [name for name, listed in self._files.items() if name not in done and listed == here.get(name)]
        wanted = [name for name in wanted if not self._is_kept(name)]
        self.phase, self.done = "copying", len(self._files) - len(wanted)
        self._all(self._copy_one, wanted)

    def take_back(self) -> None:
        """Delete what was copied, as it has failed; OSError when not all of that is gone, but what could be is."""
        self.phase, self.done = "taking back", 0
        for name in set(self._begun) - self._copied:
            self._add_line(name)  # it may be there all the same
        self.become(BACK)
        self._unlink_all(self.dst, self._begun)
        self._remove_directories(self.dst, reversed(self._made))
        self.forget()

    def take_back_later(self, busy: Container[str] = _NOBODYS) -> None:
        """The same when the new place was used since; OSError (EBUSY) when all but what is `busy` there is gone.

        A copy that has become the only one stays, and the log says so.
        """
        here, there = self._found(self.src)[0], self._found(self.dst)[0]
        names = [name for name in there if name in self._noted.union(self._begun) and not self._is_kept(name)]
        copies = [name for name in names if here.get(name) == self._files[name] and self._is_like(name, there[name])]
        for name in set(names) - set(copies):
            logger.warning("left behind by the rename to %r, which failed: %r, changed here or there", self.dst, name)
        self.phase, self.done = "taking back", len(self._files) - len(copies)
        self._unlink_all(self.dst, copies, busy)
        self._remove_directories(self.dst, reversed(self._made))

    def delete(self, busy: Container[str] = _NOBODYS) -> None:
        """Delete at the old place what was copied; OSError (EBUSY) when all but what is `busy` there is gone.

        What has changed meanwhile stays, and the log says so.
        """
        here, there = self._found(self.src)[0], self._found(self.dst)[0]
        copied = self._noted | (self._files.keys() & there.keys() - self._in_the_way)
        moved = [name for name, listed in self._files.items() if here.get(name) == listed and name in copied]
        moved = [name for name in moved if not self._is_kept(name)]
        for name in here.keys() - set(moved):
            logger.warning("left behind by the rename to %r: %r, which was changed here or there", self.dst, name)
        self.phase, self.done = "deleting", len(self._files) - len(moved)
        self.moved = {_join(self.src, name): self._files[name] for name in moved}
        self._unlink_all(self.src, moved, busy)
        if type(self._storage).rmdir is not Storage.rmdir:
            self._remove_directories(self.src, [*sorted(self._directories, reverse=True), ""])

    def forget(self) -> None:
        """It is over."""
        self.path.unlink(missing_ok=True)

    def become(self, state: str) -> None:
        """Say on disk, as in `state`, what has become of it."""
        if state == MOVED:
            self._noted.update(self._files)
        self.state = state
        try:
            self.path = self.path.rename(self.path.with_name(state + self.path.name.partition("-")[2]))
        except OSError:  # this process knows it
            logger.exception("what has become of the rename of %r to %r is not noted", self.src, self.dst)

    def made(self, path: str) -> None:
        """The mount has put something at `path`: there, and below it, nothing is this one's to delete any more."""
        top = self.dst if self.state == BACK else self.src
        if top == path or top.startswith(f"{path}/"):
            self._keep("")
        elif path.startswith(f"{top}/"):
            self._keep(path[len(top) + 1 :])

    def _keep(self, name: str) -> None:
        if name not in self._kept:
            self._kept.add(name)
            self._add_line(f"/{name}", sync=True)

    def _is_kept(self, name: str) -> bool:
        return any(not kept or f"{name}/".startswith(f"{kept}/") for kept in self._kept)

    def _found(self, top: str) -> tuple[dict[str, Listed], list[str]]:
        """The files and the directories below `top`, by their names from there."""
        files: dict[str, Listed] = {}
        directories = [""]
        for directory in directories:  # which grows
            with suppress(FileNotFoundError):  # somebody else may have emptied just this one
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
            self._made.append(name)
        with suppress(FileNotFoundError, NotImplementedError):
            entry = self._storage.stat(_join(self.src, name))
            known = {key: value for key in _ATTRIBUTES if (value := getattr(entry, key)) is not None}
            if known:
                self._storage.set_attributes(made, **known)

    def _remove_directories(self, top: str, names: Iterable[str]) -> None:
        """Remove those of `names` below `top` that are empty."""
        for name in names:
            with suppress(DirectoryNotEmptyError, FileNotFoundError):
                if not self._is_kept(name):
                    self._storage.rmdir(_join(top, name))

    def _copy_one(self, name: str) -> None:
        self._begun.append(name)
        self._storage.copy(_join(self.src, name), _join(self.dst, name))
        self._copied.add(name)
        self._add_line(name)

    def _add_line(self, words: str, *, sync: bool = False) -> None:
        """Add to the list. Lines are written at once, by whoever; what has no room is compared after a crash."""
        with suppress(OSError), open(self.path, "a", encoding="utf-8") as file:
            file.write(f"{json.dumps(words)}\n")
            if sync:
                file.flush()
                os.fsync(file.fileno())

    def _is_copy(self, name: str, found: Listed) -> bool:
        """Whether what is at the new place has come there by this rename, as far as that can be told."""
        return name in self._noted or self._is_like(name, found)

    def _is_like(self, name: str, found: Listed) -> bool:
        """Whether what is at the new place is, or may as well be, a copy of what was listed at the old one."""
        return is_copy(self._storage, _join(self.src, name), self._files[name], _join(self.dst, name), found)

    def _unlink_all(self, top: str, names: list[str], busy: Container[str] = _NOBODYS) -> None:
        """Delete `names` below `top`, and raise OSError (EBUSY) if some are left because they are `busy`."""

        def unlink(name: str) -> None:
            with suppress(FileNotFoundError):
                self._storage.unlink(_join(top, name))

        free = [name for name in names if _join(top, name) not in busy]
        self._all(unlink, free, persists=self.state == BACK)
        if len(free) < len(names):
            raise OSError(errno.EBUSY, f"{len(names) - len(free)} files are in use", top)

    def _all(self, do: Callable[[str], None], names: list[str], *, persists: bool = False) -> None:
        """Call `do` with each of `names`, several at once, and raise the first error; it ends it unless it `persists`.

        It does not end before all that runs has ended.
        """
        errors: list[BaseException] = []

        def one(name: str) -> None:
            if errors and not persists:
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


def _join(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory and name else directory or name
