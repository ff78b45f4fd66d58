"""A mounted bucket whose spool lies on a disk that is full: who hears of it when, and what the bucket has then."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import Server

from services.s3 import Bucket
from vfs.testing.place import IS_ROOT, failing, opened

pytestmark = [
    pytest.mark.mount,
    pytest.mark.skipif(not IS_ROOT or sys.platform != "linux", reason="needs a small disk of its own"),
]
MIB = 1 << 20
DISK = 24 * MIB
LARGE = 15 * MIB
"""An object that is changed in parts; the disk has room for one and a half."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk, for spools."""
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", path], check=True)
    yield path
    subprocess.run(["umount", "-l", path], check=True)


@pytest.fixture
def bucket(s3_bucket: Bucket) -> Bucket:
    """A bucket that has something."""
    s3_bucket.put("kept", b"as it was")
    for name in ("one", "two"):
        s3_bucket.put(name, name[:1].encode() * LARGE)
    return s3_bucket


@pytest.fixture
def server(bucket: Bucket, disk: Path, mounts_folder: Path, rescue: None) -> Iterator[Server]:
    """A mount of it, whose spool is on the disk."""
    made = Server("bucket", mounts_folder / bucket.name, f"spool={disk}", "attr_timeout=0", "entry_timeout=0")
    made.serve_bucket(bucket.opendal)
    yield made.mount()
    made.end()


def _versions(bucket: Bucket) -> dict[str, str]:
    return {key: bucket.etag(key) for key in bucket.keys()}  # noqa: SIM118 - a method of its own


def _written_until_full(descriptor: int) -> int:
    """How many bytes can be written before that fails, which it must, by ENOSPC."""
    written = 0
    with failing(errno.ENOSPC):
        while written <= 2 * DISK:
            written += os.write(descriptor, b"x" * (MIB // 4))
    return written


def test_it_is_said_by_write_and_what_was_closed_is_in_the_bucket(server: Server, bucket: Bucket, disk: Path) -> None:
    (server.mountpoint / "closed").write_bytes(b"c" * 3 * MIB)
    before = _versions(bucket)
    with opened(server.mountpoint / "large", os.O_WRONLY | os.O_CREAT) as large:
        written = _written_until_full(large)
        assert DISK // 2 < written < DISK
        assert os.statvfs(disk).f_bavail > 0, "notes of what is to become of the bytes find no room"
        assert (server.mountpoint / "one").read_bytes() == b"o" * LARGE, "reading takes no room"
        with failing(errno.ENOSPC), opened(server.mountpoint / "small", os.O_WRONLY | os.O_CREAT) as small:
            os.write(small, b"s" * (MIB // 2))
        os.unlink(server.mountpoint / "small")
        assert _versions(bucket) == before
        os.ftruncate(large, 0)
        assert os.pwrite(large, b"less", 0) == 4
    assert bucket.get("large") == b"less"
    (server.mountpoint / "later").write_bytes(b"l" * 9 * MIB)
    assert bucket.get("later") == b"l" * 9 * MIB
    assert {name: version for name, version in _versions(bucket).items() if name in before} == before
    server.unmount()
    assert list(disk.rglob("content-*")) == []


@pytest.mark.parametrize("options", [(), ("write_back=3600",)], ids=["at once", "written back"])
def test_a_disk_that_others_fill_keeps_nothing_from_being_stored(
    server: Server, bucket: Bucket, disk: Path, options: tuple[str, ...]
) -> None:
    server.unmount()
    server.options += options
    server.mount()
    (server.mountpoint / "closed").write_bytes(b"c" * MIB)
    file = os.open(server.mountpoint / "open", os.O_WRONLY | os.O_CREAT)
    assert os.write(file, b"o" * MIB) == MIB
    filler = disk / "of others"
    with failing(errno.ENOSPC):
        filler.write_bytes(b"f" * DISK)
    assert os.statvfs(disk).f_bavail == 0
    with failing(errno.ENOSPC):
        os.write(file, b"p" * MIB)
    os.close(file)
    assert bucket.get("open") == b"o" * MIB, "there is no room to note it, so that it cannot wait"
    server.run("flush", str(server.mountpoint))
    assert bucket.get("closed") == b"c" * MIB
    filler.unlink()
    (server.mountpoint / "later").write_bytes(b"later")
    server.unmount()
    assert bucket.keys() == ["closed", "kept", "later", "one", "open", "two"]


def test_a_change_of_an_object_that_is_larger_than_the_room_is_refused_at_once(server: Server, bucket: Bucket) -> None:
    before = _versions(bucket)
    with opened(server.mountpoint / "one", os.O_RDWR) as one:
        assert os.pwrite(one, b"changed", MIB) == 7
        with opened(server.mountpoint / "two", os.O_RDWR) as two:
            with failing(errno.ENOSPC):
                os.pwrite(two, b"changed", MIB)
            assert os.pread(two, 100, MIB) == b"t" * 100
    assert bucket.get("one") == b"o" * MIB + b"changed" + b"o" * (LARGE - MIB - 7)
    with opened(server.mountpoint / "two", os.O_RDWR) as two:
        assert os.pwrite(two, b"changed", MIB) == 7
    assert bucket.get("two") == b"t" * MIB + b"changed" + b"t" * (LARGE - MIB - 7)
    assert bucket.etag("kept") == before["kept"]
    server.unmount()
