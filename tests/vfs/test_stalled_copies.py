"""A mounted bucket whose server takes the request for a copy and does not answer: renames, and copies of ranges."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from places import Server

from services.http_proxy import HTTPProxy
from services.s3 import Bucket
from vfs.testing.place import failing, opened, soon

pytestmark = pytest.mark.mount
TIMEOUT = 1
SOON = 15.0
LARGE = 40 << 20
"""Bytes that a server may take some seconds to copy."""
CONTENTS = {"old/one": b"1" * 100, "old/two": b"2" * 100, "file": b"f" * 100}


@pytest.fixture
def bucket(s3_bucket: Bucket) -> Bucket:
    """The bucket behind the proxy, with some files."""
    for name, content in CONTENTS.items():
        s3_bucket.put(name, content)
    return s3_bucket


@pytest.fixture(params=[30, TIMEOUT], ids=["ended by the mount", "ended by the storage"])
def server(
    request: pytest.FixtureRequest, bucket: Bucket, proxy: HTTPProxy, mounts_folder: Path, rescue: None
) -> Iterator[Server]:
    """A mount of the bucket by way of the proxy, whose storage ends its calls after so many seconds."""
    options = f"timeout={TIMEOUT},attr_timeout=0,entry_timeout=0"
    made = Server("bucket", mounts_folder / bucket.name, options)
    made.serve_bucket({**bucket.at(proxy.port).opendal, "deadline": request.param})
    yield made.mount()
    proxy.heal()
    made.end()


def _stall(proxy: HTTPProxy) -> None:
    """The server hears of copies, and its answers do not come."""
    proxy.cut(after=0, ending="stall", method="PUT", times=100)


def _fails_in_time(change: Callable[[], object]) -> None:
    began = time.monotonic()
    with failing(errno.ETIMEDOUT):
        change()
    assert time.monotonic() - began < SOON


def _works(change: Callable[[], object]) -> bool:
    try:
        change()
    except OSError:
        return False
    return True


def _heal(proxy: HTTPProxy) -> None:
    proxy.heal()
    proxy.drop()


def test_the_rename_of_a_file_is_an_error_in_time_and_loses_nothing(
    server: Server, bucket: Bucket, proxy: HTTPProxy
) -> None:
    _stall(proxy)
    _fails_in_time(lambda: os.rename(server.mountpoint / "file", server.mountpoint / "new"))
    assert bucket.get("file") == CONTENTS["file"]
    _heal(proxy)
    # A call that the mount has given up, and the storage has not, may yet do its work.
    names = [server.mountpoint / name for name in ("file", "new")]
    assert soon(lambda: any(_works(lambda: os.rename(name, server.mountpoint / "newer")) for name in names))  # noqa: B023
    assert bucket.get("newer") == CONTENTS["file"]
    assert {bucket.get(name) for name in bucket.keys()} == set(CONTENTS.values())  # noqa: SIM118
    server.unmount()


def test_the_rename_of_a_directory_is_an_error_in_time_and_loses_nothing(
    server: Server, bucket: Bucket, proxy: HTTPProxy
) -> None:
    _stall(proxy)
    _fails_in_time(lambda: os.rename(server.mountpoint / "old", server.mountpoint / "new"))
    assert {name: bucket.get(name) for name in CONTENTS} == CONTENTS
    _heal(proxy)
    assert soon(lambda: _works(lambda: os.rename(server.mountpoint / "old", server.mountpoint / "newer")))
    stored = {name: bucket.get(name) for name in bucket.keys()}  # noqa: SIM118
    moved = {name.replace("old/", "newer/"): content for name, content in CONTENTS.items()}
    # What the server has copied of the first try is left where the mount could not take it back.
    assert {name: content for name, content in stored.items() if not name.startswith("new/")} == moved
    server.unmount()


def test_a_copy_of_ranges_is_an_error_of_close_in_time_and_made_later(
    server: Server, bucket: Bucket, proxy: HTTPProxy
) -> None:
    _stall(proxy)
    with opened(server.mountpoint / "file", os.O_RDONLY) as source:
        copy = os.open(server.mountpoint / "copy", os.O_WRONLY | os.O_CREAT)
        assert os.copy_file_range(source, copy, 100) == 100
        _fails_in_time(lambda: os.close(copy))
    assert "copy" in server.run("status", str(server.mountpoint)).stdout
    _heal(proxy)
    assert soon(lambda: server.run("flush", str(server.mountpoint), check=False).returncode == 0)
    assert bucket.get("copy") == CONTENTS["file"]
    server.unmount()


def test_a_server_that_copies_has_the_time_that_the_size_takes(
    server: Server, bucket: Bucket, proxy: HTTPProxy
) -> None:
    bucket.put("large", b"l" * LARGE)
    proxy.slow(3.0 * TIMEOUT, method="PUT")
    began = time.monotonic()
    os.rename(server.mountpoint / "large", server.mountpoint / "moved")
    assert time.monotonic() - began >= 3.0 * TIMEOUT
    assert bucket.keys() == sorted([*CONTENTS, "moved"])
    server.unmount()


def test_a_server_that_is_gone_meanwhile_has_not(server: Server, bucket: Bucket, proxy: HTTPProxy) -> None:
    bucket.put("large", b"l" * 5 * LARGE)
    os.stat(server.mountpoint / "large")
    proxy.stall("down")
    _fails_in_time(lambda: os.rename(server.mountpoint / "large", server.mountpoint / "moved"))
    assert bucket.get("large") == b"l" * 5 * LARGE
