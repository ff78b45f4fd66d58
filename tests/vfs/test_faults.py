"""What a program hears when its storage fails, is full or may not be written, and what is left then."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from backends import ObjectStorage, ScanningStorage
from places import Server, above_transports

from vfs.testing.place import failing, opened

Serve = Callable[..., Server]
MIB = 1 << 20


@pytest.fixture
def broken(serve: Serve) -> Iterator[Server]:
    """An object store of its own, in which errors are armed with `fail()`, and each is heard of."""
    return serve("objects", "attr_timeout=0", "entry_timeout=0", "timeout=0")


@pytest.fixture
def objects(broken: Server) -> Iterator[ObjectStorage]:
    """The same store, behind the mount's back."""
    storage = ObjectStorage(f"{broken.folder}/objects.sqlite")
    yield storage
    storage.close()


# -- errors of the storage


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EDQUOT], ids=errno.errorcode.get)
def test_close_reports_what_the_storage_says(broken: Server, objects: ObjectStorage, code: int) -> None:
    file = broken.mountpoint / "file"
    file.write_bytes(b"old content")
    descriptor = os.open(file, os.O_WRONLY | os.O_TRUNC)
    os.write(descriptor, b"new content")
    broken.fail("save", errno.errorcode[code])
    with failing(code):
        os.close(descriptor)
    assert objects.content("file") == b"old content"
    broken.mend()
    with opened(file, os.O_RDWR) as again:
        assert os.read(again, 100) == b"new content", "what could not be stored was thrown away"
        os.fsync(again)
    assert objects.content("file") == b"new content"


def test_fsync_reports_it_and_can_be_repeated(broken: Server, objects: ObjectStorage) -> None:
    broken.fail("save", "ENOSPC")
    with opened(broken.mountpoint / "file", os.O_WRONLY | os.O_CREAT) as file:
        os.write(file, b"content")
        for _ in range(2):
            with failing(errno.ENOSPC):
                os.fsync(file)
        assert objects.keys() == []
        broken.mend()
        os.fsync(file)
        assert objects.content("file") == b"content"


@above_transports
def test_truncate_by_name_reports_it(broken: Server, objects: ObjectStorage) -> None:
    (broken.mountpoint / "file").write_bytes(b"old content")
    broken.fail("save", "ENOSPC")
    with failing(errno.ENOSPC):
        os.truncate(broken.mountpoint / "file", 3)
    assert objects.content("file") == b"old content"
    broken.mend()


@above_transports
def test_programs_hear_of_it(broken: Server) -> None:
    broken.fail("save", "ENOSPC")
    done = subprocess.run(["cp", __file__, broken.mountpoint], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    broken.mend()


@above_transports
def test_what_could_not_be_stored_is_pending_and_goes_with_the_next_try(broken: Server, objects: ObjectStorage) -> None:
    broken.fail("save", "ConnectionError")
    with failing(errno.EIO):
        (broken.mountpoint / "file").write_bytes(b"content")
    assert '"file"' in broken.run("status", str(broken.mountpoint), "--json").stdout
    done = broken.run("unmount", str(broken.mountpoint), check=False)
    assert done.returncode != 0
    assert "file" in done.stderr
    assert (broken.mountpoint / "file").read_bytes() == b"content"
    broken.mend()
    broken.unmount()
    assert objects.content("file") == b"content"


@above_transports
def test_unmounting_lazily_keeps_what_could_not_be_stored(broken: Server) -> None:
    broken.fail("save", "ConnectionError")
    with failing(errno.EIO):
        (broken.mountpoint / "file").write_bytes(b"content")
    broken.run("unmount", str(broken.mountpoint), "--lazy")
    assert broken.daemon is not None
    assert broken.daemon.wait_for_end(20)
    notes = [path for path in broken.spooled() if path.suffix == ".json"]
    assert [path.with_suffix("").read_bytes() for path in notes] == [b"content"]
    assert '"file"' in notes[0].read_text()


@above_transports
def test_what_is_pending_dies_with_its_name(broken: Server, objects: ObjectStorage) -> None:
    broken.fail("save", "ENOSPC")
    with failing(errno.ENOSPC):
        (broken.mountpoint / "file").write_bytes(b"content")
    os.unlink(broken.mountpoint / "file")
    broken.mend()
    broken.unmount()
    assert objects.keys() == []


@above_transports
def test_an_outage_never_reads_as_absence(broken: Server) -> None:
    (broken.mountpoint / "file").write_bytes(b"content")
    for method in ("listdir", "size", "open", "exists", "get_modified_time"):
        broken.fail(method, "ConnectionError")
    for attempt in (
        lambda: os.stat(broken.mountpoint / "file"),
        lambda: (broken.mountpoint / "file").read_bytes(),
        lambda: os.listdir(broken.mountpoint),
        lambda: os.unlink(broken.mountpoint / "file"),
        lambda: os.rename(broken.mountpoint / "file", broken.mountpoint / "other"),
        lambda: os.stat(broken.mountpoint / "missing"),
        lambda: os.close(os.open(broken.mountpoint / "file", os.O_CREAT | os.O_EXCL | os.O_WRONLY)),
        lambda: (broken.mountpoint / "file").write_bytes(b"other"),
        lambda: (broken.mountpoint / "directory").mkdir(),
    ):
        with failing(errno.EIO):
            attempt()
    broken.mend()
    assert os.listdir(broken.mountpoint) == ["file"]
    assert (broken.mountpoint / "file").read_bytes() == b"content"


@pytest.mark.parametrize("method", ["listdir", "open", "save", "delete", "size"])
def test_an_unexpected_exception_is_eio_and_in_the_log(broken: Server, method: str) -> None:
    (broken.mountpoint / "file").write_bytes(b"content")
    broken.fail(method, "RuntimeError")
    with failing(errno.EIO):
        match method:
            case "listdir" | "size":
                os.listdir(broken.mountpoint)
            case "open":
                (broken.mountpoint / "file").read_bytes()
            case "save":
                (broken.mountpoint / "other").write_bytes(b"content")
            case "delete":
                os.unlink(broken.mountpoint / "file")
    broken.mend()
    assert "RuntimeError: RuntimeError by order of a test" in broken.logged()
    assert "Traceback" in broken.logged()
    assert (broken.mountpoint / "file").read_bytes() == b"content"
    if method == "save":
        os.unlink(broken.mountpoint / "other")
    broken.unmount()


@pytest.mark.parametrize("fault", ["SystemExit", "KeyboardInterrupt", "MemoryError", "RecursionError", "StopIteration"])
def test_the_mount_lives_on_after_the_worst(broken: Server, fault: str) -> None:
    (broken.mountpoint / "file").write_bytes(b"content")
    broken.fail("open", fault)
    with failing(errno.EIO, errno.ENOMEM):
        (broken.mountpoint / "file").read_bytes()
    broken.mend()
    assert (broken.mountpoint / "file").read_bytes() == b"content"
    broken.unmount()


@above_transports
def test_a_save_that_is_refused_for_its_content(serve: Serve) -> None:
    """A subclass that overrides _save() sees every content, and what it refuses never reaches the folder."""
    server = serve("scanned")
    (server.mountpoint / "file").write_bytes(b"harmless")
    descriptor = os.open(server.mountpoint / "file", os.O_WRONLY | os.O_APPEND)
    os.write(descriptor, b" " + ScanningStorage.VIRUS)
    with failing(errno.EACCES):
        os.close(descriptor)
    assert (server.folder / "scanned" / "file").read_bytes() == b"harmless"
    os.unlink(server.mountpoint / "file")
    server.unmount()
    assert os.listdir(server.folder / "scanned") == []


def test_what_another_client_changed_is_seen(broken: Server, objects: ObjectStorage) -> None:
    (broken.mountpoint / "file").write_bytes(b"ours")
    assert (broken.mountpoint / "file").read_bytes() == b"ours"
    objects.delete("file")
    objects.save("file", _content(b"theirs, and longer"))
    objects.save("directory/other", _content(b"new"))
    assert (broken.mountpoint / "file").read_bytes() == b"theirs, and longer"
    assert sorted(os.listdir(broken.mountpoint)) == ["directory", "file"]
    assert (broken.mountpoint / "directory" / "other").read_bytes() == b"new"
    objects.delete("file")
    assert not (broken.mountpoint / "file").exists()


def _content(data: bytes) -> object:
    from storage import ContentFile

    return ContentFile(data)


# -- a mount that may not be written, or is full


@pytest.mark.parametrize("kind", ["memory", "files", "objects"])
def test_a_read_only_mount_is_changed_by_nothing(serve: Serve, kind: str) -> None:
    server = serve(kind)
    (server.mountpoint / "file").write_bytes(b"content")
    if kind == "memory":  # it lives in its own process: there is nothing to see in the next
        server.unmount()
    else:
        server.unmount()
        assert server.folder.exists()
    server.options = ("ro",)
    server.mount()
    file = server.mountpoint / "file"
    for attempt in (
        lambda: (server.mountpoint / "new").write_bytes(b"x"),
        lambda: (server.mountpoint / "new").mkdir(),
        lambda: os.symlink("x", server.mountpoint / "new"),
        lambda: os.mknod(server.mountpoint / "new", 0o100600),
    ):
        with failing(errno.EROFS):
            attempt()
    if kind != "memory":
        for attempt in (
            lambda: os.open(file, os.O_RDWR),
            lambda: os.open(file, os.O_WRONLY | os.O_TRUNC),
            lambda: os.truncate(file, 0),
            lambda: os.unlink(file),
            lambda: os.rename(file, server.mountpoint / "new"),
            lambda: os.chmod(file, 0o600),
            lambda: os.utime(file),
        ):
            with failing(errno.EROFS):
                attempt()
        assert file.read_bytes() == b"content"
    server.unmount()


def test_a_full_memory_keeps_what_was_there(serve: Serve) -> None:
    server = serve("memory", "size=1M")
    file = server.mountpoint / "file"
    file.write_bytes(b"x" * 600_000)
    shown = os.statvfs(server.mountpoint)
    assert shown.f_blocks * shown.f_frsize == MIB
    assert shown.f_bfree * shown.f_frsize < 500_000
    with failing(errno.ENOSPC):
        (server.mountpoint / "other").write_bytes(b"y" * 600_000)
    assert file.read_bytes() == b"x" * 600_000
    with opened(file, os.O_WRONLY | os.O_APPEND) as descriptor, failing(errno.ENOSPC):
        for _ in range(10):
            os.write(descriptor, b"z" * 100_000)
    assert file.read_bytes()[:600_000] == b"x" * 600_000
    os.unlink(file)
    if (server.mountpoint / "other").exists():
        os.unlink(server.mountpoint / "other")
    (server.mountpoint / "other").write_bytes(b"y" * 600_000)
    assert (server.mountpoint / "other").read_bytes() == b"y" * 600_000
    server.unmount()


def test_requests_go_on_while_one_waits(broken: Server) -> None:
    """A storage that waits for a network is served in several threads."""
    for number in range(8):
        (broken.mountpoint / f"{number}").write_bytes(b"%d" % number * 1000)

    def read(number: int) -> bytes:
        return (broken.mountpoint / f"{number}").read_bytes()

    with ThreadPoolExecutor(8) as threads:
        for _ in range(5):
            assert list(threads.map(read, range(8))) == [b"%d" % number * 1000 for number in range(8)]


@above_transports
def test_a_killed_writer_leaves_what_it_wrote(broken: Server, objects: ObjectStorage) -> None:
    """Nobody calls close() then, but the kernel releases: what was written is stored all the same."""
    script = "import os, sys; f = open(sys.argv[1], 'wb', 0); f.write(b'content'); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", script, broken.mountpoint / "file"], check=False)
    deadline = time.monotonic() + 10
    while objects.keys() != ["file"] and time.monotonic() < deadline:
        time.sleep(0.02)
    assert objects.content("file") == b"content"
