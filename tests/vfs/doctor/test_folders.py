"""What is said of the folders in which a mount keeps bytes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from nobody import as_nobody, only_root

from storage import InMemoryStorage
from vfs.doctor import Check, Status, folders
from vfs.mounts.options import MountOptions
from vfs.spool.spools import StorageSpools


def looked_at(**options: object) -> tuple[Check, Check]:
    """What is said of the spool, and of the cache."""
    spool, cache = folders.checks(MountOptions(**options))  # type: ignore[arg-type]
    return spool, cache


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A folder on a disk, and not in memory."""
    if folders._is_in_memory(tmp_path):
        pytest.skip("the folder of the tests is in memory")
    return tmp_path


def test_folders_that_are_there_or_can_be_made(disk: Path) -> None:
    spool, cache = looked_at(spool=str(disk / "a" / "b"), cache_dir=str(disk), cache_size=1 << 20)
    assert (spool.status, cache.status) == (Status.OK, Status.OK)
    assert f"{disk}/a/b will be made; it has " in spool.message
    assert f"{disk} is there; it has room for " in cache.message
    assert list(disk.iterdir()) == [], "nothing is made"
    assert looked_at()[1].status is Status.OK, "a cache on disk need not be"


def test_a_file_in_the_way(disk: Path) -> None:
    (disk / "file").touch()
    for found in looked_at(spool=str(disk / "file" / "spool"), cache_dir=str(disk / "file")):
        assert found.status is Status.FAILURE
        assert f"{disk}/file is not a directory" in found.message


@only_root
def test_folders_of_somebody_else(folder: Path) -> None:
    (folder / "spool").mkdir(mode=0o700)
    found = as_nobody("folders", f"spool={folder}/spool", f"cache_dir={folder}/cache")
    assert found["spool"][:2] == ("failure", f"{folder}/spool cannot be used by this user")
    assert found["cache"][:2] == ("failure", f"{folder}/cache cannot be made in {folder} by this user")
    assert "-o cache_dir=DIRECTORY" in found["cache"][2]


def test_a_spool_that_cannot_be_understood(disk: Path) -> None:
    (disk / "photos-123").mkdir(mode=0o700)
    (disk / "photos-123" / "storage.json").write_text("{")
    spool, _ = looked_at(spool=str(disk))
    assert spool.status is Status.FAILURE
    assert f"what is in {disk} cannot be understood" in spool.message


def test_little_room_is_doubtful(disk: Path) -> None:
    spool, cache = looked_at(spool=str(disk), spool_size=1 << 60, cache_dir=str(disk), cache_size=1 << 60)
    assert (spool.status, cache.status) == (Status.WARNING, Status.WARNING)
    assert "spool_size allows 1.0 EiB" in spool.message
    assert "cache_size=" in cache.advice


def test_what_is_in_the_cache_already_has_its_room(disk: Path) -> None:
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    blocks = disk / "vfs-blocks" / "ab"
    blocks.mkdir(parents=True)
    blocks.parent.chmod(0o700)
    with (blocks / "piece").open("wb") as piece:
        piece.truncate(1 << 40)  # a hole takes nothing
    assert looked_at(cache_dir=str(disk), cache_size=free + (1 << 39))[1].status is Status.OK
    (blocks / "piece").unlink()
    assert looked_at(cache_dir=str(disk), cache_size=free + (1 << 39))[1].status is Status.WARNING


def test_folders_that_others_may_look_into(disk: Path) -> None:
    spools = StorageSpools.of(InMemoryStorage(), disk)
    spools.describe()
    (disk / "vfs-blocks").mkdir(mode=0o755)
    assert looked_at(spool=str(disk))[0].status is Status.OK
    spools.folder.chmod(0o750)
    spool, cache = looked_at(spool=str(disk), cache_dir=str(disk))
    assert (spool.status, cache.status) == (Status.WARNING, Status.FAILURE), "the mount refuses such a cache itself"
    assert spool.advice == f"close it with: chmod 700 {spools.folder}"
    assert "chmod 700" in cache.advice


@pytest.mark.skipif(sys.platform != "linux" or not os.access("/dev/shm", os.W_OK), reason="no folder in memory")
def test_a_spool_in_memory_is_doubtful() -> None:
    if not folders._is_in_memory(Path("/dev/shm")):
        pytest.skip("/dev/shm is not in memory")
    spool, _ = looked_at(spool="/dev/shm/vfs-spool")
    assert spool.status is Status.WARNING
    assert "in memory" in spool.message
