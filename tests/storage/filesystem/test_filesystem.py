"""FileSystemStorage: what is its own, beyond what every storage must do (test_conformance.py)."""

from __future__ import annotations

import copy
import errno
import fcntl
import os
import pickle
import resource
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from storage import (
    RENAME_EXCHANGE,
    RENAME_NOREPLACE,
    ContentFile,
    DirectoryNotEmptyError,
    Entry,
    File,
    FileSystemStorage,
    Kind,
    NameTooLongError,
    SuspiciousFileOperation,
    VersionMismatchError,
    override_settings,
)
from storage.filesystem import atomic

HIDDEN = ".storage-0123456789abcdef.draft"
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")

_SAVE_FOR_EVER = """
import sys, time
from storage import File, FileSystemStorage
from storage.filesystem import atomic
atomic._O_TMPFILE = 0

class Endless(File):
    def chunks(self, chunk_size=None):
        yield b"half"
        print("half", flush=True)
        sys.stdin.read()

FileSystemStorage(sys.argv[1]).save("d/file", Endless(None, "x"))
"""

_SAVE_MANY = """
import sys
from storage import ContentFile, FileSystemStorage
storage = FileSystemStorage(sys.argv[1])
for number in range(20):
    storage.save("d/file.txt", ContentFile(f"{sys.argv[2]}-{number}"))
"""


@pytest.fixture
def location(tmp_path: Path) -> Path:
    path = tmp_path / "location"
    path.mkdir()
    return path


@pytest.fixture
def storage(location: Path) -> FileSystemStorage:
    return FileSystemStorage(location)


@pytest.fixture
def overwriting(location: Path) -> FileSystemStorage:
    return FileSystemStorage(location, allow_overwrite=True)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    path = tmp_path / "outside"
    path.mkdir()
    (path / "secret").write_text("secret")
    return path


@pytest.fixture(params=["unnamed", "hidden"])
def drafts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both kinds of drafts."""
    if request.param == "hidden":
        monkeypatch.setattr(atomic, "_O_TMPFILE", 0)
    return str(request.param)


@pytest.fixture
def umask() -> Iterator[None]:
    old = os.umask(0o027)
    yield
    os.umask(old)


class Broken(File):
    """Content that ends in an error."""

    def __init__(self) -> None:
        super().__init__(None, "broken")

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        yield b"half"
        raise ConnectionResetError


class Uploaded(File):
    """Content in a temporary file that is to be moved."""

    def temporary_file_path(self) -> str:
        return str(self.name)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def tree(path: Path) -> list[str]:
    return sorted(str(found.relative_to(path)) for found in path.rglob("*"))


@pytest.mark.usefixtures("drafts")
class TestSave:
    def test_a_failing_stream_leaves_nothing(self, storage: FileSystemStorage, location: Path) -> None:
        with pytest.raises(ConnectionResetError):
            storage.save("file", Broken())
        assert tree(location) == []

    def test_a_failing_stream_keeps_what_it_was_to_overwrite(
        self, overwriting: FileSystemStorage, location: Path
    ) -> None:
        overwriting.save("file", ContentFile(b"old"))
        with pytest.raises(ConnectionResetError):
            overwriting.save("file", Broken())
        assert tree(location) == ["file"]
        assert (location / "file").read_bytes() == b"old"

    def test_a_full_disk_keeps_what_it_was_to_overwrite(self, overwriting: FileSystemStorage, location: Path) -> None:
        overwriting.save("file", ContentFile(b"old"))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        try:
            with pytest.raises(OSError) as caught:
                overwriting.save("file", ContentFile(bytes(200_000)))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert caught.value.errno == errno.EFBIG
        assert tree(location) == ["file"]
        assert (location / "file").read_bytes() == b"old"

    def test_threads_never_take_each_others_names(self, storage: FileSystemStorage, location: Path) -> None:
        names: list[str] = []

        def save(thread: int) -> None:
            names.extend(storage.save("d/f.txt", ContentFile(f"{thread}-{number}")) for number in range(20))

        threads = [threading.Thread(target=save, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(names) == tree(location)[1:]
        contents = {(location / name).read_text() for name in names}
        assert contents == {f"{thread}-{number}" for thread in range(4) for number in range(20)}

    def test_a_reader_sees_the_old_content_or_the_new(self, overwriting: FileSystemStorage) -> None:
        contents = {bytes([digit]) * 300_000 for digit in b"0123"}
        overwriting.save("file", ContentFile(b"0" * 300_000))

        def save() -> None:
            for _ in range(10):
                for content in contents:
                    overwriting.save("file", ContentFile(content))

        thread = threading.Thread(target=save)
        thread.start()
        while thread.is_alive():
            with overwriting.open("file") as file:
                assert file.read() in contents
        thread.join()

    def test_a_directory_that_is_removed_meanwhile_is_made_again(
        self, storage: FileSystemStorage, location: Path, drafts: str
    ) -> None:
        class Removing(ContentFile):
            def chunks(self, chunk_size: int | None = None) -> Iterator[Any]:
                (location / "d").rmdir()
                return super().chunks(chunk_size)

        if drafts == "hidden":
            with pytest.raises(OSError):  # then the draft is in it
                storage.save("d/file", Removing(b"content"))
        else:
            storage.save("d/file", Removing(b"content"))
            assert tree(location) == ["d", "d/file"]

    def test_an_upload_is_moved(self, storage: FileSystemStorage, location: Path, tmp_path: Path) -> None:
        for expected in ("file", "file_"):
            upload = tmp_path / "upload"
            upload.write_text(expected)
            inode = upload.stat().st_ino
            name = storage.save("file", Uploaded(None, str(upload)))
            assert name.startswith(expected)
            assert (location / name).stat().st_ino == inode
            assert not upload.exists()

    def test_an_upload_from_another_filesystem_is_copied(self, storage: FileSystemStorage, location: Path) -> None:
        shm = Path("/dev/shm")
        if not shm.is_dir() or shm.stat().st_dev == location.stat().st_dev:
            pytest.skip("there is no other filesystem here")
        with tempfile.NamedTemporaryFile(dir=shm, delete=False) as upload:
            upload.write(b"content")
        (location / "file").write_text("old")
        name = storage.save("file", Uploaded(None, upload.name))
        assert (location / name).read_bytes() == b"content"
        assert not os.path.exists(upload.name)
        assert (location / "file").read_text() == "old"

    def test_permissions_of_files_and_directories(self, location: Path, umask: None) -> None:
        fixed = FileSystemStorage(location / "made", None, 0o604, 0o705)
        fixed.save("a/b/file", ContentFile(b""))
        modes = [mode_of(location / "made" / name) for name in ("", "a", "a/b", "a/b/file")]
        assert modes == [0o705, 0o705, 0o705, 0o604]
        with override_settings(FILE_UPLOAD_PERMISSIONS=None):
            FileSystemStorage(location).save("c/d/file", ContentFile(b""))
        assert [mode_of(location / name) for name in ("c", "c/d", "c/d/file")] == [0o750, 0o750, 0o640]

    def test_directories_inherit_the_group_bit(self, location: Path) -> None:
        location.chmod(0o2755)
        FileSystemStorage(location, directory_permissions_mode=0o700).save("a/b/file", ContentFile(b""))
        assert [mode_of(location / name) for name in ("a", "a/b")] == [0o2700, 0o2700]

    @root_only
    def test_owner_and_mode_of_an_overwritten_file_stay(self, overwriting: FileSystemStorage, location: Path) -> None:
        overwriting.save("file", ContentFile(b"old"))
        os.chown(location / "file", 1234, -1)
        (location / "file").chmod(0o4751)
        os.chown(location, -1, 77)
        with override_settings(FILE_UPLOAD_PERMISSIONS=None):
            overwriting.save("file", ContentFile(b"new"))
        st = (location / "file").stat()
        assert (st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode)) == (1234, 77, 0o751)

    @pytest.mark.parametrize("target", ["target", "new/target"])
    def test_overwriting_goes_through_a_link(self, overwriting: FileSystemStorage, location: Path, target: str) -> None:
        (location / "target").write_text("old")
        for link in (target, str(location / target)):
            (location / "link").symlink_to(link)
            assert overwriting.save("link", ContentFile(link)) == "link"
            assert (location / "link").is_symlink()
            assert (location / target).read_text() == link
            (location / "link").unlink()

    def test_overwriting_does_not_go_outside_through_a_link(
        self, overwriting: FileSystemStorage, location: Path, outside: Path
    ) -> None:
        (location / "link").symlink_to(outside / "secret")
        with pytest.raises(SuspiciousFileOperation, match="allow_outside_symlinks"):
            overwriting.save("link", ContentFile(b"new"))
        assert (outside / "secret").read_text() == "secret"
        allowed = FileSystemStorage(location, allow_overwrite=True, allow_outside_symlinks=True)
        allowed.save("link", ContentFile(b"new"))
        assert (outside / "secret").read_text() == "new"

    def test_a_subclass_that_insists_on_a_name_gets_it(self, location: Path) -> None:
        class Insisting(FileSystemStorage):
            def get_available_name(self, name: str, max_length: int | None = None) -> str:
                return name

        for content in ("old", "new"):
            assert Insisting(location).save("file", ContentFile(content)) == "file"
        assert (location / "file").read_text() == "new"


def test_processes_never_take_each_others_names(location: Path) -> None:
    commands = [[sys.executable, "-c", _SAVE_MANY, str(location), str(number)] for number in range(3)]
    processes = [subprocess.Popen(command) for command in commands]
    assert [process.wait() for process in processes] == [0, 0, 0]
    contents = {path.read_text() for path in (location / "d").iterdir()}
    assert contents == {f"{process}-{number}" for process in range(3) for number in range(20)}


class TestAfterAKill:
    @pytest.fixture(autouse=True)
    def killed(self, location: Path) -> None:
        """A process that was killed while it saved d/file."""
        command = [sys.executable, "-c", _SAVE_FOR_EVER, str(location)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "half\n"
            process.send_signal(signal.SIGKILL)
        assert len(os.listdir(location / "d")) == 1

    def test_what_is_left_appears_in_no_listing(self, storage: FileSystemStorage, location: Path) -> None:
        (left,) = os.listdir(location / "d")
        assert storage.listdir("d") == ([], [])
        assert list(storage.scandir("d")) == []
        assert [entries for _, *entries in storage.walk("d")] == [[[], []]]
        assert not storage.exists(f"d/{left}")

    def test_the_first_save_sweeps(self, storage: FileSystemStorage, location: Path) -> None:
        storage.save("d/other", ContentFile(b""))
        assert tree(location) == ["d", "d/other"]

    @pytest.mark.parametrize("remove", ["rmdir", "delete"])
    def test_the_directory_counts_as_empty(self, storage: FileSystemStorage, location: Path, remove: str) -> None:
        getattr(storage, remove)("d")
        assert tree(location) == []

    def test_a_directory_can_be_renamed_over_it(self, storage: FileSystemStorage, location: Path) -> None:
        storage.mkdir("new")
        storage.create("new/file").close()
        storage.rename("new", "d")
        assert tree(location) == ["d", "d/file"]


def test_a_directory_in_which_somebody_is_saving_is_not_empty(
    storage: FileSystemStorage, location: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atomic, "_O_TMPFILE", 0)
    storage.mkdir("d")
    directory = os.open(location / "d", os.O_RDONLY)
    try:
        with atomic.Draft(directory), pytest.raises(DirectoryNotEmptyError):
            storage.rmdir("d")
    finally:
        os.close(directory)
    storage.rmdir("d")


@pytest.mark.parametrize("name", [HIDDEN, f"a/{HIDDEN}", f"{HIDDEN}/a"])
def test_names_of_drafts_are_refused(storage: FileSystemStorage, name: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: storage.save(name, ContentFile(b"")),
        lambda: storage.open(name, "wb"),
        lambda: storage.create(name),
        lambda: storage.mkdir(name),
        lambda: storage.stat(name),
        lambda: storage.delete(name),
        lambda: storage.rename("x", name),
        lambda: storage.replace(name, ContentFile(b"")),
    ]
    for call in calls:
        with pytest.raises(SuspiciousFileOperation, match="kept for files"):
            call()


class TestLinks:
    def test_django_s_surface_follows_those_that_stay_inside(self, storage: FileSystemStorage, location: Path) -> None:
        storage.save("a/file", ContentFile(b"12345"))
        (location / "relative").symlink_to("a")
        (location / "absolute").symlink_to(location / "a")
        (location / "link").symlink_to(location / "a" / "file")
        for name in ("relative/file", "absolute/file", "link"):
            assert storage.exists(name)
            assert storage.size(name) == 5
            assert storage.get_modified_time(name) == storage.get_modified_time("a/file")
            with storage.open(name) as file:
                assert file.read() == b"12345"
        assert storage.listdir("absolute") == ([], ["file"])
        assert sorted(storage.listdir("")[0]) == ["a", "absolute", "relative"]
        assert storage.save("absolute/new", ContentFile(b"")) == "absolute/new"
        storage.delete("absolute/new")
        storage.delete("absolute")
        assert tree(location) == ["a", "a/file", "link", "relative"]

    def test_those_that_lead_outside_say_what_to_do(
        self, storage: FileSystemStorage, location: Path, outside: Path
    ) -> None:
        (location / "link").symlink_to(outside)
        (location / "secret").symlink_to(outside / "secret")
        calls: list[Callable[[], object]] = [
            lambda: storage.open("link/secret"),
            lambda: storage.open("link/new", "wb"),
            lambda: storage.open("secret"),
            lambda: storage.size("secret"),
            lambda: storage.exists("link/secret"),
            lambda: storage.listdir("link"),
            lambda: storage.delete("link/secret"),
            lambda: storage.save("link/new", ContentFile(b"")),
            lambda: storage.save("link/new/new", ContentFile(b"")),
        ]
        for call in calls:
            with pytest.raises(SuspiciousFileOperation, match="allow_outside_symlinks"):
                call()
        assert os.listdir(outside) == ["secret"]
        allowed = FileSystemStorage(location, allow_outside_symlinks=True)
        assert allowed.size("secret") == 6
        assert allowed.listdir("link") == ([], ["secret"])
        allowed.save("link/new/new", ContentFile(b""))
        assert tree(outside) == ["new", "new/new", "secret"]

    def test_the_extended_surface_follows_none(self, storage: FileSystemStorage, location: Path) -> None:
        storage.save("a/file", ContentFile(b""))
        (location / "link").symlink_to("a")
        calls: list[Callable[[], object]] = [
            lambda: storage.stat("link/file"),
            lambda: storage.scandir("link"),
            lambda: storage.create("link/new"),
            lambda: storage.unlink("link/file"),
            lambda: storage.rename("a/file", "link/new"),
            lambda: storage.replace("link/file", ContentFile(b"")),
            lambda: storage.set_attributes("link/file", mode=0),
            lambda: storage.mkdir("link/new"),
        ]
        for call in calls:
            with pytest.raises(NotADirectoryError):
                call()
        assert storage.stat("link").kind is Kind.SYMLINK
        with pytest.raises(OSError):
            storage.copy("link", "new")
        assert tree(location) == ["a", "a/file", "link"]

    def test_no_mode_is_set_through_a_link(self, storage: FileSystemStorage, location: Path) -> None:
        storage.create("file", mode=0o600).close()
        storage.symlink("file", "link")
        with pytest.raises(OSError):
            storage.set_attributes("link", mode=0o777)
        storage.set_attributes("link", mtime_ns=5)
        assert mode_of(location / "file") == 0o600
        assert storage.stat("link").mtime_ns == 5 != storage.stat("file").mtime_ns

    def test_replacing_replaces_the_link(self, storage: FileSystemStorage, location: Path) -> None:
        storage.create("file").close()
        storage.symlink("file", "link")
        storage.replace("link", ContentFile(b"new"))
        assert not (location / "link").is_symlink()
        assert storage.size("file") == 0


class TestLocation:
    def test_it_may_be_made_later(self, tmp_path: Path) -> None:
        storage = FileSystemStorage(tmp_path / "later")
        assert not storage.exists("file")
        for call in (lambda: storage.stat(""), lambda: storage.listdir(""), lambda: storage.create("file")):
            with pytest.raises(FileNotFoundError):
                call()
        (tmp_path / "later").mkdir()
        storage.create("file").close()
        assert storage.listdir("") == ([], ["file"])

    def test_saving_makes_it(self, tmp_path: Path) -> None:
        storage = FileSystemStorage(tmp_path / "a" / "b")
        storage.save("file", ContentFile(b""))
        assert tree(tmp_path) == ["a", "a/b", "a/b/file"]

    def test_it_may_be_replaced(self, storage: FileSystemStorage, location: Path) -> None:
        storage.save("d/old", ContentFile(b""))
        location.rename(location.with_name("away"))
        assert not storage.exists("d/old")
        location.mkdir()
        assert storage.listdir("") == ([], [])
        storage.create("new").close()
        assert tree(location) == ["new"]

    def test_it_follows_the_settings(self, tmp_path: Path) -> None:
        storage = FileSystemStorage()
        for name in ("one", "two"):
            with override_settings(MEDIA_ROOT=str(tmp_path / name)):
                storage.save("file", ContentFile(name))
                assert storage.stat("file").size == 3
        assert (tmp_path / "two" / "file").read_text() == "two"

    def test_a_file_in_its_place_is_in_the_way(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        storage = FileSystemStorage(tmp_path / "file")
        with pytest.raises(FileExistsError, match=r"file exists and is not a directory\."):
            storage.save("x", ContentFile(b""))
        with pytest.raises(NotADirectoryError):
            storage.stat("x")

    @pytest.mark.parametrize("call", ["rmdir", "unlink", "delete"])
    def test_the_root_stays(self, storage: FileSystemStorage, location: Path, call: str) -> None:
        with pytest.raises((OSError, ValueError)):
            getattr(storage, call)("")
        with pytest.raises(OSError):
            storage.rename("", "new")
        assert location.is_dir()


class TestOverriddenPath:
    class Sharded(FileSystemStorage):
        """One that keeps each file in a directory by its first letter, as people do."""

        def path(self, name: str) -> str:
            directory, last = os.path.split(os.fspath(name))
            return super().path(os.path.join(directory, last[:1], last))

    def test_it_is_where_the_files_are(self, location: Path) -> None:
        storage = self.Sharded(location)
        assert storage.save("d/file", ContentFile(b"123")) == "d/f/file"
        assert (location / "d" / "f" / "file").read_bytes() == b"123"
        assert storage.exists("d/file")
        assert storage.size("d/file") == storage.stat("d/file").size == 3
        with storage.open("d/file") as file:
            assert file.read() == b"123"
        storage.delete("d/file")
        assert tree(location) == ["d", "d/f"]

    def test_it_may_not_answer_what_is_outside(self, location: Path, outside: Path) -> None:
        class Elsewhere(FileSystemStorage):
            def path(self, name: str) -> str:
                return str(outside / name)

        for call in (Elsewhere(location).exists, Elsewhere(location).stat, Elsewhere(location).open):
            with pytest.raises(SuspiciousFileOperation, match="outside of the location"):
                call("secret")


@pytest.mark.parametrize("name", ["../outside/secret", "a/../../outside/secret", "/etc/passwd", "a\0b", ".."])
def test_no_name_leaves_the_location(storage: FileSystemStorage, outside: Path, name: str) -> None:
    calls = (storage.exists, storage.open, storage.size, storage.delete, storage.stat, storage.listdir, storage.create)
    for call in calls:
        with pytest.raises(SuspiciousFileOperation):
            call(name)


def test_absolute_names_below_the_location_are_django_s(storage: FileSystemStorage, location: Path) -> None:
    storage.save("d/file", ContentFile(b"12"))
    assert storage.size(f"{location}/d/../d//file") == 2
    storage.delete(str(location / "d" / "file"))
    assert tree(location) == ["d"]


class TestErrors:
    def test_below_a_file(self, storage: FileSystemStorage) -> None:
        storage.save("file", ContentFile(b""))
        calls = (storage.open, storage.size, storage.stat, storage.listdir, storage.create, storage.delete)
        for call in calls:
            with pytest.raises(NotADirectoryError):
                call("file/x")
        assert not storage.exists("file/x")
        with pytest.raises(FileExistsError, match=r"file exists and is not a directory\."):
            storage.save("file/x", ContentFile(b""))
        with pytest.raises(NotADirectoryError):
            storage.save("file/x/y", ContentFile(b""))
        with pytest.raises(NotADirectoryError):
            storage.replace("file/x", ContentFile(b""))

    def test_of_names_that_are_too_long(self, storage: FileSystemStorage) -> None:
        for name in ("x" * 256, "é" * 128):
            assert not storage.exists(name)
            for call in (storage.stat, storage.create, storage.mkdir):
                with pytest.raises(NameTooLongError):
                    call(name)
            with pytest.raises(NameTooLongError):
                storage.save(name, ContentFile(b""))
        storage.save("é" * 127, ContentFile(b""))

    def test_are_told_with_the_whole_path(self, storage: FileSystemStorage, location: Path) -> None:
        with pytest.raises(FileNotFoundError) as caught:
            storage.open("file")
        assert caught.value.filename == str(location / "file")


def test_names_that_are_no_text(storage: FileSystemStorage, location: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    storage.mkdir(name)
    assert storage.save(f"{name}/{name}", ContentFile(b"1")) == f"{name}/{name}"
    assert os.listdir(os.fsencode(location)) == [b"caf\xe9"]
    assert [entry.name for entry in storage.scandir(name)] == [name]
    assert storage.listdir(name) == ([], [name])


class TestSpecialFiles:
    def test_opening_a_fifo_waits_for_nobody(self, storage: FileSystemStorage) -> None:
        storage.mknod("fifo", stat.S_IFIFO | 0o600)
        with storage.open("fifo") as file:
            assert file.read() == b""
        with pytest.raises(OSError) as caught:
            storage.open("fifo", "wb")
        assert caught.value.errno == errno.ENXIO
        with pytest.raises(OSError):
            storage.copy("fifo", "copy")
        with pytest.raises(IsADirectoryError):
            storage.open("")

    def test_an_open_fifo_is_as_python_s(self, storage: FileSystemStorage) -> None:
        storage.mknod("fifo", stat.S_IFIFO | 0o600)
        with storage.open("fifo") as reader, storage.open("fifo", "wb") as writer:
            assert os.get_blocking(reader.fileno())
            writer.write(b"through")
            writer.flush()
            assert reader.read(7) == b"through"

    def test_they_are_listed_as_files(self, storage: FileSystemStorage) -> None:
        storage.mknod("fifo", stat.S_IFIFO | 0o600)
        storage.mknod("socket", stat.S_IFSOCK | 0o600)
        storage.symlink("circle", "circle")
        storage.mkdir("directory")
        directories, others = storage.listdir("")
        assert (directories, sorted(others)) == (["directory"], ["circle", "fifo", "socket"])
        storage.delete("fifo")
        storage.delete("circle")
        storage.set_attributes("socket", mode=0o601)
        assert storage.stat("socket").mode == 0o601

    @root_only
    def test_devices(self, storage: FileSystemStorage) -> None:
        try:
            storage.mknod("null", stat.S_IFCHR | 0o666, os.makedev(1, 3), uid=5, gid=6)
        except PermissionError:
            pytest.skip("no devices in this container")
        entry = storage.stat("null")
        assert (entry.kind, entry.rdev, entry.uid, entry.gid, entry.mode) == (
            Kind.CHARACTER_DEVICE,
            os.makedev(1, 3),
            5,
            6,
            0o666,
        )


@pytest.mark.usefixtures("umask")
class TestExactness:
    def test_modes_are_exact_in_spite_of_the_umask(self, storage: FileSystemStorage, location: Path) -> None:
        storage.create("file", mode=0o6777).close()
        storage.mkdir("directory", mode=0o3777)
        storage.mknod("fifo", stat.S_IFIFO | 0o777)
        assert [mode_of(location / name) for name in ("file", "directory", "fifo")] == [0o6777, 0o3777, 0o777]

    @root_only
    def test_owners_are_exact(self, storage: FileSystemStorage) -> None:
        storage.create("file", mode=0o4755, uid=11, gid=12).close()
        storage.mkdir("directory", mode=0o2775, uid=11, gid=12)
        storage.symlink("x", "link", uid=11, gid=12)
        entries = [storage.stat(name) for name in ("file", "directory", "link")]
        assert [(entry.uid, entry.gid) for entry in entries] == [(11, 12)] * 3
        assert [entry.mode for entry in entries[:2]] == [0o4755, 0o2775]

    def test_what_cannot_be_given_its_owner_is_not_made(
        self, storage: FileSystemStorage, location: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_args: object, **_kwargs: object) -> None:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

        monkeypatch.setattr(os, "fchown", refuse)
        monkeypatch.setattr(os, "chown", refuse)
        uid = os.geteuid() + 1
        for call in (storage.create, storage.mkdir):
            with pytest.raises(PermissionError):
                call("new", uid=uid)
        with pytest.raises(PermissionError):
            storage.symlink("x", "new", uid=uid)
        assert tree(location) == []


class TestScandir:
    def test_names_that_vanish_meanwhile_are_left_out(self, storage: FileSystemStorage, location: Path) -> None:
        for number in range(10):
            storage.create(f"file{number}").close()
        entries = storage.scandir()
        first = next(entries)
        for path in location.iterdir():
            if path.name != first.name:
                path.unlink()
        assert list(entries) == []

    def test_an_unused_listing_leaks_nothing(self, storage: FileSystemStorage) -> None:
        storage.create("file").close()
        storage.create("file2").close()
        before = os.listdir("/dev/fd")
        storage.scandir()
        next(storage.scandir())
        assert os.listdir("/dev/fd") == before

    def test_an_entry_is_what_stat_says(self, storage: FileSystemStorage) -> None:
        storage.mkdir("d")
        storage.create("d/file", mode=0o640).close()
        storage.symlink("x", "d/link")
        listed = sorted(storage.scandir("d"))
        assert listed == [storage.stat("d/file"), storage.stat("d/link")]
        assert all(isinstance(entry, Entry) for entry in listed)


class TestReplace:
    def test_of_two_that_replace_one_version_one_wins(self, storage: FileSystemStorage) -> None:
        storage.replace("file", ContentFile(b""))
        wins = []
        for _ in range(30):
            version = storage.stat("file").version
            barrier = threading.Barrier(2)
            outcomes: list[bool] = []
            threads = [
                threading.Thread(target=self._replace, args=(storage, version, barrier, outcomes)) for _ in range(2)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            wins.append(sorted(outcomes))
        assert wins == [[False, True]] * 30

    def _replace(
        self, storage: FileSystemStorage, version: str | None, barrier: threading.Barrier, outcomes: list[bool]
    ) -> None:
        barrier.wait()
        try:
            storage.replace("file", ContentFile(b"new"), if_version=version)
            outcomes.append(True)
        except VersionMismatchError:
            outcomes.append(False)

    def test_the_version_follows_a_change_that_hides_its_time(self, storage: FileSystemStorage, location: Path) -> None:
        old = storage.replace("file", ContentFile(b"1"))
        (location / "file").write_bytes(b"2")
        assert old.mtime_ns is not None
        os.utime(location / "file", ns=(old.mtime_ns, old.mtime_ns))
        with pytest.raises(VersionMismatchError):
            storage.replace("file", ContentFile(b"3"), if_version=old.version)

    def test_a_subclass_s_save_is_not_gone_around(self, location: Path) -> None:
        class Shouting(FileSystemStorage):
            def _save(self, name: str, content: Any) -> str:
                return super()._save(name, ContentFile(content.read().upper()))

        storage = Shouting(location)
        assert not storage.in_place
        storage.replace("file", ContentFile(b"quiet"))
        assert (location / "file").read_bytes() == b"QUIET"

    def test_a_broken_stream_keeps_the_old_content(self, storage: FileSystemStorage, location: Path) -> None:
        storage.replace("file", ContentFile(b"old"))
        with pytest.raises(ConnectionResetError):
            storage.replace("file", Broken())
        assert tree(location) == ["file"]
        assert (location / "file").read_bytes() == b"old"


class TestOnTheDisk:
    @pytest.fixture
    def synced(self, monkeypatch: pytest.MonkeyPatch) -> list[object]:
        """What is forced to the disk: the content of a file, or the names in a directory."""
        done: list[object] = []
        fsync = os.fsync

        def watched(fd: int) -> None:
            fsync(fd)
            is_directory = stat.S_ISDIR(os.fstat(fd).st_mode)
            done.append(sorted(os.listdir(fd)) if is_directory else os.pread(fd, 100, 0))

        monkeypatch.setattr(os, "fsync", watched)
        return done

    def test_what_is_replaced_is_there_with_its_name(
        self, storage: FileSystemStorage, synced: list[object], drafts: str
    ) -> None:
        storage.replace("d/file", ContentFile(b"old"), if_absent=True)
        storage.replace("d/file", ContentFile(b"new"))
        assert synced == [b"old", ["file"], b"new", ["file"]]

    def test_what_is_saved_or_copied_waits_for_no_disk(
        self, overwriting: FileSystemStorage, synced: list[object]
    ) -> None:
        for _ in range(2):
            overwriting.save("file", ContentFile(b"content"))
            overwriting.copy("file", "copy")
        assert synced == []


@pytest.fixture
def locked(location: Path) -> Iterator[int]:
    """A lock that another program keeps on the location, as `flock DIR rsync` does."""
    fd = os.open(location, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    yield fd
    os.close(fd)


class TestALockedDirectory:
    def test_what_does_not_need_the_lock_goes_on_without(
        self, overwriting: FileSystemStorage, location: Path, locked: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(atomic, "_LOCK_SECONDS", 0.05)
        for store in (
            lambda data: overwriting.save("file", ContentFile(data)),
            lambda data: overwriting.replace("file", ContentFile(data)),
            lambda data: overwriting.save("other", ContentFile(data)) and overwriting.copy("other", "file"),
        ):
            for data in (b"old", b"new"):
                store(data)
                assert (location / "file").read_bytes() == data
        assert overwriting.replace("new", ContentFile(b"new"), if_absent=True).size == 3

    def test_a_check_of_the_version_fails_instead_of_waiting_for_ever(
        self, storage: FileSystemStorage, location: Path, locked: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(atomic, "_LOCK_SECONDS", 0.05)
        version = storage.replace("file", ContentFile(b"old")).version
        with pytest.raises(OSError, match="keeps a lock") as caught:
            storage.replace("file", ContentFile(b"new"), if_version=version)
        assert (caught.value.errno, caught.value.filename) == (errno.EBUSY, str(location / "file"))
        assert (location / "file").read_bytes() == b"old"
        assert os.listdir(location) == ["file"]

    def test_it_waits_for_a_lock_that_is_soon_released(
        self, storage: FileSystemStorage, location: Path, locked: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(atomic, "_LOCK_SECONDS", 60.0)
        (location / "file").write_bytes(b"old")
        looked: list[float] = []

        def release(seconds: float) -> None:
            looked.append(seconds)
            fcntl.flock(locked, fcntl.LOCK_UN)

        monkeypatch.setattr(atomic.time, "sleep", release)
        storage.replace("file", ContentFile(b"new"), if_version=storage.stat("file").version)
        assert ((location / "file").read_bytes(), len(looked)) == (b"new", 1)


class TestRename:
    def test_with_flags(self, storage: FileSystemStorage) -> None:
        storage.mkdir("d")
        storage.replace("file", ContentFile(b"1"))
        storage.replace("d/file", ContentFile(b"22"))
        with pytest.raises(FileExistsError):
            storage.rename("file", "d/file", RENAME_NOREPLACE)
        storage.rename("file", "d/file", RENAME_EXCHANGE)
        assert (storage.size("file"), storage.size("d/file")) == (2, 1)
        storage.rename("file", "d/new", RENAME_NOREPLACE)
        assert not storage.exists("file")

    @pytest.mark.parametrize("flags", [0, RENAME_NOREPLACE, RENAME_EXCHANGE])
    def test_into_itself(self, storage: FileSystemStorage, flags: int) -> None:
        storage.mkdir("d")
        storage.mkdir("d/e")
        with pytest.raises(OSError) as caught:
            storage.rename("d", "d/e" if flags == RENAME_EXCHANGE else "d/new", flags)
        assert caught.value.errno == errno.EINVAL

    def test_flags_that_nobody_knows(self, storage: FileSystemStorage) -> None:
        storage.create("file").close()
        for flags in (64, RENAME_NOREPLACE | RENAME_EXCHANGE):
            with pytest.raises(NotImplementedError):
                storage.rename("file", "new", flags)


def test_a_copy_of_the_object_works(storage: FileSystemStorage) -> None:
    storage.save("file", ContentFile(b"1"))
    told: list[object] = []
    storage.subscribe(told.append)
    for other in (copy.copy(storage), copy.deepcopy(storage), pickle.loads(pickle.dumps(storage))):
        assert other.size("file") == 1
        other.delete(other.save("new", ContentFile(b"")))
    assert told == []


def test_extended_attributes(storage: FileSystemStorage) -> None:
    storage.mkdir("d")
    storage.create("d/file").close()
    storage.symlink("d/file", "link")
    try:
        storage.setxattr("d/file", "user.a", b"1")
    except (NotImplementedError, OSError):
        pytest.skip("no extended attributes here")
    assert storage.getxattr("d/file", "user.a") == b"1"
    assert "user.a" not in storage.listxattr("link")  # its own, not those of what it points to
    storage.removexattr("d/file", "user.a")
    with pytest.raises(OSError) as caught:
        storage.getxattr("d/file", "user.a")
    assert caught.value.errno in (errno.ENODATA, getattr(errno, "ENOATTR", errno.ENODATA))
