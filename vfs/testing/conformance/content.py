"""The content of files, through the kernel: reads, writes, holes, sizes, mappings, and who sees what when."""

from __future__ import annotations

import errno
import mmap
import os
import random
import subprocess
import sys
import threading

import pytest

from vfs.testing.place import Place, failing, opened

BLOCK = 4096


def test_what_was_written_is_read(place: Place) -> None:
    content = random.Random(1).randbytes(1_300_007)
    (place / "file").write_bytes(content)
    assert (place / "file").read_bytes() == content
    with opened(place / "file", os.O_RDONLY) as file:
        assert os.pread(file, 100, 1_299_950) == content[1_299_950:]
        assert os.pread(file, 100, 2_000_000) == b""
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        assert os.pread(file, 70_000, 123_456) == content[123_456:193_456]


def test_writes_at_any_place_change_only_that(place: Place) -> None:
    numbers = random.Random(2)
    model = bytearray(50_000)
    (place / "file").write_bytes(model)
    with opened(place / "file", os.O_RDWR) as file:
        for _ in range(60):
            offset, data = numbers.randrange(49_000), numbers.randbytes(numbers.randrange(1, 1000))
            assert os.pwrite(file, data, offset) == len(data)
            model[offset : offset + len(data)] = data
        assert os.pread(file, 60_000, 0) == model
    assert (place / "file").read_bytes() == model


def test_a_hole_reads_as_zeros(place: Place) -> None:
    with opened(place / "file", os.O_RDWR | os.O_CREAT) as file:
        os.pwrite(file, b"end", 1_000_000)
        assert os.fstat(file).st_size == 1_000_003
    content = (place / "file").read_bytes()
    assert content == bytes(1_000_000) + b"end"


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 100_000])
def test_truncation_cuts_and_extends_with_zeros(place: Place, size: int) -> None:
    content = b"x" * (2 * BLOCK)
    expected = content[:size] + bytes(max(0, size - len(content)))
    (place / "by name").write_bytes(content)
    os.truncate(place / "by name", size)
    assert (place / "by name").read_bytes() == expected
    (place / "by handle").write_bytes(content)
    with opened(place / "by handle", os.O_RDWR) as file:
        os.ftruncate(file, size)
        assert os.fstat(file).st_size == size
        assert os.pread(file, 200_000, 0) == expected
    assert (place / "by handle").read_bytes() == expected


def test_what_was_cut_off_does_not_come_back(place: Place) -> None:
    (place / "file").write_bytes(b"x" * 10_000)
    with opened(place / "file", os.O_RDWR) as file:
        os.ftruncate(file, 100)
        os.ftruncate(file, 10_000)
        assert os.pread(file, 10_000, 0) == b"x" * 100 + bytes(9_900)
        os.ftruncate(file, 50)
        os.pwrite(file, b"y", 200)
    assert (place / "file").read_bytes() == b"x" * 50 + bytes(150) + b"y"


def test_truncation_fails_where_it_must(place: Place) -> None:
    (place / "directory").mkdir()
    with failing(errno.EISDIR):
        os.truncate(place / "directory", 0)
    with failing(errno.ENOENT):
        os.truncate(place / "missing", 0)
    (place / "file").touch()
    with failing(errno.EINVAL):
        os.truncate(place / "file", -1)


def test_one_handle_sees_what_another_wrote(place: Place) -> None:
    with opened(place / "file", os.O_RDWR | os.O_CREAT) as one, opened(place / "file", os.O_RDWR) as other:
        os.write(one, b"hello")
        assert os.fstat(other).st_size == 5
        assert os.stat(place / "file").st_size == 5
        assert os.pread(other, 10, 0) == b"hello"
        os.pwrite(other, b"J", 0)
        assert os.pread(one, 10, 0) == b"Jello"
        os.ftruncate(other, 2)
        assert os.fstat(one).st_size == 2
        assert os.pread(one, 10, 0) == b"Je"
        os.ftruncate(one, 0)
        assert os.pread(other, 10, 0) == b""


def test_the_end_is_where_another_handle_put_it(place: Place) -> None:
    with opened(place / "file", os.O_RDWR | os.O_CREAT) as one, opened(place / "file", os.O_RDWR) as other:
        os.write(one, b"12345")
        assert os.lseek(other, 0, os.SEEK_END) == 5
        os.write(other, b"67")
        assert os.lseek(one, 0, os.SEEK_END) == 7


def test_a_cursor_belongs_to_its_handle_and_to_the_copies_of_that(place: Place) -> None:
    (place / "file").write_bytes(b"0123456789")
    with opened(place / "file", os.O_RDONLY) as one, opened(place / "file", os.O_RDONLY) as other:
        copy = os.dup(one)
        assert (os.read(one, 3), os.read(other, 2), os.read(copy, 2)) == (b"012", b"01", b"34")
        os.close(copy)


def test_a_copy_of_a_descriptor_may_be_closed_before_the_writing_ends(place: Place) -> None:
    with opened(place / "file", os.O_WRONLY | os.O_CREAT) as file:
        for number in range(5):
            os.close(os.dup(file))
            os.write(file, b"%d" % number)
        os.fsync(file)
        os.write(file, b"end")
    assert (place / "file").read_bytes() == b"01234end"


def test_children_append_to_one_log_of_their_parent(place: Place) -> None:
    place.sh('{ for i in 1 2 3 4 5; do sh -c "echo begin $i; echo end $i"; done; echo done; } > log 2>&1')
    lines = (place / "log").read_text().splitlines()
    assert lines == [f"{what} {number}" for number in range(1, 6) for what in ("begin", "end")] + ["done"]


def test_children_append_at_once(place: Place) -> None:
    place.sh("for i in 1 2 3 4 5 6; do (for j in 1 2 3 4 5 6 7 8; do echo line $i $j; done) >> log & done; wait")
    lines = (place / "log").read_text().splitlines()
    assert sorted(lines) == sorted(f"line {i} {j}" for i in range(1, 7) for j in range(1, 9))


def test_forked_writers_share_a_descriptor(place: Place) -> None:
    script = (
        "import os\n"
        "file = os.open('shared', os.O_WRONLY | os.O_CREAT)\n"
        "for number in range(6):\n"
        "    if os.fork() == 0:\n"
        "        for _ in range(50): os.write(file, b'%d' % number * 99 + b'\\n')\n"
        "        os._exit(0)\n"
        "for number in range(6): assert os.wait()[1] == 0\n"
        "os.close(file)\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=place.path, check=True)
    lines = (place / "shared").read_bytes().splitlines()
    assert len(lines) == 300
    assert set(lines) == {b"%d" % number * 99 for number in range(6)}


def test_writers_in_threads_each_keep_their_part(place: Place) -> None:
    with opened(place / "file", os.O_RDWR | os.O_CREAT) as file:

        def fill(number: int) -> None:
            for part in range(10):
                os.pwrite(file, bytes([number]) * 10_000, number * 100_000 + part * 10_000)

        threads = [threading.Thread(target=fill, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (place / "file").read_bytes() == b"".join(bytes([number]) * 100_000 for number in range(6))


def test_a_shared_mapping_is_read_and_written(place: Place) -> None:
    (place / "file").write_bytes(b"a" * 3 * BLOCK)
    with opened(place / "file", os.O_RDWR) as file, mmap.mmap(file, 3 * BLOCK) as mapping:
        assert mapping[BLOCK : BLOCK + 3] == b"aaa"
        mapping[BLOCK : BLOCK + 6] = b"mapped"
        mapping.flush()
        assert os.pread(file, 6, BLOCK) == b"mapped"
    assert (place / "file").read_bytes() == b"a" * BLOCK + b"mapped" + b"a" * (2 * BLOCK - 6)


def test_a_mapping_outlives_its_descriptor(place: Place) -> None:
    (place / "file").write_bytes(bytes(BLOCK))
    with opened(place / "file", os.O_RDWR) as file:
        mapping = mmap.mmap(file, BLOCK)
    mapping[:5] = b"later"
    mapping.flush()
    mapping.close()
    assert (place / "file").read_bytes() == b"later" + bytes(BLOCK - 5)


def test_a_private_mapping_changes_nothing(place: Place) -> None:
    (place / "file").write_bytes(b"a" * BLOCK)
    with opened(place / "file", os.O_RDONLY) as file, mmap.mmap(file, BLOCK, access=mmap.ACCESS_COPY) as mapping:
        mapping[:5] = b"other"
    assert (place / "file").read_bytes() == b"a" * BLOCK


def test_a_synced_file_is_in_the_storage(place: Place) -> None:
    with opened(place / "file", os.O_WRONLY | os.O_CREAT) as file:
        os.write(file, b"synced")
        os.fsync(file)
        assert place.stored("file") == b"synced"
        os.write(file, b" twice")
        os.fdatasync(file)
        assert place.stored("file") == b"synced twice"
    with opened(place.path, os.O_RDONLY) as directory:
        os.fsync(directory)


def test_a_closed_file_is_in_the_storage(place: Place) -> None:
    (place / "file").write_bytes(b"one")
    assert place.stored("file") == b"one"
    (place / "file").write_bytes(b"another")
    assert place.stored("file") == b"another"
    os.truncate(place / "file", 3)
    assert place.stored("file") == b"ano"


def test_an_open_file_lives_on_without_its_name(place: Place) -> None:
    (place / "file").write_bytes(b"content")
    with opened(place / "file", os.O_RDWR) as file:
        os.unlink(place / "file")
        assert os.fstat(file).st_nlink == 0
        assert os.pread(file, 10, 0) == b"content"
        os.pwrite(file, b"C", 0)
        os.ftruncate(file, 4)
        assert os.pread(file, 10, 0) == b"Cont"
        assert os.fstat(file).st_size == 4
        with failing(errno.ENOENT):
            os.stat(place / "file")
        assert os.listdir(place.path) == []
    assert os.listdir(place.path) == []


def test_an_open_file_without_its_name_lives_on_when_its_directory_is_renamed_or_removed(place: Place) -> None:
    (place / "old").mkdir()
    with opened(place / "old" / "file", os.O_RDWR | os.O_CREAT) as file:
        os.write(file, b"content")
        os.unlink(place / "old" / "file")
        os.rename(place / "old", place / "new")
        os.ftruncate(file, 4)
        assert (os.fstat(file).st_size, os.fstat(file).st_nlink) == (4, 0)
        os.rmdir(place / "new")
        assert os.pread(file, 10, 0) == b"cont"
    assert os.listdir(place.path) == []


def test_an_open_file_that_is_made_again_is_another_one(place: Place) -> None:
    (place / "file").write_bytes(b"old")
    with opened(place / "file", os.O_RDWR) as old:
        os.unlink(place / "file")
        (place / "file").write_bytes(b"new")
        os.pwrite(old, b"changed", 0)
        assert os.fstat(old).st_ino != os.stat(place / "file").st_ino
        assert os.pread(old, 10, 0) == b"changed"
    assert (place / "file").read_bytes() == b"new"


def test_a_new_file_that_is_unlinked_before_its_close_never_appears(place: Place) -> None:
    with opened(place / "file", os.O_RDWR | os.O_CREAT) as file:
        os.write(file, b"secret")
        os.unlink(place / "file")
        os.fsync(file)
        assert os.pread(file, 6, 0) == b"secret"
    assert os.listdir(place.path) == []


def test_an_open_file_is_renamed_along(place: Place) -> None:
    (place / "directory").mkdir()
    with opened(place / "old", os.O_RDWR | os.O_CREAT) as file:
        os.write(file, b"before ")
        os.rename(place / "old", place / "directory" / "new")
        os.write(file, b"after")
        assert os.fstat(file).st_nlink == 1
    assert (place / "directory" / "new").read_bytes() == b"before after"
    assert os.listdir(place.path) == ["directory"]


def test_an_open_file_that_is_replaced_lives_on(place: Place) -> None:
    (place / "target").write_bytes(b"old")
    (place / "source").write_bytes(b"new")
    with opened(place / "target", os.O_RDWR) as old:
        os.rename(place / "source", place / "target")
        assert os.pread(old, 3, 0) == b"old"
        assert os.fstat(old).st_nlink == 0
        os.pwrite(old, b"OLD", 0)
    assert (place / "target").read_bytes() == b"new"


def test_the_attributes_of_an_open_file_without_a_name_can_be_changed(place: Place) -> None:
    (place / "file").write_bytes(b"x")
    with opened(place / "file", os.O_RDWR) as file:
        os.unlink(place / "file")
        os.fchmod(file, 0o640)
        os.utime(file, ns=(1_000_000_001, 2_000_000_002))
        found = os.fstat(file)
        assert (found.st_mode & 0o7777, found.st_mtime_ns) == (0o640, 2_000_000_002)
        assert os.pread(file, 1, 0) == b"x"


def test_copy_file_range_and_sendfile(place: Place) -> None:
    content = random.Random(3).randbytes(300_000)
    (place / "source").write_bytes(content)
    with opened(place / "source", os.O_RDONLY) as source:
        with opened(place / "sent", os.O_WRONLY | os.O_CREAT) as target:
            offset = 0
            while sent := os.sendfile(target, source, offset, len(content) - offset):
                offset += sent
        with opened(place / "copied", os.O_WRONLY | os.O_CREAT) as target:
            os.lseek(source, 0, os.SEEK_SET)
            while os.copy_file_range(source, target, len(content)):
                pass
    assert (place / "sent").read_bytes() == (place / "copied").read_bytes() == content


def test_room_is_reserved_or_that_is_refused(place: Place) -> None:
    """posix_fallocate: glibc writes zeros itself where the filesystem says EOPNOTSUPP."""
    with opened(place / "file", os.O_RDWR | os.O_CREAT) as file:
        try:
            os.posix_fallocate(file, 0, 10_000)
        except OSError as error:
            assert error.errno == errno.EOPNOTSUPP  # musl's own answer
        else:
            assert os.fstat(file).st_size == 10_000
