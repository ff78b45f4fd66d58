"""What every storage must do, whatever stands behind it: Django's surface.

`conformance_tree` has the extended surface. The classes here are applied to the storages by test_conformance.py. What a
storage cannot do is declared by its `Traits`, and then tested too: it must say NotImplementedError.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from storage import ContentFile, File, Storage, SuspiciousFileOperation, override_settings


class Traits(NamedTuple):
    """How to make a storage, and what it has beyond Django's surface."""

    make: Callable[[Path], Storage]
    native: bool
    """Directories, links and attributes are kept, and open files can be written to."""
    exchange: bool = False
    xattrs: bool = False
    ranges: bool = False
    """Open files allocate, know their holes and copy ranges, and there are files without a name."""


@contextlib.contextmanager
def only_if(supported: bool) -> Iterator[None]:
    """The block works on storages that support it; on the others it must end in a NotImplementedError."""
    if supported:
        yield
        return
    with pytest.raises(NotImplementedError):
        yield


def put(storage: Storage, name: str, content: bytes = b"content") -> None:
    """Save under exactly this name."""
    assert storage.save(name, ContentFile(content)) == name


def read(storage: Storage, name: str) -> bytes:
    with storage.open(name) as file:
        data: bytes = file.read()
    return data


def names(storage: Storage, path: str = "") -> tuple[list[str], list[str]]:
    directories, files = storage.listdir(path)
    return sorted(directories), sorted(files)


class BrokenStream(File):
    """Content that fails after its first chunk."""

    def __init__(self) -> None:
        super().__init__(None, "broken")

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        yield b"x" * 1000
        raise ConnectionResetError("the upload broke off")


class Saving:
    def test_the_content_comes_back(self, storage: Storage) -> None:
        put(storage, "a.bin", bytes(range(256)) * 1000)
        assert read(storage, "a.bin") == bytes(range(256)) * 1000
        assert storage.size("a.bin") == 256_000

    def test_an_empty_file_is_a_file(self, storage: Storage) -> None:
        put(storage, "empty", b"")
        assert (read(storage, "empty"), storage.size("empty")) == (b"", 0)

    def test_text_is_stored_encoded(self, storage: Storage) -> None:
        storage.save("t.txt", ContentFile("naïve\n"))
        assert read(storage, "t.txt") == "naïve\n".encode()

    def test_without_a_name_the_content_s_own_is_used(self, storage: Storage) -> None:
        assert storage.save(None, ContentFile(b"x", name="own.txt")) == "own.txt"
        assert storage.exists("own.txt")

    def test_a_taken_name_is_left_alone(self, storage: Storage) -> None:
        put(storage, "dir/a.tar.gz", b"first")
        other = storage.save("dir/a.tar.gz", ContentFile(b"second"))
        assert other.startswith("dir/a_")
        assert other.endswith(".tar.gz")
        assert (read(storage, "dir/a.tar.gz"), read(storage, other)) == (b"first", b"second")

    def test_the_alternative_obeys_max_length(self, storage: Storage) -> None:
        put(storage, "longname.txt")
        other = storage.save("longname.txt", ContentFile(b""), max_length=14)
        assert len(other) <= 14
        assert other.endswith(".txt")
        with pytest.raises(SuspiciousFileOperation, match="max_length"):
            storage.save("longname.txt", ContentFile(b""), max_length=5)

    def test_missing_directories_are_made(self, storage: Storage) -> None:
        put(storage, "one/two/three.txt")
        assert names(storage, "one") == (["two"], [])
        assert names(storage, "one/two") == ([], ["three.txt"])

    def test_nothing_can_be_saved_below_a_file(self, storage: Storage) -> None:
        put(storage, "file", b"kept")
        with pytest.raises((FileExistsError, NotADirectoryError)):
            storage.save("file/below", ContentFile(b"x"))
        assert read(storage, "file") == b"kept"

    def test_a_failing_stream_leaves_nothing_behind(self, storage: Storage) -> None:
        with pytest.raises(ConnectionError):
            storage.save("broken.bin", BrokenStream())
        assert not storage.exists("broken.bin")
        assert names(storage) == ([], [])

    def test_savers_of_one_name_at_once_do_not_clobber_each_other(self, storage: Storage) -> None:
        stored: dict[str, bytes] = {}
        start = threading.Barrier(6)

        def save(content: bytes) -> None:
            start.wait()
            stored[storage.save("same.bin", ContentFile(content))] = content

        threads = [threading.Thread(target=save, args=(bytes([letter]) * 50_000,)) for letter in b"abcdef"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(stored) == 6
        assert {name: read(storage, name) for name in stored} == stored


class Looking:
    def test_exists(self, storage: Storage) -> None:
        put(storage, "dir/file")
        assert storage.exists("dir/file")
        assert not storage.exists("dir/other")
        assert not storage.exists("elsewhere/file")
        assert not storage.exists("dir/file/below")

    def test_listdir_tells_directories_from_files(self, storage: Storage) -> None:
        put(storage, "b.txt")
        put(storage, "a.txt")
        put(storage, "dir/inner.txt")
        assert names(storage) == (["dir"], ["a.txt", "b.txt"])
        assert names(storage, "dir") == ([], ["inner.txt"])

    def test_listdir_of_what_is_no_directory(self, storage: Storage) -> None:
        put(storage, "file")
        with pytest.raises(FileNotFoundError):
            storage.listdir("missing")
        with pytest.raises(NotADirectoryError):
            storage.listdir("file")
        with pytest.raises(NotADirectoryError):
            storage.listdir("file/below")

    def test_what_is_missing_is_file_not_found(self, storage: Storage) -> None:
        with pytest.raises(FileNotFoundError):
            read(storage, "missing")
        with pytest.raises(FileNotFoundError):
            storage.size("missing")
        with pytest.raises(FileNotFoundError):
            storage.get_modified_time("missing")

    def test_a_directory_cannot_be_opened(self, storage: Storage) -> None:
        put(storage, "dir/file")
        with pytest.raises(IsADirectoryError):
            storage.open("dir").read()

    def test_times_are_those_of_the_clock(self, storage: Storage) -> None:
        put(storage, "now")
        for moment in (storage.get_modified_time("now"), storage.get_created_time("now")):
            assert abs(datetime.now(UTC) - moment) < timedelta(seconds=10)
        with override_settings(USE_TZ=False):
            naive = storage.get_accessed_time("now")
        assert naive.tzinfo is None
        assert abs(datetime.now() - naive) < timedelta(seconds=10)

    def test_a_file_is_read_at_the_cursor_and_by_position(self, storage: Storage) -> None:
        put(storage, "f", b"0123456789\nline\n")
        with storage.open("f") as file:
            assert file.read(4) == b"0123"
            assert file.pread(4, 6) == b"6789"
            assert file.read(2) == b"45"
            assert file.pread(100, 14) == b"e\n"
            assert file.pread(100, 100) == b""
            assert file.seek(-5, 2) == 11
            assert file.readline() == b"line\n"
            assert list(file) == [b"0123456789\n", b"line\n"]
            assert b"".join(file.chunks(3)) == b"0123456789\nline\n"
            assert file.size == 16


class Deleting:
    def test_delete(self, storage: Storage) -> None:
        put(storage, "gone")
        storage.delete("gone")
        assert not storage.exists("gone")

    def test_deleting_what_is_missing_is_silent(self, storage: Storage) -> None:
        storage.delete("missing")
        storage.delete("missing/below")

    def test_the_root_is_not_deleted(self, storage: Storage) -> None:
        put(storage, "kept")
        with pytest.raises(ValueError, match="name must be given"):
            storage.delete("")
        assert storage.exists("kept")


class Names:
    @pytest.mark.parametrize("name", ["../up", "a/../../up", "/etc/passwd", "nul\0"])
    def test_no_name_leaves_the_storage(self, storage: Storage, name: str) -> None:
        for operation in (storage.open, storage.exists, storage.delete, storage.size, storage.listdir):
            with pytest.raises(SuspiciousFileOperation):
                operation(name)
        with pytest.raises(SuspiciousFileOperation):
            storage.save(name, ContentFile(b"x"))

    @pytest.mark.parametrize("name", ["spa ce", "Ünïcode.名前", "a%41#?&", "-dash", "quo'te\"", "new\nline", ".dot"])
    def test_a_name_comes_back_as_it_was(self, storage: Storage, name: str) -> None:
        put(storage, f"dir/{name}", b"x")
        assert names(storage, "dir") == ([], [name])
        assert read(storage, f"dir/{name}") == b"x"

    def test_generated_names_are_valid(self, storage: Storage) -> None:
        assert storage.generate_filename("dir/some name?.txt") == "dir/some_name.txt"
        with pytest.raises(SuspiciousFileOperation):
            storage.generate_filename("../x")
