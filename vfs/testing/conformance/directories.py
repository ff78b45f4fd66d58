"""Listing directories, through the kernel, also while they change."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from concurrent.futures import ThreadPoolExecutor

from vfs.testing.place import Place, failing, opened

_libc = ctypes.CDLL(None, use_errno=True)
for _name in ("fdopendir", "readdir"):
    getattr(_libc, _name).restype = ctypes.c_void_p
_libc.telldir.restype = ctypes.c_long
_NAME_OFFSET = 19
"""Of d_name in glibc's `struct dirent` on 64-bit Linux."""


class Directory:
    """An open directory by C's own functions, of which Python hides the position."""

    def __init__(self, descriptor: int) -> None:
        self._stream = ctypes.c_void_p(_libc.fdopendir(os.dup(descriptor)))

    def read(self) -> str | None:
        """The next name but "." and "..", None at the end."""
        while entry := _libc.readdir(self._stream):
            name = os.fsdecode(ctypes.string_at(entry + _NAME_OFFSET))
            if name not in (".", ".."):
                return name
        return None

    def names(self) -> list[str]:
        return list(iter(self.read, None))

    def rewind(self) -> None:
        _libc.rewinddir(self._stream)

    def tell(self) -> int:
        return int(_libc.telldir(self._stream))

    def seek(self, position: int) -> None:
        _libc.seekdir(self._stream, ctypes.c_long(position))

    def close(self) -> None:
        _libc.closedir(self._stream)


def fill(place: Place, count: int) -> set[str]:
    names = {f"file {number:04}" for number in range(count)}
    for name in names:
        (place / name).touch()
    return names


def test_a_listing_has_each_name_once_with_its_kind(place: Place) -> None:
    names = fill(place, 300)
    (place / "directory").mkdir()
    listed = {entry.name: entry for entry in os.scandir(place.path)}
    assert listed.keys() == names | {"directory"}
    assert listed["directory"].is_dir(follow_symlinks=False)
    assert all(listed[name].is_file(follow_symlinks=False) for name in names)
    assert sorted(place.sh("ls -A").splitlines()) == sorted(listed)
    assert place.sh("ls -a").split("\n")[:2] == [".", ".."]


def test_an_empty_directory(place: Place) -> None:
    assert os.listdir(place.path) == []
    with failing(errno.ENOENT):
        os.listdir(place / "missing")
    (place / "file").touch()
    with failing(errno.ENOTDIR):
        os.listdir(place / "file")


def test_everything_can_be_removed_while_it_is_listed(place: Place) -> None:
    names = fill(place, 400)
    removed = set()
    for entry in os.scandir(place.path):
        os.unlink(entry.path)
        removed.add(entry.name)
    assert removed == names
    assert os.listdir(place.path) == []


def test_rm_removes_three_thousand_files(place: Place) -> None:
    count = 3000 if place.can("in place") and place.can("inodes") else 400  # libfuse takes its time
    place.sh(f"mkdir many && cd many && seq -f 'file %05g' {count} | xargs -d '\\n' touch && cd .. && rm -r many")
    assert os.listdir(place.path) == []


def test_new_names_do_not_disturb_a_listing(place: Place) -> None:
    names = fill(place, 200)
    seen = []
    for number, entry in enumerate(os.scandir(place.path)):
        seen.append(entry.name)
        if number < 100:
            (place / f"new {number}").touch()
    assert names <= set(seen)
    assert len(seen) == len(set(seen))


def test_an_open_directory_can_be_rewound(place: Place) -> None:
    names = fill(place, 150)
    with opened(place.path, os.O_RDONLY | os.O_DIRECTORY) as descriptor:
        directory = Directory(descriptor)
        assert set(directory.names()) == names
        (place / "later").touch()
        os.unlink(place / "file 0000")
        directory.rewind()
        assert set(directory.names()) == names - {"file 0000"} | {"later"}
        directory.close()


def test_a_position_in_a_directory_can_be_taken_up_again(place: Place) -> None:
    fill(place, 300)
    with opened(place.path, os.O_RDONLY | os.O_DIRECTORY) as descriptor:
        directory = Directory(descriptor)
        first = [directory.read() for _ in range(100)]
        position = directory.tell()
        rest = directory.names()
        assert len(first) + len(rest) == 300
        directory.seek(position)
        assert directory.names() == rest
        directory.rewind()
        assert [directory.read() for _ in range(100)] == first
        directory.close()


def test_a_removed_directory_that_is_open_is_empty(place: Place) -> None:
    (place / "directory").mkdir()
    with opened(place / "directory", os.O_RDONLY | os.O_DIRECTORY) as descriptor:
        os.rmdir(place / "directory")
        try:
            assert os.listdir(descriptor) == []
        except OSError as error:
            assert error.errno in (errno.ENOENT, errno.ESTALE)  # what network filesystems answer
        with failing(errno.ENOENT, errno.ESTALE):
            os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))


def test_names_are_found_relative_to_an_open_directory_that_was_renamed(place: Place) -> None:
    (place / "old").mkdir()
    (place / "old" / "file").write_text("x")
    with opened(place / "old", os.O_RDONLY | os.O_DIRECTORY) as descriptor:
        os.rename(place / "old", place / "new")
        with open(os.open("file", os.O_RDONLY, dir_fd=descriptor)) as file:
            assert file.read() == "x"
        os.mkdir("made", dir_fd=descriptor)
        os.close(os.open("written", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
    assert sorted(os.listdir(place / "new")) == ["file", "made", "written"]


def test_many_make_and_remove_in_one_directory(place: Place) -> None:
    def work(worker: int) -> None:
        for number in range(15):
            name = place / f"{worker} {number}"
            name.write_text(f"{worker}")
            os.rename(name, place / f"{worker} renamed")
            assert (place / f"{worker} renamed").read_text() == f"{worker}"
            os.mkdir(place / f"{worker} directory")
            os.rmdir(place / f"{worker} directory")
        os.unlink(place / f"{worker} renamed")

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(work, range(6)))
    assert os.listdir(place.path) == []


def test_of_many_that_make_one_directory_one_wins(place: Place) -> None:
    def make(_: int) -> bool:
        try:
            (place / "directory").mkdir()
        except FileExistsError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(make, range(24))) == 1
    assert stat.S_ISDIR(os.stat(place / "directory").st_mode)
