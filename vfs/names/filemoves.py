"""Renaming a file where the storage copies and deletes: a crash between the two leaves it under both names.

For as long as such a rename is under way there is a note of it in the folder of the spool. Who finds that later deletes
the file at the old place, if it is as it was and the one at the new place is its copy. Else the copy was not made, or
somebody has changed one of them since, and both stay as they are. The note is not forced to the disk: a power cut may
take it, and leave both names.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from storage.base import Storage
from storage.entry import Entry
from vfs.spool.journal import FORMAT, require_known
from vfs.spool.spool import CHUNK

logger = logging.getLogger("vfs")

FILE_PREFIX = "rename-"
"""What the name of a note begins with."""


class Listed(NamedTuple):
    """A file at the old place, as it was when the rename began."""

    version: str | None
    size: int

    @classmethod
    def of(cls, entry: Entry) -> Listed:
        """What a listing shows."""
        return cls(entry.version, entry.size)


@contextmanager
def noted(path: Path, src: str, dst: str, entry: Entry) -> Iterator[None]:
    """A block that renames the file that is shown as `entry`, with a note of it at `path` if there is room for one."""
    words = {"format": FORMAT, "src": src, "dst": dst, "file": Listed.of(entry)}
    with suppress(OSError):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(fd, json.dumps(words).encode())
        finally:
            os.close(fd)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def finish(storage: Storage, path: Path) -> None:
    """Do what is left of the rename that the note at `path` is of; NewerFormatError."""
    try:
        found = json.loads(path.read_bytes())
        require_known(found)
        src, dst, listed = found["src"], found["dst"], Listed(*found["file"])
    except (ValueError, TypeError, KeyError):  # it was not written whole, so nothing was done
        path.unlink()
        return
    here, there = _found(storage, src), _found(storage, dst)
    if here is not None and there is not None and Listed.of(here) == listed and here.kind is there.kind:
        if is_copy(storage, src, listed, dst, Listed.of(there), comparable=here.is_file):
            storage.unlink(src)
            logger.info("the rename of %r to %r was broken off, and is done now", src, dst)
        else:
            logger.warning("the rename of %r to %r was broken off, and has changed nothing", src, dst)
    path.unlink()


def _found(storage: Storage, name: str) -> Entry | None:
    """What there is under a name; None also below a file."""
    try:
        return storage.find(name)
    except NotADirectoryError:
        return None


def is_copy(storage: Storage, src: str, listed: Listed, dst: str, found: Listed, *, comparable: bool = True) -> bool:
    """Whether what is `found` at `dst` can only be, or is as good as, a copy of the file `listed` at `src`.

    Their contents are compared where versions do not tell, if they are `comparable`: those of links cannot be opened.
    """
    if found == listed and found.version is not None:
        return True
    return comparable and found.size == listed.size and _are_equal(storage, src, dst)


def _are_equal(storage: Storage, one: str, other: str) -> bool:
    """Whether two files have the same content; not if one is gone."""
    with suppress(FileNotFoundError), storage.open(one) as first, storage.open(other) as second:
        while (data := first.read(CHUNK)) == second.read(CHUNK):
            if not data:
                return True
    return False
