"""The promises of vfs/SEMANTICS.md: each bold sentence there is quoted by the test here that would fail without it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import mmap
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from backends import ObjectStorage
from counted_bucket import FolderBucket
from places import Place, Server, on

import vfs
from services.s3 import Bucket
from storage import Change, ContentFile, InMemoryStorage, OpenDALStorage
from vfs.testing.place import IS_ROOT, opened, soon

MIB = 1 << 20
SEMANTICS = Path(__file__).parents[2] / "vfs" / "SEMANTICS.md"
_quoted: dict[str, str] = {}

Serve = Callable[..., Server]
F = TypeVar("F", bound=Callable[..., None])


def promise(sentence: str) -> Callable[[F], F]:
    """Mark a test as the one that holds vfs to `sentence` of SEMANTICS.md."""

    def quote(test: F) -> F:
        _quoted[sentence] = test.__name__
        return test

    return quote


def error_of(call: Callable[[], object]) -> str:
    """The name of the errno that `call` raises."""
    with pytest.raises(OSError) as caught:
        call()
    return errno.errorcode[caught.value.errno or 0]


def fetched(bucket: FolderBucket) -> int:
    """How many bytes a mount has fetched since this was asked last."""
    return sum(int(request[3]) for request in bucket.counted() if request[0] == "get")


def write_and_close(path: Path, content: bytes) -> None:
    """One write and one close; an error of the close is raised."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        os.write(descriptor, content)
    finally:
        os.close(descriptor)


def test_every_promise_is_quoted_by_a_test_and_every_quotation_is_a_promise() -> None:
    sentences = {
        " ".join(found.split())
        for found in re.findall(r"^\*\*(.+?)\*\*", SEMANTICS.read_text(), re.MULTILINE | re.DOTALL)
    }
    assert len(sentences) > 15
    assert sentences == set(_quoted)


# -- Saving


@promise(
    "close() in the process that opened a file, and fsync() in any, return when the storage has the bytes, or with the "
    "true errno."
)
def test_close_and_fsync_store(serve: Serve) -> None:
    server = serve("objects")
    top, key = server.mountpoint, "file"
    stored = ObjectStorage(str(server.folder / "objects.sqlite"))
    write_and_close(top / "file", b"first")
    assert stored.content(key) == b"first"

    with open(top / "file", "r+b", buffering=0) as file:
        file.write(b"FIRST")
        child = subprocess.run(["true"], check=True, pass_fds=[file.fileno()])
        assert child.returncode == 0
        assert stored.content(key) == b"first"  # a child's close is not the opener's
        os.fsync(file.fileno())
        assert stored.content(key) == b"FIRST"

    for fault in ("ENOSPC", "EACCES", "ETIMEDOUT"):
        server.fail("save", fault)
        assert error_of(lambda: write_and_close(top / "other", b"lost?")) == fault
        with open(top / "other", "ab", buffering=0) as file:
            file.write(b"more")
            assert error_of(lambda: os.fsync(file.fileno())) == fault
            server.mend()
    stored.close()


@promise(
    "What could not be stored is not dropped: it stays pending, is tried again by itself, and goes with the next close "
    "or fsync that succeeds."
)
def test_what_could_not_be_stored_is_kept(serve: Serve) -> None:
    server = serve("objects")
    stored = ObjectStorage(str(server.folder / "objects.sqlite"))
    server.fail("save", "ENOSPC")
    assert error_of(lambda: write_and_close(server.mountpoint / "kept", b"precious")) == "ENOSPC"
    assert (server.mountpoint / "kept").read_bytes() == b"precious"
    assert "kept (8 B, " in server.run("status", str(server.mountpoint)).stdout
    assert server.run("unmount", str(server.mountpoint), check=False).returncode == 1
    server.mend()
    with open(server.mountpoint / "kept", "ab") as file:
        os.fsync(file.fileno())
    assert stored.content("kept") == b"precious"

    server.fail("save", "EIO")
    assert error_of(lambda: write_and_close(server.mountpoint / "again", b"by itself")) == "EIO"
    server.mend()
    assert soon(lambda: "again" in stored.keys())  # noqa: SIM118
    assert stored.content("again") == b"by itself"

    server.fail("save", "EIO")
    assert error_of(lambda: write_and_close(server.mountpoint / "dead", b"dies with its name")) == "EIO"
    os.unlink(server.mountpoint / "dead")
    server.mend()
    server.unmount()
    assert stored.keys() == ["again", "kept"]
    stored.close()


@promise(
    "What was closed and is not stored yet outlives `kill -9`: the next mount of the storage, or `vfs recover`, stores "
    "it, once, and only in the place of what it was made from."
)
@pytest.mark.parametrize("how", ["mount", "recover"])
def test_what_was_closed_outlives_the_daemon(serve: Serve, how: str) -> None:
    server = serve("versioned")
    folder = server.folder / "versioned"
    for name in ("changed", "deleted", "overtaken", "stored", "unfinished"):
        write_and_close(server.mountpoint / name, b"old")
    server.fail("replace", "ETIMEDOUT")
    for name in ("changed", "deleted", "new", "overtaken", "stored"):
        assert error_of(lambda name=name: write_and_close(server.mountpoint / name, b"pending")) == "ETIMEDOUT"  # type: ignore[misc]
    unfinished = os.open(server.mountpoint / "unfinished", os.O_WRONLY | os.O_TRUNC)
    os.write(unfinished, b"half")
    assert soon(lambda: len([path for path in server.spooled() if path.suffix == ".json"]) == 6)
    assert server.daemon is not None
    os.kill(server.daemon.pid, signal.SIGKILL)
    assert server.daemon.wait_for_end(10)
    with contextlib.suppress(OSError):
        os.close(unfinished)
    server.mend()
    (folder / "deleted").unlink()
    (folder / "overtaken").write_bytes(b"theirs")
    (folder / "stored").write_bytes(b"pending")  # as if the upload had come to its end, and the daemon had not
    inode = (folder / "stored").stat().st_ino
    if how == "mount":
        server.mount()
        server.run("flush", str(server.mountpoint))
    else:
        server.run("recover", "versioned")
    found = {re.sub("conflict-.*", "conflict", path.name): path.read_bytes() for path in folder.iterdir()}
    assert found == {
        **dict.fromkeys(("changed", "deleted", "new", "stored"), b"pending"),
        "overtaken": b"theirs",
        "overtaken.conflict": b"pending",
        "unfinished": b"old",
    }
    assert (folder / "stored").stat().st_ino == inode
    server.run("unmount", str(server.mountpoint))
    (kept,) = [path for path in server.spooled() if path.suffix != ".json"]
    assert kept.read_bytes() == b"half"
    assert str(kept) in server.run("recover", "--discard").stdout
    assert server.spooled() == []


@promise(
    "With `write_back=SECONDS` close() returns when the file is safe on the local disk, and fsync() when the storage "
    "has it."
)
def test_write_back(serve: Serve) -> None:
    server = serve("versioned", "write_back=3600")
    write_and_close(server.mountpoint / "later", b"content")
    (note,) = [json.loads(path.read_text()) for path in server.spooled() if path.suffix == ".json"]
    assert (note["name"], note["state"]) == ("later", "closed")
    assert not (server.folder / "versioned" / "later").exists()
    with open(server.mountpoint / "now", "wb", buffering=0) as file:
        file.write(b"content")
        os.fsync(file)
        assert (server.folder / "versioned" / "now").read_bytes() == b"content"
    server.run("flush", str(server.mountpoint))
    assert (server.folder / "versioned" / "later").read_bytes() == b"content"
    server.unmount()


@promise(
    "Of two conflicting closes none is lost: the later one gets ESTALE, and what it wrote is kept beside the other as "
    "`NAME.conflict-HOST-TIME`."
)
@pytest.mark.parametrize("wins", [False, True])
def test_conflicting_closes(serve: Serve, wins: bool) -> None:
    server = serve("versioned", *["on_conflict=last-writer-wins"] * wins)
    folder = server.folder / "versioned"
    write_and_close(server.mountpoint / "file", b"old")
    descriptor = os.open(server.mountpoint / "file", os.O_WRONLY)
    os.write(descriptor, b"ours")
    (folder / "theirs").write_bytes(b"theirs")
    (folder / "theirs").rename(folder / "file")
    if wins:
        os.close(descriptor)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"file": b"ours"}
        return
    assert error_of(lambda: os.close(descriptor)) == "ESTALE"
    (beside,) = [path for path in folder.iterdir() if path.name != "file"]
    assert re.fullmatch(r"file\.conflict-[\w-]+-\d{8}T\d{6}\.\d{3}", beside.name)
    assert ((folder / "file").read_bytes(), beside.read_bytes()) == (b"theirs", b"ours")
    assert f"file: kept as {beside.name}" in server.run("status", str(server.mountpoint)).stdout


@promise("At no moment of a rename is there no full copy, and that of a directory goes on after a crash.")
def test_a_rename_of_a_directory_outlives_the_daemon(serve: Serve) -> None:
    server = serve("versioned")
    folder, names = server.folder / "versioned", [f"{number}" for number in range(300)]
    (server.mountpoint / "old").mkdir()
    write_and_close(server.mountpoint / "old" / "0", b"content")
    for name in names:
        (folder / "old" / name).write_bytes(b"content")
    rename = subprocess.Popen(
        ["mv", "-T", server.mountpoint / "old", server.mountpoint / "new"], stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 10
    while not (folder / "new" / "0").exists() and not (folder / "new" / "9").exists():
        assert time.monotonic() < deadline
    assert server.daemon is not None
    os.kill(server.daemon.pid, signal.SIGKILL)
    rename.communicate(timeout=20)
    assert {path.name for path in folder.glob("*/*")} == set(names), "a file is gone"
    server.mount()
    assert soon(lambda: not (folder / "old").exists() and len(os.listdir(folder / "new")) == len(names))
    assert {path.read_bytes() for path in (folder / "new").iterdir()} == {b"content"}
    server.run("unmount", str(server.mountpoint))


@promise("A full spool is ENOSPC for the writer at once, and nothing that was closed is lost.")
def test_a_full_spool(serve: Serve) -> None:
    server = serve("versioned", "spool_size=1M,write_back=3600")
    write_and_close(server.mountpoint / "closed", b"c" * 400_000)
    with open(server.mountpoint / "large", "wb", buffering=0) as file:
        assert error_of(lambda: [file.write(b"x" * 100_000) for _ in range(10)]) == "ENOSPC"
    assert (server.mountpoint / "closed").read_bytes() == b"c" * 400_000
    os.unlink(server.mountpoint / "large")
    server.unmount()
    assert (server.folder / "versioned" / "closed").read_bytes() == b"c" * 400_000


@promise("What a failed overwrite was to replace is still there.")
@pytest.mark.parametrize("kind", ["objects", "scanned"])
def test_a_failed_overwrite_destroys_nothing(serve: Serve, kind: str) -> None:
    server = serve(kind)
    file = server.mountpoint / "file"
    write_and_close(file, b"old")
    if kind == "scanned":
        assert error_of(lambda: write_and_close(file, b"new EICAR")) == "EACCES"
        assert (server.folder / kind / "file").read_bytes() == b"old"
        write_and_close(file, b"clean")  # the pending bytes give way to what the next writer stores
        assert (server.folder / kind / "file").read_bytes() == b"clean"
        return
    server.fail("save", "EIO")
    assert error_of(lambda: write_and_close(file, b"new")) == "EIO"
    stored = ObjectStorage(str(server.folder / "objects.sqlite"))
    assert stored.content("file") == b"old"
    stored.close()
    server.mend()
    write_and_close(file, b"newest")


@promise("A full storage is ENOSPC for the writer, and the old content is intact.")
def test_a_full_storage(serve: Serve) -> None:
    top = serve("memory", "size=1M").mountpoint
    (top / "small").write_bytes(b"s" * 100_000)
    assert error_of(lambda: (top / "large").write_bytes(b"x" * (3 << 20))) == "ENOSPC"
    with open(top / "small", "ab", buffering=0) as file:
        assert error_of(lambda: [file.write(b"x" * (1 << 17)) for _ in range(10)]) == "ENOSPC"
    assert (top / "small").read_bytes()[:100_000] == b"s" * 100_000
    os.unlink(top / "large")
    (top / "next").write_bytes(b"there is room again")


# -- Seeing


@promise("An open sees what the last close stored.")
def test_close_to_open(place: Place) -> None:
    for round_number in range(5):
        content = b"%d" % round_number * (round_number + 1)
        write_and_close(place / "file", content)
        script = "import sys; sys.stdout.buffer.write(open(sys.argv[1], 'rb').read())"
        assert subprocess.check_output([sys.executable, "-c", script, place / "file"]) == content


@promise(
    "What the program saves through the storage object of its own mount is in the directory at once, and the reverse."
)
@pytest.mark.mount
def test_one_storage_object_on_both_sides(rescue: None) -> None:
    storage = InMemoryStorage()
    with vfs.mounted(storage) as path:
        for number in range(20):
            storage.delete("a/b")
            storage.save("a/b", ContentFile(b"%d" % number))
            assert (path / "a" / "b").read_bytes() == b"%d" % number
            (path / "a" / "c").write_bytes(b"back %d" % number)
            assert storage.open("a/c").read() == b"back %d" % number
        storage.delete("a/b")
        assert not (path / "a" / "b").exists()


def all_ways(directory: Path) -> list[object]:
    """What a program sees that writes, reads, maps, appends, cuts and sparsely extends a file, step by step."""
    seen: list[object] = []
    path = directory / "file"

    def look(fd: int) -> None:
        status = os.fstat(fd)
        assert os.stat(path).st_size == status.st_size
        seen.extend((status.st_size, os.pread(fd, 1 << 20, 0)))

    with opened(path, os.O_RDWR | os.O_CREAT) as fd, opened(path, os.O_WRONLY | os.O_APPEND) as end:
        os.pwrite(fd, b"a" * 5000, 0)
        look(fd)
        os.write(end, b"the end")
        look(fd)
        with mmap.mmap(fd, 4096) as mapped:
            mapped[:6] = b"mapped"
            seen.append(os.pread(fd, 6, 0))
            os.pwrite(fd, b"W", 0)
            seen.append(mapped[:6])
        os.ftruncate(fd, 10)
        look(fd)
        os.pwrite(fd, b"far", 9000)
        look(fd)
        seen.append(error_of(lambda: os.read(end, 1)))
    seen.append(path.read_bytes())
    return seen


@promise("Read and written by the kernel itself or through the daemon, a file is the same: only the speed differs.")
def test_passed_through_or_not(serve: Serve, tmp_path: Path) -> None:
    wanted = all_ways(tmp_path)
    for options in ((), ("size=1G",)):  # a limited memory is not handed to the kernel
        assert all_ways(serve("memory", *options).mountpoint) == wanted
    assert all_ways(serve("files").mountpoint) == wanted


@promise(
    "What others change through a mount of this process is told to who has asked (`Mount.on_change`), once the storage "
    "has it and it is closed; who is told may fail, and holds up nobody."
)
@pytest.mark.mount
def test_a_program_is_told_of_changes(tmp_path: Path, rescue: None) -> None:
    storage, told = InMemoryStorage(), []

    def on_change(change: Change) -> None:
        told.append((change.action, change.name, storage.open(change.name).read()))
        raise RuntimeError

    mount = vfs.mount(storage, tmp_path)
    mount.on_change(on_change)
    subprocess.run(["sh", "-c", "echo one > a; echo two > b"], cwd=tmp_path, check=True)
    mount.unmount()
    assert sorted(told) == [("save", "a", b"one\n"), ("save", "b", b"two\n")]


@promise("A file that is open lives until its last close, unlinked or replaced.")
def test_open_files_live(place: Place) -> None:
    write_and_close(place / "a", b"unlinked")
    write_and_close(place / "b", b"replaced")
    write_and_close(place / "c", b"new")
    with open(place / "a", "rb") as a, open(place / "b", "rb") as b:
        os.unlink(place / "a")
        os.rename(place / "c", place / "b")
        assert not (place / "a").exists()
        assert a.read() == b"unlinked"
        assert b.read() == b"replaced"
    assert (place / "b").read_bytes() == b"new"


@promise("Inode numbers hold for the life of the mount, and hard links share one.")
def test_inode_numbers(place: Place) -> None:
    write_and_close(place / "file", b"x")
    number = os.stat(place / "file").st_ino
    os.rename(place / "file", place / "renamed")
    assert os.stat(place / "renamed").st_ino == number
    with open(place / "renamed", "r+b") as file:
        file.write(b"y")
    assert os.stat(place / "renamed").st_ino == number
    with os.scandir(place.path) as listing:
        assert [entry.inode() for entry in listing] == [number]
    if place.can("hard links"):
        os.link(place / "renamed", place / "second")
        assert os.stat(place / "second").st_ino == number
        assert os.stat(place / "renamed").st_nlink == 2


@promise(
    "Who reads on what somebody else has changed gets ESTALE for what was not read before, never bytes of two versions."
)
def test_a_changed_object_is_stale_to_who_has_it_open(serve: Serve) -> None:
    server = serve("bucket", "attr_timeout=0.2,entry_timeout=0.2")
    bucket, path = FolderBucket(str(server.folder / "bucket")), server.mountpoint / "file"
    bucket.put("file", b"1" * 8 * MIB)
    with opened(path, os.O_RDONLY) as descriptor:
        assert os.pread(descriptor, 4096, 0) == b"1" * 4096
        bucket.put("file", b"2" * 9 * MIB)
        assert error_of(lambda: os.pread(descriptor, 4096, 6 * MIB)) == "ESTALE"
        assert soon(lambda: path.stat().st_size == 9 * MIB)
        assert path.read_bytes() == b"2" * 9 * MIB


@promise("`vfs refresh` shows at once what others have changed, whatever the timeouts.")
def test_a_refresh_shows_what_others_have_changed(serve: Serve) -> None:
    server = serve("bucket", "attr_timeout=100,entry_timeout=100")
    bucket, path = FolderBucket(str(server.folder / "bucket")), server.mountpoint / "file"
    bucket.put("file", b"old")
    assert path.read_bytes() == b"old"
    bucket.put("file", b"newer")
    server.run("refresh", str(server.mountpoint), str(path))
    assert (path.stat().st_size, path.read_bytes()) == (5, b"newer")


# -- Reading a remote storage


@promise(
    "Reading a part of a large object fetches about that part: the ends cost some pages, and random reads what they "
    "read."
)
def test_parts_of_a_large_object(serve: Serve) -> None:
    server, chance = serve("bucket"), random.Random(7)
    bucket = FolderBucket(str(server.folder / "bucket"))
    with opened(bucket.location / "objects" / "huge", os.O_CREAT | os.O_WRONLY) as descriptor:
        os.truncate(descriptor, 5000 * MIB)
    with opened(server.mountpoint / "huge", os.O_RDONLY) as descriptor:
        os.pread(descriptor, 10, 0)
        os.pread(descriptor, 10, 5000 * MIB - 10)
        assert fetched(bucket) < MIB / 2
        for _ in range(100):
            os.pread(descriptor, 1 << 16, chance.randrange(4999 * MIB))
        assert fetched(bucket) < 1.3 * 100 * 65536


@promise("What was read is kept in memory within `cache_memory`, and on disk within `cache_size`, whatever is read.")
def test_the_budgets_of_the_cache(serve: Serve, tmp_path: Path) -> None:
    server = serve("bucket", f"cache_memory=24M,cache_dir={tmp_path / 'cache'},cache_size=20M")
    bucket = FolderBucket(str(server.folder / "bucket"))
    for name in ("one", "two"):
        bucket.put(name, random.Random(name).randbytes(40 * MIB))
        assert (server.mountpoint / name).read_bytes() == random.Random(name).randbytes(40 * MIB)
        assert server.record is not None
        cache = server.record.ask("status")["cache"]
        assert cache["memory"] <= cache["memory_limit"] <= 24 * MIB
        assert sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*-*") if path.is_file()) <= 21 * MIB


@promise(
    "What is kept in `cache_dir` is right whatever became of the daemon that wrote it, and saves the next mount the "
    "fetch."
)
def test_what_was_read_outlives_a_killed_daemon(serve: Serve, tmp_path: Path) -> None:
    server, content = serve("bucket", f"cache_dir={tmp_path / 'cache'}"), random.Random(8).randbytes(4 * MIB)
    bucket = FolderBucket(str(server.folder / "bucket"))
    bucket.put("file", content)
    assert (server.mountpoint / "file").read_bytes() == content
    assert soon(lambda: len([path for path in (tmp_path / "cache").rglob("*-*") if path.is_file()]) >= 4)
    assert server.daemon is not None
    os.kill(server.daemon.pid, signal.SIGKILL)
    assert server.daemon.wait_for_end(10)
    server.mount()
    bucket.counted()
    assert (server.mountpoint / "file").read_bytes() == content
    assert fetched(bucket) < 4 * MIB


# -- Names


@promise("A name comes back byte for byte, or is refused; it is never changed without a word.")
def test_names(place: Place) -> None:
    folder = os.fsencode(place.path)
    refused: list[int | None] = []
    for name in (
        b" a  b ",
        b"-rf",
        b"*?[x]",
        b"#%41&+",
        b"caf\xc3\xa9",
        b"cafe\xcc\x81",
        b"new\nline",
        b"\xff\xfe",
        b"n" * 255,
    ):
        try:
            with open(os.path.join(folder, name), "wb") as file:
                file.write(name)
        except OSError as error:
            refused.append(error.errno)
            assert name not in os.listdir(folder)
        else:
            assert name in os.listdir(folder)
            with open(os.path.join(folder, name), "rb") as file:
                assert file.read() == name
            os.unlink(os.path.join(folder, name))
    assert set(refused) <= {errno.EINVAL}
    assert error_of(lambda: open(os.path.join(folder, b"n" * 256), "wb")) == "ENAMETOOLONG"


@promise("No name leaves the storage's root.")
@on("files")
def test_nothing_leaves_the_root(place: Place) -> None:
    assert place.server is not None
    outside = place.server.folder / "outside"
    outside.mkdir(exist_ok=True)
    secret = outside / "secret"
    secret.write_bytes(b"not in the storage")
    (place / "inside").mkdir()
    write_and_close(place / "inside" / "secret", b"in the storage")
    directory = os.open(place / "inside", os.O_RDONLY | os.O_DIRECTORY)
    (place.behind / "inside").rename(place.behind / "moved")
    (place.behind / "inside").symlink_to(outside)  # swapped behind the mount's back
    try:
        with contextlib.suppress(OSError), open(os.open("secret", os.O_RDWR, dir_fd=directory), "r+b") as file:
            assert file.read() != secret.read_bytes()
            file.write(b"written through the mount")
        with contextlib.suppress(OSError):
            os.unlink("secret", dir_fd=directory)
        with contextlib.suppress(OSError):
            os.mkdir("planted", dir_fd=directory)
    finally:
        os.close(directory)
    assert soon((place / "inside").is_symlink)
    assert os.readlink(place / "inside") == str(outside)
    assert [path.name for path in outside.iterdir()] == ["secret"]
    assert secret.read_bytes() == b"not in the storage"


# -- What a storage cannot keep


@promise(
    "Modes, owners, times and empty directories that a storage cannot keep are kept by the mount for as long as it "
    "lives; links and devices are refused with EPERM."
)
def test_what_a_storage_cannot_keep(place: Place) -> None:
    write_and_close(place / "file", b"x")
    os.chmod(place / "file", 0o640)
    os.utime(place / "file", ns=(10**18, 10**18 + 1))
    (place / "empty").mkdir(mode=0o750)
    if IS_ROOT:
        os.chown(place / "file", 1234, 5678)
    found = os.stat(place / "file")
    assert (found.st_mode & 0o7777, found.st_mtime_ns) == (0o640, 10**18 + 1)
    assert not IS_ROOT or (found.st_uid, found.st_gid) == (1234, 5678)
    assert os.stat(place / "empty").st_mode & 0o7777 == 0o750
    assert sorted(os.listdir(place.path)) == ["empty", "file"]
    for what, make in (
        ("symlinks", lambda: os.symlink("file", place / "symlink")),
        ("hard links", lambda: os.link(place / "file", place / "link")),
        ("nodes", lambda: os.mkfifo(place / "fifo")),
    ):
        if place.can(what):
            make()
        else:
            assert error_of(make) == "EPERM"


@promise(
    "With its option `attributes` an OpenDAL storage keeps modes, owners, times and symbolic links with its objects, "
    "for the next mount and for s3fs."
)
@pytest.mark.mount
def test_attributes_with_objects(s3_bucket: Bucket) -> None:
    """What else of it there is to see, and s3fs itself: test_bucket_attributes.py."""
    pytest.importorskip("opendal")
    storage = OpenDALStorage(**s3_bucket.opendal, attributes=True)
    with vfs.mounted(storage) as first:
        write_and_close(first / "file", b"x")
        os.chmod(first / "file", 0o640)
        os.utime(first / "file", ns=(10**18, 10**18 + 1))
        os.symlink("file", first / "link")
    again = OpenDALStorage(**s3_bucket.opendal, attributes=True)
    with vfs.mounted(again) as second:
        found = os.stat(second / "file")
        assert (found.st_mode & 0o7777, found.st_mtime_ns) == (0o640, 10**18 + 1)
        assert os.readlink(second / "link") == "file"
    _, headers = s3_bucket.ask("HEAD", "file")
    assert (headers["x-amz-meta-mode"], headers["x-amz-meta-mtime"]) == (str(0o100640), "1000000000.000000001")


@promise("RENAME_NOREPLACE and RENAME_EXCHANGE are done, or refused with EINVAL.")
def test_rename_flags(place: Place) -> None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    write_and_close(place / "a", b"a")
    write_and_close(place / "b", b"b")

    def rename(flags: int) -> int:
        done = libc.renameat2(-100, os.fsencode(place / "a"), -100, os.fsencode(place / "b"), flags)
        return 0 if done == 0 else ctypes.get_errno()

    assert rename(1) in (errno.EEXIST, errno.EINVAL)
    assert ((place / "a").read_bytes(), (place / "b").read_bytes()) == (b"a", b"b")
    exchanged = rename(2)
    assert exchanged in (0, errno.EINVAL)
    contents = ((place / "a").read_bytes(), (place / "b").read_bytes())
    assert contents == ((b"b", b"a") if exchanged == 0 else (b"a", b"b"))


@promise("Extended attributes are refused, unless the mount was made with `xattr` on a storage that keeps them.")
@pytest.mark.skipif(sys.platform != "linux", reason="os.setxattr is Linux's")
def test_extended_attributes(serve: Serve) -> None:
    without = serve("memory").mountpoint / "file"
    without.write_bytes(b"")
    assert error_of(lambda: os.setxattr(without, "user.colour", b"blue")) == "ENOTSUP"
    kept = serve("memory", "xattr").mountpoint / "file"
    kept.write_bytes(b"")
    os.setxattr(kept, "user.colour", b"blue")
    assert os.getxattr(kept, "user.colour") == b"blue"
    assert os.listxattr(kept) == ["user.colour"]
    os.removexattr(kept, "user.colour")
    assert os.listxattr(kept) == []
    refused = serve("objects", "xattr").mountpoint / "file"
    refused.write_bytes(b"")
    assert error_of(lambda: os.setxattr(refused, "user.colour", b"blue")) == "ENOTSUP"


# -- When things go wrong


@promise("Only what is known to be absent is ENOENT: an outage is another error.")
def test_an_outage_is_not_absence(serve: Serve) -> None:
    server = serve("objects", "attr_timeout=0", "entry_timeout=0", "timeout=0")
    write_and_close(server.mountpoint / "file", b"x")
    for fault, expected in (("ConnectionError", "EIO"), ("TimeoutError", "ETIMEDOUT"), ("PermissionError", "EACCES")):
        for method in ("listdir", "exists", "size", "get_modified_time"):
            server.fail(method, fault)
        assert error_of(lambda: os.stat(server.mountpoint / "file")) == expected
        assert error_of(lambda: os.stat(server.mountpoint / "missing")) == expected
        server.mend()
    assert (server.mountpoint / "file").read_bytes() == b"x"
    assert error_of(lambda: os.stat(server.mountpoint / "missing")) == "ENOENT"


@promise(
    "A storage that makes no progress for 30 s (`timeout`) is an error and never a hang; while it is gone all is "
    "answered at once, and the mount works again when it does."
)
def test_a_storage_that_hangs(serve: Serve) -> None:
    server = serve("objects", "attr_timeout=0", "entry_timeout=0", "timeout=1")
    write_and_close(server.mountpoint / "file", b"x")
    for method in ("listdir", "exists", "size", "get_modified_time", "open", "save"):
        server.fail(method, "HANG")
    began = time.monotonic()
    assert error_of(lambda: os.stat(server.mountpoint / "file")) == "ETIMEDOUT"
    assert error_of(lambda: os.listdir(server.mountpoint)) == "ETIMEDOUT"
    assert error_of(lambda: write_and_close(server.mountpoint / "new", b"new")) == "ETIMEDOUT"
    assert time.monotonic() - began < 10
    server.mend()
    assert soon(lambda: not _fails(lambda: os.stat(server.mountpoint / "file")))
    assert (server.mountpoint / "file").read_bytes() == b"x"


def _fails(call: Callable[[], object]) -> bool:
    try:
        call()
    except OSError:
        return True
    return False


@promise(
    "An unexpected error is EIO for the one who asked, a traceback in the log, and nothing else: the mount lives on."
)
def test_an_unexpected_error(serve: Serve) -> None:
    server = serve("objects")
    write_and_close(server.mountpoint / "file", b"x")
    server.unmount()
    server.mount()  # else the content may be here still, and nothing is opened
    for fault in ("RuntimeError", "SystemExit", "KeyboardInterrupt", "RecursionError"):
        server.fail("open", fault)
        assert error_of((server.mountpoint / "file").read_bytes) == "EIO"
        assert f"{fault} by order of a test" in server.logged()
    server.mend()
    assert (server.mountpoint / "file").read_bytes() == b"x"


@promise("A read-only mount answers every change with EROFS.")
def test_a_read_only_mount(serve: Serve) -> None:
    server = Server("files", Path(serve("files").folder).parent / "read-only", "ro")
    (server.folder / "files" / "file").write_bytes(b"x")
    server.mount()
    try:
        file = server.mountpoint / "file"
        changes: list[Callable[[], object]] = [
            lambda: file.write_bytes(b"y"),
            file.unlink,
            lambda: file.chmod(0o600),
            lambda: os.truncate(file, 0),
            lambda: os.utime(file),
            lambda: file.rename(server.mountpoint / "other"),
            (server.mountpoint / "directory").mkdir,
            (server.mountpoint / "new").touch,
            lambda: os.symlink("file", server.mountpoint / "link"),
        ]
        assert {error_of(change) for change in changes} == {"EROFS"}
        assert file.read_bytes() == b"x"
    finally:
        server.unmount()
        server.forget_log()


# -- The life of a mount


@promise("`vfs mount` returns when the mount answers; SIGTERM, SIGINT and `vfs unmount` store what is pending first.")
@pytest.mark.parametrize("end", ["SIGTERM", "SIGINT", "unmount"])
def test_the_end_of_a_mount(serve: Serve, end: str) -> None:
    server = serve("objects")
    assert os.listdir(server.mountpoint) == []
    server.fail("save", "ENOSPC")
    assert error_of(lambda: write_and_close(server.mountpoint / "late", b"in time")) == "ENOSPC"
    server.mend()
    assert server.daemon is not None
    if end == "unmount":
        server.run("unmount", str(server.mountpoint))
    else:
        os.kill(server.daemon.pid, getattr(signal, end))
    assert server.daemon.wait_for_end(20)
    server.assert_gone()
    stored = ObjectStorage(str(server.folder / "objects.sqlite"))
    assert stored.content("late") == b"in time"
    stored.close()


@promise(
    "A signal waits for the storage for 30 seconds (`drain`), `vfs unmount --drain SECONDS` for as long as it says; "
    "what is not stored by then is left to the next mount."
)
@pytest.mark.parametrize("end", ["SIGTERM", "unmount"])
def test_the_end_waits_for_so_long_and_leaves_the_rest(serve: Serve, end: str) -> None:
    assert vfs.MountOptions().drain == 30
    server = serve("objects", "write_back=3600,drain=0.2")
    server.fail("save", "HANG")
    (server.mountpoint / "file").write_text("content")
    daemon = server.daemon
    assert daemon is not None
    assert soon(lambda: not daemon.ask("status")["open_files"]), "who has it open may go on for a while"
    if end == "SIGTERM":
        os.kill(daemon.pid, signal.SIGTERM)
    else:
        server.run("unmount", "--drain", "0.2", str(server.mountpoint))
    assert daemon.wait_for_end(10)
    (left,) = [line for line in server.logged().splitlines() if "left to the next mount" in line]
    assert ": 'file', 7 bytes" in left
    server.mend()
    server.options = ()
    server.mount()
    assert (server.mountpoint / "file").read_text() == "content"
    server.unmount()
    assert ObjectStorage(f"{server.folder}/objects.sqlite").content("file") == b"content"


@promise(
    "SIGHUP and `vfs reload` change what can be changed of a running mount, and name the rest; a configuration with a "
    "mistake changes nothing."
)
def test_a_running_mount_takes_a_new_configuration(serve: Serve) -> None:
    server = serve("objects", "timeout=11")
    before = server.config.read_text()
    server.config.write_text(f'{before}\n[MOUNT_OPTIONS]\nobjects = "timeout=9,write_back=3600,umask=077"\n')
    told = server.run("reload", str(server.mountpoint)).stdout.splitlines()
    assert told == ["taken              write_back=3600.0", "needs a new mount  umask"], "the command is stronger"
    (server.mountpoint / "file").write_text("content")
    assert [path.suffix for path in server.spooled()] == ["", ".json"], "it is written back"
    server.config.write_text(f'{before}\n[MOUNT_OPTIONS]\nobjects = "drain=soon"\n')
    failed = server.run("reload", str(server.mountpoint), check=False)
    assert (failed.returncode, "'soon' is not a time" in failed.stderr) == (1, True)
    server.config.write_text(before)
    assert server.daemon is not None
    os.kill(server.daemon.pid, signal.SIGHUP)
    assert soon(lambda: "reloaded: write_back=None" in server.logged())
    server.unmount()


@promise("The dead mount that a killed daemon leaves is cleaned up by the next mount there, and by `vfs unmount`.")
def test_a_dead_mount(serve: Serve) -> None:
    server = serve("files")
    for again in ("mount", "unmount"):
        write_and_close(server.mountpoint / again, b"x")
        assert server.daemon is not None
        os.kill(server.daemon.pid, signal.SIGKILL)
        assert server.daemon.wait_for_end(20)
        deadline = time.monotonic() + 10
        while error_of(lambda: os.stat(server.mountpoint)) not in ("ENOTCONN", "ECONNABORTED"):
            assert time.monotonic() < deadline
        if again == "mount":
            server.mount()
            assert (server.mountpoint / again).read_bytes() == b"x"
        else:
            server.run("unmount", str(server.mountpoint))
            server.assert_gone()


@promise("A local storage has every file whose close() had returned, whatever becomes of the daemon.")
def test_a_close_outlives_the_daemon(serve: Serve) -> None:
    server = serve("files")
    assert server.daemon is not None
    for number in range(50):
        write_and_close(server.mountpoint / f"file{number}", b"content" * number)
    os.kill(server.daemon.pid, signal.SIGKILL)
    assert server.daemon.wait_for_end(20)
    for number in range(50):
        assert (server.folder / "files" / f"file{number}").read_bytes() == b"content" * number


@promise("Locks are the kernel's, and local to one mount.")
@on("memory", "files", "objects")
def test_locks(place: Place) -> None:
    script = "import fcntl, sys; fcntl.flock(open(sys.argv[1]), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    write_and_close(place / "file", b"x")
    with open(place / "file", "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert subprocess.run(
            [sys.executable, "-c", script, place / "file"], stderr=subprocess.DEVNULL, check=False
        ).returncode
    assert not subprocess.run([sys.executable, "-c", script, place / "file"], check=False).returncode
