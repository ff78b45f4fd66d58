"""Contents of the in-memory storage that the kernel writes to behind its back, by way of a lent descriptor."""

from __future__ import annotations

import copy
import errno
import fcntl
import mmap
import os
import pickle
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest

from storage import ContentFile, File, InMemoryStorage
from storage.memory import memfd, regular
from storage.memory.memfd import Memfd

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="memfds are Linux's")

_PAGE = 4096
_MIB = 1024**2


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> InMemoryStorage:
    """A storage whose memfds come back with the last close."""
    monkeypatch.setattr(regular, "LINGERING", 0)
    return InMemoryStorage()


def lent(file: File) -> int:
    """The descriptor of `file`, which there must be."""
    fd = file.content_fd()
    assert fd is not None
    return fd


def in_memfds(storage: InMemoryStorage) -> int:
    """How many contents are memfds."""
    return len(storage._tree.budget.apart)


@pytest.fixture
def mapped() -> Iterator[Callable[..., mmap.mmap]]:
    """Makes a shared mapping of a descriptor, by an open file of its own as the kernel's passthrough has one."""
    maps: list[mmap.mmap] = []

    def make(fd: int, flags: int = os.O_RDWR) -> mmap.mmap:
        own = os.open(f"/proc/self/fd/{fd}", flags)
        protection = mmap.PROT_READ if flags == os.O_RDONLY else mmap.PROT_READ | mmap.PROT_WRITE
        maps.append(mmap.mmap(own, _PAGE, mmap.MAP_SHARED, protection))
        os.close(own)
        return maps[-1]

    yield make
    for one in maps:
        one.close()


class TestLending:
    @pytest.mark.parametrize("size", [0, 1, 10_000, 10 * _MIB])
    def test_the_descriptor_is_the_content(self, storage: InMemoryStorage, size: int) -> None:
        content = os.urandom(size)
        with storage.create("f") as file:
            file.pwrite(content, 0)
            fd = lent(file)
            assert lent(file) == fd
            assert os.pread(fd, size + 1, 0) == content
            os.pwrite(fd, b"end", size)
            assert file.pread(3, size) == b"end"
            assert file.size == storage.size("f") == size + 3
            with storage.open("f", "r+b") as other:
                other.pwrite(b"more", size)
                assert os.pread(fd, 10, size) == b"more"
                other.truncate(2)
            assert os.fstat(fd).st_size == 2
        assert storage.open("f").read() == (content + b"more")[:2]

    def test_not_under_a_capacity(self, storage: InMemoryStorage) -> None:
        storage.capacity = _MIB
        with storage.create("f") as file:
            assert file.content_fd() is None

    def test_not_without_memfds(self, storage: InMemoryStorage, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Memfd, "take", lambda: None)
        with storage.create("f") as file:
            file.pwrite(b"x", 0)
            assert file.content_fd() is None
            assert file.pread(9, 0) == b"x"

    def test_it_is_closed_in_programs_that_are_run(self, storage: InMemoryStorage) -> None:
        with storage.create("f") as file:
            assert not os.get_inheritable(lent(file))

    def test_blocks_and_usage_follow(self, storage: InMemoryStorage) -> None:
        with storage.create("f") as file:
            os.pwrite(lent(file), b"x" * _MIB, 10 * _MIB)
            assert storage.usage().used == _MIB
            assert file.stat().blocks == _MIB // 512
            storage.unlink("f")
        assert storage.usage().used == 0


class TestTimes:
    def test_a_write_from_elsewhere_changes_times_and_version(self, storage: InMemoryStorage) -> None:
        with storage.create("f") as file:
            fd = lent(file)
            for _ in range(3):
                file.set_attributes(mtime_ns=1)
                before = storage.stat("f")
                assert (before.mtime_ns, file.stat()) == (1, before)
                os.pwrite(fd, b"x", 0)
                os.utime(fd, ns=(0, os.fstat(fd).st_mtime_ns + 10**9))  # a later tick, whatever the clock's resolution
                after = storage.stat("f")
                assert after.version != before.version
                assert after.mtime_ns is not None
                assert after.mtime_ns == after.ctime_ns

    def test_times_that_are_set_after_a_write_stay(self, storage: InMemoryStorage) -> None:
        with storage.create("f") as file:
            os.pwrite(lent(file), b"x", 0)
            file.set_attributes(mtime_ns=5)
            assert file.stat().mtime_ns == 5
        assert storage.stat("f").mtime_ns == 5
        assert storage.open("f").read() == b"x"

    def test_what_nobody_wrote_to_has_not_changed(self, storage: InMemoryStorage) -> None:
        storage.save("full", ContentFile(b"x"))
        storage.save("empty", ContentFile(b""))
        for name in ("full", "empty"):
            before = storage.stat(name)
            with storage.open(name, "r+b") as file:
                lent(file)
                assert storage.stat(name)._replace(blocks=before.blocks) == before
            assert storage.stat(name) == before

    def test_a_rename_is_no_write(self, storage: InMemoryStorage) -> None:
        with storage.create("f") as file:
            os.pwrite(lent(file), b"x", 0)
            written_ns = os.fstat(lent(file)).st_mtime_ns
            storage.rename("f", "g")
            entry = storage.stat("g")
        assert (entry.mtime_ns or 0) <= max(written_ns, entry.btime_ns or 0) <= (entry.ctime_ns or 0)

    def test_time_does_not_go_back_before_the_making(self, storage: InMemoryStorage) -> None:
        for number in range(100):
            with storage.create(f"{number}") as file:
                os.pwrite(lent(file), b"x", 0)
                entry = file.stat()
                assert (entry.mtime_ns or 0) >= (entry.btime_ns or 0)


class TestComingBack:
    def test_a_small_content_comes_back_with_the_last_close(self, storage: InMemoryStorage) -> None:
        with storage.create("f") as file:
            with storage.open("f", "r+b") as other:
                os.pwrite(lent(other), b"small", 0)
            assert in_memfds(storage) == 1
            assert file.pread(9, 0) == b"small"
        assert in_memfds(storage) == 0
        assert storage.open("f").read() == b"small"
        assert storage.usage().used == 5

    def test_a_large_one_stays(self, storage: InMemoryStorage) -> None:
        with storage.create("f") as file:
            os.pwrite(lent(file), b"x" * _MIB, 0)
        assert in_memfds(storage) == 1
        with storage.open("f", "r+b") as file:
            file.truncate(3)
        assert in_memfds(storage) == 0
        assert storage.open("f").read() == b"xxx"

    def test_a_million_files_need_few_descriptors(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(regular, "LINGERING", 10)
        storage, before = InMemoryStorage(), len(Memfd._open)
        for number in range(100):
            with storage.create(f"{number}") as file:
                os.pwrite(lent(file), b"%d" % number, 0)
        assert len(Memfd._open) - before == 10
        assert [storage.open(f"{number}").read() for number in range(100)] == [b"%d" % number for number in range(100)]

    def test_where_descriptors_are_few_none_are_kept_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        storage = InMemoryStorage()
        monkeypatch.setattr(Memfd, "most", 0)
        monkeypatch.setattr(memfd, "_descriptors", lambda: 2 * (len(Memfd._open) + 3))
        for number in range(10):
            with storage.create(f"{number}") as file:
                assert file.content_fd() is not None

    def test_reopened_before_its_turn_it_is_the_same_descriptor(self) -> None:
        storage = InMemoryStorage()
        with storage.create("f") as file:
            fd = lent(file)
        with storage.open("f", "r+b") as file:
            assert lent(file) == fd
        storage.unlink("f")
        with pytest.raises(OSError, match="descriptor"):
            os.fstat(fd)

    @pytest.mark.parametrize(("module", "call", "code"), [(os, "open", errno.ENOENT), (fcntl, "fcntl", errno.EINVAL)])
    def test_also_without_proc_and_without_leases(
        self, storage: InMemoryStorage, monkeypatch: pytest.MonkeyPatch, module: ModuleType, call: str, code: int
    ) -> None:
        real = getattr(module, call)

        def refusing(first: object, second: int, *rest: object) -> object:
            if second in (fcntl.F_SETLEASE, os.O_RDONLY | os.O_CLOEXEC):
                raise OSError(code, os.strerror(code))
            return real(first, second, *rest)

        with storage.create("f") as file:
            lent(file)
            monkeypatch.setattr(module, call, refusing)
        assert in_memfds(storage) == 0

    def test_what_has_no_name_just_goes(self, storage: InMemoryStorage) -> None:
        before = len(Memfd._open)
        with storage.create("f") as file:
            lent(file)
            storage.unlink("f")
        assert len(Memfd._open) == before

    @pytest.mark.parametrize("twin_of", [copy.deepcopy, lambda storage: pickle.loads(pickle.dumps(storage))])
    def test_a_copy_is_not_lent(
        self, storage: InMemoryStorage, twin_of: Callable[[InMemoryStorage], InMemoryStorage]
    ) -> None:
        with storage.create("f") as file:
            fd = lent(file)
            os.pwrite(fd, b"before", 0)
            twin = twin_of(storage)
            storage.copy("f", "g")
            os.pwrite(fd, b"after!", 0)
        assert twin.open("f").read() == storage.open("g").read() == b"before"
        assert in_memfds(twin) == 0


class TestMappings:
    def test_a_store_after_the_close_reaches_the_file(
        self, storage: InMemoryStorage, mapped: Callable[..., mmap.mmap]
    ) -> None:
        with storage.create("f") as file:
            os.ftruncate(lent(file), _PAGE)
            memory = mapped(lent(file))
        memory[:5] = b"after"
        assert storage.open("f").read(5) == b"after"
        memory[:5] = b"again"
        assert storage.open("f").read(5) == b"again"
        before = storage.stat("f").version
        memory.close()
        storage.open("f").close()
        assert in_memfds(storage) == 0
        assert storage.open("f").read(5) == b"again"
        assert storage.stat("f").version != before

    def test_by_the_lent_open_file_itself(self, storage: InMemoryStorage) -> None:
        with storage.create("f") as file:
            os.ftruncate(lent(file), _PAGE)
            memory = mmap.mmap(lent(file), _PAGE)
        memory[:5] = b"after"
        assert storage.open("f").read(5) == b"after"
        memory.close()
        storage.create("another").close()
        storage.open("f").close()
        assert in_memfds(storage) == 0

    def test_one_that_only_reads_sees_what_is_written_later(
        self, storage: InMemoryStorage, mapped: Callable[..., mmap.mmap]
    ) -> None:
        storage.save("f", ContentFile(b"x" * _PAGE))
        with storage.open("f") as file:
            memory = mapped(lent(file), os.O_RDONLY)
        with storage.open("f", "r+b") as file:
            file.pwrite(b"later", 0)
        assert memory[:5] == b"later"

    def test_closing_any_file_gives_those_a_turn_that_were_mapped(
        self, storage: InMemoryStorage, mapped: Callable[..., mmap.mmap]
    ) -> None:
        with storage.create("f") as file:
            os.ftruncate(lent(file), _PAGE)
            memory = mapped(lent(file))
        assert in_memfds(storage) == 1
        memory.close()
        with storage.create("another") as file:
            lent(file)
        assert in_memfds(storage) == 0

    def test_a_descriptor_that_outlives_all_is_refused_not_lost(self, storage: InMemoryStorage) -> None:
        with storage.create("f") as file:
            stray = os.dup(lent(file))
        try:
            with pytest.raises(PermissionError):
                os.pwrite(stray, b"x", 0)
        finally:
            os.close(stray)


def test_what_nobody_can_have_mapped_comes_back_at_the_close(storage: InMemoryStorage) -> None:
    file = storage.create("file")
    fd = file.content_fd(mappable=False)
    assert fd is not None
    os.pwrite(fd, b"content", 0)
    file.close()
    assert isinstance(storage._tree.find("file").data, bytes)
    assert storage.open("file").read() == b"content"


def test_a_descriptor_that_was_given_back_is_empty_for_the_next(storage: InMemoryStorage) -> None:
    for number in range(3):
        file = storage.create(f"file{number}")
        fd = file.content_fd(mappable=False)
        assert fd is not None
        assert os.fstat(fd).st_size == 0
        assert file.stat().size == 0
        os.pwrite(fd, b"x" * (300 - 100 * number), 0)
        file.close()
        assert storage.stat(f"file{number}").size == 300 - 100 * number
    assert [storage.open(f"file{number}").read() for number in range(3)] == [b"x" * 300, b"x" * 200, b"x" * 100]


def test_once_it_may_be_mapped_it_comes_back_only_when_it_is_not(storage: InMemoryStorage) -> None:
    first, second = storage.create("file"), storage.open("file", "r+b")
    private = first.content_fd(mappable=False)
    fd = lent(second)
    assert private == fd
    os.ftruncate(fd, 4096)
    with mmap.mmap(fd, 4096) as mapped:
        first.close()
        second.close()
        mapped[:5] = b"later"
        assert storage.open("file").read(5) == b"later"


def test_a_large_content_stays_where_it_is(storage: InMemoryStorage) -> None:
    file = storage.create("file")
    fd = file.content_fd(mappable=False)
    assert fd is not None
    os.ftruncate(fd, 1 << 20)
    file.close()
    assert isinstance(storage._tree.find("file").data, Memfd)
