"""A daemon whose clock is wrong, and is set while it works, by libfaketime of Debian's package faketime."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from places import TRANSPORTS, Server

from services.s3 import Bucket
from services.server import require
from vfs.testing.place import opened, soon

pytestmark = [
    pytest.mark.mount,
    pytest.mark.skipif(sys.platform != "linux", reason="libfaketime is tried on Linux alone"),
]
DAY = 86_400
MUCH = 60.0
"""Seconds by which two right clocks, and the work in between, may differ."""

SetClock = Callable[[int], None]


def _library() -> str:
    """The variant of libfaketime for programs with threads; skips where it is not installed."""
    require("faketime")
    told = subprocess.run(["faketime", "now", "env"], capture_output=True, text=True, check=True).stdout
    (preloaded,) = [line.partition("=")[2] for line in told.splitlines() if line.startswith("LD_PRELOAD=")]
    return preloaded.replace("libfaketime.so", "libfaketimeMT.so")


@pytest.fixture
def set_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """Sets the clock of all that is started from now on, also while it runs, by so many seconds from the true time."""
    library, clock = _library(), tmp_path / "clock"

    def set_clock(seconds: int) -> None:
        written = clock.with_suffix(".new")
        written.write_text(f"{seconds:+d}\n")
        written.replace(clock)

    set_clock(0)
    for name, value in {
        "LD_PRELOAD": library,
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }.items():
        monkeypatch.setenv(name, value)
    return set_clock


@pytest.fixture
def server(set_clock: SetClock, s3_bucket: Bucket, mounts_folder: Path, rescue: None) -> Iterator[Server]:
    """A bucket to be mounted by a daemon with that clock."""
    made = Server("bucket", mounts_folder / s3_bucket.name, transport=TRANSPORTS[0])
    made.options = ("attr_timeout=0.5", "entry_timeout=0.5")
    made.serve_bucket(s3_bucket.opendal)
    yield made
    made.end()


def _write(path: Path, content: bytes) -> None:
    with opened(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as file:
        os.write(file, content)


def _differs(path: Path, seconds: float) -> float:
    """From a time, how far the time of a file is."""
    return abs(os.stat(path).st_mtime - seconds)


@pytest.mark.parametrize("wrong", [-DAY, DAY], ids=["behind", "ahead"])
def test_times_are_those_of_the_storage_but_of_what_the_mount_has_written(
    server: Server, s3_bucket: Bucket, set_clock: SetClock, wrong: int
) -> None:
    set_clock(wrong)
    server.mount()
    assert str(time.gmtime(time.time() + wrong).tm_mday) in server.logged().splitlines()[0][:10], "its clock is right"
    s3_bucket.put("theirs", b"theirs")
    _write(server.mountpoint / "ours", b"ours")
    server.run("refresh", str(server.mountpoint))
    assert _differs(server.mountpoint / "theirs", time.time()) < MUCH
    assert _differs(server.mountpoint / "ours", time.time() + wrong) < MUCH, "programs here compare it with their own"
    assert (server.mountpoint / "theirs").read_bytes() == b"theirs"
    assert s3_bucket.get("ours") == b"ours"
    _write(server.mountpoint / "theirs", b"changed")
    assert s3_bucket.get("theirs") == b"changed"
    server.unmount()
    server.mount()
    for name in ("theirs", "ours"):
        assert _differs(server.mountpoint / name, time.time()) < MUCH, name
    server.unmount()


@pytest.mark.parametrize("wrong", [-DAY, DAY], ids=["back", "forward"])
def test_a_clock_that_is_set_holds_up_nothing_and_makes_nothing_believed(
    server: Server, s3_bucket: Bucket, set_clock: SetClock, wrong: int
) -> None:
    s3_bucket.put("file", b"first")
    server.options += ("write_back=1",)
    server.mount()
    assert (server.mountpoint / "file").read_bytes() == b"first"
    _write(server.mountpoint / "pending", b"pending")
    set_clock(wrong)
    s3_bucket.put("file", b"second, and longer")
    assert soon(lambda: (server.mountpoint / "file").read_bytes() == b"second, and longer")
    assert soon(lambda: s3_bucket.keys() == ["file", "pending"]), "it waits for the clock"
    _write(server.mountpoint / "other", b"other")
    server.run("flush", str(server.mountpoint))
    assert s3_bucket.get("other") == b"other"
    set_clock(0)
    server.unmount()


@pytest.mark.parametrize(("wrong", "said"), [(-DAY, "ahead of"), (DAY, "behind")])
def test_the_doctor_says_so(server: Server, set_clock: SetClock, wrong: int, said: str) -> None:
    set_clock(wrong)
    told = server.run("doctor", "bucket", check=False, timeout=60).stdout
    (clock,) = [line for line in told.splitlines() if line.startswith(("ok       clock", "warning  clock"))]
    assert clock.startswith("warning")
    assert re.search(rf"the server's clock is 86[34]\d\d s {said}", clock)
