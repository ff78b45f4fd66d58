"""Renaming and removing what is open on a mounted bucket: what its readers see, and how much is fetched for that."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from places import Server

from services.http_proxy import HTTPProxy
from services.s3 import Bucket
from vfs.testing.place import failing, opened

pytestmark = pytest.mark.mount
MIB = 1 << 20
SIZE = 30 * MIB
LITTLE = 2 * MIB

Serve = Callable[..., Server]


@pytest.fixture
def serve(s3_bucket: Bucket, proxy: HTTPProxy, mounts_folder: Path, rescue: None) -> Iterator[Serve]:
    """A mount of the bucket by way of the proxy."""
    made: list[Server] = []

    def serve(*options: str) -> Server:
        server = Server("bucket", mounts_folder / s3_bucket.name, *options)
        made.append(server)
        server.serve_bucket(s3_bucket.at(proxy.port).opendal)
        return server.mount()

    yield serve
    for server in made:
        server.end()


@pytest.fixture
def content() -> bytes:
    return os.urandom(SIZE)


def _reads_all(descriptor: int, content: bytes) -> bool:
    return all(os.pread(descriptor, MIB, at) == content[at : at + MIB] for at in range(0, len(content), MIB))


@pytest.mark.parametrize("in_parts", [False, True], ids=["whole", "in parts"])
def test_a_rename_fetches_nothing_and_readers_go_on(
    serve: Serve, s3_bucket: Bucket, proxy: HTTPProxy, content: bytes, in_parts: bool
) -> None:
    top = serve().mountpoint
    if in_parts:  # of which a copy has another version
        (top / "old").write_bytes(content)
    else:
        s3_bucket.put("old", content)
    with opened(top / "old", os.O_RDONLY) as descriptor:
        assert os.pread(descriptor, 100, 0) == content[:100]
        before = proxy.passed["down"]
        os.rename(top / "old", top / "new")
        assert proxy.passed["down"] - before < LITTLE
        assert s3_bucket.keys() == ["new"]
        assert os.pread(descriptor, 100, SIZE // 2) == content[SIZE // 2 :][:100]
        os.rename(top / "new", top / "newest")
        assert _reads_all(descriptor, content)
    assert (top / "newest").read_bytes() == content


def test_the_rename_of_a_directory_takes_its_readers_along(
    serve: Serve, s3_bucket: Bucket, proxy: HTTPProxy, content: bytes
) -> None:
    top = serve().mountpoint
    for name in ("large", "below/large", "small"):
        s3_bucket.put(f"old/{name}", content if name != "small" else b"small")
    files = [os.open(top / "old" / name, os.O_RDONLY) for name in ("large", "below/large")]
    before = proxy.passed["down"]
    os.rename(top / "old", top / "new")
    assert proxy.passed["down"] - before < LITTLE
    assert s3_bucket.keys() == ["new/below/large", "new/large", "new/small"]
    for descriptor in files:
        assert _reads_all(descriptor, content)
        os.close(descriptor)


def test_who_reads_meanwhile_notices_nothing(serve: Serve, s3_bucket: Bucket, content: bytes) -> None:
    top = serve("cache_memory=8M").mountpoint
    s3_bucket.put("0", content)
    ended = threading.Event()
    errors: list[BaseException] = []

    def read(descriptor: int, first: int) -> None:
        try:
            while not ended.is_set():
                for at in range(first, SIZE, 3 * MIB):
                    assert os.pread(descriptor, 4096, at) == content[at : at + 4096]
        except BaseException as error:
            errors.append(error)

    with opened(top / "0", os.O_RDONLY) as descriptor:
        readers = [threading.Thread(target=read, args=(descriptor, first * MIB)) for first in range(3)]
        for reader in readers:
            reader.start()
        for number in range(20):
            os.rename(top / str(number), top / str(number + 1))
        ended.set()
        for reader in readers:
            reader.join()
    assert errors == []
    assert s3_bucket.keys() == ["20"]


def test_what_is_changed_in_part_is_stored_under_its_new_name(
    serve: Serve, s3_bucket: Bucket, proxy: HTTPProxy, content: bytes
) -> None:
    top = serve().mountpoint
    s3_bucket.put("old", content)
    with opened(top / "old", os.O_RDWR) as descriptor:
        os.pwrite(descriptor, b"changed", 5 * MIB)
        before = proxy.passed["down"]
        os.rename(top / "old", top / "new")
        assert proxy.passed["down"] - before < LITTLE
        os.pwrite(descriptor, b"changed", 20 * MIB)
    expected = bytearray(content)
    expected[5 * MIB : 5 * MIB + 7] = expected[20 * MIB : 20 * MIB + 7] = b"changed"
    assert s3_bucket.keys() == ["new"]
    assert s3_bucket.get("new") == expected


def test_what_somebody_else_has_changed_is_renamed_and_stale_to_readers(
    serve: Serve, s3_bucket: Bucket, content: bytes
) -> None:
    top = serve().mountpoint
    s3_bucket.put("old", content)
    with opened(top / "old", os.O_RDONLY) as descriptor:
        assert os.pread(descriptor, 100, 0) == content[:100]
        s3_bucket.put("old", content[::-1])
        os.rename(top / "old", top / "new")
        with failing(errno.ESTALE):
            os.pread(descriptor, 100, SIZE // 2)
    assert s3_bucket.keys() == ["new"]
    assert s3_bucket.get("new") == content[::-1]


def test_what_is_written_to_what_somebody_else_has_changed_stays_beside_also_after_a_rename(
    serve: Serve, s3_bucket: Bucket
) -> None:
    top = serve().mountpoint
    s3_bucket.put("old", b"as it was")
    descriptor = os.open(top / "old", os.O_RDWR)
    os.pwrite(descriptor, b"as it is here", 0)
    s3_bucket.put("old", b"as it is there")
    os.rename(top / "old", top / "new")
    with failing(errno.ESTALE):
        os.close(descriptor)
    (beside,) = set(s3_bucket.keys()) - {"new"}
    assert (s3_bucket.get("new"), s3_bucket.get(beside)) == (b"as it is there", b"as it is here")


@pytest.mark.parametrize("replaced", [False, True], ids=["unlinked", "replaced"])
def test_what_loses_its_name_is_fetched_if_it_is_open_and_there_is_room(
    serve: Serve, s3_bucket: Bucket, proxy: HTTPProxy, content: bytes, replaced: bool
) -> None:
    top = serve(f"spool_size={SIZE + MIB}").mountpoint
    for name in ("open", "closed", "second"):
        s3_bucket.put(name, content)
    s3_bucket.put("new", b"new")

    def take(name: str) -> None:
        os.rename(top / "new", top / name) if replaced else os.unlink(top / name)

    before = proxy.passed["down"]
    with opened(top / "open", os.O_RDONLY) as one, opened(top / "second", os.O_RDONLY) as two:
        take("open")
        assert _reads_all(one, content)
        (top / "new").write_bytes(b"")
        with failing(errno.ENOSPC):
            take("second")
        assert _reads_all(two, content)
        assert s3_bucket.get("second") == content
    before = proxy.passed["down"]
    take("closed")
    assert proxy.passed["down"] - before < LITTLE
