"""The conformance suite, applied to each storage of the package."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storage import RENAME_EXCHANGE, DjangoStorage, FileSystemStorage, InMemoryStorage, Storage
from storage.testing.conformance import *


def _has_xattrs(path: Path) -> bool:
    try:
        os.setxattr(path, "user.probe", b"")
    except (AttributeError, OSError):
        return False
    return True


def _exchanges(path: Path) -> bool:
    """Whether the local filesystem can swap two names."""
    (path / "one").touch()
    (path / "other").touch()
    try:
        FileSystemStorage(path).rename("one", "other", RENAME_EXCHANGE)
    except NotImplementedError:
        return False
    return True


def _has_ranges(path: Path) -> bool:
    """Whether the local filesystem allocates and has files without a name."""
    try:
        with FileSystemStorage(path).tmpfile("") as file:
            file.allocate(3, 0, 1)
    except NotImplementedError:
        return False
    return True


def _memory(tmp_path: Path) -> tuple[Storage, Traits]:
    ranges = InMemoryStorage.tmpfile is not Storage.tmpfile
    return InMemoryStorage(), Traits(native=True, directories=True, exchange=True, xattrs=True, ranges=ranges)


def _local(tmp_path: Path) -> tuple[Storage, Traits]:
    for folder in ("probe", "files"):
        (tmp_path / folder).mkdir()
    probe = tmp_path / "probe"
    return FileSystemStorage(tmp_path / "files"), Traits(
        native=True,
        directories=True,
        exchange=_exchanges(probe),
        xattrs=_has_xattrs(probe),
        ranges=_has_ranges(probe),
    )


def _wrapped(tmp_path: Path) -> tuple[Storage, Traits]:
    """A backend that is known by Django's methods alone."""
    return DjangoStorage(InMemoryStorage()), Traits(emptied=True)


_Kind = Callable[[Path], tuple[Storage, Traits]]
_ALL: list[_Kind] = [_memory, _local, _wrapped]
_in_place = pytest.mark.parametrize("made", [_memory, _local], indirect=True, ids=["memory", "local"])


def _name(kind: _Kind) -> str:
    return kind.__name__.lstrip("_")


@pytest.fixture(params=_ALL, ids=_name)
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Storage, Traits]]:
    kind: _Kind = request.param
    storage, traits = kind(tmp_path)
    yield storage, traits
    storage.close()


@pytest.fixture
def storage(made: tuple[Storage, Traits]) -> Storage:
    return made[0]


@pytest.fixture
def traits(made: tuple[Storage, Traits]) -> Traits:
    return made[1]


@_in_place
class TestOpenFiles(OpenFiles):
    pass


@_in_place
class TestRanges(Ranges):
    @pytest.fixture(autouse=True)
    def only_where_there_are_any(self, traits: Traits) -> None:
        if not traits.ranges:
            pytest.skip("no ranges and no files without a name here")
