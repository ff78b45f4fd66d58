"""Mounts of one bucket of S3: two that meet in it, one that is killed, and one that renames a directory of it."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from places import TRANSPORTS, Server
from test_killed import WRITER, acceptable, kill, wait_for

from services.http_proxy import HTTPProxy
from services.s3 import Bucket
from vfs.testing.place import failing, opened, soon

pytestmark = [pytest.mark.mount, pytest.mark.parametrize("transport", TRANSPORTS[:1], indirect=True)]
ROUNDS = 4
"""How often a daemon is killed."""

Mount = Callable[..., Server]


@pytest.fixture
def mount(s3_bucket: Bucket, mounts_folder: Path, rescue: None, transport: str) -> Iterator[Mount]:
    """Mounts of the bucket."""
    made: list[Server] = []

    def mount(*options: str, at: int = 0) -> Server:
        server = Server("bucket", mounts_folder / f"{s3_bucket.name}-{len(made)}", *options, transport=transport)
        made.append(server)
        server.serve_bucket((s3_bucket.at(at) if at else s3_bucket).opendal)
        return server.mount()

    yield mount
    for server in made:
        server.end()


@pytest.mark.parametrize("size", [10, 9 << 20], ids=["small", "in parts"])
@pytest.mark.parametrize("before", [b"old", None], ids=["there", "new"])
def test_of_two_conflicting_closes_none_is_lost(
    mount: Mount, s3_bucket: Bucket, size: int, before: bytes | None
) -> None:
    one, two = mount(), mount()
    flags = os.O_WRONLY | os.O_CREAT
    if before is not None:
        s3_bucket.put("file", before)
    with opened(one.mountpoint / "file", flags) as first:
        second = os.open(two.mountpoint / "file", flags)
        os.write(first, b"1" * size)
        os.write(second, b"2" * size)
    with failing(errno.ESTALE):
        os.close(second)
    (beside,) = set(s3_bucket.keys()) - {"file"}
    assert (s3_bucket.get("file"), s3_bucket.get(beside)) == (b"1" * size, b"2" * size)
    assert beside.startswith("file.conflict-")
    assert soon(lambda: (two.mountpoint / "file").read_bytes() == b"1" * size)
    assert soon(lambda: s3_bucket.uploads() == 0)


@pytest.mark.parametrize("name", [b"new\nline\x01", b"\xff\xfe", b"white space ", b"tab\t"])
def test_a_name_that_the_bucket_cannot_keep_is_refused_at_once_and_leaves_nothing(
    mount: Mount, s3_bucket: Bucket, name: bytes
) -> None:
    server = mount()
    path = os.fsencode(server.mountpoint / "directory") + b"/" + name
    (server.mountpoint / "directory").mkdir()
    with failing(errno.EINVAL):
        os.open(path, os.O_WRONLY | os.O_CREAT)
    (server.mountpoint / "file").touch()
    with failing(errno.EINVAL):
        os.rename(os.fsencode(server.mountpoint / "file"), path)
    assert os.listdir(server.mountpoint / "directory") == []
    server.unmount()
    assert s3_bucket.keys() == ["file"]


def test_what_was_closed_outlives_kill_9(mount: Mount, s3_bucket: Bucket, tmp_path: Path) -> None:
    server, log, moments = mount("write_back=0.1"), tmp_path / "log", random.Random(1)
    for number in range(ROUNDS):
        if number:
            server.mount()
        lines = len(log.read_text().splitlines()) if log.exists() else 0
        command = [sys.executable, "-c", WRITER, str(server.mountpoint), str(log)]
        writers = [subprocess.Popen([*command, name], stderr=subprocess.PIPE, text=True) for name in ("one", "two")]
        wait_for(lambda: log.exists() and len(log.read_text().splitlines()) > lines + 8)  # noqa: B023
        time.sleep(moments.uniform(0.0, 0.2))
        kill(server)
        for writer in writers:
            _, said = writer.communicate(timeout=30)
            assert writer.returncode == 0, said
    server.run("recover", "bucket")
    stored = {name: hashlib.sha256(s3_bucket.get(name)).hexdigest() for name in s3_bucket.keys()}  # noqa: SIM118
    wanted = acceptable(log)
    assert stored.keys() <= wanted.keys(), "something else is in the bucket"
    assert [name for name, digests in wanted.items() if stored.get(name) not in digests] == []


@pytest.mark.skipif(sys.platform != "linux", reason="limits another process")
def test_more_files_are_pending_than_there_are_descriptors(mount: Mount, s3_bucket: Bucket) -> None:
    server = mount("write_back=3600")
    assert server.daemon is not None
    resource.prlimit(server.daemon.pid, resource.RLIMIT_NOFILE, (48, 48))
    names = [f"{number}" for number in range(80)]
    for name in names:
        (server.mountpoint / name).write_text(name)
    assert [(server.mountpoint / name).read_text() for name in names] == names
    assert s3_bucket.keys() == []
    server.run("flush", str(server.mountpoint))
    assert s3_bucket.keys() == sorted(names)


@pytest.mark.parametrize("target", [b"old", None], ids=["over another", "free"])
def test_the_rename_of_a_file_goes_on(
    mount: Mount, s3_bucket: Bucket, proxied: Callable[[int], HTTPProxy], target: bytes | None
) -> None:
    s3_bucket.put("old", b"content")
    if target is not None:
        s3_bucket.put("new", target)
    proxy = proxied(s3_bucket.port)
    server = mount(at=proxy.port)
    proxy.answer(503, method="DELETE", times=1000)
    rename = subprocess.Popen(["mv", server.mountpoint / "old", server.mountpoint / "new"], stderr=subprocess.PIPE)
    wait_for(lambda: proxy.count("DELETE", "/old") > 0)
    kill(server)
    rename.communicate(timeout=20)
    assert {key: s3_bucket.get(key) for key in ("new", "old")} == {"new": b"content", "old": b"content"}
    proxy.heal()
    server.mount()
    assert soon(lambda: s3_bucket.keys() == ["new"])
    assert soon(lambda: os.listdir(server.mountpoint) == ["new"])
    server.unmount()
    assert server.spooled() == []


def test_the_rename_of_a_directory_goes_on(mount: Mount, s3_bucket: Bucket) -> None:
    names = [f"{number}" for number in range(60)]
    for name in names:
        s3_bucket.put(f"old/{name}", name.encode())
    server = mount()
    rename = subprocess.Popen(
        ["mv", "-T", server.mountpoint / "old", server.mountpoint / "new"], stderr=subprocess.PIPE
    )
    wait_for(lambda: any(key.startswith("new/") for key in s3_bucket.keys()))  # noqa: SIM118
    assert server.daemon is not None
    os.kill(server.daemon.pid, signal.SIGKILL)
    rename.communicate(timeout=20)
    assert {key.partition("/")[2] for key in s3_bucket.keys()} == set(names)  # noqa: SIM118
    server.run("recover", "bucket")
    assert {key: s3_bucket.get(key) for key in s3_bucket.keys()} == {  # noqa: SIM118
        f"new/{name}": name.encode() for name in names
    }
