"""What reading a mounted S3 bucket asks of the server, counted by a proxy in front of it."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import Server

from services.http_proxy import HTTPProxy
from services.s3 import Bucket
from vfs.testing.place import failing, opened

pytestmark = pytest.mark.mount
MIB = 1 << 20


@pytest.fixture
def mounted(s3_bucket: Bucket, proxy: HTTPProxy, mounts_folder: Path, rescue: None) -> Iterator[Path]:
    """The mountpoint of the bucket, by way of the proxy."""
    server = Server("bucket", mounts_folder / s3_bucket.name, "attr_timeout=30,entry_timeout=30")
    server.serve_bucket(s3_bucket.at(proxy.port).opendal)
    yield server.mount().mountpoint
    server.end()


def test_a_directory_is_listed_by_pages_and_its_files_cost_a_get_each(
    s3_bucket: Bucket, proxy: HTTPProxy, mounted: Path
) -> None:
    for number in range(1100):
        s3_bucket.put(f"many/{number}", b"%d" % number)
    (mounted / "many").stat()
    proxy.requests.clear()
    shown = {entry.name: entry.stat().st_size for entry in os.scandir(mounted / "many")}
    assert shown == {str(number): len(str(number)) for number in range(1100)}
    assert (proxy.count("GET", "list-type=2"), proxy.count("HEAD")) == (2, 0)
    proxy.requests.clear()
    (mounted / "many" / "0").read_bytes()  # the first read asks whether the server heeds versions
    proxy.requests.clear()
    for number in range(1, 21):
        assert (mounted / "many" / str(number)).read_bytes() == b"%d" % number
    assert (len(proxy.requests), proxy.count("GET", "many/")) == (20, 20)


def test_parts_of_an_object_are_of_one_version(s3_bucket: Bucket, proxy: HTTPProxy, mounted: Path) -> None:
    old, new = (random.Random(seed).randbytes(8 * MIB) for seed in "on")
    s3_bucket.put("large", old)
    with opened(mounted / "large", os.O_RDONLY) as descriptor:
        assert os.pread(descriptor, 4096, 8 * MIB - 4096) == old[-4096:]
        s3_bucket.put("large", new)
        with failing(errno.ESTALE):
            os.pread(descriptor, 4096, 2 * MIB)
    assert (mounted / "large").read_bytes() == new
