"""Programs of everyday on the mount of a bucket of S3: what they leave is in the bucket, and there after a remount."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from places import TRANSPORTS, Server
from programs import needs

from services.s3 import Bucket
from vfs.testing.place import run

pytestmark = [pytest.mark.mount, pytest.mark.parametrize("transport", TRANSPORTS[:1], indirect=True)]


@pytest.fixture(params=[{"directories": True}], ids=["directories"])
def server(
    request: pytest.FixtureRequest, s3_bucket: Bucket, mounts_folder: Path, rescue: None, transport: str
) -> Iterator[Server]:
    server = Server("bucket", mounts_folder / s3_bucket.name, transport=transport)
    server.serve_bucket(s3_bucket.opendal | request.param)
    yield server.mount()
    server.end()


def again(server: Server) -> None:
    """All that only the mount knows is forgotten."""
    server.unmount()
    server.mount()


@needs("git")
def test_git(server: Server, sources: Callable[[int], Path]) -> None:
    mountpoint = server.mountpoint
    git = "git -c core.fileMode=false -c user.name=A -c user.email=a@example.com -c safe.directory='*'"
    shutil.copytree(sources(12), mountpoint / "project")
    script = f"{git} init -q && {git} add . && {git} commit -qm first && echo more >> empty && {git} commit -qam second"
    run(["sh", "-ec", script], mountpoint / "project")
    again(server)
    assert run(["sh", "-c", f"{git} status --short"], mountpoint / "project") == ""
    run(["sh", "-ec", f"{git} clone -q project copy && cd copy && {git} gc -q && {git} fsck --strict"], mountpoint)
    again(server)
    assert run(["sh", "-c", f"cd copy && {git} status --short && {git} log --format=%s"], mountpoint) == (
        "second\nfirst\n"
    )


@needs("vim")
def test_vim(server: Server, s3_bucket: Bucket) -> None:
    s3_bucket.put("notes.txt", b"one\ntwo\n")
    command = [
        "vim",
        "-u",
        "NONE",
        "-es",
        "-N",
        "+set backup backupdir=. backupskip=",
        "+1s/one/1/",
        "+wq",
        "notes.txt",
    ]
    run(command, server.mountpoint)
    assert s3_bucket.get("notes.txt") == b"1\ntwo\n"
    assert s3_bucket.get("notes.txt~") == b"one\ntwo\n"
    assert set(s3_bucket.keys()) - {".viminfo"} == {"notes.txt", "notes.txt~"}


@needs("vim")
def test_two_editors_see_each_other_by_the_lock_file(server: Server) -> None:
    (server.mountpoint / "notes.txt").write_text("text\n")
    command = ["vim", "-u", "NONE", "-es", "--cmd", "set swapfile", "notes.txt"]
    with subprocess.Popen(command, cwd=server.mountpoint, stdin=subprocess.PIPE) as first:
        assert first.stdin is not None
        first.stdin.write(b"s/text/changed/\npreserve\n!touch ready\n")
        first.stdin.flush()
        while not (server.mountpoint / "ready").exists():
            assert first.poll() is None
        assert (server.mountpoint / ".notes.txt.swp").exists()
        first.stdin.write(b"wq\n")
        first.stdin.close()
        assert first.wait(20) == 0
    assert sorted(os.listdir(server.mountpoint)) == ["notes.txt", "ready"]
    assert (server.mountpoint / "notes.txt").read_text() == "changed\n"


@needs("rsync")
@pytest.mark.parametrize("server", [{"directories": True, "attributes": True}], ids=["attributes"], indirect=True)
def test_rsync_moves_nothing_the_second_time_nor_after_a_remount(
    server: Server, sources: Callable[[int], Path]
) -> None:
    command: list[str | Path] = ["rsync", "-a", "--itemize-changes", f"{sources(20)}/", "copy/"]
    assert len(run(command, server.mountpoint).splitlines()) > 20
    assert run(command, server.mountpoint) == ""
    again(server)
    moved = [line for line in run(command, server.mountpoint).splitlines() if not line.startswith(".d")]
    assert moved == []


@needs("mogrify", "identify")
def test_imagemagick(server: Server, s3_bucket: Bucket) -> None:
    run(["convert", "-size", "640x480", "plasma:fractal", "picture.png"], server.mountpoint)
    run(["convert", "picture.png", "-resize", "50%", "small.jpg"], server.mountpoint)
    again(server)
    assert run(["identify", "-format", "%m %wx%h", "small.jpg"], server.mountpoint) == "JPEG 320x240"
    assert s3_bucket.get("small.jpg")[:3] == b"\xff\xd8\xff"


@needs("sqlite3")
def test_sqlite(server: Server, s3_bucket: Bucket, tmp_path: Path) -> None:
    script = "CREATE TABLE t (x); INSERT INTO t VALUES (1); UPDATE t SET x = 2; SELECT x FROM t;"
    assert run(["sqlite3", "data.db", script], server.mountpoint) == "2\n"
    (tmp_path / "data.db").write_bytes(s3_bucket.get("data.db"))
    database = sqlite3.connect(tmp_path / "data.db")
    assert database.execute("SELECT x FROM t").fetchall() == [(2,)]
    database.close()


@pytest.mark.skipif(shutil.which("soffice") is None, reason="not installed: soffice")
def test_libreoffice(server: Server, s3_bucket: Bucket, tmp_path: Path) -> None:
    (server.mountpoint / "letter.txt").write_text("Dear reader,\n")
    office = ["soffice", f"-env:UserInstallation=file://{tmp_path}/profile", "--headless", "--convert-to"]
    run([*office, "odt", "letter.txt"], server.mountpoint, timeout=100)
    run([*office, "pdf", "letter.odt"], server.mountpoint, timeout=100)
    again(server)
    names = sorted(name for name in os.listdir(server.mountpoint) if name not in (".cache", ".config"))  # of its HOME
    assert names == ["letter.odt", "letter.pdf", "letter.txt"]
    assert s3_bucket.get("letter.pdf")[:5] == b"%PDF-"
