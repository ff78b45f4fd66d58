"""The daemon is killed while many write: the next mount works, and whatever close() had returned for is stored.

Each writer notes a file outside of the mount when its close() has returned, with a digest of what it wrote. What is
noted must be in the storage afterwards; what is not may be there or not.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from backends import ObjectStorage
from places import Server, above_transports
from programs import needs

Serve = Callable[..., Server]
NOTED = 60
"""How many files are noted before the daemon is killed."""
WRITER = """
import errno, hashlib, itertools, os, sys
root, notes, name = sys.argv[1:]
note = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
try:
    for number in itertools.count():
        path, data = f"{root}/{name}-{number}", os.urandom(number * 997 % 70_000)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        for begin in range(0, len(data), 20_000):
            part = data[begin : begin + 20_000]
            while part:  # a write that is cut short by the end of the daemon says so, and the next one fails
                part = part[os.write(file, part) :]
        os.close(file)
        if number % 3 == 0:
            os.rename(path, f"{path}.renamed")
            path = f"{path}.renamed"
        digest = f"{len(data)}-{hashlib.sha256(data).hexdigest()}"
        os.write(note, f"{os.path.basename(path)} {digest}\\n".encode())
except OSError as error:
    print(repr(error), file=sys.stderr)
    sys.exit(error.errno not in (errno.ENOTCONN, errno.ECONNABORTED, errno.EIO))
"""
COMMITTER = """
import itertools, sqlite3, sys
root, notes, _ = sys.argv[1:]
database = sqlite3.connect(f"{root}/database.sqlite", isolation_level=None)
database.execute("PRAGMA journal_mode = WAL")
database.execute("CREATE TABLE numbers (number INTEGER)")
with open(notes, "a", buffering=1) as note:
    for number in itertools.count():
        try:
            database.execute("INSERT INTO numbers VALUES (?)", (number,))
        except sqlite3.Error:
            break
        note.write(f"{number}\\n")
"""

PROGRAMS = {
    "git": """
        git init -q . && git config user.name A && git config user.email a@example.com || exit
        while echo $((number += 1)) > "file $number" && git add . && git commit -qm $number; do
            git rev-parse HEAD >> "$NOTES"
            test $((number % 5)) != 0 || git gc -q || exit
        done""",
    "cp and tar": """
        while cp -r "$SOURCES" tree && tar -cf tree.tar tree && tar -xf tree.tar && rm -r tree; do :; done""",
    "make": """
        printf 'int main(void) { return 0; }' > main.c; printf 'main: main.c; cc -g -o $@ $<' > Makefile
        while make -s && ./main && rm main; do :; done""",
    "fio": """
        while fio --name=job --filename=file --size=4m --rw=randwrite --bs=4k --ioengine=$ENGINE --verify=crc32c \\
            --fsync=32; do :; done""",
}
"""Shell scripts that go on until the mount is gone."""


@contextmanager
def at_work(script: str, server: Server, notes: Path, *names: str) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that run `script` on the mount, until they end by themselves."""
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", script, server.mountpoint, notes, name], stderr=subprocess.PIPE, text=True, cwd="/"
        )
        for name in names
    ]
    try:
        yield workers
        for worker in workers:
            _, errors = worker.communicate(timeout=30)
            assert worker.returncode == 0, errors
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()


def wait_for_notes(notes: Path, count: int, server: Server, workers: list[subprocess.Popen[str]]) -> None:
    """Until so many are noted; none of the workers may end before."""
    deadline = time.monotonic() + 40
    while not notes.exists() or notes.read_bytes().count(b"\n") < count:
        for worker in workers:
            assert worker.poll() is None, (worker.communicate()[1], server.logged())
        assert time.monotonic() < deadline, ("the writers do not get on", server.logged())
        time.sleep(0.01)


def kill(server: Server) -> None:
    """SIGKILL to the daemon."""
    assert server.daemon is not None
    os.kill(server.daemon.pid, signal.SIGKILL)
    assert server.daemon.wait_for_end(20)


def stored(server: Server) -> Callable[[str], bytes]:
    """How to read what the storage itself has under a name."""
    if server.kind != "objects":
        return lambda name: (server.folder / server.kind / name).read_bytes()
    storage = ObjectStorage(str(server.folder / "objects.sqlite"))
    return storage.content


def digest(content: bytes) -> str:
    """As a writer notes it."""
    return f"{len(content)}-{hashlib.sha256(content).hexdigest()}"


@pytest.mark.parametrize("kind", ["files", "scanned", "objects"])
def test_every_file_whose_close_had_returned_is_stored(serve: Serve, kind: str, tmp_path: Path) -> None:
    server, notes = serve(kind), tmp_path / "notes"
    with at_work(WRITER, server, notes, "one", "two", "three") as workers:
        wait_for_notes(notes, NOTED, server, workers)
        kill(server)
    noted = dict(line.split() for line in notes.read_text().splitlines())
    assert len(noted) >= NOTED
    content = stored(server)
    assert {name: digest(content(name)) for name in noted} == noted
    server.mount()
    assert noted.keys() <= set(os.listdir(server.mountpoint))
    assert {name: digest((server.mountpoint / name).read_bytes()) for name in noted} == noted
    (server.mountpoint / "new").write_bytes(b"it works again")
    assert content("new") == b"it works again"
    server.run("unmount", str(server.mountpoint))


def test_every_transaction_that_was_committed_is_in_the_database(serve: Serve, tmp_path: Path) -> None:
    server, notes = serve("files"), tmp_path / "notes"
    with at_work(COMMITTER, server, notes, "") as workers:
        wait_for_notes(notes, NOTED, server, workers)
        kill(server)
    server.mount()
    for folder in (server.mountpoint, server.folder / "files"):
        database = sqlite3.connect(folder / "database.sqlite")
        found = {number for (number,) in database.execute("SELECT number FROM numbers")}
        assert set(map(int, notes.read_text().split())) <= found
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        database.close()
    server.unmount()


@pytest.mark.parametrize("kind", ["memory", "files"])
def test_the_next_mount_works_at_once_whatever_was_going_on(serve: Serve, kind: str, tmp_path: Path) -> None:
    """Descriptors, a current directory, a mapping, locks and a listing of the dead mount are still in use."""
    server, notes = serve(kind), tmp_path / "notes"
    (server.mountpoint / "directory").mkdir()
    holds = (
        "import fcntl, mmap, os, sys, time\n"
        "os.chdir(sys.argv[1])\n"
        "file = open('held', 'w+b'); file.truncate(4096); fcntl.flock(file, fcntl.LOCK_EX)\n"
        "mapping = mmap.mmap(file.fileno(), 4096); mapping[:4] = b'held'; listing = os.scandir('.')\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    command: list[str | Path] = [sys.executable, "-c", holds, server.mountpoint / "directory"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with at_work(WRITER, server, notes, "one", "two") as workers:
            wait_for_notes(notes, NOTED // 2, server, workers)
            kill(server)
        server.mount()
        assert sorted(os.listdir(server.mountpoint))[:1] == (["directory"] if kind == "files" else [])
        (server.mountpoint / "new").write_text("it works")
        assert (server.mountpoint / "new").read_text() == "it works"
        server.run("unmount", str(server.mountpoint))
        holder.kill()


@needs("git", "make", "cc", "fio")
@above_transports
@pytest.mark.parametrize("kind", ["memory", "files", "objects"])
def test_the_next_mount_works_after_programs_were_cut_off(
    serve: Serve, kind: str, tmp_path: Path, sources: Callable[[int], Path]
) -> None:
    """None of them hangs, and each commit that git had told of is in the local folder, in a sound repository."""
    server, notes = serve(kind), tmp_path / "notes"
    variables = {**os.environ, "NOTES": str(notes), "SOURCES": str(sources(60)), "HOME": str(tmp_path)}
    variables["ENGINE"] = "psync" if kind == "objects" else "mmap"
    with ExitStack() as stack:
        programs = {}
        for name, script in PROGRAMS.items():
            (server.mountpoint / name).mkdir()
            programs[name] = subprocess.Popen(
                ["sh", "-c", script],
                cwd=server.mountpoint / name,
                env=variables,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            stack.callback(programs[name].kill)
        wait_for_notes(notes, 2 if kind == "objects" else 5, server, list(programs.values()))
        kill(server)
        for program in programs.values():
            program.wait(30)
    server.mount()
    (server.mountpoint / "new").write_text("it works")
    assert (server.mountpoint / "new").read_text() == "it works"
    if kind == "files":
        for top in (server.mountpoint, server.folder / "files"):
            git: list[str | Path] = ["git", "-c", "safe.directory=*", "-C", top / "git"]
            subprocess.run([*git, "fsck", "--full", "--strict"], check=True, capture_output=True)
            for commit in notes.read_text().split():
                subprocess.run([*git, "cat-file", "-e", f"{commit}^{{tree}}"], check=True)
    server.run("unmount", str(server.mountpoint))
