"""The pieces on disk: found again, never wrong, never more than they may be."""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from counted_bucket import Bucket, Pages

from vfs.cache import BlockCache, DiskCache, disk

MIB = 1 << 20
Open = Callable[..., DiskCache]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """`opened(LIMIT, IDENTITY)` is the cache in the folder of the test; the one before must be closed."""
    made: list[DiskCache] = []

    def open_one(limit: int = 100 * MIB, identity: str = "bucket") -> DiskCache:
        made.append(DiskCache(tmp_path / "cache", limit, identity))
        return made[-1]

    yield open_one
    for one in made:
        if not one._is_closed.is_set():
            one.close()


def files(cache: DiskCache) -> list[Path]:
    return sorted(path for path in cache.directory.rglob("*-*") if path.is_file())


def filled(opened: Open, data: bytes, start: int = 0) -> DiskCache:
    """A cache that was closed with these bytes of an object in it."""
    cache = opened()
    cache.content("f", "v1").store(start, data)
    cache.close()
    return cache


def test_what_is_stored_is_found_by_the_next(opened: Open) -> None:
    data = os.urandom(2 * MIB + 5)
    cache = filled(opened, data, start=MIB)
    assert [path.stat().st_size for path in files(cache)] == [MIB, MIB, 5]
    found = opened().content("f", "v1")
    assert found.parts(0, 4 * MIB) == [
        (0, MIB), (MIB, 2 * MIB), (2 * MIB, 3 * MIB), (3 * MIB, 3 * MIB + 5), (3 * MIB + 5, 4 * MIB),
    ]  # fmt: skip
    assert found.load(MIB + 10, MIB + 20) == data[10:20]
    assert found.load(3 * MIB, 3 * MIB + 5) == data[-5:]
    assert found.load(0, 5) is None


def test_what_is_forgotten_is_gone_in_all_versions_with_what_waits_to_be_written(opened: Open) -> None:
    cache = opened()
    before = [cache.content("f", version) for version in ("v1", "v2")]
    with cache._writing:
        before[0].store(0, b"waiting")
    cache.content("other", "v1").store(0, b"another")
    cache.forget("f")
    before[1].store(0, b"fetched before, come later")
    cache.content("f", "v3").store(0, b"new")
    cache.close()
    again = opened()
    assert [again.content("f", version).load(0, 3) for version in ("v1", "v2", "v3")] == [None, None, b"new"]
    assert again.content("other", "v1").load(0, 7) == b"another"


@pytest.mark.parametrize(
    ("name", "version", "identity"), [("g", "v1", "bucket"), ("f", "v2", "bucket"), ("f", "v1", "other")]
)
def test_what_is_of_something_else_is_not(opened: Open, name: str, version: str, identity: str) -> None:
    filled(opened, b"content")
    assert opened(identity=identity).content(name, version).load(0, 7) is None


@pytest.mark.parametrize("harm", ["cut", "changed", "gone", "another's name"])
def test_what_is_not_what_it_was_is_not_used(opened: Open, harm: str) -> None:
    (path,) = files(filled(opened, b"content"))
    cache = opened()
    content = cache.content("f", "v1")
    if harm == "gone":
        path.unlink()
    elif harm == "another's name":
        path.rename(path.with_name("not a piece"))
        content = cache.content("f", "v1")
    else:
        path.write_bytes(b"cont" if harm == "cut" else b"CONTENT")
    assert content.load(0, 7) is None
    assert files(cache) == []
    assert content.parts(0, 7) == [(0, 7)]


def test_the_least_recently_used_go_first_also_those_of_an_earlier_mount(opened: Open) -> None:
    cache = opened()
    for number in range(4):
        cache.content("f", "v1").store(number * MIB, bytes([number]) * MIB)
    cache.close()
    for number, path in enumerate(files(cache)):
        os.utime(path, (number, number))
    again = opened(4 * MIB)
    content = again.content("f", "v1")
    assert content.load(0, MIB) == bytes(MIB), "which makes it the last to go"
    content.store(4 * MIB, b"4" * MIB)
    content.store(5 * MIB, b"5" * MIB)
    again.close()
    assert sorted(int(path.name.partition("-")[0], 16) // MIB for path in files(again)) == [0, 3, 4, 5]
    assert again.status() == {"disk": 4 * MIB, "disk_limit": 4 * MIB}


def test_one_mount_at_a_time(opened: Open) -> None:
    opened()
    with pytest.raises(OSError, match="used by another mount") as caught:
        opened()
    assert caught.value.errno == errno.EBUSY


def test_a_folder_that_others_may_enter_is_refused(tmp_path: Path, opened: Open) -> None:
    (tmp_path / "cache" / "vfs-blocks").mkdir(parents=True)
    (tmp_path / "cache" / "vfs-blocks").chmod(0o755)
    with pytest.raises(PermissionError):
        opened()


def test_only_the_user_can_read_it(opened: Open) -> None:
    before = os.umask(0)
    try:
        cache = filled(opened, b"content")
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in cache.directory.rglob("*")} == {0o700, 0o600}
    assert cache.directory.stat().st_mode & 0o777 == 0o700


def test_a_full_disk_is_told_once_and_harms_nobody(
    opened: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache = opened()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING, "vfs"):
        patch.setattr(Path, "replace", full)
        for number in range(3):
            cache.content("f", "v1").store(number * MIB, b"content")
        while cache._waiting:
            time.sleep(0.001)
    assert caplog.text.count("No space left") == 1
    cache.content("f", "v1").store(0, b"content")
    cache.close()
    assert opened().content("f", "v1").load(0, 7) == b"content"


def test_what_comes_faster_than_the_disk_takes_it_is_left_out(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, gate = opened(), threading.Event()
    monkeypatch.setattr(cache, "_make_room", lambda size: gate.wait(5))
    content = cache.content("f", "v1")
    for number in range(40):
        content.store(number * MIB, bytes(MIB))
    assert cache._waiting <= disk.QUEUE
    gate.set()
    cache.close()
    assert 16 <= len(files(cache)) <= 18


def test_reading_goes_by_what_is_on_disk(opened: Open) -> None:
    bucket, pages = Bucket(), Pages(64 * MIB)
    bucket.put("f", pages)
    for _ in range(2):
        bucket.requests.clear()
        cache = BlockCache(64 * MIB, opened())
        file = cache.open(bucket.open("f"), "f", bucket.stat("f"))
        for offset in (0, MIB, 2 * MIB, 3 * MIB, 40 * MIB + 4096):
            assert file.pread(MIB, offset) == pages.read(MIB, offset)
        cache._pool.shutdown(wait=True)
        file.close()
        cache.close()
    assert bucket.requests == []
    cache = BlockCache(24 * MIB, opened())
    file = cache.open(bucket.open("f"), "f", bucket.stat("f"))
    assert file.pread(MIB, 40 * MIB) == pages.read(MIB, 40 * MIB)
    assert bucket.requests == [(40 * MIB, 4096)], "the part that is missing"
    file.close()
    cache.close()


def test_a_piece_that_was_spoilt_is_fetched(opened: Open, tmp_path: Path) -> None:
    bucket = Bucket()
    bucket.put("f", b"content")
    for _ in range(2):
        cache = BlockCache(24 * MIB, opened())
        file = cache.open(bucket.open("f"), "f", bucket.stat("f"))
        assert file.pread(7, 0) == b"content"
        file.close()
        cache.close()
        for path in tmp_path.rglob("0-7-*"):
            path.write_bytes(b"CONTENT")
    assert len(bucket.requests) == 2
