"""The promises of vfs/SEMANTICS.md: each bold sentence there is quoted by the test here that would fail without it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
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
from places import IS_ROOT, Place, Server, on, opened, soon

import vfs
from storage import ContentFile, InMemoryStorage

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


def wait_until_closed(server: Server) -> None:
    """The kernel tells of the last close after close() has returned: wait until the daemon has heard of it."""
    record, deadline = server.record, time.monotonic() + 10
    assert record is not None
    while record.ask("status")["open_files"]:
        assert time.monotonic() < deadline


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
    "Bytes that could not be stored are not dropped: they stay pending, are stored by the next close or fsync that "
    "succeeds, and outlive the daemon in the spool."
)
def test_what_could_not_be_stored_is_kept(serve: Serve) -> None:
    server = serve("objects")
    server.fail("save", "ENOSPC")
    assert error_of(lambda: write_and_close(server.mountpoint / "kept", b"precious")) == "ENOSPC"
    assert (server.mountpoint / "kept").read_bytes() == b"precious"
    assert "kept" in server.run("status", str(server.mountpoint), "--json").stdout

    server.mend()
    with open(server.mountpoint / "kept", "ab") as file:
        os.fsync(file.fileno())
    stored = ObjectStorage(str(server.folder / "objects.sqlite"))
    assert stored.content("kept") == b"precious"
    stored.close()

    server.fail("save", "ENOSPC")
    assert error_of(lambda: write_and_close(server.mountpoint / "outlives", b"still here")) == "ENOSPC"
    assert server.run("unmount", str(server.mountpoint), check=False).returncode == 1
    assert (server.mountpoint / "outlives").read_bytes() == b"still here"
    server.run("unmount", "--lazy", str(server.mountpoint))
    assert server.daemon is not None
    assert server.daemon.wait_for_end(20)
    contents = {path.read_bytes() for path in server.spooled() if path.suffix != ".json"}
    notes = [path.read_text() for path in server.spooled() if path.suffix == ".json"]
    assert contents == {b"still here"}
    assert len(notes) == 1
    assert "outlives" in notes[0]


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
    server = serve("objects", "attr_timeout=0", "entry_timeout=0")
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
    "An unexpected error is EIO for the one who asked, a traceback in the log, and nothing else: the mount lives on."
)
def test_an_unexpected_error(serve: Serve) -> None:
    server = serve("objects")
    write_and_close(server.mountpoint / "file", b"x")
    wait_until_closed(server)  # else the content is still here, and nothing is opened
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
