"""Copies of whole objects: made by the storage where they can be, and right where they cannot."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from backends import ObjectStorage
from gates import SOON, Gate, start
from kernel import Verbs, files_here

from storage import ContentFile, File, VersionMismatchError
from storage.remote.django import DjangoStorage
from vfs.content.spooled import SpooledFile
from vfs.filesystem import FileSystem
from vfs.spool.spool import Spool

W = os.O_CREAT | os.O_RDWR
CONTENT = bytes(range(256)) * 16


class CopyingStorage(DjangoStorage):
    """Objects that the server can copy; notes what it is asked for, and keeps the files that it opens."""

    def __init__(self, objects: ObjectStorage) -> None:
        super().__init__(objects)
        self.calls: list[tuple[str, ...]] = []
        self.opened: list[File] = []

    def open(self, name: str, mode: str = "rb") -> File:
        self.calls.append(("open", name))
        self.opened.append(super().open(name, mode))
        return self.opened[-1]

    def replace(self, name: str, content: Any, **conditions: Any) -> Any:
        self.calls.append(("replace", name))
        return super().replace(name, content, **conditions)

    def copy(self, src: str, dst: str) -> None:
        self.calls.append(("copy", src, dst))
        self.wrapped.duplicate(src, dst)


@pytest.fixture
def storage(tmp_path: Path) -> CopyingStorage:
    return CopyingStorage(ObjectStorage(str(tmp_path / "objects.sqlite")))


@pytest.fixture
def verbs(storage: CopyingStorage, tmp_path: Path) -> Iterator[Verbs]:
    """The verbs over it, with an object `f`, of which nothing has been asked yet."""
    storage.save("f", ContentFile(CONTENT))
    caller = Verbs(FileSystem(storage, cache_seconds=0.0, spool=Spool(tmp_path / "spool")))
    yield caller
    caller.close_all()
    caller.filesystem.close()


@pytest.fixture
def copied(verbs: Verbs, storage: CopyingStorage) -> tuple[int, int]:
    """Descriptors of `f`, opened for both, and of a new `g` that was told to be a copy of it."""
    source, target = verbs.open("f", os.O_RDWR), verbs.open("g", W)
    storage.calls.clear()
    assert verbs.copy_range(source, 0, target, 0, 1 << 30) == len(CONTENT)
    return source, target


def stored(verbs: Verbs, name: str) -> bytes:
    content: bytes = verbs.filesystem.storage.wrapped.content(name)  # type: ignore[attr-defined]
    return content


def file_of(verbs: Verbs, fd: int) -> SpooledFile:
    file = verbs.handle(fd).file
    assert isinstance(file, SpooledFile)
    return file


def is_fetched(storage: CopyingStorage) -> bool:
    """Whether anything was read of the file that was opened first: `f`."""
    return storage.opened[0].closed or storage.opened[0].tell() > 0


class TestByTheStorage:
    def test_the_content_is_not_fetched(self, verbs: Verbs, storage: CopyingStorage, copied: tuple[int, int]) -> None:
        shown = verbs.fstat(copied[1])
        assert (shown.size, verbs.stat("g").size, storage.calls) == (len(CONTENT), len(CONTENT), [])
        verbs.close(copied[1])
        assert (storage.calls, is_fetched(storage)) == ([("copy", "f", "g")], False)
        assert (stored(verbs, "g"), verbs.stat("g").ino, verbs.filesystem.pending()) == (CONTENT, shown.ino, [])

    def test_the_original_may_be_closed_before(
        self, verbs: Verbs, storage: CopyingStorage, copied: tuple[int, int]
    ) -> None:
        verbs.close(copied[0])
        verbs.close(copied[1])
        assert (storage.calls, stored(verbs, "g")) == ([("copy", "f", "g")], CONTENT)
        assert (files_here(verbs.filesystem), storage.opened[0].closed) == (0, True)

    def test_a_copy_in_pieces_is_one(self, verbs: Verbs, storage: CopyingStorage) -> None:
        source, target = verbs.open("f", os.O_RDONLY), verbs.open("g", W)
        storage.calls.clear()
        offset = 0
        while count := verbs.copy_range(source, offset, target, offset, 1000):
            offset += count
        verbs.close(target)
        assert (offset, storage.calls, stored(verbs, "g")) == (len(CONTENT), [("copy", "f", "g")], CONTENT)

    def test_over_what_was_there(self, verbs: Verbs, storage: CopyingStorage) -> None:
        storage.save("g", ContentFile(b"to be overwritten"))
        source, target = verbs.open("f", os.O_RDONLY), verbs.open("g", os.O_WRONLY | os.O_TRUNC)
        storage.calls.clear()
        verbs.copy_range(source, 0, target, 0, len(CONTENT))
        verbs.close(target)
        assert (storage.calls, stored(verbs, "g")) == ([("copy", "f", "g")], CONTENT)

    @pytest.mark.parametrize("before", [None, b"to be overwritten"], ids=["new", "there"])
    def test_it_is_not_copied_over_what_somebody_else_has_stored(
        self, verbs: Verbs, storage: CopyingStorage, before: bytes | None
    ) -> None:
        if before is not None:
            storage.save("g", ContentFile(before))
        source, target = verbs.open("f", os.O_RDONLY), verbs.open("g", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        verbs.copy_range(source, 0, target, 0, len(CONTENT))
        storage.delete("g")
        storage.save("g", ContentFile(b"of somebody else"))
        storage.calls.clear()
        with pytest.raises(OSError) as caught:
            verbs.close(target)
        assert caught.value.errno == errno.ESTALE
        ((beside, content),) = [(key, stored(verbs, key)) for key in sorted(storage.wrapped.keys()) if key not in "fg"]
        assert (beside.startswith("g.conflict-"), content, stored(verbs, "g")) == (True, CONTENT, b"of somebody else")
        assert ("copy", "f", "g") not in storage.calls

    def test_it_goes_by_the_names_of_the_moment(
        self, verbs: Verbs, storage: CopyingStorage, copied: tuple[int, int]
    ) -> None:
        verbs.mkdir("d")
        verbs.rename("g", "d/h")
        verbs.close(copied[1])
        assert (stored(verbs, "d/h"), verbs.listdir(""), storage.wrapped.keys()) == (
            CONTENT, ["d", "f"], ["d/h", "f"],
        )  # fmt: skip

    def test_once_stored_it_can_still_be_read_and_written(
        self, verbs: Verbs, storage: CopyingStorage, copied: tuple[int, int]
    ) -> None:
        verbs.fsync(copied[1])
        assert storage.calls == [("copy", "f", "g")]
        verbs.fsync(copied[1])
        assert verbs.read(copied[1], 9999, 0) == CONTENT
        verbs.write(copied[1], b"new", 0)
        verbs.close(copied[1])
        assert (stored(verbs, "g"), stored(verbs, "f")) == (b"new" + CONTENT[3:], CONTENT)
        assert [call[0] for call in storage.calls] == ["copy", "replace"]

    def test_a_copy_that_is_emptied_fetches_nothing(
        self, verbs: Verbs, storage: CopyingStorage, copied: tuple[int, int]
    ) -> None:
        verbs.ftruncate(copied[1], 0)
        verbs.write(copied[1], b"new", 0)
        verbs.close(copied[1])
        assert (stored(verbs, "g"), is_fetched(storage)) == (b"new", False)

    def test_a_copy_of_a_copy(self, verbs: Verbs, storage: CopyingStorage, copied: tuple[int, int]) -> None:
        verbs.fsync(copied[1])
        third = verbs.open("h", W)
        verbs.copy_range(copied[1], 0, third, 0, len(CONTENT))
        verbs.close(third)
        assert (storage.calls, stored(verbs, "h")) == ([("copy", "f", "g"), ("copy", "g", "h")], CONTENT)


class TestByFetching:
    def test_a_read_of_the_copy(self, verbs: Verbs, storage: CopyingStorage, copied: tuple[int, int]) -> None:
        assert verbs.read(copied[1], 10, 250) == CONTENT[250:260]
        assert storage.calls == []
        verbs.close(copied[1])
        assert (storage.calls, stored(verbs, "g")) == ([("replace", "g")], CONTENT)

    @pytest.mark.parametrize("change", ["write", "append", "cut", "allocate", "empty"])
    @pytest.mark.parametrize("which", ["f", "g"])
    def test_a_change_of_either_is_not_one_of_the_other(
        self, verbs: Verbs, copied: tuple[int, int], which: str, change: str
    ) -> None:
        fd = copied["fg".index(which)]
        match change:
            case "write":
                verbs.write(fd, b"new", 3)
                changed = CONTENT[:3] + b"new" + CONTENT[6:]
            case "append":
                verbs.write(fd, b"end", len(CONTENT))
                changed = CONTENT + b"end"
            case "cut":
                verbs.ftruncate(fd, 5)
                changed = CONTENT[:5]
            case "allocate":
                verbs.allocate(fd, 0, 0, len(CONTENT) + 3)
                changed = CONTENT + bytes(3)
            case _:
                verbs.ftruncate(fd, 0)
                changed = b""
        for one in copied:
            verbs.close(one)
        expected = {"f": CONTENT, "g": CONTENT, which: changed}
        assert {name: stored(verbs, name) for name in "fg"} == expected
        assert {name: verbs.get(name) for name in "fg"} == expected
        assert files_here(verbs.filesystem) == 0

    def test_an_original_that_another_has_changed(
        self, verbs: Verbs, storage: CopyingStorage, copied: tuple[int, int]
    ) -> None:
        storage.delete("f")
        storage.save("f", ContentFile(b"changed behind the mount"))
        verbs.close(copied[1])
        assert (storage.calls, stored(verbs, "g")) == ([("replace", "g")], CONTENT)

    def test_an_original_that_had_changed_before_it_was_opened(self, verbs: Verbs, storage: CopyingStorage) -> None:
        """What was known of it when it was looked up is not what was opened."""
        verbs.filesystem.names.listings.seconds = 60.0
        with verbs.at("f") as node:
            storage.delete("f")
            storage.save("f", ContentFile(CONTENT[::-1]))
            source = verbs.filesystem.open(node, os.O_RDONLY, verbs.caller)
            target = verbs.open("g", W)
            storage.calls.clear()
            verbs.filesystem.copy_range(source, 0, verbs.handle(target), 0, len(CONTENT))
            verbs.close(target)
            verbs.filesystem.release(source)
        assert (storage.calls, stored(verbs, "g")) == ([("replace", "g")], CONTENT[::-1])

    def test_an_original_that_another_has_changed_and_that_cannot_be_read_any_more(
        self, verbs: Verbs, storage: CopyingStorage, copied: tuple[int, int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is no conflict about the name of the copy, which stays."""
        storage.delete("f")
        storage.save("f", ContentFile(b"changed behind the mount"))
        with monkeypatch.context() as patch:
            patch.setattr(file_of(verbs, copied[0]), "secure", lambda: (_ for _ in ()).throw(VersionMismatchError("f")))
            with pytest.raises(OSError, match="what it was to be a copy of has changed") as caught:
                verbs.close(copied[1])
        assert (caught.value.errno, sorted(verbs.listdir(""))) == (errno.ESTALE, ["f", "g"])

    @pytest.mark.parametrize("behind", [True, False])
    def test_an_original_that_is_gone(
        self, verbs: Verbs, storage: CopyingStorage, copied: tuple[int, int], behind: bool
    ) -> None:
        if behind:
            storage.delete("f")
        else:
            verbs.unlink("f")
        verbs.close(copied[1])
        assert (storage.calls, stored(verbs, "g")) == ([("replace", "g")], CONTENT)

    def test_an_original_that_was_renamed_or_replaced(
        self, verbs: Verbs, storage: CopyingStorage, copied: tuple[int, int]
    ) -> None:
        verbs.put("other", b"other")
        verbs.rename("other", "f")
        verbs.close(copied[1])
        assert (stored(verbs, "g"), stored(verbs, "f")) == (CONTENT, b"other")
        assert ("copy", "f", "g") not in storage.calls

    def test_a_part(self, verbs: Verbs, storage: CopyingStorage) -> None:
        source, target = verbs.open("f", os.O_RDONLY), verbs.open("g", W)
        storage.calls.clear()
        verbs.copy_range(source, 0, target, 0, 100)
        assert verbs.fstat(target).size == 100
        verbs.close(target)
        assert (storage.calls, stored(verbs, "g")) == ([("replace", "g")], CONTENT[:100])

    @pytest.mark.parametrize(("offset", "target_offset"), [(1, 0), (0, 1), (7, 7)])
    def test_pieces_that_do_not_follow_each_other(self, verbs: Verbs, offset: int, target_offset: int) -> None:
        source, target = verbs.open("f", os.O_RDONLY), verbs.open("g", W)
        verbs.copy_range(source, 0, target, 0, 5)
        verbs.copy_range(source, offset, target, target_offset, 4)
        expected = bytearray(CONTENT[:5]) + bytes(max(target_offset - 5, 0))
        expected[target_offset : target_offset + 4] = CONTENT[offset : offset + 4]
        verbs.close(target)
        assert stored(verbs, "g") == expected

    def test_pieces_of_two_files(self, verbs: Verbs) -> None:
        verbs.put("other", b"0123456789")
        one, two, target = verbs.open("f", os.O_RDONLY), verbs.open("other", os.O_RDONLY), verbs.open("g", W)
        verbs.copy_range(one, 0, target, 0, 5)
        verbs.copy_range(two, 5, target, 5, 5)
        verbs.close(target)
        assert stored(verbs, "g") == CONTENT[:5] + b"56789"

    def test_a_storage_without_versions(
        self, verbs: Verbs, storage: CopyingStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr(ObjectStorage, "get_modified_time")
        source, target = verbs.open("f", os.O_RDONLY), verbs.open("g", W)
        storage.calls.clear()
        verbs.copy_range(source, 0, target, 0, len(CONTENT))
        verbs.close(target)
        assert (storage.calls, stored(verbs, "g")) == ([("replace", "g")], CONTENT)

    def test_a_storage_that_has_only_the_slow_copy(
        self, verbs: Verbs, copied: tuple[int, int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(CopyingStorage, "copy", DjangoStorage.copy)
        verbs.close(copied[1])
        assert stored(verbs, "g") == CONTENT


class TestFailing:
    def test_a_copy_that_fails_is_pending_and_made_by_the_next_close(
        self, verbs: Verbs, storage: CopyingStorage, copied: tuple[int, int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(src: str, dst: str) -> None:
            raise TimeoutError(errno.ETIMEDOUT, "the storage is down")

        with monkeypatch.context() as patch:
            patch.setattr(storage, "copy", fail)
            with pytest.raises(TimeoutError):
                verbs.close(copied[1])
            assert [file.links[0][1] for file in verbs.filesystem.pending()] == ["g"]
        verbs.close(copied[0])
        assert verbs.filesystem.drain() == []
        assert (stored(verbs, "g"), is_fetched(storage), files_here(verbs.filesystem)) == (CONTENT, True, 0)
        assert storage.calls == [("copy", "f", "g")]

    def test_at_the_end_it_is_kept_as_what_it_was_to_be(
        self, verbs: Verbs, storage: CopyingStorage, copied: tuple[int, int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (kept,) = verbs.filesystem.close()
        assert Path(kept).read_bytes() == CONTENT
        assert json.loads(Path(f"{kept}.json").read_text())["name"] == "g"
        verbs._open.clear()

    def test_a_copy_that_cannot_be_fetched_fails_the_write_to_the_original(
        self, verbs: Verbs, copied: tuple[int, int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "no room")

        with monkeypatch.context() as patch:
            patch.setattr("vfs.spool.spool.SpoolFile.fill_from", full)
            with pytest.raises(OSError, match="no room"):
                verbs.write(copied[0], b"new", 0)
        verbs.write(copied[0], b"new", 0)
        verbs.close(copied[1])
        assert (stored(verbs, "g"), verbs.read(copied[0], 9999, 0)) == (CONTENT, b"new" + CONTENT[3:])

    def test_one_without_a_name_is_never_stored(
        self, verbs: Verbs, storage: CopyingStorage, copied: tuple[int, int]
    ) -> None:
        verbs.unlink("g")
        storage.calls.clear()
        verbs.close(copied[1])
        verbs.close(copied[0])
        assert (storage.calls, storage.wrapped.keys(), files_here(verbs.filesystem)) == ([], ["f"], 0)


class TestRaces:
    def test_a_rename_of_the_original_waits_for_the_copy(
        self, verbs: Verbs, copied: tuple[int, int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gate = Gate.at(monkeypatch, verbs.filesystem.storage, "copy")
        closing = start(verbs.close, copied[1])
        gate.wait()
        renaming = start(Verbs(verbs.filesystem).rename, "f", "h")
        gate.open()
        closing.result(SOON)
        renaming.result(SOON)
        assert (stored(verbs, "g"), stored(verbs, "h"), sorted(verbs.listdir(""))) == (CONTENT, CONTENT, ["g", "h"])

    def test_writes_to_the_original_while_it_is_copied(self, verbs: Verbs, storage: CopyingStorage) -> None:
        """Each copy is of one moment: all old bytes or all new ones in the one that is written."""

        def write() -> None:
            mine = Verbs(verbs.filesystem)
            fd = mine.open("f", os.O_RDWR)
            for number in range(40):
                mine.write(fd, bytes([number]) * len(CONTENT), 0)
                if number % 8 == 0:
                    mine.fsync(fd)
            mine.close(fd)

        def copy() -> None:
            mine = Verbs(verbs.filesystem)
            for number in range(40):
                source, target = mine.open("f", os.O_RDONLY), mine.open(f"g{number}", W | os.O_TRUNC)
                assert mine.copy_range(source, 0, target, 0, len(CONTENT)) == len(CONTENT)
                if number % 3 == 0:
                    mine.read(target, 1, 0)
                mine.close(source)
                mine.close(target)

        verbs.put("f", b"\xff" * len(CONTENT))
        for running in [start(write), start(copy)]:
            running.result(6 * SOON)
        for number in range(40):
            assert len(set(stored(verbs, f"g{number}"))) == 1
        assert files_here(verbs.filesystem) == 0
