"""Copying files and trees between any two places: what `cp` does, and `mv` from one storage to another.

A tree is listed first and whole; so its size is known, and a copy can never meet its own result. Then come its
directories from the top, its files, several at once where one of the storages may wait for a network, and at last the
attributes of the directories. One failure never ends the rest: it is reported, and what depends on it is left out.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from vfs.cli import output
from vfs.cli.errors import CommandError, Failures, warn
from vfs.cli.places import Place, is_link, umask
from vfs.cli.progress import Progress
from vfs.cli.work import Counted, Crew, jobs_for

if TYPE_CHECKING:
    from storage.entry import Entry


class Item(NamedTuple):
    """A file or directory to copy; `entry` describes the source, `above` has the names of the directories it is in."""

    source: Place
    target: Place
    entry: Entry
    above: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """Both ends, for messages."""
        return f"{self.source.shown} -> {self.target.shown}"


@dataclass
class Plan:
    """What is to be copied: directories from the top, and everything else."""

    directories: list[Item] = field(default_factory=list)
    others: list[Item] = field(default_factory=list)


@dataclass(frozen=True)
class Manner:
    """How to copy."""

    recursive: bool = False
    dereference: bool = False
    """Copy what symbolic links lead to. Without `recursive` that is done anyway."""
    preserve: bool = False
    """Keep mode, times and, as root, owner; where the target cannot, that is a failure."""
    moving: bool = False
    """Keep those as far as the target can."""
    no_clobber: bool = False
    verbose: bool = False
    jobs: int | None = None


class Copier:
    """Copies, and keeps an account of what failed."""

    def __init__(self, manner: Manner, failures: Failures, progress: Progress) -> None:
        """Nothing is done yet."""
        self._manner = manner
        self._failures = failures
        self._progress = progress
        self._missing: set[str] = set()  # target directories that could not be made
        self._made: set[str] = set()
        self._occupied: set[str] = set()  # source directories that something is in
        self._cannot_keep: set[str] = set()  # aliases of targets that cannot keep attributes, told once

    def copy(self, pairs: Sequence[tuple[Place, Place]]) -> None:
        """Copy each source to exactly its target."""
        if not pairs:
            return
        plan = Plan()
        for source, target in pairs:
            with self._failures.catching(source.shown):
                self._add(plan, source, target)
        self._progress.begin(len(plan.others), sum(item.entry.size for item in plan.others if item.entry.is_file))
        self._occupied = {item.above[-1] for item in (*plan.directories, *plan.others) if item.above}
        for item in plan.directories:
            self._make_directory(item)
        crew = Crew(self._manner.jobs or jobs_for(place.storage for pair in pairs for place in pair))
        crew.work(lambda item: self._copy(item, crew), plan.others)
        for item in reversed(plan.directories):
            if item.target.name not in self._missing:
                with self._failures.catching(item.shown):
                    self._finish_directory(item)

    # ---- the plan ----------------------------------------------------------------------------------------------------

    def _add(self, plan: Plan, source: Place, target: Place) -> None:
        entry = source.stat()
        if is_link(entry) and (self._manner.dereference or not self._manner.recursive):
            source = source.followed()
            entry = source.stat(follow=True)  # of a link to a pipe, which has no name of its own
        if entry.is_dir and not self._manner.recursive:
            raise CommandError("it is a directory; copy it with -r")
        pending = [Item(source, target, entry)]
        while pending:
            item = pending.pop()
            self._progress.found()
            if item.entry.is_dir:
                plan.directories.append(item)
                pending.extend(self._children(item))
            else:
                plan.others.append(item)

    def _children(self, item: Item) -> Iterator[Item]:
        above = (*item.above, item.source.name)
        with self._failures.catching(item.source.shown):
            for entry in item.source.scandir():
                child = Item(item.source / entry.name, item.target / entry.name, entry, above)
                if is_link(entry) and self._manner.dereference:
                    with self._failures.catching(child.source.shown):
                        yield _dereferenced(child)
                else:
                    yield child

    # ---- the work ----------------------------------------------------------------------------------------------------

    def _make_directory(self, item: Item) -> None:
        if self._is_lost(item):
            self._missing.add(item.target.name)
            return
        try:
            if not item.above:
                item.target.make_parents()
            if item.target.mkdir(self._mode_to_fill(item)):
                self._made.add(item.target.name)
                if self._manner.verbose:
                    output.line(item.shown)
        except NotImplementedError:
            if item.source.name not in self._occupied:
                warn(f"{item.source.label} is empty, and left out: {item.target.label} cannot be kept as a directory")
        except Exception as error:  # noqa: BLE001 - reported, and what is below it is left out
            self._missing.add(item.target.name)
            self._failures.report(error, item.shown)

    def _mode_to_fill(self, item: Item) -> int | None:
        """The mode that a directory has while it is being filled; None leaves it to the storage."""
        if item.entry.mode is None or not (item.target.local or self._keeps):
            return None
        return item.entry.mode & 0o777 & ~umask() | 0o700

    @property
    def _keeps(self) -> bool:
        return self._manner.preserve or self._manner.moving

    def _is_lost(self, item: Item) -> bool:
        """Whether the directory that it is to be in could not be made."""
        return bool(item.above) and item.target.name.rpartition("/")[0] in self._missing

    def _copy(self, item: Item, crew: Crew) -> None:
        if not self._is_lost(item):
            with self._failures.catching(item.shown):
                try:
                    self._copy_entry(item, crew)
                except FileExistsError:
                    if self._manner.moving or not self._manner.no_clobber:
                        raise  # what is only left out of a copy must not be taken for moved
                else:
                    if self._manner.verbose:
                        output.line(item.shown)
        self._progress.finished()

    def _copy_entry(self, item: Item, crew: Crew) -> None:
        """Copy anything but a directory; FileExistsError with `no_clobber`."""
        source, target, entry = item.source, item.target, item.entry
        if is_link(entry) or (self._manner.recursive and not entry.is_file):
            self._copy_special(item)
        elif source.storage is target.storage and not source.local and not self._manner.no_clobber:
            source.storage.copy(source.name, target.name)
        else:
            with source.open() as file:
                content = Counted(file, self._progress, crew.cancelled)
                target.store(content, mode=entry.mode, if_absent=self._manner.no_clobber)
        self._keep_attributes(target, entry)

    def _copy_special(self, item: Item) -> None:
        """Make a link, FIFO, socket or device like the source, in the place of what is there."""
        target = item.target
        if not item.above:
            target.make_parents()
        if self._manner.no_clobber or target.find() is None:
            _make_special(item, target.name)
            return
        directory, slash, _ = target.name.rpartition("/")
        draft = f"{directory}{slash}.vfs-{secrets.token_hex(8)}"
        _make_special(item, draft)  # many storages can keep no such thing, and then what is there has to stay
        try:
            target.storage.rename(draft, target.name)
        except BaseException:
            with suppress(FileNotFoundError):  # where a rename is a copy, it may have failed at the very end
                target.storage.unlink(draft)
            raise

    # ---- attributes --------------------------------------------------------------------------------------------------

    def _finish_directory(self, item: Item) -> None:
        if self._keeps:
            self._keep_attributes(item.target, item.entry)
        elif item.target.local and item.target.name in self._made and item.entry.mode is not None:
            mode = item.entry.mode & 0o777 & ~umask()
            item.target.storage.set_attributes(item.target.name, mode=mode)

    def _keep_attributes(self, target: Place, entry: Entry) -> None:
        if not self._keeps or (entry.mtime_ns is None and entry.mode is None):
            return
        try:
            set_attributes(target, entry)
        except NotImplementedError as error:
            alias = target.label.partition(":")[0]
            if self._manner.preserve and alias not in self._cannot_keep:
                self._cannot_keep.add(alias)
                raise CommandError(f"mode and times are not kept here, nor of what follows: {error}") from error


def set_attributes(target: Place, entry: Entry) -> None:
    """Give a file the mode, the times and, as root, the owner of an entry, as far as those are known."""
    owner = {"uid": entry.uid, "gid": entry.gid} if os.geteuid() == 0 else {}
    mode = entry.mode
    if is_link(entry):
        mode = None
    elif mode is not None and not owner:
        mode &= 0o1777  # who may not give the owner must not give its rights to somebody else
    target.storage.set_attributes(target.name, mode=mode, atime_ns=entry.atime_ns, mtime_ns=entry.mtime_ns, **owner)


def _dereferenced(item: Item) -> Item:
    """What a symbolic link leads to, in its place; CommandError where that is a directory around it."""
    place = item.source.followed()
    entry = place.stat()
    if entry.is_dir and place.name in item.above:
        raise CommandError("the symbolic link leads to a directory that it is in")
    return item._replace(source=place, entry=entry._replace(name=item.entry.name))


def _make_special(item: Item, name: str) -> None:
    """Make what is like the source, and no plain file, under a free name of the target's storage."""
    source, storage, entry = item.source, item.target.storage, item.entry
    try:
        if is_link(entry):
            storage.symlink(source.link_target(entry) or "", name)
        else:
            storage.mknod(name, entry.kind.value | (entry.mode or 0o666) & ~umask(), entry.rdev)
    except NotImplementedError as error:
        hint = "; cp -L copies what links lead to" if is_link(entry) else ""
        raise CommandError(f"it is no plain file, and the storage can keep no other ({error}){hint}") from error
