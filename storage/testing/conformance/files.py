"""What every storage must do, whatever stands behind it: files that are open for writing."""

from __future__ import annotations

import pytest

from storage import ContentFile, Storage, SuspiciousFileOperation
from storage.testing.conformance.traits import Traits, only_if, put, read


class OpenFiles:
    """Applied where writes through `open()` are the content itself (`in_place`)."""

    def test_the_storage_says_that_it_is_written_in_place(self, storage: Storage) -> None:
        assert storage.in_place

    def test_wb_makes_and_truncates(self, storage: Storage) -> None:
        for text in (b"a long first text", b"short"):
            with storage.open("f", "wb") as file:
                file.write(text)
        assert read(storage, "f") == b"short"

    def test_ab_appends_at_the_true_end(self, storage: Storage) -> None:
        put(storage, "f", b"1")
        with storage.open("f", "ab") as one, storage.open("f", "ab") as other:
            one.write(b"2")
            one.flush()
            other.write(b"3")
            other.flush()
            one.write(b"4")
        assert read(storage, "f") == b"1234"

    def test_xb_only_makes(self, storage: Storage) -> None:
        with storage.open("f", "xb") as file:
            file.write(b"x")
        with pytest.raises(FileExistsError):
            storage.open("f", "xb")

    def test_r_plus_reads_and_overwrites(self, storage: Storage) -> None:
        put(storage, "f", b"hello world")
        with storage.open("f", "r+b") as file:
            assert file.read(6) == b"hello "
            file.write(b"there")
            file.seek(0)
            assert file.read() == b"hello there"
        with pytest.raises(FileNotFoundError):
            storage.open("missing", "r+b")

    def test_text(self, storage: Storage) -> None:
        with storage.open("t", "w") as file:
            file.write("één\ntwee\n")
        with storage.open("t", "a") as file:
            file.write("drie\n")
        with storage.open("t", "r") as file:
            assert file.read() == "één\ntwee\ndrie\n"
            file.seek(0)
            assert file.readline() == "één\n"
            assert list(file) == ["één\n", "twee\n", "drie\n"]

    def test_each_open_has_a_cursor_of_its_own(self, storage: Storage) -> None:
        put(storage, "f", b"abcdef")
        with storage.open("f") as one, storage.open("f") as other:
            assert (one.read(3), other.read(2), one.read(3)) == (b"abc", b"ab", b"def")

    def test_handles_share_the_content(self, storage: Storage) -> None:
        put(storage, "f", b"abcdef")
        with storage.open("f", "r+b") as one, storage.open("f", "r+b") as other:
            assert one.pwrite(b"XY", 2) == 2
            assert other.pread(10, 0) == b"abXYef"
            assert other.pwrite(memoryview(b"tail"), 10) == 4
            assert one.pread(20, 4) == b"ef\0\0\0\0tail"
            one.truncate(3)
            assert (other.pread(20, 0), other.stat().size) == (b"abX", 3)
            other.truncate(5)
            assert one.pread(20, 0) == b"abX\0\0"
            assert one.tell() == other.tell() == 0

    def test_a_file_lives_until_its_last_close(self, storage: Storage) -> None:
        put(storage, "f", b"old")
        with storage.open("f", "r+b") as file:
            storage.unlink("f")
            put(storage, "f", b"another")
            assert (file.pread(10, 0), file.stat().nlink) == (b"old", 0)
            file.pwrite(b"OLD!", 0)
            file.set_attributes(mode=0o640, mtime_ns=5)
            entry = file.stat()
            assert (entry.size, entry.mode, entry.mtime_ns) == (4, 0o640, 5)
            assert file.pread(10, 0) == b"OLD!"
        assert read(storage, "f") == b"another"

    def test_a_replaced_file_is_seen_by_those_who_opened_it(self, storage: Storage) -> None:
        put(storage, "f", b"old")
        with storage.open("f", "r+b") as file:
            storage.replace("f", ContentFile(b"new"))
            put(storage, "g", b"renamed over")
            storage.rename("g", "f")
            assert file.pread(10, 0) == b"old"

    def test_a_write_makes_another_version(self, storage: Storage) -> None:
        put(storage, "f", b"1")
        before = storage.stat("f")
        with storage.open("f", "r+b") as file:
            file.pwrite(b"22", 0)
        after = storage.stat("f")
        assert after.version != before.version
        assert after.identity == before.identity
        assert (after.mtime_ns or 0) >= (before.mtime_ns or 0)

    def test_a_large_file_is_sparse_and_a_descriptor(self, storage: Storage) -> None:
        with storage.create("big") as file:
            file.truncate(1 << 32)
            file.pwrite(b"end", (1 << 32) - 3)
            assert (file.stat().size, file.pread(5, (1 << 32) - 5)) == (1 << 32, b"\0\0end")
            assert (file.stat().blocks or 0) < 10_000
            file.sync()
            assert file.content_fd() is not None

    def test_a_closed_file_refuses(self, storage: Storage) -> None:
        put(storage, "f")
        file = storage.open("f", "r+b")
        file.close()
        for operation in (lambda: file.pread(1, 0), lambda: file.pwrite(b"", 0), file.stat, file.read):
            with pytest.raises(ValueError, match="closed"):
                operation()

    def test_a_closed_file_can_be_opened_again(self, storage: Storage) -> None:
        put(storage, "f", b"again")
        file = storage.open("f")
        file.close()
        with file.open() as same:
            assert same.read() == b"again"
        storage.delete("f")
        with pytest.raises(ValueError, match="cannot be reopened"):
            file.open()

    @pytest.mark.parametrize("name", ["", "../f", "nul\0"])
    def test_create_refuses_bad_names(self, storage: Storage, traits: Traits, name: str) -> None:
        with only_if(traits.native), pytest.raises((SuspiciousFileOperation, OSError)):
            storage.create(name)
