"""Any file of any storage as a real path, for programs that take nothing else.

    with vfs.local_path("videos", "raw/cat.mov", "r") as source, vfs.local_path("videos", "cat.mp4", "w") as target:
        subprocess.run(["ffmpeg", "-i", source, target], check=True)

Nothing is mounted: the content is fetched into a temporary folder, under its own name, and goes back when the block
ends well, in the place of just the version that it was made from. What cannot be stored is kept, and the error says
where.
"""

from __future__ import annotations

import errno
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

from storage.base import Storage
from storage.copying import copy_content
from storage.entry import Entry
from storage.exceptions import os_error
from storage.files import File
from storage.filesystem import FileSystemStorage
from storage.names import checked_name, split_name
from storage.temp import gettempdir
from vfs.mounts.mounting import resolve
from vfs.spool.journal import Base

Mode = Literal["r", "r+", "w"]
_CHUNK = 2**20


@contextmanager
def local_path(
    storage_or_alias: Any, name: str, mode: Mode = "r+", *, directory: Path | str | None = None
) -> Iterator[Path]:
    """The path of a local file with the content of `name`, for as long as the block lasts.

    Args:
        storage_or_alias: an alias of STORAGES, a storage, or any Django backend object.
        name: what the file is called in the storage; the path ends in its last component.
        mode: "r" for a file that is only read, which costs nothing where the storage has it on the local disk; "r+" for
            one that may be changed, also by being replaced; "w" for one that the block makes, over what has the name.
        directory: where the temporary folder is made; the system's own by default (FILE_UPLOAD_TEMP_DIR).

    What was changed is stored when the block ends without an exception, else the storage stays as it is.

    Raises:
        FileNotFoundError, IsADirectoryError: `name` is no file to be read, or the block has left none to be stored.
        VersionMismatchError, FileExistsError: another has stored something under the name meanwhile.
    """
    if mode not in ("r", "r+", "w"):
        raise ValueError(f"the mode is 'r', 'r+' or 'w', not {mode!r}")
    storage, _ = resolve(storage_or_alias)
    name = checked_name(name)
    before = _find(storage, name, mode)
    if mode == "r" and (found := _path_of(storage, name)) is not None:
        yield found
        return
    folder = Path(tempfile.mkdtemp(prefix="vfs-", dir=directory or gettempdir()))
    path = folder / split_name(name)[1]
    is_kept = False
    try:
        if before is not None and mode != "w":
            _fetch(storage, name, before, path)
        if mode == "r":
            path.chmod(stat.S_IRUSR)
        fetched = _State.of(path)
        yield path
        if mode != "r" and _State.left_at(path) != fetched:
            is_kept = True
            _store(storage, name, path, before)
            is_kept = False
    finally:
        if not is_kept:
            shutil.rmtree(folder)


class _State(NamedTuple):
    """What tells whether a program has changed a file, or put another in its place."""

    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, path: Path) -> _State | None:
        """That of a file; None where there is none."""
        try:
            found = path.stat()
        except FileNotFoundError:
            return None
        return cls(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    @classmethod
    def left_at(cls, path: Path) -> _State:
        """That of a file that is to be there."""
        found = cls.of(path)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, "There is no file to be stored", str(path))
        return found


def _find(storage: Storage, name: str, mode: Mode) -> Entry | None:
    entry = storage.find(name) if mode == "w" else storage.stat(name)
    if entry is not None and entry.is_dir:
        raise os_error(errno.EISDIR, name)
    return entry


def _path_of(storage: Storage, name: str) -> Path | None:
    """Where a storage has a file on the local disk, if its content is the file's."""
    return Path(storage.path(name)) if isinstance(storage, FileSystemStorage) and storage.in_place else None


def _fetch(storage: Storage, name: str, entry: Entry, path: Path) -> None:
    """Copy the content of that version to a new file; by the kernel where the storage has it on the local disk."""
    local = _path_of(storage, name)
    with path.open("xb") as target:
        if local is not None:
            with local.open("rb") as source:
                copy_content(source.fileno(), target.fileno())
            return
        with storage.open_version(name, entry) as file:
            for data in file.chunks(_CHUNK):
                target.write(data)


def _store(storage: Storage, name: str, path: Path, before: Entry | None) -> None:
    """Put the file in the place of the version that was there before."""
    with path.open("rb") as content:
        base = Base(absent=True) if before is None else Base.of(before)
        try:
            storage.replace(name, File(content), **base.conditions)
        except BaseException as error:
            error.add_note(f"what was to be stored as {name!r} is kept as {path}")
            raise
