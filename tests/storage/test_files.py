from __future__ import annotations

import copy
import gzip
import io
import os
import pickle
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from storage import ContentFile, File, Kind, NamedTemporaryFile, gettempdir


@pytest.fixture(params=["memory", "local", "unbuffered", "wrapped twice"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A file with the content "0123456789" and its cursor at 3, over each kind of object."""
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    make: dict[str, Callable[[], File]] = {
        "memory": lambda: File(io.BytesIO(path.read_bytes()), "file"),
        "local": lambda: File(path.open("r+b")),
        "unbuffered": lambda: File(path.open("r+b", buffering=0)),
        "wrapped twice": lambda: File(File(path.open("r+b"))),
    }
    with make[request.param]() as opened:
        opened.seek(3)
        yield opened


def test_a_positional_read_leaves_the_cursor(file: File) -> None:
    assert file.pread(4, 2) == b"2345"
    assert file.pread(100, 8) == b"89"
    assert file.pread(5, 10) == b""
    assert file.pread(5, 1000) == b""
    assert file.pread(0, 0) == b""
    assert file.read() == b"3456789"


def test_a_positional_write_leaves_the_cursor(file: File) -> None:
    assert file.pwrite(b"abc", 4) == 3
    assert file.pwrite(memoryview(b"XY"), 9) == 2
    assert file.tell() == 3
    assert file.pread(100, 0) == b"0123abc78XY"
    assert file.size == 11


def test_a_write_past_the_end_leaves_zeros_before_it(file: File) -> None:
    file.pwrite(b"z", 12)
    assert file.pread(100, 8) == b"89\0\0z"


@pytest.mark.parametrize(("size", "content"), [(4, b"0123"), (0, b""), (12, b"0123456789\0\0")])
def test_truncating_shortens_and_extends(file: File, size: int, content: bytes) -> None:
    assert file.truncate(size) == size
    assert file.pread(100, 0) == content
    assert file.stat().size == size
    assert file.tell() == 3


def test_truncating_without_a_size_cuts_at_the_cursor(file: File) -> None:
    assert file.truncate() == 3
    assert file.pread(100, 0) == b"012"


def test_stat_sees_what_was_just_written(file: File) -> None:
    file.seek(0, os.SEEK_END)
    file.write(b"more")
    entry = file.stat()
    assert (entry.name, entry.kind, entry.size) == ("file", Kind.FILE, 14)


def test_positional_reads_from_several_threads_do_not_mix(file: File) -> None:
    wrong: list[bytes] = []

    def read(offset: int) -> None:
        wrong.extend(data for _ in range(200) if (data := file.pread(1, offset)) != b"%d" % offset)

    threads = [threading.Thread(target=read, args=(offset,)) for offset in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_short_read_is_continued() -> None:
    class Dribbling(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 0, 2))

    assert File(Dribbling(b"0123456789")).pread(7, 1) == b"1234567"


def test_a_short_write_is_continued() -> None:
    class Dribbling(io.BytesIO):
        def write(self, data: Any, /) -> int:
            return super().write(memoryview(data)[:2])

    file = File(Dribbling())
    assert file.pwrite(b"01234", 0) == 5
    assert file.pread(9, 0) == b"01234"


def test_a_local_file_has_a_descriptor_with_nothing_buffered(tmp_path: Path) -> None:
    with File((tmp_path / "file").open("w+b")) as file:
        file.write(b"buffered")
        fd = file.content_fd()
        assert fd is not None
        assert os.pread(fd, 100, 0) == b"buffered"
    assert file.content_fd() is None


def test_text_over_a_local_file_has_the_same_descriptor(tmp_path: Path) -> None:
    with File((tmp_path / "file").open("w")) as file:
        file.write("text")
        assert file.content_fd() == file.fileno()
        assert (tmp_path / "file").read_text() == "text"


def test_what_changes_the_bytes_has_no_descriptor(tmp_path: Path) -> None:
    class Upper(File):
        def read(self, size: int = -1) -> bytes:
            data: bytes = self.file.read(size)
            return data.upper()

    path = tmp_path / "file"
    path.write_bytes(gzip.compress(b"x"))
    with path.open("rb") as raw, gzip.open(path) as unpacked, Upper(raw) as upper:
        assert upper.content_fd() is None
        assert File(upper).content_fd() is None
        assert File(unpacked).content_fd() is None
        assert File(io.TextIOWrapper(unpacked)).content_fd() is None  # type: ignore[arg-type]
    assert File(io.BytesIO()).content_fd() is None
    with tempfile.SpooledTemporaryFile() as spooled:
        assert File(spooled).content_fd() is None


def test_attributes_of_a_local_file(tmp_path: Path) -> None:
    with File((tmp_path / "file").open("w+b")) as file:
        file.set_attributes(mode=0o640, mtime_ns=1_000_000_007)
        entry = file.stat()
        assert (entry.mode, entry.mtime_ns) == (0o640, 1_000_000_007)
        file.set_attributes(atime_ns=5)
        assert (file.stat().atime_ns, file.stat().mtime_ns) == (5, 1_000_000_007)
        file.sync()


def test_a_file_without_attributes_says_so() -> None:
    with pytest.raises(NotImplementedError):
        ContentFile(b"").set_attributes(mode=0o600)
    ContentFile(b"").sync()


@pytest.mark.parametrize("content", [ContentFile(b"content"), ContentFile("content")])
def test_content_can_be_pickled_and_copied_also_after_a_positional_read(content: ContentFile) -> None:
    content.pread(0, 0)
    assert pickle.loads(pickle.dumps(content)).read() == content.read()
    content.seek(0)
    assert copy.copy(content).read() == copy.deepcopy(content).file.getvalue()


LINES = st.lists(st.sampled_from(["a", "bc", "\r", "\n", "\r\n", "\x0b", "\u2028"])).map("".join)


@given(LINES, st.integers(1, 9))
def test_lines_do_not_depend_on_the_chunks(text: str, chunk_size: int) -> None:
    file = File(io.BytesIO(text.encode()))
    file.DEFAULT_CHUNK_SIZE = chunk_size  # type: ignore[misc]
    assert list(file) == text.encode().splitlines(keepends=True)


@given(LINES, st.integers(1, 9))
def test_lines_of_text_end_where_those_of_bytes_do(text: str, chunk_size: int) -> None:
    file = File(io.StringIO(text, newline=""))
    file.DEFAULT_CHUNK_SIZE = chunk_size  # type: ignore[misc]
    assert [line.encode() for line in file] == text.encode().splitlines(keepends=True)


def test_chunks_begin_at_the_beginning() -> None:
    content = ContentFile(b"0123456789")
    content.read()
    assert list(content.chunks(4)) == [b"0123", b"4567", b"89"]
    assert content.multiple_chunks(4)
    assert not content.multiple_chunks(10)


def test_chunks_of_what_cannot_be_rewound() -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, b"piped")
    os.close(write_end)
    with File(open(read_end, "rb")) as file:
        assert b"".join(file.chunks(2)) == b"piped"


def test_the_size_is_forgotten_by_a_write() -> None:
    file = ContentFile(b"12")
    file.seek(0, os.SEEK_END)
    assert file.write(b"34") == 2
    assert len(file) == 4


def test_without_any_way_to_tell_there_is_no_size() -> None:
    with pytest.raises(AttributeError, match=r"Unable to determine the file's size\."):
        File(object()).size  # noqa: B018


def test_a_closed_file_without_a_name_cannot_be_opened_again() -> None:
    file = File(io.BytesIO())
    file.close()
    with pytest.raises(ValueError, match=r"The file cannot be reopened\."):
        file.open()


def test_str_repr_and_truth() -> None:
    assert (str(File(None)), repr(File(None)), bool(File(None))) == ("", "<File: None>", False)
    assert (str(File(None, "a")), repr(File(None, "a")), bool(File(None, "a"))) == ("a", "<File: a>", True)
    assert (repr(ContentFile(b"")), bool(ContentFile(b""))) == ("<ContentFile: Raw content>", True)


def test_temporary_files() -> None:
    with NamedTemporaryFile(suffix=".txt") as file:
        assert Path(file.name).parent == Path(gettempdir())
