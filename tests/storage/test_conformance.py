"""The conformance suite, applied to each storage of the package."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.register_assert_rewrite(
    "conformance", "conformance_files", "conformance_posix", "conformance_ranges", "conformance_tree"
)

import conformance  # noqa: E402
import conformance_files  # noqa: E402
import conformance_posix  # noqa: E402
import conformance_ranges  # noqa: E402
import conformance_tree  # noqa: E402
from conformance import Traits  # noqa: E402

from storage import DjangoStorage, FileSystemStorage, InMemoryStorage, Storage  # noqa: E402


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
        FileSystemStorage(path).rename("one", "other", conformance_tree.RENAME_EXCHANGE)
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


def _memory(tmp_path: Path) -> Traits:
    ranges = InMemoryStorage.tmpfile is not Storage.tmpfile
    return Traits(lambda path: InMemoryStorage(), native=True, exchange=True, xattrs=True, ranges=ranges)


def _local(tmp_path: Path) -> Traits:
    probe = tmp_path / "probe"
    probe.mkdir()
    return Traits(
        lambda path: FileSystemStorage(path / "files"),
        native=True,
        exchange=_exchanges(probe),
        xattrs=_has_xattrs(probe),
        ranges=_has_ranges(probe),
    )


def _wrapped(tmp_path: Path) -> Traits:
    """A backend that is known by Django's methods alone."""
    return Traits(lambda path: DjangoStorage(InMemoryStorage()), native=False)


_ALL: list[Callable[[Path], Traits]] = [_memory, _local, _wrapped]
_IN_PLACE: list[Callable[[Path], Traits]] = [_memory, _local]


@pytest.fixture
def traits(request: pytest.FixtureRequest, tmp_path: Path) -> Traits:
    kind: Callable[[Path], Traits] = request.param
    return kind(tmp_path)


@pytest.fixture
def storage(traits: Traits, tmp_path: Path) -> Iterator[Storage]:
    (tmp_path / "files").mkdir(exist_ok=True)
    made = traits.make(tmp_path)
    yield made
    made.close()


def _of(kinds: list[Callable[[Path], Traits]]) -> Any:
    return pytest.mark.parametrize("traits", kinds, indirect=True, ids=lambda kind: kind.__name__.lstrip("_"))


@_of(_ALL)
class TestSaving(conformance.Saving):
    pass


@_of(_ALL)
class TestLooking(conformance.Looking):
    pass


@_of(_ALL)
class TestDeleting(conformance.Deleting):
    pass


@_of(_ALL)
class TestNames(conformance.Names):
    pass


@_of(_IN_PLACE)
class TestOpenFiles(conformance_files.OpenFiles):
    pass


@_of(_ALL)
class TestRangesOfAnything(conformance_ranges.RangesOfAnything):
    pass


@_of(_IN_PLACE)
class TestRanges(conformance_ranges.Ranges):
    @pytest.fixture(autouse=True)
    def only_where_there_are_any(self, traits: Traits) -> None:
        if not traits.ranges:
            pytest.skip("no ranges and no files without a name here")


@_of(_ALL)
class TestLookingAtEntries(conformance_tree.LookingAtEntries):
    pass


@_of(_ALL)
class TestReplacing(conformance_tree.Replacing):
    pass


@_of(_ALL)
class TestRenamingFiles(conformance_tree.RenamingFiles):
    pass


@_of(_ALL)
class TestDirectories(conformance_posix.Directories):
    pass


@_of(_ALL)
class TestLinksAndSpecialFiles(conformance_posix.LinksAndSpecialFiles):
    pass


@_of(_ALL)
class TestAttributesOfEntries(conformance_posix.AttributesOfEntries):
    pass


@_of(_ALL)
class TestTelling(conformance_tree.Telling):
    pass
