"""What every storage must do, whatever stands behind it: Django's surface."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from storage import ContentFile, Storage, SuspiciousFileOperation, override_settings
from storage.testing.conformance.traits import BrokenStream, Traits, names, only_if, put, read


class TestSaving:
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

    def test_a_name_that_nothing_can_have_is_cut_to_max_length(self, storage: Storage) -> None:
        stored = storage.save(f"{'x' * 300}.txt", ContentFile(b"content"), max_length=100)
        assert (len(stored), stored[-4:], read(storage, stored)) == (100, ".txt", b"content")

    def test_missing_directories_are_made(self, storage: Storage) -> None:
        put(storage, "one/two/three.txt")
        assert names(storage, "one") == (["two"], [])
        assert names(storage, "one/two") == ([], ["three.txt"])

    def test_nothing_can_be_saved_below_a_file(self, storage: Storage, traits: Traits) -> None:
        put(storage, "file", b"kept")
        if traits.flat:
            put(storage, "file/below")
        else:
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


class TestLooking:
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

    def test_listdir_of_what_is_no_directory(self, storage: Storage, traits: Traits) -> None:
        put(storage, "file")
        if traits.flat:
            assert names(storage, "missing") == names(storage, "file") == ([], [])
            return
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

    def test_a_directory_cannot_be_opened(self, storage: Storage, traits: Traits) -> None:
        put(storage, "dir/file")
        with pytest.raises(FileNotFoundError if traits.flat else IsADirectoryError):
            storage.open("dir").read()

    def test_times_are_those_of_the_clock(self, storage: Storage, traits: Traits) -> None:
        put(storage, "now")
        asked = {
            "accessed": storage.get_accessed_time,
            "created": storage.get_created_time,
            "modified": storage.get_modified_time,
        }
        for time, ask in asked.items():
            with only_if(time in traits.times):
                assert abs(datetime.now(UTC) - ask("now")) < timedelta(seconds=10)
                with override_settings(USE_TZ=False):
                    naive = ask("now")
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


class TestDeleting:
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


class TestNames:
    @pytest.mark.parametrize("name", ["../up", "a/../../up", "/etc/passwd", "nul\0"])
    def test_no_name_leaves_the_storage(self, storage: Storage, name: str) -> None:
        for operation in (storage.open, storage.exists, storage.delete, storage.size, storage.listdir):
            with pytest.raises(SuspiciousFileOperation):
                operation(name)
        with pytest.raises(SuspiciousFileOperation):
            storage.save(name, ContentFile(b"x"))

    @pytest.mark.parametrize("name", ["spa ce", "Ünïcode.名前", "a%41#?&", "-dash", "quo'te\"", "new\nline", ".dot"])
    def test_a_name_comes_back_as_it_was(self, storage: Storage, traits: Traits, name: str) -> None:
        if not set(name).isdisjoint(traits.forbidden + traits.lost):
            refusal = OSError if set(name).isdisjoint(traits.forbidden) else SuspiciousFileOperation
            with pytest.raises(refusal):
                storage.save(f"dir/{name}", ContentFile(b"x"))
            assert names(storage) == ([], [])
            return
        put(storage, f"dir/{name}", b"x")
        assert names(storage, "dir") == ([], [name])
        assert read(storage, f"dir/{name}") == b"x"

    def test_generated_names_are_valid(self, storage: Storage) -> None:
        assert storage.generate_filename("dir/some name?.txt") == "dir/some_name.txt"
        with pytest.raises(SuspiciousFileOperation):
            storage.generate_filename("../x")
