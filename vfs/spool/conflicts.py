"""Storing a content in the place of what it was made from, and of nothing else.

Two mounts of one storage may change one file. Who stores first wins; the other's condition fails (`replace()` with
`if_version` or `if_absent`), and then there are four cases:

- The storage has just this content: an upload of it had succeeded, but its end was not heard of, because a connection
  broke or a process was killed. It is stored.
- The storage has what was sent before this, by an upload that seemed to fail: this one replaces it.
- The storage has nothing there: what was changed here was deleted elsewhere. It is stored again, over nothing.
- The storage has something else: VersionMismatchError. The content then gets a name beside, `conflict_name()`.
"""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from storage.exceptions import VersionMismatchError
from storage.files import ContentFile, File
from vfs.spool.journal import Base
from vfs.spool.spool import CHUNK, SpoolFile

if TYPE_CHECKING:
    from storage.base import Storage
    from storage.entry import Entry


SMALL = 256 << 10
"""Bytes of a content that is stored from memory."""


class Digest(NamedTuple):
    """A content in short: what is equal is the same."""

    size: int
    hash: bytes

    @classmethod
    def of(cls, chunks: Iterable[bytes]) -> Digest:
        """Of a content in pieces."""
        size, sums = 0, hashlib.blake2b(digest_size=16)
        for chunk in chunks:
            size += len(chunk)
            sums.update(chunk)
        return cls(size, sums.digest())


def store(
    storage: Storage,
    name: str,
    content: SpoolFile,
    base: Base,
    sent: Collection[Digest] = (),
    *,
    looked_up: bool = False,
    attributes: dict[str, int] | None = None,
) -> Entry:
    """Store under `name`, in the place of `base`, and return the storage's entry; VersionMismatchError.

    `sent` are the contents that earlier uploads, which failed, may have brought there all the same. `looked_up` says
    that no directory has the name, as far as the mount knows. `attributes` are for a storage that takes them with the
    content.
    """
    given = {} if attributes is None else {"attributes": attributes}
    try:
        return _replace(storage, name, content, base, given, looked_up=looked_up)
    except (VersionMismatchError, FileExistsError) as error:
        if isinstance(error, NotADirectoryError) or not base.conditions:
            raise
        found = _find(storage, name)
        if found is None and not base.absent:
            return store(storage, name, content, Base(absent=True), attributes=attributes)
        if found is not None and has_content(storage, name, found, content):
            return found
        if found is not None and has_one_of(storage, name, found, sent):
            return store(storage, name, content, Base.of(found), attributes=attributes)
        raise VersionMismatchError(name) from error


def has_content(storage: Storage, name: str, entry: Entry, content: SpoolFile) -> bool:
    """Whether the storage has just this content under `name`; read up to the first difference."""
    if not entry.is_file or entry.size != content.size():
        return False
    offset = 0
    with storage.open(name) as stored:
        while chunk := stored.read(CHUNK):
            if content.pread(len(chunk), offset) != chunk:
                return False
            offset += len(chunk)
    return offset == content.size()


def has_one_of(storage: Storage, name: str, entry: Entry, contents: Collection[Digest]) -> bool:
    """Whether the storage has one of these contents under `name`; read only if its size is that of one."""
    if not entry.is_file or all(entry.size != it.size for it in contents):
        return False
    with storage.open(name) as stored:
        return Digest.of(iter(lambda: stored.read(CHUNK), b"")) in contents


def conflict_name(name: str, limit: int) -> str:
    """What to call the version that came too late for `name` (one component), in up to `limit` bytes."""
    moment = time.time()
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(moment))
    suffix = f".conflict-{socket.gethostname().partition('.')[0]}-{stamp}.{int(moment * 1000) % 1000:03}"
    while len(os.fsencode(name + suffix)) > limit:
        name = name[:-1]
    return name + suffix


def _replace(
    storage: Storage, name: str, content: SpoolFile, base: Base, given: dict[str, Any], *, looked_up: bool
) -> Entry:
    wishes = {**base.conditions, **given}
    if looked_up and storage.takes_looked_up:
        wishes["looked_up"] = True
    size = content.size()
    if size <= SMALL:  # many small files cost less without a file object for each
        data = content.pread(size, 0)
        return storage.replace(name, ContentFile(data, name), **wishes)
    # A file with a cursor of its own, whatever the storage does to it.
    with open(content.path, "rb") as reader:
        return storage.replace(name, File(reader), **wishes)


def _find(storage: Storage, name: str) -> Entry | None:
    try:
        return storage.stat(name)
    except FileNotFoundError:
        return None
