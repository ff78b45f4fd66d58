"""Shared mappings of files, through the kernel: what is stored in memory is in the file, and the reverse.

A mapping needs no descriptor. So it outlives the last close, and with it all that a filesystem is told of an open file.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from vfs.testing.libc import SharedMapping, mapped
from vfs.testing.place import Place, opened, soon

PAGE = 4096


def in_another_process(place: Place, script: str) -> str:
    """What a Python program prints that runs in the place, with `os` and `mmap` imported."""
    command = [sys.executable, "-c", f"import mmap, os\n{script}"]
    return subprocess.run(command, cwd=place.path, check=True, capture_output=True, text=True).stdout.strip()


def test_a_store_is_read_at_once_by_whoever_reads(place: Place) -> None:
    (place / "file").write_bytes(bytes(2 * PAGE))
    with opened(place / "file", os.O_RDWR) as file, opened(place / "file", os.O_RDONLY) as other:
        mapping = SharedMapping(file, 2 * PAGE)
        for number in range(5):
            mapping.store(b"store %d" % number, PAGE + number)
            assert os.pread(other, 7, PAGE + number) == b"store %d" % number
        assert in_another_process(place, f"print(open('file', 'rb').read()[{PAGE}:][:12])") == "b'ssssstore 4\\x00'"
        mapping.close()


def test_a_write_is_in_the_mapping_at_once(place: Place) -> None:
    (place / "file").write_bytes(bytes(2 * PAGE))
    with opened(place / "file", os.O_RDWR) as file:
        mapping = SharedMapping(file, 2 * PAGE)
        assert mapping[0:5] == bytes(5)
        for number in range(5):
            os.pwrite(file, b"write %d" % number, PAGE - 3)
            assert mapping[PAGE - 3 : PAGE + 4] == b"write %d" % number
        in_another_process(place, "f = os.open('file', os.O_RDWR); os.pwrite(f, b'other', 10); os.close(f)")
        assert mapping[10:15] == b"other"
        mapping.close()


def test_two_processes_share_what_they_map(place: Place) -> None:
    (place / "file").write_bytes(bytes(PAGE))
    with mapped(place / "file", PAGE) as mapping:
        script = "f = os.open('file', os.O_RDWR); m = mmap.mmap(f, 4096); os.close(f); m[9:12] = b'two'; print(m[0:3])"
        mapping.store(b"one", 0)
        assert in_another_process(place, script) == "b'one'"
        assert mapping[9:12] == b"two"
    assert (place / "file").read_bytes() == b"one" + bytes(6) + b"two" + bytes(PAGE - 12)


@pytest.mark.parametrize("size", [100, 3 * PAGE, 2_000_000])
def test_a_store_after_the_last_close_is_seen_by_the_next_open(place: Place, size: int) -> None:
    (place / "file").write_bytes(b"x" * size)
    with mapped(place / "file", size) as mapping:
        mapping.store(b"after", size - 50)
        assert (place / "file").read_bytes() == b"x" * (size - 50) + b"after" + b"x" * 45
        mapping.store(b"later", size - 60)
        with opened(place / "file", os.O_RDWR) as file:
            assert os.pread(file, 20, size - 60) == b"later" + b"x" * 5 + b"after" + b"x" * 5
            os.pwrite(file, b"write", size - 70)
            assert mapping[size - 70 : size - 65] == b"write"
        mapping.store(b"last", size - 4)
    found = (place / "file").read_bytes()
    assert found[size - 70 :] == b"write" + b"x" * 5 + b"later" + b"x" * 5 + b"after" + b"x" * 41 + b"last"
    assert os.stat(place / "file").st_size == size


def test_stores_are_kept_when_their_file_changes_its_names(place: Place) -> None:
    (place / "old").write_bytes(bytes(PAGE))
    (place / "gone").write_bytes(bytes(PAGE))
    with mapped(place / "old", PAGE) as renamed, mapped(place / "gone", PAGE) as unlinked:
        os.rename(place / "old", place / "new")
        os.unlink(place / "gone")
        renamed.store(b"content", 0)
        unlinked.store(b"unseen", 0)
        assert unlinked[0:6] == b"unseen"
    assert soon(lambda: os.listdir(place.path) == ["new"])  # storing it may take another name for a moment
    assert (place / "new").read_bytes() == b"content" + bytes(PAGE - 7)


def test_a_synced_mapping_is_in_the_file(place: Place) -> None:
    (place / "file").write_bytes(bytes(PAGE))
    with mapped(place / "file", PAGE) as mapping:
        mapping.store(b"synced", 0)
        mapping.sync()
        if place.can("local") and place.can("in place"):
            assert (place.behind / "file").read_bytes()[:6] == b"synced"
        assert (place / "file").read_bytes()[:6] == b"synced"


def test_a_file_grows_and_shrinks_under_its_mapping(place: Place) -> None:
    (place / "file").write_bytes(b"x" * 100)
    with opened(place / "file", os.O_RDWR) as file:
        mapping = SharedMapping(file, 4 * PAGE)
        os.ftruncate(file, 3 * PAGE)
        mapping.store(b"beyond", 2 * PAGE)
        assert os.pread(file, 6, 2 * PAGE) == b"beyond"
        os.ftruncate(file, 50)
        os.ftruncate(file, 3 * PAGE)
        assert mapping[0:PAGE] == b"x" * 50 + bytes(PAGE - 50), "what was cut off came back"
        assert mapping[2 * PAGE : 2 * PAGE + 6] == bytes(6)
        mapping.close()
    assert (place / "file").read_bytes() == b"x" * 50 + bytes(3 * PAGE - 50)


def test_what_lies_behind_the_end_is_no_memory(place: Place) -> None:
    (place / "file").write_bytes(bytes(PAGE))
    script = "f = os.open('file', os.O_RDWR); m = mmap.mmap(f, 4096); os.ftruncate(f, 0); m[0]"
    command = [sys.executable, "-c", f"import mmap, os\n{script}"]
    done = subprocess.run(command, cwd=place.path, check=False, capture_output=True)
    assert done.returncode == -7, "no SIGBUS"


def test_a_store_sets_the_time_of_change(place: Place) -> None:
    (place / "file").write_bytes(bytes(PAGE))
    os.utime(place / "file", ns=(10**18, 10**18))
    with opened(place / "file", os.O_RDWR) as file:
        mapping = SharedMapping(file, PAGE)
        mapping.store(b"new", 0)
        mapping.sync()
        mapping.close()
        os.fsync(file)
    assert os.stat(place / "file").st_mtime_ns > 10**18
