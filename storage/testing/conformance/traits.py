"""What a storage under test has and lacks, and what its tests share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from storage import ContentFile, File, Storage


class Traits(NamedTuple):
    """What a storage has beyond Django's surface, and what it lacks of that."""

    native: bool = False
    """Links and attributes are kept, and open files can be written to."""
    directories: bool = False
    """Directories are made and removed by themselves."""
    emptied: bool = False
    """It makes directories for what is in them, and they stay without."""
    flat: bool = False
    """It has nothing but keys, and does not look whether what is above one is a file, or is there at all."""
    exchange: bool = False
    xattrs: bool = False
    ranges: bool = False
    """Open files allocate, know their holes and copy ranges, and there are files without a name."""
    times: frozenset[str] = frozenset({"accessed", "created", "modified"})
    """Those of a file that it tells."""
    versions: bool = True
    """It tells one content of a file from the next."""
    forbidden: str = ""
    """The characters that it takes in no name."""
    lost: str = ""
    """The characters whose names the server behind it cannot keep."""


@contextlib.contextmanager
def only_if(supported: bool) -> Iterator[None]:
    """The block works on storages that support it; on the others it must end in a NotImplementedError."""
    if supported:
        yield
        return
    with pytest.raises(NotImplementedError):
        yield


def put(storage: Storage, name: str, content: bytes = b"content") -> None:
    """Save under exactly this name."""
    assert storage.save(name, ContentFile(content)) == name


def read(storage: Storage, name: str) -> bytes:
    with storage.open(name) as file:
        data: bytes = file.read()
    return data


def names(storage: Storage, path: str = "") -> tuple[list[str], list[str]]:
    directories, files = storage.listdir(path)
    return sorted(directories), sorted(files)


class BrokenStream(File):
    """Content that fails after its first chunk."""

    def __init__(self) -> None:
        super().__init__(None, "broken")

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        yield b"x" * 1000
        raise ConnectionResetError("the upload broke off")
