"""The tree of the in-memory storage: POSIX's rules for times, links, names and renaming."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from storage import (
    ContentFile,
    Entry,
    InMemoryStorage,
    Kind,
    NameTooLongError,
    SuspiciousFileOperation,
)
from storage.memory import lookup


@pytest.fixture
def storage() -> InMemoryStorage:
    return InMemoryStorage()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The time, which stands still until a test changes it."""
    now = [1_000]
    monkeypatch.setattr(lookup.time, "time_ns", lambda: now[0])
    return now


def times(storage: InMemoryStorage, name: str) -> tuple[int | None, int | None, int | None]:
    entry = storage.stat(name)
    return entry.atime_ns, entry.mtime_ns, entry.ctime_ns


class TestTimes:
    def test_entries_change_the_directory(self, clock: list[int]) -> None:
        storage = InMemoryStorage()
        storage.mkdir("d")
        changes = [
            lambda: storage.create("d/f").close(),
            lambda: storage.symlink("f", "d/s"),
            lambda: storage.mknod("d/p", stat.S_IFIFO),
            lambda: storage.mkdir("d/d"),
            lambda: storage.link("d/f", "d/l"),
            lambda: storage.rename("d/l", "d/m"),
            lambda: storage.unlink("d/m"),
            lambda: storage.rmdir("d/d"),
            lambda: storage.replace("d/f", ContentFile(b"")),
        ]
        for change in changes:
            clock[0] += 10
            change()
            assert times(storage, "d") == (1_000, clock[0], clock[0])

    def test_links_change_the_inode_s_ctime_alone(self, clock: list[int]) -> None:
        storage = InMemoryStorage()
        storage.create("f").close()
        for moment, change in enumerate(
            (lambda: storage.link("f", "g"), lambda: storage.rename("g", "h"), lambda: storage.unlink("h")), 2_000
        ):
            clock[0] = moment
            change()
            assert times(storage, "f") == (1_000, 1_000, moment)

    def test_attributes_change_the_ctime_alone(self, clock: list[int]) -> None:
        storage = InMemoryStorage()
        storage.mkdir("d")
        for moment, attributes in enumerate(({"mode": 0o700}, {"uid": 5}, {"gid": 6}, {}), 2_000):
            clock[0] = moment
            storage.set_attributes("d", **attributes)
            assert times(storage, "d") == (1_000, 1_000, moment)
        entry = storage.stat("d")
        assert (entry.mode, entry.uid, entry.gid, entry.btime_ns) == (0o700, 5, 6, 1_000)

    def test_writing_and_truncating_change_mtime_and_ctime(self, clock: list[int]) -> None:
        storage = InMemoryStorage()
        with storage.create("f") as file:
            for moment, change in enumerate((lambda: file.pwrite(b"x", 5), lambda: file.truncate(6)), 2_000):
                clock[0] = moment
                change()
                assert times(storage, "f") == (1_000, moment, moment)
            clock[0] = 3_000
            file.pwrite(b"", 0)
            assert times(storage, "f")[1:] == (2_001, 2_001)

    def test_reading_is_an_access_once_after_each_change(self, clock: list[int]) -> None:
        storage = InMemoryStorage()
        with storage.create("f") as file:
            accesses = []
            for clock[0] in (2_000, 3_000, 4_000):
                file.pread(1, 0)
                accesses.append(times(storage, "f")[0])
            file.pwrite(b"x", 0)
            for clock[0] in (5_000, 6_000, 5_000 + 86_400 * 10**9 + 1):
                file.pread(1, 0)
                accesses.append(times(storage, "f")[0])
        assert accesses == [2_000, 2_000, 2_000, 5_000, 5_000, 5_000 + 86_400 * 10**9 + 1]

    def test_time_does_not_go_backwards(self, clock: list[int]) -> None:
        storage = InMemoryStorage()
        clock[0] = 500
        storage.create("f").close()
        assert times(storage, "f") == (1_000, 1_000, 1_000)


def test_an_entry_has_all_its_fields(storage: InMemoryStorage) -> None:
    storage.save("file", ContentFile(b"1"))
    for entry in (storage.stat("file"), storage.stat(""), *storage.scandir()):
        assert entry == Entry(**entry._asdict())
        assert len(entry) == len(Entry._fields)


class TestTree:
    def test_nlink_of_directories(self, storage: InMemoryStorage) -> None:
        for name in ("a", "a/x", "a/y", "b"):
            storage.mkdir(name)
        storage.create("a/file").close()
        assert [storage.stat(name).nlink for name in ("", "a", "a/x", "b")] == [4, 4, 2, 2]
        storage.rename("a/x", "b/x")
        storage.rename("a/y", "b/x")
        assert [storage.stat(name).nlink for name in ("", "a", "b", "b/x")] == [4, 2, 3, 2]
        storage.rename("a", "b/x", 2)
        assert [storage.stat(name).nlink for name in ("", "a", "b", "b/x")] == [4, 2, 3, 2]
        storage.rmdir("a")
        assert storage.stat("").nlink == 3

    def test_rename_between_two_links_of_a_file_does_nothing(self, storage: InMemoryStorage) -> None:
        storage.create("a").close()
        storage.link("a", "b")
        storage.rename("a", "b")
        assert [entry.name for entry in storage.scandir()] == ["a", "b"]

    def test_exchange_of_a_directory_with_what_is_in_it(self, storage: InMemoryStorage) -> None:
        storage.mkdir("a")
        storage.mkdir("a/b")
        for names in (("a", "a/b"), ("a/b", "a")):
            with pytest.raises(OSError, match="Invalid argument"):
                storage.rename(*names, 2)

    def test_flags(self, storage: InMemoryStorage) -> None:
        storage.create("a").close()
        with pytest.raises(OSError, match="Invalid argument"):
            storage.rename("a", "b", 3)
        with pytest.raises(NotImplementedError):
            storage.rename("a", "b", 4)

    def test_the_root_stays(self, storage: InMemoryStorage) -> None:
        storage.mkdir("d")
        for operation in (
            lambda: storage.rmdir(""),
            lambda: storage.rename("", "d/x"),
            lambda: storage.rename("d", ""),
        ):
            with pytest.raises(OSError, match="busy"):
                operation()
        with pytest.raises(FileExistsError):
            storage.mkdir("")
        with pytest.raises(IsADirectoryError):
            storage.unlink("")

    @pytest.mark.parametrize(
        ("type_bits", "kind"),
        [
            (stat.S_IFCHR, Kind.CHARACTER_DEVICE),
            (stat.S_IFBLK, Kind.BLOCK_DEVICE),
            (stat.S_IFIFO, Kind.FIFO),
            (stat.S_IFSOCK, Kind.SOCKET),
            (0, Kind.FILE),
        ],
    )
    def test_mknod_of_every_type(self, storage: InMemoryStorage, type_bits: int, kind: Kind) -> None:
        storage.mknod("node", type_bits | 0o1640, os.makedev(7, 9), uid=3, gid=4)
        entry = storage.stat("node")
        device = os.makedev(7, 9) if kind in (Kind.CHARACTER_DEVICE, Kind.BLOCK_DEVICE) else 0
        assert (entry.kind, entry.mode, entry.uid, entry.gid, entry.rdev) == (kind, 0o1640, 3, 4, device)

    @pytest.mark.parametrize(("type_bits", "code"), [(stat.S_IFDIR, errno.EPERM), (stat.S_IFLNK, errno.EINVAL)])
    def test_mknod_of_what_has_a_call_of_its_own(self, storage: InMemoryStorage, type_bits: int, code: int) -> None:
        with pytest.raises(OSError, match=os.strerror(code)) as caught:
            storage.mknod("node", type_bits)
        assert caught.value.errno == code
        assert not storage.exists("node")

    def test_a_special_file_cannot_be_opened(self, storage: InMemoryStorage) -> None:
        storage.mknod("pipe", stat.S_IFIFO)
        with pytest.raises(OSError, match=os.strerror(errno.ENXIO)):
            storage.open("pipe")

    def test_names(self, storage: InMemoryStorage) -> None:
        for name in ("x" * 256, "d/" + "é" * 128, "x" * 256 + "/y"):
            with pytest.raises(NameTooLongError):
                storage.stat(name)
        with pytest.raises(SuspiciousFileOperation):
            storage.create("\ud800")  # stands for no bytes
        with pytest.raises(SuspiciousFileOperation):
            storage.symlink("\ud800", "link")
        deep = "/".join(["d" * 200] * 5)
        storage.save(f"{deep}/f", ContentFile(b""))
        assert storage.stat(f"{deep}/f").is_file

    def test_links_that_lead_nowhere(self, storage: InMemoryStorage) -> None:
        for target, name in (("b", "a"), ("a", "b"), ("../up", "out"), ("/etc/passwd", "absolute")):
            storage.symlink(target, name)
        for name, error in (("a", OSError), ("out", FileNotFoundError), ("absolute", FileNotFoundError)):
            assert storage.exists(name)
            with pytest.raises(error):
                storage.open(name)
        assert storage.listdir("") == ([], ["a", "b", "out", "absolute"])

    def test_links_upwards_are_followed(self, storage: InMemoryStorage) -> None:
        storage.save("top/f", ContentFile(b"found"))
        storage.mkdir("other")
        storage.symlink("./../top/.", "other/link")
        assert storage.open("other/link/f").read() == b"found"
        assert storage.save("other/link/g", ContentFile(b"x")) == "top/g"

    def test_extended_attribute_flags_and_limits(self, storage: InMemoryStorage) -> None:
        storage.mkdir("d")
        with pytest.raises(OSError, match=r"."):
            storage.setxattr("d", "user.a", b"1", 2)
        storage.setxattr("d", "user.a", b"1", 1)
        with pytest.raises(FileExistsError):
            storage.setxattr("d", "user.a", b"2", 1)
        storage.setxattr("d", "user.a", b"3", 2)
        assert storage.getxattr("d", "user.a") == b"3"
        for key, value, code in (("user.b", bytes(65_537), errno.E2BIG), ("u" * 256, b"", errno.ERANGE)):
            with pytest.raises(OSError, match=os.strerror(code)):
                storage.setxattr("d", key, value)
        assert storage.listxattr("d") == ["user.a"]

    def test_a_listing_shows_the_directory_as_it_was_less_what_went(self, storage: InMemoryStorage) -> None:
        for name in "abc":
            storage.create(name).close()
        listing = storage.scandir()
        assert next(listing).name == "a"
        storage.unlink("b")
        storage.create("d").close()
        assert [entry.name for entry in listing] == ["c"]
