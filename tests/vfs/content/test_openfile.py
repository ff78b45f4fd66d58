"""Open files: in place, and through the spool."""

from __future__ import annotations

import errno
import io
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from storage import ContentFile, File, FileSystemStorage, InMemoryStorage, Storage
from storage.entry import Entry, Kind
from vfs.content.openfile import Handle, InPlaceFile
from vfs.content.spooled import SpooledFile
from vfs.names.attributes import Kept
from vfs.names.tree import Node
from vfs.spool.spool import Spool

SOON = 5.0
CONTENT = bytes(range(256)) * 16


def node() -> Node:
    return Node(1, Kind.FILE, None)


def stored(storage: Storage, name: str) -> bytes:
    with storage.open(name) as file:
        data: bytes = file.read()
    return data


class Source(File):
    """A stored file which is read in pieces, and breaks off in the midst of a first reading if told so."""

    def __init__(self, content: bytes = CONTENT, breaks: bool = False) -> None:
        super().__init__(io.BytesIO(content), "source")
        self.breaks = breaks
        self.reads = 0

    def read(self, size: int = -1) -> bytes:
        self.reads += 1
        if self.breaks and self.reads == 2:
            raise ConnectionResetError(errno.ECONNRESET, "broke off")
        data: bytes = self.file.read(min(1000, size))
        return data


@pytest.fixture
def spooled(tmp_path: Path) -> Callable[..., SpooledFile]:
    spool = Spool(tmp_path / "spool")
    storage = InMemoryStorage()
    return lambda source=None: SpooledFile(node(), storage, spool.open(), source)


class TestInPlace:
    @pytest.fixture(params=[InMemoryStorage, FileSystemStorage])
    def storage(self, request: pytest.FixtureRequest, tmp_path: Path) -> Any:
        storage = request.param(location=tmp_path)
        storage.save("f", ContentFile(b"content"))
        return storage

    def test_what_is_written_is_in_the_storage_at_once(self, storage: Any) -> None:
        file = InPlaceFile(node(), storage.open("f", "r+b"), writable=True)
        assert file.write(b"C", 0) == 1
        assert file.write(b"!", None) == 1
        assert stored(storage, "f") == b"Content!"
        file.truncate(3)
        assert (file.read(9, 0), storage.size("f"), file.entry(None).size) == (b"Con", 3, 3)
        file.sync()
        file.close()

    def test_a_reopened_one_writes_and_leaves_readers_theirs(self, storage: Any) -> None:
        reading = storage.open("f")
        file = InPlaceFile(node(), reading, writable=False)
        file.reopen(storage.open("f", "r+b"))
        assert file.write(b"C", 0) == 1
        assert reading.pread(1, 0) == b"C", "a request that reads from it is not cut off"
        file.close()
        assert reading.closed
        assert file.file.closed

    def test_appends_of_many_threads_lose_nothing(self, storage: Any) -> None:
        file = InPlaceFile(node(), storage.open("f", "r+b"), writable=True)
        file.truncate(0)

        def append(number: int) -> None:
            for _ in range(50):
                file.write(b"%d" % number * 20, None)

        threads = [threading.Thread(target=append, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SOON)
        data = file.read(10_000, 0)
        records = [data[at : at + 20] for at in range(0, len(data), 20)]
        assert sorted(records) == sorted([b"%d" % number * 20 for number in range(8)] * 50)
        file.close()


def ignore(entry: Entry) -> None:
    """Nobody is to be told."""


def unexpected(entry: Entry) -> None:
    raise AssertionError(f"stored once more: {entry}")


class TestSpooled:
    def test_nothing_is_fetched_before_it_is_needed(self, spooled: Callable[..., SpooledFile]) -> None:
        source = Source()
        file = spooled(source)
        assert (source.reads, file.dirty) == (0, False)
        assert file.read(10, 250) == CONTENT[250:260]
        assert source.closed

    def test_a_cut_to_nothing_fetches_nothing(self, spooled: Callable[..., SpooledFile]) -> None:
        source = Source()
        file = spooled(source)
        file.truncate(0)
        assert (source.reads, source.closed, file.dirty, file.read(9, 0)) == (0, True, True, b"")

    def test_a_write_changes_the_copy_alone(self, spooled: Callable[..., SpooledFile]) -> None:
        file = spooled(Source())
        file.write(b"new", 4)
        file.write(b"end", None)
        assert file.dirty
        assert file.read(9999, 0) == CONTENT[:4] + b"new" + CONTENT[7:] + b"end"

    def test_a_fetch_that_broke_off_is_begun_anew(self, spooled: Callable[..., SpooledFile]) -> None:
        """Going on where it broke off would drop the beginning, and the next write would store that."""
        file = spooled(Source(breaks=True))
        with pytest.raises(ConnectionResetError):
            file.read(1, 0)
        assert file.read(9999, 0) == CONTENT

    def test_a_failed_fetch_makes_nothing_dirty(self, spooled: Callable[..., SpooledFile]) -> None:
        file = spooled(Source(breaks=True))
        with pytest.raises(ConnectionResetError):
            file.write(b"x", 0)
        assert not file.dirty

    def test_its_entry_is_ahead_of_the_storages_while_it_is_dirty(self, spooled: Callable[..., SpooledFile]) -> None:
        known = Entry("f", Kind.FILE, 4096, mtime_ns=1, mode=0o600, blocks=8)
        file = spooled(Source())
        assert file.entry(known) == known
        file.write(b"more", None)
        shown = file.entry(known)
        assert (shown.size, shown.mode, shown.blocks) == (4100, 0o600, None)
        assert shown.mtime_ns is not None
        assert shown.mtime_ns > 1

    def test_a_write_is_later_than_a_time_that_was_set(self, spooled: Callable[..., SpooledFile]) -> None:
        file = spooled()
        file.node.kept = Kept(mode=0o600, atime_ns=1, mtime_ns=2, ctime_ns=3)
        file.write(b"x", 0)
        assert file.node.kept == Kept(mode=0o600, atime_ns=1)

    def test_a_save_stores_it_once(self, tmp_path: Path) -> None:
        storage, spool = InMemoryStorage(), Spool(tmp_path / "spool")
        file = SpooledFile(node(), storage, spool.open(), None)
        file.write(b"content", 0)
        told: list[tuple[int, bool]] = []
        file.save("d/f", lambda entry: told.append((entry.size, file.dirty)))
        assert told == [(7, True)], "dirty until everybody knows that it is stored"
        assert (stored(storage, "d/f"), file.dirty) == (b"content", False)
        file.save("d/f", unexpected)
        file.save("elsewhere", unexpected)
        assert not storage.exists("elsewhere")

    def test_a_failed_save_leaves_it_dirty(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        storage, spool = InMemoryStorage(), Spool(tmp_path / "spool")
        file = SpooledFile(node(), storage, spool.open(), None)
        file.write(b"content", 0)
        with monkeypatch.context() as patch:
            patch.setattr(
                storage, "replace", lambda *_, **__: (_ for _ in ()).throw(TimeoutError(errno.ETIMEDOUT, "no"))
            )
            with pytest.raises(TimeoutError):
                file.save("f", ignore)
        assert file.dirty
        file.save("f", ignore)
        assert stored(storage, "f") == b"content"

    def test_the_storage_may_close_what_it_is_given(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        storage, spool = InMemoryStorage(), Spool(tmp_path / "spool")
        real = storage.replace

        def closing(name: str, content: Any, **conditions: Any) -> Entry:
            entry = real(name, content, **conditions)
            content.close()
            return entry

        monkeypatch.setattr(storage, "replace", closing)
        file = SpooledFile(node(), storage, spool.open(), None)
        file.write(b"one", 0)
        file.save("f", ignore)
        file.write(b"two", None)
        file.save("f", ignore)
        assert stored(storage, "f") == b"onetwo"

    def test_a_write_waits_for_the_upload_and_is_not_lost(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        storage, spool = InMemoryStorage(), Spool(tmp_path / "spool")
        uploading, go_on = threading.Event(), threading.Event()
        real = storage.replace

        def slow(name: str, content: Any, **conditions: Any) -> Entry:
            uploading.set()
            assert go_on.wait(SOON)
            return real(name, content, **conditions)

        monkeypatch.setattr(storage, "replace", slow)
        file = SpooledFile(node(), storage, spool.open(), None)
        file.write(b"one", 0)
        saver = threading.Thread(target=file.save, args=("f", ignore))
        saver.start()
        assert uploading.wait(SOON)
        writer = threading.Thread(target=file.write, args=(b"two", None))
        writer.start()
        assert file.read(9, 0) == b"one", "a read does not wait"
        go_on.set()
        saver.join(SOON)
        writer.join(SOON)
        assert (stored(storage, "f"), file.dirty) == (b"one", True)
        file.save("f", ignore)
        assert stored(storage, "f") == b"onetwo"


@pytest.mark.parametrize(
    ("flags", "reads", "writes"),
    [(os.O_RDONLY, True, False), (os.O_WRONLY, False, True), (os.O_RDWR | os.O_APPEND, True, True)],
)
def test_a_handle_does_what_it_was_opened_for(
    spooled: Callable[..., SpooledFile], flags: int, reads: bool, writes: bool
) -> None:
    handle = Handle(spooled(), flags, 1)
    for write, allowed in ((False, reads), (True, writes)):
        if allowed:
            handle.require(write=write)
        else:
            with pytest.raises(OSError) as caught:
                handle.require(write=write)
            assert caught.value.errno == errno.EBADF
    assert handle.append is bool(flags & os.O_APPEND)
