"""Names, through the kernel: which there can be, and what rename, unlink and rmdir do with them."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from pathlib import Path

import pytest

from vfs.testing.libc import EXCHANGE, NOREPLACE, rename2
from vfs.testing.place import Place, failing, opened

NAMES = {
    "255 bytes": b"n" * 255,
    "255 bytes of UTF-8": "\N{SNOWMAN}".encode() * 85,
    "no UTF-8": b"caf\xe9 \xff\xfe",
    "newline": b"two\nlines",
    "leading dash": b"-rf",
    "blanks": b" both ends ",
    "dots": b"...",
    "composed": "\N{LATIN SMALL LETTER E WITH ACUTE}".encode(),
    "decomposed": b"e\xcc\x81",
    "an escape": b"\x1b[31m%41*?\"'#&|",
    "a hidden one": b".hidden~",
    "what a shell expands": b"$HOME `x` {a,b}",
}


# -- which names there are


@pytest.mark.parametrize("name", NAMES.values(), ids=list(NAMES))
def test_a_name_comes_back_byte_for_byte(place: Place, name: bytes) -> None:
    if name == NAMES["no UTF-8"]:
        place.require("any bytes")
    where = os.fsencode(place.path)
    file = os.path.join(where, name)
    with open(file, "wb") as writer:
        writer.write(b"content of " + name)
    assert os.listdir(where) == [name]
    os.rename(file, os.path.join(where, b"other"))
    os.mkdir(file)
    os.rename(os.path.join(where, b"other"), os.path.join(file, name))
    with open(os.path.join(file, name), "rb") as reader:
        assert reader.read() == b"content of " + name
    assert os.listdir(file) == [name]
    os.unlink(os.path.join(file, name))
    os.rmdir(file)
    assert os.listdir(where) == []


def test_composed_and_decomposed_letters_are_two_names(place: Place) -> None:
    for name in ("composed", "decomposed"):
        Path(os.fsdecode(os.path.join(os.fsencode(place.path), NAMES[name]))).write_text(name)
    assert sorted(map(os.fsencode, os.listdir(place.path))) == sorted([NAMES["composed"], NAMES["decomposed"]])


def test_case_matters(place: Place) -> None:
    (place / "Name").write_text("upper")
    (place / "name").write_text("lower")
    assert sorted(os.listdir(place.path)) == ["Name", "name"]
    assert (place / "Name").read_text() == "upper"


def test_a_backslash_is_a_letter_or_refused(place: Place) -> None:
    """Django's backends take it for a separator, so there it cannot be kept: EINVAL."""
    if place.can("backslashes"):
        (place / "back\\slash").write_text("x")
        assert os.listdir(place.path) == ["back\\slash"]
        return
    with failing(errno.EINVAL):
        (place / "back\\slash").write_text("x")
    with failing(errno.EINVAL):
        (place / "back\\slash").mkdir()
    assert os.listdir(place.path) == []


def test_a_name_of_256_bytes_is_too_long(place: Place) -> None:
    long = "n" * 256
    (place / "file").touch()
    (place / "directory").mkdir()
    for attempt in (
        lambda: os.stat(place / long),
        lambda: (place / long).touch(),
        lambda: (place / long).mkdir(),
        lambda: os.rename(place / "file", place / long),
        lambda: os.symlink("x", place / long),
        lambda: os.link(place / "file", place / long),
        lambda: os.mkfifo(place / long),
        lambda: os.unlink(place / long),
        lambda: os.rmdir(place / long),
    ):
        with failing(errno.ENAMETOOLONG):
            attempt()
    with failing(errno.ENAMETOOLONG):
        (place / ("\N{SNOWMAN}" * 86)).touch()
    assert sorted(os.listdir(place.path)) == ["directory", "file"]


def test_a_deep_tree(place: Place) -> None:
    deep = place.path.joinpath(*["level"] * 60)
    deep.mkdir(parents=True)
    (deep / "bottom").write_text("here")
    assert (deep / "bottom").read_text() == "here"
    shutil.move(place / "level", place / "moved")
    assert place.path.joinpath("moved", *["level"] * 59, "bottom").read_text() == "here"
    shutil.rmtree(place / "moved")
    assert os.listdir(place.path) == []


# -- rename


def test_a_file_replaces_a_file(place: Place) -> None:
    (place / "old").write_bytes(b"content")
    (place / "new").write_bytes(b"what was there")
    os.rename(place / "old", place / "new")
    assert os.listdir(place.path) == ["new"]
    assert (place / "new").read_bytes() == b"content"


def test_a_file_goes_to_another_directory_with_its_attributes(place: Place) -> None:
    (place / "from").mkdir()
    (place / "to").mkdir()
    (place / "from" / "file").write_bytes(b"content")
    os.chmod(place / "from" / "file", 0o640)
    os.utime(place / "from" / "file", ns=(10**18, 10**18 + 1))
    before = os.stat(place / "from" / "file")
    os.rename(place / "from" / "file", place / "to" / "other")
    after = os.stat(place / "to" / "other")
    assert (after.st_ino, after.st_mode, after.st_mtime_ns) == (before.st_ino, before.st_mode, before.st_mtime_ns)
    assert (place / "to" / "other").read_bytes() == b"content"
    assert os.listdir(place / "from") == []


def test_a_directory_takes_along_what_is_in_it(place: Place) -> None:
    (place / "old" / "sub").mkdir(parents=True)
    (place / "old" / "sub" / "file").write_bytes(b"content")
    (place / "old" / "empty").mkdir()
    shutil.move(place / "old", place / "new")
    assert sorted(os.listdir(place / "new")) == ["empty", "sub"]
    assert (place / "new" / "sub" / "file").read_bytes() == b"content"
    assert os.listdir(place.path) == ["new"]


def test_a_directory_is_renamed_with_all_that_is_in_it(place: Place) -> None:
    (place / "old" / "below").mkdir(parents=True)
    (place / "old" / "file").write_text("x")
    (place / "old" / "below" / "file").write_text("y")
    number = os.stat(place / "old").st_ino
    with open(place / "old" / "file", "a") as file:
        os.rename(place / "old", place / "new")
        file.write("and more")
    assert os.stat(place / "new").st_ino == number
    assert (place / "new" / "file").read_text() == "xand more"
    assert (place / "new" / "below" / "file").read_text() == "y"
    assert os.listdir(place.path) == ["new"]


def test_a_file_of_a_renamed_directory_can_be_changed_at_once(place: Place) -> None:
    """Its copy, where it is one, is nobody else's change of it."""
    (place / "old").mkdir()
    for name in ("new", "old"):
        (place / "old" / "file").write_bytes(b"begin ")
        os.rename(place / "old", place / "new")
        with open(place / "new" / "file", "ab") as file:
            file.write(b"and end")
        assert (place / "new" / "file").read_bytes() == b"begin and end"
        assert os.listdir(place / "new") == ["file"]
        os.rename(place / "new", place / "old")
        with open(place / "old" / "file", "ab") as file:
            file.write(name.encode())
        assert (place / "old" / "file").read_bytes() == b"begin and end" + name.encode()
        assert os.listdir(place / "old") == ["file"]


def test_a_new_directory_can_be_renamed_before_anything_is_in_it(place: Place) -> None:
    (place / "old").mkdir()
    os.rename(place / "old", place / "new")
    (place / "new" / "file").write_text("x")
    assert os.listdir(place.path) == ["new"]
    assert os.listdir(place / "new") == ["file"]


def test_a_directory_replaces_an_empty_one_alone(place: Place) -> None:
    for name in ("one", "empty", "full"):
        (place / name).mkdir()
    (place / "full" / "file").touch()
    with failing(errno.ENOTEMPTY, errno.EEXIST):
        os.rename(place / "one", place / "full")
    os.rename(place / "one", place / "empty")
    assert sorted(os.listdir(place.path)) == ["empty", "full"]
    assert os.listdir(place / "full") == ["file"]


def test_files_and_directories_do_not_replace_each_other(place: Place) -> None:
    (place / "file").touch()
    (place / "directory").mkdir()
    with failing(errno.EISDIR):
        os.rename(place / "file", place / "directory")
    with failing(errno.ENOTDIR):
        os.rename(place / "directory", place / "file")
    assert sorted(os.listdir(place.path)) == ["directory", "file"]


def test_a_directory_does_not_go_into_itself(place: Place) -> None:
    (place / "directory" / "sub").mkdir(parents=True)
    with failing(errno.EINVAL):
        os.rename(place / "directory", place / "directory" / "sub" / "below")
    with failing(errno.ENOTEMPTY, errno.EEXIST):
        os.rename(place / "directory" / "sub", place / "directory")


def test_renaming_to_itself_does_nothing(place: Place) -> None:
    (place / "file").write_text("x")
    os.rename(place / "file", place / "file")
    assert (place / "file").read_text() == "x"


def test_renaming_what_is_missing(place: Place) -> None:
    (place / "file").touch()
    with failing(errno.ENOENT):
        os.rename(place / "missing", place / "new")
    with failing(errno.ENOENT):
        os.rename(place / "file", place / "missing" / "new")
    with failing(errno.ENOTDIR):
        os.rename(place / "file", place / "file" / "new")
    assert os.listdir(place.path) == ["file"]


def test_rename_without_replacing_is_done_or_refused(place: Place) -> None:
    """libfuse 2 knows no flags, so the kernel answers EINVAL itself there, or EEXIST by what it knows."""
    (place / "one").write_text("1")
    (place / "two").write_text("2")
    (place / "directory").mkdir()
    for taken in ("two", "directory", "one"):
        with failing(errno.EEXIST):
            rename2(place / "one", place / taken, NOREPLACE)
    with failing(errno.ENOENT):
        rename2(place / "missing", place / "three", NOREPLACE)
    if place.can("noreplace"):
        rename2(place / "one", place / "three", NOREPLACE)
        rename2(place / "three", place / "one", NOREPLACE)
    else:
        with failing(errno.EINVAL):
            rename2(place / "one", place / "three", NOREPLACE)
    assert ((place / "one").read_text(), (place / "two").read_text()) == ("1", "2")


def test_an_exchange_of_two_names_is_done_or_refused(place: Place) -> None:
    (place / "directory").mkdir()
    (place / "directory" / "below").touch()
    (place / "one").write_text("1")
    (place / "two").write_text("and two")
    if not place.can("exchange"):
        with failing(errno.EINVAL):
            rename2(place / "one", place / "two", EXCHANGE)
        assert ((place / "one").read_text(), (place / "two").read_text()) == ("1", "and two")
        return
    numbers = [os.stat(place / name).st_ino for name in ("one", "two", "directory")]
    with opened(place / "one", os.O_RDWR) as one:
        rename2(place / "one", place / "two", EXCHANGE)
        assert ((place / "one").read_text(), (place / "two").read_text()) == ("and two", "1")
        os.pwrite(one, b"!", 0)
    assert (place / "two").read_text() == "!"
    rename2(place / "one", place / "directory", EXCHANGE)
    assert (os.listdir(place / "one"), (place / "directory").read_text()) == (["below"], "and two")
    assert [os.stat(place / name).st_ino for name in ("two", "directory", "one")] == numbers
    with failing(errno.ENOENT):
        rename2(place / "one", place / "missing", EXCHANGE)
    with failing(errno.EINVAL):
        rename2(place / "one", place / "one" / "below", EXCHANGE)
    assert sorted(os.listdir(place.path)) == ["directory", "one", "two"]


def test_unknown_rename_flags_are_refused(place: Place) -> None:
    (place / "one").touch()
    for flags in (NOREPLACE | EXCHANGE, 1 << 20):
        with failing(errno.EINVAL):
            rename2(place / "one", place / "two", flags)
    assert os.listdir(place.path) == ["one"]


def test_a_file_is_there_at_every_moment_of_being_replaced(place: Place) -> None:
    """What editors and package managers rest on: write aside, then rename over."""
    (place / "file").write_text("0" * 100)
    stop = threading.Event()
    seen: list[str] = []

    def watch() -> None:
        while not stop.is_set():
            try:
                content = (place / "file").read_text()
            except OSError as error:
                if error.errno == errno.ESTALE:  # replaced twice while it was opened once: to be tried again
                    continue
                content = str(error)
            if len(set(content)) != 1 or len(content) != 100:
                seen.append(content)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for number in range(40):
            (place / "aside").write_text(str(number % 10) * 100)
            os.rename(place / "aside", place / "file")
    finally:
        stop.set()
        watcher.join()
    assert seen == []


# -- unlink and rmdir


def test_unlink_and_rmdir_take_what_they_are_for(place: Place) -> None:
    (place / "file").touch()
    (place / "directory").mkdir()
    (place / "full").mkdir()
    (place / "full" / "file").touch()
    with failing(errno.EISDIR):
        os.unlink(place / "directory")
    with failing(errno.ENOTDIR):
        os.rmdir(place / "file")
    with failing(errno.ENOTEMPTY, errno.EEXIST):
        os.rmdir(place / "full")
    for remove in (os.unlink, os.rmdir):
        with failing(errno.ENOENT):
            remove(place / "missing")
    os.unlink(place / "file")
    os.rmdir(place / "directory")
    os.unlink(place / "full" / "file")
    os.rmdir(place / "full")
    assert os.listdir(place.path) == []


def test_making_what_is_there(place: Place) -> None:
    (place / "file").touch()
    (place / "directory").mkdir()
    for name in ("file", "directory"):
        with failing(errno.EEXIST):
            os.mkdir(place / name)
    with failing(errno.ENOENT):
        os.mkdir(place / "missing" / "directory")
    with failing(errno.ENOTDIR):
        os.mkdir(place / "file" / "directory")


def test_a_directory_outlives_its_last_file(place: Place) -> None:
    (place / "directory").mkdir()
    (place / "directory" / "file").write_text("x")
    os.unlink(place / "directory" / "file")
    assert os.path.isdir(place / "directory")
    assert os.listdir(place / "directory") == []
    (place / "directory" / "file").write_text("y")
    os.rename(place / "directory" / "file", place / "file")
    assert os.listdir(place / "directory") == []
    os.rmdir(place / "directory")
    assert os.listdir(place.path) == ["file"]


def test_a_name_can_be_taken_again_by_something_else(place: Place) -> None:
    for _ in range(3):
        (place / "name").write_text("a file")
        os.unlink(place / "name")
        (place / "name").mkdir()
        (place / "name" / "below").touch()
        os.unlink(place / "name" / "below")
        os.rmdir(place / "name")
    assert os.listdir(place.path) == []


def test_the_current_directory_may_be_removed(place: Place) -> None:
    (place / "directory").mkdir()
    printed = place.sh("cd directory && rmdir ../directory && touch file", check=False)
    assert "No such file" in printed or (not place.can("inodes") and "Stale file handle" in printed)
    with opened(place.path, os.O_RDONLY) as above:
        (place / "directory").mkdir()
        with opened(place / "directory", os.O_RDONLY) as directory:
            os.rmdir("directory", dir_fd=above)
            with failing(errno.ENOENT, *([errno.ESTALE] if not place.can("inodes") else [])):
                os.mkdir("below", dir_fd=directory)
            with failing(errno.ENOENT, *([errno.ESTALE] if not place.can("inodes") else [])):
                os.open("below", os.O_CREAT | os.O_WRONLY, dir_fd=directory)
    assert os.listdir(place.path) == []


def test_missing_is_missing_until_it_is_made(place: Place) -> None:
    """What the kernel remembers of absent names must go when they are made, here or elsewhere."""
    for number in range(3):
        assert not (place / "file").exists()
        assert not (place / "file").exists()
        with opened(place / "file", os.O_CREAT | os.O_WRONLY) as file:
            os.write(file, b"%d" % number)
        assert (place / "file").exists()
        os.unlink(place / "file")
