"""What is found out of storages: by what they say, and by trying whether it is so."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from backends import ObjectStorage, ScanningStorage

from services.s3 import Bucket
from storage import FileSystemStorage, InMemoryStorage, OpenDALStorage, adapt
from storage.base import Condition, Storage
from storage.entry import Entry
from storage.testing import FaultyStorage
from vfs.doctor import Operation, Report
from vfs.doctor.checks import Words
from vfs.doctor.examination import try_storage
from vfs.doctor.operations import TRIALS
from vfs.guard import guarded

NAMES = [trial.name for trial in TRIALS]
OF_MOUNTS = {"write in place", "unnamed file", "mkdir", "rmdir", "set_attributes"}
"""What a mount does where the storage does not."""
OF_OBJECTS = {"rename exchange", "symlink", "link", "mknod", "xattrs", "usage"}
"""What nobody does where the storage does not."""


def tried(storage: Storage) -> dict[str, Operation]:
    """What is found, by operation; nothing is left."""
    report = Report()
    try_storage(storage, report, Words())
    assert report.left == []
    assert list(storage.scandir("")) == []
    assert [operation.name for operation in report.operations] == NAMES
    return {operation.name: operation for operation in report.operations}


def ways(found: dict[str, Operation], way: str) -> set[str]:
    return {name for name, operation in found.items() if operation.way == way}


def atomic(found: dict[str, Operation]) -> dict[str, bool]:
    """The operations for which it has a meaning."""
    return {name: operation.atomic for name, operation in found.items() if operation.atomic is not None}


def test_memory_does_all_of_it_in_one_step() -> None:
    found = tried(InMemoryStorage())
    assert ways(found, "native") == set(NAMES)
    assert set(atomic(found).values()) == {True}
    assert {"rename", "rename directory", "replace if absent", "replace if version"} <= set(atomic(found))
    assert all(operation.milliseconds is not None for operation in found.values())


def test_local_files_cannot_keep_others_from_replacing_a_version(tmp_path: Path) -> None:
    found = tried(FileSystemStorage(tmp_path, base_url="/media/"))
    assert ways(found, "emulated") == {"replace if version"}
    assert ways(found, "failed") == set()
    assert [name for name, is_so in atomic(found).items() if not is_so] == ["replace if version"]


def test_a_subclass_that_saves_in_its_own_way_is_not_gone_past(tmp_path: Path) -> None:
    found = tried(ScanningStorage(tmp_path, base_url="/media/"))
    assert ways(found, "emulated") == {"replace", "replace if absent", "replace if version", "write in place"}
    assert found["write in place"].note == "by a mount, through its spool"
    assert "a mount refuses it" in found["link"].note


def test_djangos_methods_alone(tmp_path: Path) -> None:
    found = tried(adapt(ObjectStorage(str(tmp_path / "objects.db"))))
    assert ways(found, "native") == {"save", "url"}
    assert ways(found, "refused") == OF_OBJECTS
    assert ways(found, "failed") == set()
    assert found["mkdir"] == Operation("mkdir", "emulated", None, None, "by a mount, for as long as it lives")
    assert set(atomic(found).values()) == {False}


@pytest.mark.parametrize("watched", [False, True], ids=["itself", "as a mount asks it"])
def test_a_bucket(s3_bucket: Bucket, watched: bool) -> None:
    storage = OpenDALStorage(**s3_bucket.opendal)
    found = tried(guarded(storage, 30.0) if watched else storage)
    assert ways(found, "refused") == OF_OBJECTS
    assert ways(found, "emulated") == OF_MOUNTS | {"rename", "rename noreplace", "rename directory"}
    assert atomic(found) == {
        "replace if absent": True,
        "replace if version": True,
        "rename": False,
        "rename directory": False,
    }
    assert found["stat"].note == "tells no mode and no owner"
    assert s3_bucket.keys() == []
    storage.close()


def test_a_bucket_that_keeps_more(s3_bucket: Bucket) -> None:
    storage = OpenDALStorage(**s3_bucket.opendal, directories=True, attributes=True)
    found = tried(storage)
    assert {"mkdir", "rmdir", "set_attributes", "symlink"} <= ways(found, "native")
    assert ways(found, "failed") == set()
    storage.close()


def test_a_storage_that_is_refused_something(tmp_path: Path) -> None:
    storage = FaultyStorage(FileSystemStorage(tmp_path))
    storage.fail(OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP)), "setxattr")
    storage.fail(PermissionError(errno.EACCES, "not today"), "copy")
    found = tried(storage)
    assert found["xattrs"] == Operation("xattrs", "refused", None, None, os.strerror(errno.EOPNOTSUPP))
    assert found["copy"] == Operation("copy", "failed", None, None, "not today")
    assert ways(found, "failed") == {"copy"}


class Boasting(FileSystemStorage):
    """Says that it holds every condition, and looks before it stores."""

    def holds(self, condition: Condition) -> bool:
        return True

    def replace(self, name: str, content: Any, *, if_version: str | None = None, if_absent: bool = False) -> Entry:
        return Storage.replace(self, name, content, if_version=if_version, if_absent=if_absent)

    def is_name_available(self, name: str, max_length: int | None = None) -> bool:
        return True

    _allow_overwrite = True


def test_what_a_storage_says_of_conditions_is_tried_with_another_writer(tmp_path: Path) -> None:
    storage = Boasting(tmp_path, allow_overwrite=True)
    found = tried(storage)
    for name in ("replace if absent", "replace if version"):
        assert found[name][1:3] == ("emulated", False)
        assert found[name].note == "the server overwrites who comes in between"


class Idle(InMemoryStorage):
    """Does nothing of what is asked, and says nothing."""

    def rename(self, src: str, dst: str, flags: int = 0) -> None:
        pass

    def set_attributes(self, name: str, **changes: int | None) -> None:
        pass

    def copy(self, src: str, dst: str) -> None:
        self.save(dst, self.open("/".join((src.partition("/")[0], "1"))))

    def unlink(self, name: str) -> None:
        if self.stat(name).size == 0:
            super().unlink(name)


def test_what_does_nothing_has_failed() -> None:
    report = Report()
    try_storage(Idle(), report, Words())
    found = {operation.name: operation for operation in report.operations}
    assert {"rename", "rename noreplace", "rename exchange", "rename directory", "unlink", "set_attributes"} <= ways(
        found, "failed"
    )
    assert "mode and time are not those that were set" in found["set_attributes"].note
    assert report.left, "what could not be removed is named"
