"""What running mounts say of what they do: operations, requests to the storage, caches, what is pending."""

from __future__ import annotations

import errno
import os
import re
import threading
from collections.abc import Callable
from typing import Any

import pytest
from counted_bucket import FolderBucket
from places import Server

from vfs.testing.place import failing, opened, soon

Serve = Callable[..., Server]
HELD = 0.3
"""Seconds that a slow storage takes."""


def metrics(server: Server) -> dict[str, Any]:
    assert server.daemon is not None
    return server.daemon.ask("metrics")


def bucket(server: Server) -> FolderBucket:
    """What is behind a mount of the alias "bucket"."""
    return FolderBucket(str(server.folder / "bucket"))


def test_operations_have_counts_latencies_and_errors(serve: Serve) -> None:
    server = serve("objects")
    with opened(server.mountpoint / "file", os.O_RDWR | os.O_CREAT) as fd:
        os.pwrite(fd, b"content", 0)
    os.mkdir(server.mountpoint / "folder")
    (server.mountpoint / "folder" / "file").touch()
    with failing(errno.ENOTEMPTY):
        os.rmdir(server.mountpoint / "folder")
    found = metrics(server)
    for kind, count in (("create", 2), ("write", 1)):
        report = found["operations"][kind]
        assert report["count"] == sum(report["buckets"]) == count
        assert 0 < report["p50"] <= report["p99"] <= 2 * report["seconds"]
    assert found["operations"]["rmdir"]["errors"] == {"ENOTEMPTY": 1}
    assert (found["traffic"]["written"], found["nodes"]) == (7, 4)


def test_what_is_open_is_counted(serve: Serve) -> None:
    server = serve("files")
    with opened(server.mountpoint / "file", os.O_RDWR | os.O_CREAT):
        assert metrics(server)["handles"] == 1
    assert soon(lambda: metrics(server)["handles"] == 0)


def test_requests_to_the_storage_are_timed_and_their_errors_named(serve: Serve) -> None:
    server = serve("objects")
    server.fail("save", "HANG")
    writer = threading.Thread(target=(server.mountpoint / "file").write_bytes, args=(b"x" * 5000,))
    writer.start()
    assert soon(lambda: metrics(server)["under_way"]["oldest"] > HELD)
    assert metrics(server)["under_way"]["count"] == 1
    assert re.search(r"waiting  1 under way for up to ", server.run("status", str(server.mountpoint)).stdout)
    server.mend()
    writer.join()
    assert metrics(server)["under_way"] == {"count": 0, "oldest": 0.0}
    storage = metrics(server)["storage"]
    saved = storage["requests"]["save"]
    assert (saved["count"], saved["errors"], storage["traffic"]["written"]) == (1, {}, 5000)
    assert HELD < saved["seconds"] < saved["p50"] * 2
    server.fail("save", "EDQUOT")
    with failing(errno.EDQUOT):
        (server.mountpoint / "other").write_bytes(b"x")
    assert metrics(server)["storage"]["requests"]["save"]["errors"].keys() == {"OSError"}


@pytest.mark.parametrize("kind", ["memory", "files"])
def test_a_storage_that_is_here_has_no_requests(serve: Serve, kind: str) -> None:
    found = metrics(serve(kind))
    assert (found["storage"], found["spool"], found["caches"]) == (None, None, {})


def test_caches_count_what_they_had(serve: Serve) -> None:
    server = serve("bucket", "attr_timeout=60,entry_timeout=0")
    bucket(server).put("file", b"x" * 300_000)
    with opened(server.mountpoint / "file", os.O_RDONLY) as fd:
        assert len(os.pread(fd, 4096, 200_000)) == 4096
        before = metrics(server)
        assert before["caches"]["memory"]["misses"] >= 1
        assert before["caches"]["memory"]["missed_bytes"] >= 4096
        assert before["caches"]["memory"]["bytes"] >= 4096
        assert before["storage"]["traffic"]["read"] >= 4096
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)  # the kernel's own pages, that it asks the mount again
        assert len(os.pread(fd, 4096, 200_000)) == 4096
    os.stat(server.mountpoint / "file")
    after = metrics(server)["caches"]
    assert after["memory"]["hits"] > before["caches"]["memory"]["hits"]
    assert after["names"]["hits"] > 0
    assert after["names"]["misses"] > 0
    assert os.listdir(server.mountpoint) == ["file"]
    assert metrics(server)["caches"]["listings"]["misses"] > 0


def test_the_cache_on_disk_counts_for_itself(serve: Serve) -> None:
    server = serve("bucket")
    server.unmount()
    cache = server.folder / "cache"
    server.options = (f"cache_dir={cache}",)
    bucket(server).put("file", b"x" * 1000)
    for expected in ((0, 1, 0), (1, 0, 1000)):
        server.mount()
        assert (server.mountpoint / "file").read_bytes() == b"x" * 1000
        disk = metrics(server)["caches"]["disk"]
        assert (disk["hits"], disk["misses"], disk["hit_bytes"]) == expected
        server.unmount()


def test_what_is_pending_and_in_the_spool(serve: Serve) -> None:
    server = serve("objects", "write_back=3600,spool_size=1M")
    assert metrics(server)["pending"] == {"files": 0, "failed": 0, "oldest": 0.0}
    (server.mountpoint / "file").write_bytes(b"x" * 1234)
    found = metrics(server)
    assert (found["pending"]["files"], found["pending"]["failed"]) == (1, 0)
    assert found["spool"] == {"used": 1234, "limit": 1 << 20}
    server.fail("save", "ECONNREFUSED")
    server.run("flush", str(server.mountpoint), check=False)
    found = metrics(server)
    assert found["pending"]["failed"] == 1
    assert found["events"]["upload"]["failed"] >= 1
    assert server.daemon is not None
    server.daemon.ask("drain")
    server.mend()
    server.daemon.ask("drain")
    assert metrics(server)["events"]["drain"] == {"complete": 1, "incomplete": 1}
