"""Contents: when bytes reach the storage, what a failure leaves, and that no race loses any."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import pytest
from gates import SOON, Gate, start
from kernel import SPOOLED, Verbs, files_here, filesystem_of, nodes_of

from storage import ContentFile
from vfs.names.node import Node

W = os.O_CREAT | os.O_RDWR


@pytest.fixture(params=SPOOLED)
def spooled(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Verbs]:
    """The verbs over storages that take whole objects."""
    caller = Verbs(filesystem_of(request.param, tmp_path))
    yield caller
    caller.close_all()
    caller.filesystem.close()


def stored(verbs: Verbs, name: str) -> bytes | None:
    """What the storage has, None for nothing."""
    try:
        with verbs.filesystem.storage.open(name) as file:
            data: bytes = file.read()
            return data
    except FileNotFoundError:
        return None


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[[Verbs], pytest.MonkeyPatch]:
    """Let every save fail until `undo()`."""

    def save(*_: Any, **__: Any) -> str:
        raise TimeoutError(errno.ETIMEDOUT, "the storage is down")

    def break_it(verbs: Verbs) -> pytest.MonkeyPatch:
        monkeypatch.setattr(verbs.filesystem.storage, "save", save)
        return monkeypatch

    return break_it


def spool_files(verbs: Verbs) -> list[Path]:
    return sorted(verbs.filesystem.contents.spool.directory.iterdir())


class TestSaving:
    def test_a_write_is_stored_by_the_close_and_not_before(self, spooled: Verbs) -> None:
        fd = spooled.open("f", W)
        spooled.write(fd, b"content", 0)
        assert stored(spooled, "f") is None
        assert (spooled.stat("f").size, spooled.get("f"), spooled.listdir("")) == (7, b"content", ["f"])
        spooled.close(fd)
        assert stored(spooled, "f") == b"content"
        assert spool_files(spooled) == []

    def test_fsync_stores_at_once(self, spooled: Verbs) -> None:
        fd = spooled.open("f", W)
        spooled.write(fd, b"one", 0)
        spooled.fsync(fd)
        assert stored(spooled, "f") == b"one"
        spooled.write(fd, b"two", 3)
        assert stored(spooled, "f") == b"one"
        spooled.fsync(fd)
        assert stored(spooled, "f") == b"onetwo"

    def test_a_flush_by_another_process_stores_nothing(self, spooled: Verbs) -> None:
        fd = spooled.open("f", W)
        spooled.write(fd, b"x", 0)
        another = spooled.caller._replace(pid=1)
        spooled.filesystem.flush(spooled.handle(fd), another)
        assert stored(spooled, "f") is None
        spooled.filesystem.flush(spooled.handle(fd), spooled.caller)
        assert stored(spooled, "f") == b"x"

    def test_what_was_written_after_the_last_flush_is_stored_by_the_release(self, spooled: Verbs) -> None:
        fd = spooled.open("f", W)
        handle = spooled.handle(fd)
        spooled.filesystem.flush(handle, spooled.caller)
        spooled.write(fd, b"mapped", 0)
        spooled.filesystem.release(handle)
        assert stored(spooled, "f") == b"mapped"

    def test_an_empty_file_is_stored(self, spooled: Verbs) -> None:
        spooled.put("f", b"")
        assert stored(spooled, "f") == b""

    def test_a_reader_stores_nothing(self, spooled: Verbs, broken: Callable[[Verbs], pytest.MonkeyPatch]) -> None:
        spooled.put("f", b"content")
        broken(spooled)
        assert spooled.get("f") == b"content"

    def test_a_truncate_by_name_is_stored_and_its_error_told(
        self, spooled: Verbs, broken: Callable[[Verbs], pytest.MonkeyPatch]
    ) -> None:
        spooled.put("f", b"content")
        spooled.truncate("f", 3)
        assert stored(spooled, "f") == b"con"
        broken(spooled)
        with pytest.raises(TimeoutError):
            spooled.truncate("f", 1)

    def test_mode_and_owner_survive_a_rewrite(self, verbs: Verbs) -> None:
        verbs.put("f", b"#!/bin/sh")
        with verbs.at("f") as node:
            verbs.filesystem.setattr(node, mode=0o750)
        verbs.put("f", b"#!/bin/sh -e")
        assert verbs.stat("f").mode & 0o7777 == 0o750

    def test_times_that_are_set_before_the_close_hold(self, verbs: Verbs) -> None:
        """What `cp -p` and rsync do."""
        fd = verbs.open("f", W)
        verbs.write(fd, b"content", 0)
        with verbs.at("f") as node:
            verbs.filesystem.setattr(node, atime_ns=5, mtime_ns=7_000_000_000)
        verbs.close(fd)
        assert verbs.stat("f").mtime_ns == 7_000_000_000
        verbs.put("f", b"again")
        assert verbs.stat("f").mtime_ns > 7_000_000_000

    def test_two_handles_see_each_other(self, verbs: Verbs) -> None:
        one, two = verbs.open("f", W), verbs.open("f", os.O_RDWR | os.O_APPEND)
        verbs.write(one, b"one", 0)
        verbs.write(two, b"two", 0)
        assert verbs.read(one, 99, 0) == b"onetwo"
        verbs.ftruncate(two, 4)
        assert (verbs.fstat(one).size, verbs.read(one, 99, 0)) == (4, b"onet")


class TestFailing:
    def test_the_error_reaches_the_close_and_what_was_there_is_there(
        self, spooled: Verbs, broken: Callable[[Verbs], pytest.MonkeyPatch]
    ) -> None:
        spooled.put("f", b"old")
        undo = broken(spooled)
        fd = spooled.open("f", os.O_WRONLY | os.O_TRUNC)
        spooled.write(fd, b"new", 0)
        with pytest.raises(TimeoutError):
            spooled.fsync(fd)
        with pytest.raises(TimeoutError):
            spooled.close(fd)
        undo.undo()
        assert stored(spooled, "f") == b"old"

    def test_it_stays_pending_and_is_seen_in_the_mount(
        self, spooled: Verbs, broken: Callable[[Verbs], pytest.MonkeyPatch]
    ) -> None:
        broken(spooled)
        with pytest.raises(TimeoutError):
            spooled.put("f", b"unsaved")
        assert [spooled.filesystem.tree.path(node) for node in spooled.filesystem.pending()] == ["f"]
        assert (spooled.get("f"), spooled.listdir(""), spooled.stat("f").size) == (b"unsaved", ["f"], 7)

    @pytest.mark.parametrize("retry", ["close", "fsync", "drain"])
    def test_it_is_stored_by_the_next_that_succeeds(
        self, spooled: Verbs, broken: Callable[[Verbs], pytest.MonkeyPatch], retry: str
    ) -> None:
        undo = broken(spooled)
        with pytest.raises(TimeoutError):
            spooled.put("f", b"unsaved")
        assert spooled.filesystem.drain() == ["f"]
        undo.undo()
        if retry == "drain":
            assert spooled.filesystem.drain() == []
        else:
            fd = spooled.open("f", os.O_RDWR)
            if retry == "fsync":
                spooled.fsync(fd)
            spooled.close(fd)
        assert stored(spooled, "f") == b"unsaved"
        assert (spooled.filesystem.pending(), spool_files(spooled)) == ([], [])

    def test_it_dies_with_its_name(self, spooled: Verbs, broken: Callable[[Verbs], pytest.MonkeyPatch]) -> None:
        undo = broken(spooled)
        with pytest.raises(TimeoutError):
            spooled.put("f", b"unsaved")
        spooled.unlink("f")
        undo.undo()
        assert (spooled.filesystem.drain(), stored(spooled, "f"), spooled.listdir("")) == ([], None, [])
        assert spool_files(spooled) == []

    def test_it_dies_when_its_name_is_rewritten(
        self, spooled: Verbs, broken: Callable[[Verbs], pytest.MonkeyPatch]
    ) -> None:
        undo = broken(spooled)
        with pytest.raises(TimeoutError):
            spooled.put("f", b"unsaved")
        undo.undo()
        spooled.put("new", b"new")
        spooled.rename("new", "f")
        assert (spooled.filesystem.drain(), stored(spooled, "f")) == ([], b"new")
        assert spool_files(spooled) == []

    def test_it_goes_along_with_a_rename(self, spooled: Verbs, broken: Callable[[Verbs], pytest.MonkeyPatch]) -> None:
        undo = broken(spooled)
        with pytest.raises(TimeoutError):
            spooled.put("f", b"unsaved")
        spooled.rename("f", "g")
        undo.undo()
        assert spooled.filesystem.drain() == []
        assert (stored(spooled, "f"), stored(spooled, "g")) == (None, b"unsaved")

    def test_at_the_end_it_is_kept_with_a_note(
        self, spooled: Verbs, broken: Callable[[Verbs], pytest.MonkeyPatch], caplog: pytest.LogCaptureFixture
    ) -> None:
        broken(spooled)
        with pytest.raises(TimeoutError):
            spooled.put("f", b"unsaved")
        (kept,) = spooled.filesystem.close()
        assert Path(kept).read_bytes() == b"unsaved"
        note = json.loads(Path(f"{kept}.json").read_text())
        assert (note["name"], note["state"]) == ("f", "closed")
        assert kept in caplog.text

    def test_an_open_that_truncates_and_fails_leaves_no_handle(
        self, verbs: Verbs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        verbs.put("f", b"content")
        keep = verbs.open("f", os.O_RDWR)
        file = verbs.handle(keep).file
        monkeypatch.setattr(file, "truncate", lambda size: (_ for _ in ()).throw(MemoryError()))
        with pytest.raises(MemoryError):
            verbs.open("f", os.O_WRONLY | os.O_TRUNC)
        assert file.handles == 1

    def test_a_spool_without_room_leaves_no_trace_of_a_new_file(
        self, spooled: Verbs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full() -> None:
            raise OSError(errno.ENOSPC, "no room")

        with monkeypatch.context() as patch:
            patch.setattr(spooled.filesystem.contents.spool, "open", full)
            with pytest.raises(OSError):
                spooled.open("f", W)
        assert spooled.listdir("") == []
        spooled.put("f", b"1")


class TestNamesOfUnsavedFiles:
    def test_an_unlinked_one_is_never_stored(self, spooled: Verbs) -> None:
        fd = spooled.open("f", W)
        spooled.write(fd, b"temporary", 0)
        spooled.unlink("f")
        assert spooled.read(fd, 99, 0) == b"temporary"
        assert spooled.fstat(fd).nlink == 0
        spooled.fsync(fd)
        spooled.close(fd)
        assert (stored(spooled, "f"), spool_files(spooled)) == (None, [])

    def test_an_unlinked_one_reads_on_what_was_never_fetched(self, verbs: Verbs) -> None:
        verbs.put("f", b"content")
        fd = verbs.open("f", os.O_RDONLY)
        verbs.unlink("f")
        assert verbs.read(fd, 99, 0) == b"content"

    def test_a_renamed_one_reads_on_what_was_never_fetched(self, verbs: Verbs) -> None:
        verbs.put("f", b"content")
        verbs.put("g", b"target")
        fd, target = verbs.open("f", os.O_RDONLY), verbs.open("g", os.O_RDONLY)
        verbs.rename("f", "g")
        assert (verbs.read(fd, 99, 0), verbs.read(target, 99, 0)) == (b"content", b"target")

    def test_a_renamed_one_is_stored_under_its_new_name(self, spooled: Verbs) -> None:
        fd = spooled.open("f", W)
        spooled.write(fd, b"content", 0)
        spooled.mkdir("d")
        spooled.rename("f", "d/g")
        spooled.close(fd)
        assert (stored(spooled, "f"), stored(spooled, "d/g")) == (None, b"content")

    def test_one_below_a_moved_directory_is_stored_there(self, spooled: Verbs) -> None:
        spooled.mkdir("d")
        fd = spooled.open("d/f", W)
        spooled.write(fd, b"content", 0)
        spooled.rename("d", "e")
        spooled.close(fd)
        assert (stored(spooled, "d/f"), stored(spooled, "e/f")) == (None, b"content")

    def test_what_it_replaces_is_there_until_it_is_stored(self, spooled: Verbs) -> None:
        spooled.put("f", b"old")
        fd = spooled.open("tmp", W)
        spooled.write(fd, b"new", 0)
        spooled.rename("tmp", "f")
        assert (stored(spooled, "f"), spooled.get("f")) == (b"old", b"new")
        spooled.close(fd)
        assert stored(spooled, "f") == b"new"

    def test_what_it_covers_does_not_come_back_when_it_is_unlinked(self, spooled: Verbs) -> None:
        spooled.put("f", b"old")
        fd = spooled.open("tmp", W)
        spooled.rename("tmp", "f")
        spooled.unlink("f")
        spooled.close(fd)
        assert (spooled.listdir(""), stored(spooled, "f")) == ([], None)

    def test_what_it_covers_does_not_come_back_when_it_is_renamed_on(self, spooled: Verbs) -> None:
        spooled.put("f", b"old")
        fd = spooled.open("tmp", W)
        spooled.write(fd, b"new", 0)
        spooled.rename("tmp", "f")
        spooled.rename("f", "g")
        spooled.close(fd)
        assert (spooled.listdir(""), stored(spooled, "f"), stored(spooled, "g")) == (["g"], None, b"new")

    def test_a_directory_with_one_is_not_empty(self, verbs: Verbs) -> None:
        verbs.mkdir("d")
        verbs.mkdir("e")
        fd = verbs.open("d/f", W)
        verbs.write(fd, b"content", 0)
        for remove in (lambda: verbs.rmdir("d"), lambda: verbs.rename("e", "d")):
            with pytest.raises(OSError) as caught:
                remove()
            assert caught.value.errno == errno.ENOTEMPTY
        verbs.close(fd)
        assert verbs.get("d/f") == b"content"


class TestRaces:
    """The upload is on its way while the name changes."""

    @pytest.fixture
    def uploading(self, spooled: Verbs, monkeypatch: pytest.MonkeyPatch) -> tuple[Gate, Any]:
        """A new file whose first upload has reached the storage, which has not answered yet."""
        fd = spooled.open("f", W)
        spooled.write(fd, b"content", 0)
        gate = Gate.at(monkeypatch, spooled.filesystem.storage, "replace", after=True)
        closing = start(spooled.close, fd)
        gate.wait()
        return gate, closing

    def test_a_rename_waits_and_finds_the_object(self, spooled: Verbs, uploading: tuple[Gate, Any]) -> None:
        gate, closing = uploading
        renaming = start(Verbs(spooled.filesystem).rename, "f", "g")
        assert not wait([renaming], timeout=0.05).done
        gate.open()
        closing.result(SOON)
        renaming.result(SOON)
        assert (spooled.listdir(""), stored(spooled, "f"), stored(spooled, "g")) == (["g"], None, b"content")

    def test_an_unlink_waits_and_leaves_no_object(self, spooled: Verbs, uploading: tuple[Gate, Any]) -> None:
        gate, closing = uploading
        unlinking = start(Verbs(spooled.filesystem).unlink, "f")
        assert not wait([unlinking], timeout=0.05).done
        gate.open()
        closing.result(SOON)
        unlinking.result(SOON)
        assert (spooled.listdir(""), stored(spooled, "f")) == ([], None)

    def test_a_stored_file_is_known_as_such_before_its_name_can_change(
        self, spooled: Verbs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fd = spooled.open("f", W)
        spooled.write(fd, b"content", 0)
        gate = Gate.at(monkeypatch, spooled.filesystem.names, "stored")
        closing = start(spooled.close, fd)
        gate.wait()
        renaming = start(Verbs(spooled.filesystem).rename, "f", "g")
        assert not wait([renaming], timeout=0.05).done
        gate.open()
        closing.result(SOON)
        renaming.result(SOON)
        assert (stored(spooled, "f"), stored(spooled, "g")) == (None, b"content")

    def test_a_write_during_the_upload_is_stored_by_its_own_close(
        self, spooled: Verbs, uploading: tuple[Gate, Any]
    ) -> None:
        gate, closing = uploading
        other = Verbs(spooled.filesystem)

        def append() -> None:
            fd = other.open("f", os.O_WRONLY | os.O_APPEND)
            other.write(fd, b"+more", 0)
            other.close(fd)

        appending = start(append)
        gate.open()
        closing.result(SOON)
        appending.result(SOON)
        assert stored(spooled, "f") == b"content+more"

    def test_an_unlink_that_waited_takes_the_file_that_has_the_name_now(
        self, verbs: Verbs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        verbs.put("f", b"old")
        verbs.put("tmp", b"new")
        other, third = Verbs(verbs.filesystem), Verbs(verbs.filesystem)
        gate = Gate.at(monkeypatch, verbs.filesystem.tree, "changing")
        unlinking = start(other.unlink, "f")
        gate.wait()
        third.rename("tmp", "f")
        gate.open()
        unlinking.result(SOON)
        assert verbs.listdir("") == []
        assert list(verbs.filesystem.storage.scandir("")) == []
        assert not verbs.filesystem.tree.leases
        assert not any(node.writer for node in nodes_of(verbs.filesystem.tree))

    def test_a_file_is_there_while_its_storage_replaces_it(
        self, spooled: Verbs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where save() does not overwrite, the old object is deleted before the new one has its name."""
        spooled.put("f", b"old")
        other = Verbs(spooled.filesystem)
        saving = Gate.at(monkeypatch, spooled.filesystem.storage, "_save_again")
        looking = Gate.at(monkeypatch, spooled.filesystem.storage, "stat")
        seen = start(other.stat, "f")
        looking.wait()
        closing = start(spooled.put, "f", b"newer")
        saving.wait()
        looking.open()
        assert "f" in other.listdir("")
        saving.open()
        closing.result(SOON)
        assert seen.result(SOON).size in (0, 5)

    @pytest.mark.parametrize("after", [False, True], ids=["before the storage did it", "afterwards"])
    def test_two_renames_to_a_name_that_is_free_follow_each_other(
        self, verbs: Verbs, monkeypatch: pytest.MonkeyPatch, after: bool
    ) -> None:
        """A backend's rename may be a copy, and where save() does not overwrite two at once get in each other's way."""
        verbs.put("one", b"1")
        verbs.put("two", b"2")
        gate = Gate.at(monkeypatch, verbs.filesystem.storage, "rename", after=after)
        first = start(Verbs(verbs.filesystem).rename, "one", "new")
        gate.wait()
        second = start(Verbs(verbs.filesystem).rename, "two", "new")
        looking = start(Verbs(verbs.filesystem).stat, "new")
        assert not wait([second, looking], timeout=0.05).done
        gate.open()
        first.result(SOON)
        second.result(SOON)
        assert looking.result(SOON).size == 1
        assert (verbs.listdir(""), stored(verbs, "new"), verbs.get("new")) == (["new"], b"2", b"2")
        assert (stored(verbs, "one"), stored(verbs, "two")) == (None, None)

    def test_a_new_file_waits_for_the_rename_that_takes_its_name(
        self, spooled: Verbs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        spooled.put("one", b"1")
        gate = Gate.at(monkeypatch, spooled.filesystem.storage, "rename")
        renaming = start(Verbs(spooled.filesystem).rename, "one", "new")
        gate.wait()
        making = start(Verbs(spooled.filesystem).open, "new", W | os.O_EXCL)
        assert not wait([making], timeout=0.05).done
        gate.open()
        renaming.result(SOON)
        with pytest.raises(FileExistsError):
            making.result(SOON)
        assert (spooled.listdir(""), spooled.get("new")) == (["new"], b"1")

    def test_what_was_stored_while_the_file_was_opened_is_what_the_open_sees(
        self, spooled: Verbs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        spooled.put("f", b"old")
        gate = Gate.at(monkeypatch, spooled.filesystem.storage, "open", after=True)
        late = Verbs(spooled.filesystem)
        opening = start(late.open, "f", os.O_RDWR)
        gate.wait()
        spooled.put("f", b"newer")
        gate.open()
        fd = opening.result(SOON)
        assert late.read(fd, 99, 0) == b"newer"
        late.close(fd)

    def test_an_object_that_is_being_replaced_is_not_missing_to_an_open(
        self, spooled: Verbs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        spooled.put("f", b"old")
        storage = spooled.filesystem.storage
        real = storage.open

        def opened_in_between(name: str, mode: str = "rb") -> Any:
            monkeypatch.setattr(storage, "open", real)
            spooled.put("f", b"newer")  # at some moment of which there was none
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)

        monkeypatch.setattr(storage, "open", opened_in_between)
        assert spooled.get("f") == b"newer"

    @pytest.mark.parametrize(("change", "left"), [("unlink", []), ("rename", ["g"])])
    def test_the_last_close_may_come_while_its_name_goes(
        self, spooled: Verbs, monkeypatch: pytest.MonkeyPatch, change: str, left: list[str]
    ) -> None:
        spooled.put("f", b"content")
        fd = spooled.open("f", os.O_RDONLY)
        is_within = spooled.filesystem.tree.is_within

        def close_and_ask(node: Node, directory: Node) -> bool:
            monkeypatch.undo()
            spooled.close(fd)
            return is_within(node, directory)

        monkeypatch.setattr(spooled.filesystem.tree, "is_within", close_and_ask)
        {"unlink": spooled.unlink, "rename": lambda name: spooled.rename(name, "g")}[change]("f")
        assert spooled.listdir("") == left
        with pytest.raises(KeyError):
            spooled.handle(fd)

    def test_opens_and_closes_of_one_file_by_many_threads(self, verbs: Verbs) -> None:
        """The last close lets go of the content while others open it: each sees all that was closed before."""
        verbs.put("f", b"0" * 8)

        def work(number: int) -> None:
            caller = Verbs(verbs.filesystem)
            for step in range(25):
                fd = caller.open("f", os.O_RDWR)
                caller.write(fd, b"%d" % (step % 10), number)
                assert caller.read(fd, 1, number) == b"%d" % (step % 10)
                caller.close(fd)

        for future in [start(work, number) for number in range(8)]:
            future.result(60)
        assert verbs.get("f") == b"4" * 8
        assert files_here(verbs.filesystem) == 0


def test_a_file_replaced_behind_the_mount_is_another_file_to_the_next_open(verbs: Verbs) -> None:
    verbs.put("f", b"old")
    fd = verbs.open("f", os.O_RDONLY)
    assert verbs.read(fd, 99, 0) == b"old"
    verbs.filesystem.storage.delete("f")
    verbs.filesystem.storage.save("f", ContentFile(b"newer"))
    assert verbs.read(fd, 99, 0) == b"old"
    verbs.close(fd)
    assert (verbs.get("f"), verbs.stat("f").size) == (b"newer", 5)


def test_an_open_file_deleted_behind_the_mount_still_has_attributes(verbs: Verbs) -> None:
    verbs.put("f", b"content")
    fd = verbs.open("f", os.O_RDWR)
    verbs.filesystem.storage.delete("f")
    assert verbs.fstat(fd).size == 7
    with pytest.raises(FileNotFoundError):
        verbs.stat("f")
