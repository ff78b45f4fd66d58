"""What is to become of spooled bytes: a *note* beside each content, and why no crash can part or forget them.

A content is `NAME` in the folder of a spool, its note `NAME.json`: which name in the storage it is for, what that had
when the content was begun (its *base*), the attributes that the mount keeps for it, and how far it has come:

- WRITING, from a second after the first change. Nobody has closed the file, so the content may be half of anything. No
  recovery ever puts it in the place of what the storage has: it stays where it is, and is shown to its owner.
- CLOSED, when the file is to be stored as it is: by close(), fsync(), a failed upload. It is sent, by this process or
  by the next one, under the condition that the storage still has the base; else it is kept beside
  (vfs.spool.conflicts).

The note goes, and then the content, when the storage has it, or when its name was unlinked or rewritten.

Kill. A process that is killed loses nothing that it has written to a file. A note is written to `NAME.new` and renamed,
so it is there as it was before, or as it is after. A content without a note is a copy of what the storage has, or was
begun a moment ago by somebody who had not closed it; a note without a content is one that was just given up.

Power. Where CLOSED is promised to last (write-back, or an upload that failed), content, then note, then the rename are
each forced to the disk in this order before anybody is told. So whenever the power goes, there is either no such note,
and nobody was told, or a note with all of the content that it speaks of. Where an upload follows at once, nothing is
forced: close() has not returned yet. The note says then in which start of the machine that was; after another one its
content, of which some may not have got to the disk, is kept as unfinished. So is that of a note which cannot be read,
because it did not get there whole.

Twice. A crash between the end of an upload and the end of its note makes the next process send the content again. The
condition then fails, since the storage has another version than the base; whether that is this very content is seen by
comparing the bytes, of which the spool has its own.

Anew. A closed content that is not stored yet and is to be overwritten from its beginning (O_TRUNC) stays, and another
is begun: the crash of a writer must not take with it what was closed before. The note of the other one, once that is
closed, says that it stands for both. A closed content that is changed in place is sent as it is found, as a disk would.

Unlinked. A name that is unlinked must not come back with the next mount, and what was closed must not be lost by an
unlink that failed. So before the storage is asked the note says that its name is about to go, and goes when it has
gone. Whoever finds such a note looks at the storage: where that has the base still the unlink did not come to pass, and
the content is stored as any other; else it is dropped.

Renames. A note has its new name before a rename is over. Where a directory is renamed by copies there is a list of that
in the folder until all notes below it are renewed (vfs.names.directorymoves): who finds both goes on with the copies,
and then renews the notes, their bases included, before the list goes. So a content is never stored under the old name
while what it replaces is under the new one.

Versions. A note says which FORMAT it has. One of a newer vfs, found after a way back, stays as it is, and its content
with it, until that comes again; so a format is raised whenever an older vfs would do wrong by a note. What it would do
wrong by a folder (another layout of contents) needs another name for folders: those are found by theirs.

Alone. A folder is locked (flock) by the process that uses it for as long as that lives. Who gets the lock of a folder
that another has left is alone in finishing it.
"""

from __future__ import annotations

import enum
import functools
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from storage.entry import Entry

SUFFIX = ".json"
"""What is added to the name of a content for its note."""
_LATER = ("copies", "unlinking", "start")
"""What only those notes have that need it: an older vfs reads the others."""
FORMAT = 1
"""Of the notes that are written, and the highest of those that are read; what does not say has this one."""


class NewerFormatError(Exception):
    """A newer version of vfs has written something that this one would misread."""

    def __init__(self) -> None:
        """Say what is to be done."""
        super().__init__("a newer version of vfs has left it, and can store it")


class State(enum.Enum):
    """How far a content has come."""

    WRITING = "writing"
    CLOSED = "closed"


class Base(NamedTuple):
    """What the storage had under the name when a content was begun; nothing of it is known with both left out."""

    version: str | None = None
    absent: bool = False

    @classmethod
    def of(cls, entry: Entry | None) -> Base:
        """What was seen; None if nothing is known."""
        return cls(entry.version) if entry is not None else cls()

    @property
    def conditions(self) -> dict[str, Any]:
        """For `Storage.replace()`: only in the place of the base."""
        if self.absent:
            return {"if_absent": True}
        return {} if self.version is None else {"if_version": self.version}

    @property
    def cautious(self) -> Base:
        """The same, but over nothing at all where the base is not known: for who comes later than it was begun."""
        return self if self.conditions else Base(absent=True)


@dataclass(frozen=True, slots=True)
class Note:
    """What is to become of one content; times in seconds (`since`) and ns since the epoch."""

    name: str
    """In the storage."""
    state: State
    base: Base
    since: float
    """When it was first changed."""
    mtime_ns: int
    attributes: dict[str, int] = field(default_factory=dict)
    """What the mount keeps: mode, uid, gid, atime_ns, mtime_ns."""
    missing: list[tuple[int, int]] = field(default_factory=list)
    """Ranges that are not in the content, but in what the base was: from, and up to."""
    replaces: str = ""
    """The folder and name of an older content for the same name, which is to be stored unless this one is closed."""
    copies: str = ""
    """The name of the file that this was closed as a copy of; nothing of the content is here then."""
    unlinking: bool = False
    """Whether its name was about to be unlinked."""
    start: str = ""
    """That of the machine (`this_start()`) in which the content was closed, if it was not forced to the disk then."""

    @property
    def is_closed(self) -> bool:
        """Whether the content is here as it was closed."""
        return self.state is State.CLOSED and self.start in ("", this_start())

    def write(self, path: Path | str, *, sync: bool) -> None:
        """Put it on disk in one step, with `sync` to stay; OSError when there is no room."""
        temporary = f"{os.fspath(path).removesuffix(SUFFIX)}.new"
        fields = {key: getattr(self, key) for key in self.__slots__ if key not in _LATER or getattr(self, key)}
        fields["state"] = self.state.value
        words = json.dumps({"format": FORMAT, **fields}).encode()
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            _write_all(fd, words)
            if sync:
                os.fsync(fd)
        except BaseException:
            os.unlink(temporary)
            raise
        finally:
            os.close(fd)
        os.rename(temporary, path)
        if sync:
            sync_directory(os.path.dirname(path))

    @classmethod
    def read(cls, path: Path) -> Note | None:
        """The note at `path`; None if it is not whole. FileNotFoundError, NewerFormatError."""
        try:
            found = json.loads(path.read_bytes())
            require_known(found)
            missing = [(start, end) for start, end in found["missing"]]
            parts = {"state": State(found["state"]), "base": Base(*found["base"]), "missing": missing}
            return cls(**{**found, **parts})
        except (ValueError, TypeError, KeyError):
            return None


@functools.cache
def this_start() -> str:
    """Which start of this machine it is; "" where the system does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def require_known(found: dict[str, Any]) -> None:
    """NewerFormatError for what only a newer version can read; takes out what says so."""
    if found.pop("format", FORMAT) > FORMAT:
        raise NewerFormatError


def sync_directory(path: Path | str) -> None:
    """Return when the names in a directory are on the disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_all(fd: int, data: bytes) -> None:
    written = 0
    while written < len(data):
        written += os.write(fd, data[written:])
