"""Daemons that are killed, disks that are full, and mounts that meet in one storage, each as its users see it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from places import TRANSPORTS, Server, configuration

from vfs.testing.place import IS_ROOT, failing, opened

Serve = Callable[..., Server]
pytestmark = pytest.mark.parametrize("transport", TRANSPORTS[:1], indirect=True)
"""The transports have no part in this."""
ROUNDS = 10
"""How often a daemon is killed, in each way of writing."""
WRITER = """
import errno, hashlib, itertools, os, random, sys
root, log, name = sys.argv[1:]
log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def note(word, path, data):
    os.write(log, f"{word} {path} {hashlib.sha256(data).hexdigest()}\\n".encode())
try:
    for number in itertools.count():
        path, data = f"{name}-{number % 7}", os.urandom(random.randrange(40_000))
        note("begun", path, data)
        with open(f"{root}/{path}", "wb", buffering=0) as file:
            for begin in range(0, len(data), 10_000):
                file.write(data[begin : begin + 10_000])
            if number % 5 == 0:
                os.fsync(file)
        note("closed", path, data)
except OSError as error:
    sys.exit(0 if error.errno in (errno.ENOTCONN, errno.ECONNABORTED, errno.EIO, errno.ENOENT) else repr(error))
"""


@pytest.mark.parametrize("options", [("write_back=0.1",), ()], ids=["written back", "at once"])
def test_what_was_closed_outlives_kill_9_at_any_moment(serve: Serve, options: tuple[str, ...], tmp_path: Path) -> None:
    server, log, moments = serve("versioned", *options), tmp_path / "log", random.Random(1)
    for number in range(ROUNDS):
        if number:
            server.mount()
        command = [sys.executable, "-c", WRITER, str(server.mountpoint), str(log)]
        writers = [subprocess.Popen([*command, name], stderr=subprocess.PIPE, text=True) for name in ("one", "two")]
        lines = len(log.read_text().splitlines()) if log.exists() else 0
        wait_for(lambda: log.exists() and len(log.read_text().splitlines()) > lines + 8)  # noqa: B023
        time.sleep(moments.uniform(0.0, 0.1))
        kill(server)
        for writer in writers:
            _, said = writer.communicate(timeout=30)
            assert writer.returncode == 0, said
    server.run("recover", "versioned")
    stored = {path.name: digest(path) for path in (server.folder / "versioned").iterdir()}
    wanted = acceptable(log)
    assert {name for name in stored if ".conflict-" in name} == set()
    assert stored.keys() <= wanted.keys()
    assert [name for name, digests in wanted.items() if stored.get(name) not in digests] == []
    server.mount()
    assert {path.name: digest(path) for path in server.mountpoint.iterdir()} == stored
    server.run("unmount", str(server.mountpoint))
    server.run("recover", "versioned", "--discard")  # what was being written when the last daemon was killed
    assert server.spooled() == []


def acceptable(log: Path) -> dict[str, set[str | None]]:
    """What each file may have: what was closed last, or what was begun after that."""
    found: dict[str, set[str | None]] = {}
    for line in log.read_text().splitlines():
        word, name, content = line.split()
        if word == "closed":
            found[name] = {content}
        else:
            found.setdefault(name, {None}).add(content)
    return found


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def kill(server: Server) -> None:
    assert server.daemon is not None
    os.kill(server.daemon.pid, signal.SIGKILL)
    assert server.daemon.wait_for_end(20)


def pending(server: Server) -> list[str]:
    (report,) = json.loads(server.run("status", str(server.mountpoint), "--json").stdout)
    return [line["name"] for line in report["pending"]]


def test_the_next_mount_stores_what_was_written_back(serve: Serve) -> None:
    server = serve("versioned", "write_back=3600")
    (server.mountpoint / "directory").mkdir()
    (server.mountpoint / "directory" / "file").write_bytes(b"content")
    stored = server.folder / "versioned" / "directory" / "file"
    assert (pending(server), stored.exists()) == (["directory/file"], False)
    kill(server)
    server.mount()
    assert (server.mountpoint / "directory" / "file").read_bytes() == b"content"
    wait_for(stored.exists)
    assert stored.read_bytes() == b"content"
    assert server.daemon is not None
    assert server.daemon.ask("metrics")["events"]["recovered file"] == {"taken up": 1}
    server.unmount()


def test_what_was_closed_goes_along_when_the_rename_of_its_directory_is_killed(serve: Serve) -> None:
    server, names = serve("versioned", "write_back=3600"), {str(number) for number in range(300)}
    stored, old, new = server.folder / "versioned", server.mountpoint / "old", server.mountpoint / "new"
    (stored / "old").mkdir()
    for name in names:
        (stored / "old" / name).write_bytes(b"content")
    for name in ("0", "made"):
        (old / name).write_bytes(b"closed")
    rename = subprocess.Popen(["mv", "-T", old, new], stderr=subprocess.PIPE)
    wait_for(lambda: (stored / "new").exists() and len(os.listdir(stored / "new")) > 20)
    kill(server)
    rename.communicate(timeout=20)
    server.mount()
    wait_for(lambda: (stored / "new" / "made").exists() and (stored / "new" / "0").read_bytes() == b"closed")
    wait_for(lambda: not (stored / "old").exists())
    assert {path.name for path in new.iterdir()} == names | {"made"} == {path.name for path in stored.glob("new/*")}
    assert (new / "0").read_bytes() == (stored / "new" / "made").read_bytes() == b"closed"
    server.unmount()


def test_recover_says_what_has_become_of_each(serve: Serve) -> None:
    server = serve("versioned", "write_back=3600")
    for name in ("stored", "conflict"):
        (server.mountpoint / name).write_bytes(b"ours")
    file = os.open(server.mountpoint / "unfinished", os.O_WRONLY | os.O_CREAT)
    os.write(file, b"half")
    wait_for(lambda: len([path for path in server.spooled() if path.suffix == ".json"]) == 3)
    said = server.run("recover", "versioned").stdout
    assert said == "versioned: 1 running mount(s) see to what is theirs\n"
    kill(server)
    with failing(errno.ENOTCONN, errno.ECONNABORTED):
        os.close(file)
    (server.folder / "versioned" / "conflict").write_bytes(b"theirs")
    recovered = server.run("recover")
    assert "not stored" not in recovered.stderr
    lines = recovered.stdout.splitlines()
    assert lines[0] == "stored      versioned:stored"
    assert lines[1].startswith(
        "conflict    versioned:conflict: somebody else has changed it; kept as conflict.conflict-"
    )
    assert lines[2].startswith("left        versioned:unfinished: it was being written, and nobody had closed it: ")
    assert Path(lines[2].rpartition(": ")[2]).read_bytes() == b"half"
    assert (server.folder / "versioned" / "conflict").read_bytes() == b"theirs"
    (line,) = server.run("recover", "--discard").stdout.splitlines()
    assert line.startswith("discarded   versioned:unfinished")
    assert server.run("recover").stdout == "Nothing was left.\n"
    assert server.spooled() == []
    server.run("unmount", str(server.mountpoint))


def test_flush_waits_for_the_storage_and_names_what_fails(serve: Serve) -> None:
    server = serve("versioned", "write_back=3600")
    (server.mountpoint / "file").write_bytes(b"content")
    server.fail("replace", "EDQUOT")
    done = server.run("flush", str(server.mountpoint), check=False)
    assert (done.returncode, "file: Disk quota exceeded" in done.stderr) == (1, True)
    shown = server.run("status", str(server.mountpoint)).stdout
    assert "pending  1, 7 B: file (7 B, " in shown
    assert "Disk quota exceeded)" in shown
    server.mend()
    server.run("flush", str(server.mountpoint))
    assert (server.folder / "versioned" / "file").read_bytes() == b"content"
    assert pending(server) == []
    server.unmount()


@pytest.mark.parametrize("how", ["unmount", "SIGTERM"])
def test_the_end_of_a_mount_stores_what_is_pending(serve: Serve, how: str) -> None:
    server = serve("versioned", "write_back=3600")
    for number in range(20):
        (server.mountpoint / f"{number}").write_bytes(b"%d" % number)
    if how == "unmount":
        server.unmount()
    else:
        assert server.daemon is not None
        os.kill(server.daemon.pid, signal.SIGTERM)
        assert server.daemon.wait_for_end(20)
        server.assert_gone()
    assert [(server.folder / "versioned" / f"{number}").read_bytes() for number in range(20)] == [
        b"%d" % number for number in range(20)
    ]


@pytest.fixture
def both(serve: Serve) -> tuple[Server, Server]:
    """Two mounts of one storage."""
    one, two = serve("versioned"), serve("versioned")
    two.run("unmount", str(two.mountpoint))
    two.config.write_text(configuration(one.folder))
    return one, two.mount()


def test_of_two_conflicting_closes_none_is_lost(both: tuple[Server, Server]) -> None:
    one, two = both
    (one.mountpoint / "file").write_bytes(b"old")
    wait_for((two.mountpoint / "file").exists)
    with opened(one.mountpoint / "file", os.O_WRONLY | os.O_TRUNC) as first:
        second = os.open(two.mountpoint / "file", os.O_WRONLY | os.O_TRUNC)
        os.write(first, b"first")
        os.write(second, b"second")
    with failing(errno.ESTALE):
        os.close(second)
    found = {path.name: path.read_bytes() for path in (one.folder / "versioned").iterdir()}
    (beside,) = found.keys() - {"file"}
    assert (found["file"], found[beside], beside.startswith("file.conflict-")) == (b"first", b"second", True)
    assert f"file: kept as {beside}" in two.run("status", str(two.mountpoint)).stdout
    assert "conflict: 'file' was changed by somebody else" in two.logged()
    assert (two.mountpoint / beside).read_bytes() == b"second"
    wait_for(lambda: (two.mountpoint / "file").read_bytes() == b"first")
    one.unmount()
    two.unmount()


@pytest.mark.skipif(not IS_ROOT or sys.platform != "linux", reason="needs a small disk of its own")
def test_a_full_disk_under_the_spool_is_said_at_once_and_loses_nothing(serve: Serve, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], check=True)
    try:
        server = serve("versioned", f"spool={disk}", "write_back=3600")
        (server.mountpoint / "first").write_bytes(b"1" * (2 << 20))
        with failing(errno.ENOSPC):
            (server.mountpoint / "second").write_bytes(b"2" * (3 << 20))
        assert (server.mountpoint / "first").read_bytes() == b"1" * (2 << 20)
        (server.mountpoint / "small").write_bytes(b"there is room for a note")
        kill(server)
        server.mount()
        server.run("flush", str(server.mountpoint))
        assert (server.folder / "versioned" / "first").read_bytes() == b"1" * (2 << 20)
        assert (server.folder / "versioned" / "small").read_bytes() == b"there is room for a note"
        server.run("unmount", str(server.mountpoint))
    finally:
        server.end()
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_spool_of_a_limited_size(serve: Serve) -> None:
    server = serve("versioned", "spool_size=1M")
    (server.mountpoint / "file").write_bytes(b"x" * (1 << 20))
    with failing(errno.ENOSPC):
        (server.mountpoint / "file").write_bytes(b"y" * ((1 << 20) + 1))
    os.unlink(server.mountpoint / "file")
    server.unmount()


@pytest.mark.parametrize("alias", [("versioned",), ()], ids=["one", "all"])
def test_recover_looks_where_the_settings_have_the_spool(serve: Serve, alias: tuple[str, ...], tmp_path: Path) -> None:
    server = serve("versioned", f"write_back=3600,spool={tmp_path}/elsewhere")
    (server.mountpoint / "file").write_bytes(b"content")
    kill(server)
    assert server.run("recover", *alias).stdout == "Nothing was left.\n"
    with server.config.open("a") as config:
        config.write(f'[MOUNT_OPTIONS]\nfiles = "ro"\nversioned = "spool={tmp_path}/elsewhere,write_back=600"\n')
    assert server.run("recover", *alias).stdout == "stored      versioned:file\n"
    assert (server.folder / "versioned" / "file").read_bytes() == b"content"


def test_recover_refuses_what_is_not_there(serve: Serve, tmp_path: Path) -> None:
    server = serve("versioned", "write_back=3600")
    (server.mountpoint / "file").write_bytes(b"content")
    kill(server)
    typo = server.run("recover", "version", check=False)
    assert (typo.returncode, typo.stdout) == (1, "")
    assert "Did you mean 'versioned'?" in typo.stderr
    nowhere = server.run("recover", "--spool", str(tmp_path / "nowhere"), check=False)
    assert (nowhere.returncode, nowhere.stdout) == (2, "")
    assert "nowhere' does not exist" in nowhere.stderr
    server.config.write_text('[STORAGES.another]\nBACKEND = "storage.InMemoryStorage"\n')
    gone = server.run("recover", "versioned", check=False)
    assert (gone.returncode, gone.stdout) == (1, "")
    assert "its configuration was another one then; its files are in " in gone.stderr
    server.config.write_text(configuration(server.folder))
    assert server.run("recover").stdout == "stored      versioned:file\n"
