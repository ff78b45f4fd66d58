"""A mounted bucket whose server breaks, by a proxy that makes it so: what programs hear, and that nothing is lost."""

from __future__ import annotations

import errno
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from places import Server

from services.faults import Way
from services.http_proxy import HTTPProxy
from services.s3 import Bucket
from vfs.testing.place import failing, opened, soon

pytestmark = pytest.mark.mount
TIMEOUT = 1
PATIENT = 5
"""A server that is busy and has all may say nothing for a second or two."""
SOON = 20.0
SMALL, LARGE = 3000, 400_000

Trouble = Callable[[HTTPProxy], None]


@pytest.fixture
def bucket(s3_bucket: Bucket) -> Bucket:
    """The bucket behind the proxy, with a file that no test touches."""
    s3_bucket.put("kept", b"as it was")
    return s3_bucket


@pytest.fixture
def server(
    request: pytest.FixtureRequest, bucket: Bucket, proxy: HTTPProxy, mounts_folder: Path, rescue: None
) -> Iterator[Server]:
    """A mount of the bucket by way of the proxy, for which `TIMEOUT` holds, or what a test asks for."""
    timeout = getattr(request, "param", TIMEOUT)
    made = Server("bucket", mounts_folder / bucket.name, f"timeout={timeout},attr_timeout=0,entry_timeout=0")
    made.serve_bucket(bucket.at(proxy.port).opendal)
    yield made.mount()
    proxy.heal()
    made.end()


def _refused(proxy: HTTPProxy) -> None:
    proxy.refuse()
    proxy.drop()


TROUBLES: dict[str, Trouble] = {
    "refused": _refused,
    "reset within a body": lambda proxy: proxy.cut(after=2000, way="up", ending="reset", method="PUT", times=3),
    "reset within an answer": lambda proxy: proxy.cut(after=60, ending="reset", times=4),
    "500": lambda proxy: proxy.answer(500, times=6),
    "503": lambda proxy: proxy.answer(503, times=6),
    "429": lambda proxy: proxy.answer(429, times=6),
    "silent": lambda proxy: proxy.stall(),
    "silent answers": lambda proxy: proxy.stall("down"),
    "slow first byte": lambda proxy: proxy.slow(TIMEOUT / 4, times=6),
}


def _content(name: str, size: int) -> bytes:
    return (name * (size // len(name) + 1)).encode()[:size]


def _write(folder: Path, name: str, size: int) -> bool:
    """Whether a file could be written and closed."""
    try:
        (folder / name).write_bytes(_content(name, size))
    except OSError as error:
        assert error.errno in (errno.EIO, errno.ETIMEDOUT), errno.errorcode[error.errno or 0]
        return False
    return True


def _wait_until_it_answers(server: Server) -> None:
    deadline = time.monotonic() + SOON
    while True:
        with suppress(OSError):
            os.stat(server.mountpoint / "kept")
            return
        assert time.monotonic() < deadline, "the mount does not work again"
        time.sleep(0.05)


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=list(TROUBLES))
def test_what_was_closed_is_stored_and_nothing_else_is_changed(
    server: Server, bucket: Bucket, proxy: HTTPProxy, trouble: Trouble
) -> None:
    files = {
        f"{when}-{number}": size for when in ("before", "during", "after") for number, size in enumerate((SMALL, LARGE))
    }
    closed = {
        name for name, size in files.items() if name.startswith("before") and _write(server.mountpoint, name, size)
    }
    assert len(closed) == 2
    trouble(proxy)
    closed |= {
        name for name, size in files.items() if name.startswith("during") and _write(server.mountpoint, name, size)
    }
    proxy.heal()
    _wait_until_it_answers(server)
    closed |= {
        name for name, size in files.items() if name.startswith("after") and _write(server.mountpoint, name, size)
    }
    assert {name for name in files if name.startswith("after")} <= closed
    server.unmount()
    stored = bucket.keys()
    for name in closed:
        assert bucket.get(name) == _content(name, files[name])
    for name in set(stored) - closed - {"kept"}:  # what close() reported as not stored was kept, and stored later
        assert bucket.get(name) == _content(name, files[name])
    assert bucket.get("kept") == b"as it was"
    assert bucket.uploads() == 0


def _mount_again(server: Server, deadline: float) -> None:
    """With so many seconds in which the storage itself ends its calls."""
    server.unmount()
    server.config.write_text(f"{server.config.read_text()}\ndeadline = {deadline}\nretries = 0\n")
    server.mount()


@pytest.mark.parametrize("deadline", [None, 1], ids=["", "ended by the storage"])
@pytest.mark.parametrize("trouble", [_refused, lambda proxy: proxy.stall()], ids=["refused", "silent"])
def test_an_outage_is_never_an_absence_and_holds_nobody_up(
    server: Server, proxy: HTTPProxy, trouble: Trouble, deadline: float | None
) -> None:
    if deadline is not None:
        _mount_again(server, deadline)
    trouble(proxy)
    for name in ("kept", "missing"):
        began = time.monotonic()
        with failing(errno.EIO, errno.ETIMEDOUT):
            os.stat(server.mountpoint / name)
        assert time.monotonic() - began < 5 * TIMEOUT
    began = time.monotonic()
    done = subprocess.run(["ls", "-l", server.mountpoint], capture_output=True, text=True, check=False, timeout=SOON)
    assert done.returncode != 0
    subprocess.run(["df", server.mountpoint], capture_output=True, check=True, timeout=SOON)
    assert os.path.isdir(server.mountpoint)
    assert time.monotonic() - began < TIMEOUT, "ls and df are held up by a server that is known to be gone"
    shown = server.run("status", str(server.mountpoint)).stdout
    assert "outage  the storage has not answered for " in shown
    assert "the storage has not answered for " in server.run("top", str(server.mountpoint), "--once").stdout
    told = server.run("status", str(server.mountpoint), "--prometheus").stdout.splitlines()
    assert [line.endswith(" 1") for line in told if line.startswith("vfs_circuit_open{")] == [True]
    proxy.heal()
    _wait_until_it_answers(server)
    assert "outage" not in server.run("status", str(server.mountpoint)).stdout
    with pytest.raises(FileNotFoundError):
        os.stat(server.mountpoint / "missing")
    assert (server.mountpoint / "kept").read_bytes() == b"as it was"


def test_what_is_not_stored_is_kept_and_can_be_read(server: Server, bucket: Bucket, proxy: HTTPProxy) -> None:
    with opened(server.mountpoint / "file", os.O_RDWR | os.O_CREAT) as file:
        os.write(file, b"content")
        proxy.stall()
        with failing(errno.ETIMEDOUT, errno.EIO):
            os.fsync(file)
        assert os.pread(file, 100, 0) == b"content"
        proxy.heal()
        _wait_until_it_answers(server)
        os.fsync(file)
        assert bucket.get("file") == b"content"


@pytest.mark.parametrize("deadline", [None, TIMEOUT], ids=["ended by the mount", "ended by the storage"])
@pytest.mark.parametrize(
    ("after", "way", "target"),
    [(3 << 20, "up", "partNumber=1"), (0, "down", "partNumber=1"), (0, "down", r"uploadId=[^&]*$")],
    ids=["a part", "its answer", "the answer to the whole"],
)
def test_an_upload_in_parts_that_stalls_is_an_error_and_goes_on_later(
    server: Server, bucket: Bucket, proxy: HTTPProxy, after: int, way: Way, target: str, deadline: float | None
) -> None:
    if deadline is not None:
        _mount_again(server, deadline)
    content = os.urandom(1 << 20) * 30
    # Which finds out what conditions hold; a server that is busy may be silent for too long.
    assert soon(lambda: _write(server.mountpoint, "first", len(content)))
    told = server.logged().count("not stored, tried again in ")
    descriptor = os.open(server.mountpoint / "file", os.O_WRONLY | os.O_CREAT)
    for part in range(30):
        assert os.write(descriptor, content[part << 20 : part + 1 << 20]) == 1 << 20
    proxy.cut(after=after, way=way, ending="stall", target=target, times=100)
    began = time.monotonic()
    with failing(errno.ETIMEDOUT):
        os.close(descriptor)
    assert time.monotonic() - began < SOON, "much less than what was sent would take on a slow line"
    assert (server.mountpoint / "file").read_bytes() == content, "it is in the spool"
    assert bucket.keys() == ["first", "kept"]
    proxy.heal()
    proxy.drop()
    # What the mount has given up may hold the name for a moment yet.
    assert soon(lambda: server.run("flush", str(server.mountpoint), check=False).returncode == 0)
    assert bucket.get("file") == content
    assert server.logged().count("not stored, tried again in ") == told + 1, "of the first error alone"


@pytest.mark.parametrize("server", [PATIENT], indirect=True, ids=[""])
def test_an_upload_goes_on_for_as_long_as_bytes_move(server: Server, bucket: Bucket, proxy: HTTPProxy) -> None:
    _mount_again(server, PATIENT)
    content = os.urandom(1 << 20) * 20
    proxy.rate(up=1 << 20)
    began = time.monotonic()
    (server.mountpoint / "file").write_bytes(content)
    assert time.monotonic() - began > 2 * PATIENT
    assert bucket.get("file") == content


@pytest.mark.parametrize(
    ("code", "word"),
    [("ExpiredToken", "credentials"), ("InvalidAccessKeyId", "credentials"), ("RequestTimeTooSkewed", "clock")],
)
def test_expired_credentials_are_eacces_and_a_line_in_the_log(
    server: Server, proxy: HTTPProxy, code: str, word: str
) -> None:
    refusal = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no entry</Message></Error>".encode()
    proxy.answer(403, body=refusal, headers={"Content-Type": "application/xml"}, times=50)
    with failing(errno.EACCES):
        (server.mountpoint / "file").write_bytes(b"content")
    with failing(errno.EACCES):
        os.listdir(server.mountpoint)
    logged = server.logged()
    assert word in logged, logged
    assert "secret-key" not in logged


def test_what_cannot_be_mounted_says_what_is_wrong(server: Server, bucket: Bucket, proxy: HTTPProxy) -> None:
    server.unmount()
    proxy.refuse()
    refused = server.run("mount", "bucket", str(server.mountpoint), check=False)
    assert (refused.returncode, refused.stderr.startswith("vfs: the storage 'bucket' is not reached: ")) == (1, True)
    assert f"(at http://127.0.0.1:{proxy.port})" in refused.stderr
    proxy.heal()
    bucket.delete("kept")
    bucket.ask("DELETE", "")
    missing = server.run("mount", "bucket", str(server.mountpoint), check=False)
    said = f"the storage 'bucket' cannot be used: The bucket or container '{bucket.name}' does not exist (at http://"
    assert (missing.returncode, said in missing.stderr, "make it" in missing.stderr) == (1, True, True)


def test_a_bucket_that_is_gone_is_no_empty_directory(server: Server, bucket: Bucket) -> None:
    bucket.delete("kept")
    bucket.ask("DELETE", "")
    with failing(errno.EIO):
        os.listdir(server.mountpoint)
    with failing(errno.EIO):
        os.stat(server.mountpoint / "kept")
