"""The way to the storage: conflicts, what failed, write-back."""

from __future__ import annotations

import errno
import itertools
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from gates import SOON, Gate, start
from kernel import Verbs, content_of, files_here
from versioned import VersionedStorage

from storage import ContentFile, VersionMismatchError
from storage.names import join_name
from vfs.filesystem import FileSystem
from vfs.spool.journal import Note, State
from vfs.spool.spool import Spool

OLD, NEW, OTHER = b"old content", b"what is new", b"of somebody else"
W = os.O_CREAT | os.O_WRONLY


class Mounts:
    """Mounts of one storage, side by side."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        (folder / "objects").mkdir()
        (folder / "faults").mkdir()
        self.storage = VersionedStorage(folder / "objects", str(folder / "faults"))
        self._stack = stack
        self._count = 0

    def __call__(self, *, limit: int | None = None, **options: Any) -> Verbs:
        self._count += 1
        spool = Spool(self.folder / f"spool-{self._count}", limit=limit)
        verbs = Verbs(FileSystem(self.storage, cache_seconds=0.0, spool=spool, **options))
        self._stack.callback(verbs.filesystem.close)
        self._stack.callback(verbs.close_all)
        return verbs

    def content(self, name: str) -> bytes | None:
        return content_of(self.storage, name)

    def beside(self, directory: str = "") -> dict[str, bytes | None]:
        names = [entry.name for entry in self.storage.scandir(directory) if ".conflict-" in entry.name]
        return {name: self.content(join_name(directory, name)) for name in names}

    def fail(self, code: str) -> None:
        (self.folder / "faults" / "replace").write_text(code)

    def mend(self) -> None:
        (self.folder / "faults" / "replace").unlink()


@pytest.fixture
def mounts(tmp_path: Path) -> Iterator[Mounts]:
    with ExitStack() as stack:
        yield Mounts(tmp_path, stack)


def no_room(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSPC, "no room")


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def notes(verbs: Verbs) -> list[str]:
    return sorted(path.name for path in verbs.filesystem.contents.spool.directory.glob("*.json"))


def pending(verbs: Verbs) -> list[tuple[str, str]]:
    return [(line["name"], line["error"]) for line in verbs.filesystem.contents.uploads.report()]


def leave_unsaved(mounts: Mounts, verbs: Verbs, *names: str) -> None:
    """Close files that cannot be stored just then."""
    mounts.fail("EIO")
    for name in names:
        with pytest.raises(OSError):
            verbs.put(name, NEW)
    mounts.mend()


def lose_answers(patch: pytest.MonkeyPatch, mounts: Mounts) -> None:
    """Let each upload arrive, and seem to fail."""
    real = mounts.storage.replace

    def lost(*args: Any, **conditions: Any) -> Any:
        real(*args, **conditions)
        raise ConnectionResetError(errno.ECONNRESET, "reset")

    patch.setattr(mounts.storage, "replace", lost)


def close_is_stale(verbs: Verbs, fd: int) -> None:
    with pytest.raises(OSError) as caught:
        verbs.close(fd)
    assert caught.value.errno == errno.ESTALE


class TestConflicts:
    @pytest.fixture(params=["new", "there"])
    def both(self, request: pytest.FixtureRequest, mounts: Mounts) -> tuple[Verbs, Verbs, int, int]:
        """Two mounts that have the same file open, and have written to it."""
        if request.param == "there":
            mounts.storage.replace("f", ContentFile(OLD))
        one, two = mounts(), mounts()
        first, second = one.open("f", W), two.open("f", W)
        one.write(first, NEW, 0)
        two.write(second, OTHER, 0)
        return one, two, first, second

    def test_the_second_close_fails_and_its_content_is_kept_beside(
        self, mounts: Mounts, both: tuple[Verbs, Verbs, int, int]
    ) -> None:
        one, two, first, second = both
        one.close(first)
        close_is_stale(two, second)
        ((name, content),) = mounts.beside().items()
        assert (mounts.content("f"), content, name.startswith("f.conflict-")) == (NEW, OTHER, True)
        assert (two.get("f"), two.get(name), sorted(two.listdir(""))) == (NEW, OTHER, ["f", name])
        (told,) = two.filesystem.contents.uploads.conflicts
        assert (told["name"], told["kept_as"]) == ("f", name)
        assert two.filesystem.contents.uploads.events.report() == {"upload": {"conflict": 1, "stored": 1}}
        assert (pending(two), notes(two), files_here(two.filesystem)) == ([], [], 0)

    def test_what_is_written_on_goes_beside_as_well(self, mounts: Mounts, both: tuple[Verbs, Verbs, int, int]) -> None:
        one, two, first, second = both
        one.close(first)
        with pytest.raises(OSError):
            two.fsync(second)
        two.write(second, b"!", len(OTHER))
        two.close(second)
        assert (mounts.content("f"), list(mounts.beside().values())) == (NEW, [OTHER + b"!"])

    def test_the_same_content_is_no_conflict(self, mounts: Mounts, both: tuple[Verbs, Verbs, int, int]) -> None:
        one, two, first, second = both
        one.write(first, OTHER, 0)
        one.close(first)
        two.close(second)
        assert (mounts.content("f"), mounts.beside()) == (OTHER, {})

    def test_what_cannot_be_kept_beside_is_pending_under_that_name(
        self, mounts: Mounts, both: tuple[Verbs, Verbs, int, int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one, two, first, second = both
        one.close(first)
        real = mounts.storage.replace

        def full(name: str, *args: Any, **conditions: Any) -> Any:
            if ".conflict-" in name:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(name, *args, **conditions)

        with monkeypatch.context() as patch:
            patch.setattr(mounts.storage, "replace", full)
            close_is_stale(two, second)
            ((name, error),) = pending(two)
            assert (name.startswith("f.conflict-"), error, two.get("f")) == (True, os.strerror(errno.ENOSPC), NEW)
        assert two.filesystem.drain() == []
        assert mounts.beside() == {name: OTHER}

    def test_the_last_writer_wins_where_that_is_wanted(self, mounts: Mounts) -> None:
        mounts.storage.replace("f", ContentFile(OLD))
        verbs = mounts(overwrites=True)
        fd = verbs.open("f", W)
        verbs.write(fd, NEW, 0)
        mounts.storage.replace("f", ContentFile(OTHER))
        verbs.close(fd)
        assert (mounts.content("f"), mounts.beside()) == (NEW, {})

    def test_it_does_not_win_when_it_comes_late(self, mounts: Mounts) -> None:
        """Whose close has failed is not the last writer any more when it is tried again."""
        verbs = mounts(overwrites=True)
        mounts.fail("ETIMEDOUT")
        with pytest.raises(TimeoutError):
            verbs.put("f", NEW)
        mounts.mend()
        mounts.storage.replace("f", ContentFile(OTHER))
        assert verbs.filesystem.drain() == []
        assert (mounts.content("f"), list(mounts.beside().values())) == (OTHER, [NEW])

    @pytest.mark.parametrize("change", ["rename", "attributes", "rename over", "directory"])
    def test_what_the_mount_does_itself_is_none(self, mounts: Mounts, change: str) -> None:
        verbs = mounts()
        verbs.mkdir("d")
        verbs.put("d/f", OLD)
        verbs.put("g", b"to be replaced")
        fd = verbs.open("d/f", os.O_WRONLY)
        name = "d/f"
        match change:
            case "rename":
                verbs.rename("d/f", "d/h")
                name = "d/h"
            case "attributes":
                with verbs.at("d/f") as node:
                    verbs.filesystem.setattr(node, mode=0o600)
            case "rename over":
                verbs.rename("d/f", "g")
                name = "g"
            case "directory":
                verbs.rename("d", "e")
                name = "e/f"
        verbs.write(fd, NEW, 0)
        verbs.close(fd)
        assert (mounts.content(name), mounts.beside()) == (NEW, {})

    def test_an_unsaved_file_that_is_renamed_over_another_takes_its_place(self, mounts: Mounts) -> None:
        mounts.storage.replace("g", ContentFile(OLD))
        verbs = mounts()
        fd = verbs.open("f", W)
        verbs.write(fd, NEW, 0)
        verbs.rename("f", "g")
        verbs.close(fd)
        assert (mounts.content("g"), mounts.content("f"), mounts.beside()) == (NEW, None, {})

    def test_renamed_once_more_it_takes_along_what_it_was_to_replace(self, mounts: Mounts) -> None:
        mounts.storage.replace("g", ContentFile(OLD))
        verbs = mounts()
        fd = verbs.open("f", W)
        verbs.write(fd, NEW, 0)
        verbs.rename("f", "g")
        verbs.rename("g", "h")
        assert mounts.content("g") is None
        verbs.close(fd)
        assert (mounts.content("h"), mounts.beside()) == (NEW, {})

    @pytest.mark.parametrize("is_covering", [False, True])
    def test_a_rename_of_an_unsaved_file_leaves_what_somebody_else_has_stored(
        self, mounts: Mounts, is_covering: bool
    ) -> None:
        verbs = mounts()
        fd = verbs.open("f", W)
        verbs.write(fd, NEW, 0)
        if is_covering:
            mounts.storage.replace("g", ContentFile(OLD))
            verbs.rename("f", "g")
        else:
            verbs.rename("f", "g")
        mounts.storage.replace("g", ContentFile(OTHER))
        verbs.rename("g", "h")
        verbs.close(fd)
        assert (mounts.content("g"), mounts.content("h"), mounts.beside()) == (OTHER, NEW, {})

    def test_a_rename_takes_along_what_an_upload_brought_that_seemed_to_fail(
        self, mounts: Mounts, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        verbs = mounts()
        with monkeypatch.context() as patch:
            lose_answers(patch, mounts)
            with pytest.raises(ConnectionResetError):
                verbs.put("f", NEW)
        verbs.rename("f", "g")
        assert (mounts.content("f"), verbs.filesystem.drain(), mounts.content("g")) == (None, [], NEW)

    @pytest.mark.parametrize("is_moved", [False, True], ids=["", "in a directory that is renamed"])
    def test_it_does_not_take_that_of_what_somebody_else_has_stored(self, mounts: Mounts, is_moved: bool) -> None:
        mounts.storage.replace("d/g", ContentFile(OLD))
        verbs = mounts()
        first, second = verbs.open("first", W), verbs.open("second", W)
        verbs.rename("first", "d/g")
        verbs.rename("second", "d/g")
        mounts.storage.replace("d/g", ContentFile(OTHER))
        if is_moved:
            verbs.rename("d", "e")
        directory = "e" if is_moved else "d"
        verbs.write(second, NEW, 0)
        verbs.close(first)
        with pytest.raises(VersionMismatchError):
            verbs.close(second)
        assert (mounts.content(f"{directory}/g"), list(mounts.beside(directory).values())) == (OTHER, [NEW])

    def test_an_upload_whose_answer_was_lost_is_not_one(self, mounts: Mounts, monkeypatch: pytest.MonkeyPatch) -> None:
        mounts.storage.replace("f", ContentFile(OLD))
        verbs = mounts()
        with monkeypatch.context() as patch:
            lose_answers(patch, mounts)
            with pytest.raises(ConnectionResetError):
                verbs.put("f", NEW)
        assert (verbs.filesystem.drain(), mounts.content("f"), mounts.beside()) == ([], NEW, {})

    @pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_WRONLY | os.O_TRUNC])
    def test_nor_is_what_an_upload_brought_that_seemed_to_fail(
        self, mounts: Mounts, monkeypatch: pytest.MonkeyPatch, flags: int
    ) -> None:
        verbs = mounts()
        fd = verbs.open("f", W)
        verbs.write(fd, OLD, 0)
        with monkeypatch.context() as patch:
            lose_answers(patch, mounts)
            with pytest.raises(ConnectionResetError):
                verbs.fsync(fd)
        again = verbs.open("f", flags)
        verbs.write(again, NEW, 0)
        verbs.close(again)
        assert (mounts.content("f"), mounts.beside()) == (NEW, {})

    def test_nor_is_what_the_second_of_such_uploads_brought(
        self, mounts: Mounts, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        verbs = mounts()
        fd = verbs.open("f", W)
        verbs.write(fd, OLD, 0)
        mounts.fail("EIO")
        with pytest.raises(OSError):
            verbs.fsync(fd)
        mounts.mend()
        verbs.write(fd, OTHER, 0)
        with monkeypatch.context() as patch:
            lose_answers(patch, mounts)
            with pytest.raises(ConnectionResetError):
                verbs.fsync(fd)
        assert mounts.content("f") == OTHER
        verbs.write(fd, NEW, 0)
        verbs.ftruncate(fd, len(NEW))
        verbs.close(fd)
        assert (mounts.content("f"), mounts.beside()) == (NEW, {})

    def test_one_that_is_renamed_meanwhile_is_pending_under_its_new_name(
        self, mounts: Mounts, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mounts.storage.replace("f", ContentFile(OLD))
        verbs = mounts(retries=True)
        fd = verbs.open("f", os.O_WRONLY)
        verbs.write(fd, NEW, 0)
        mounts.storage.replace("f", ContentFile(OTHER))
        uploads = verbs.filesystem.contents.uploads
        gate = Gate.at(monkeypatch, uploads, "_keep_beside")
        closing = start(verbs.fsync, fd)
        gate.wait()
        verbs.rename("f", "g")
        monkeypatch.setattr(uploads._background, "schedule", lambda key, pause, work: scheduled.append(key))
        scheduled: list[Any] = []
        gate.open()
        with pytest.raises(VersionMismatchError):
            closing.result(SOON)
        assert [name for name, error in pending(verbs) if error] == ["g"]
        assert verbs.handle(fd).file in scheduled


class TestWhatFailed:
    def test_it_is_shown_with_its_error_and_tried_again_by_itself(self, mounts: Mounts) -> None:
        verbs = mounts(retries=True)
        mounts.fail("EDQUOT")
        with pytest.raises(OSError):
            verbs.put("f", NEW)
        (line,) = verbs.filesystem.contents.uploads.report()
        assert (line["name"], line["bytes"], line["error"]) == ("f", len(NEW), os.strerror(errno.EDQUOT))
        assert (0 <= line["age"] < SOON, line["open"]) == (True, False)
        mounts.mend()
        wait_for(lambda: mounts.content("f") == NEW)
        wait_for(lambda: not files_here(verbs.filesystem))
        assert (pending(verbs), notes(verbs)) == ([], [])
        assert verbs.filesystem.contents.uploads.events.report()["upload"]["stored"] == 1
        assert verbs.filesystem.contents.uploads.events.report()["upload"]["failed"] >= 1

    def test_the_pauses_grow_and_the_log_hears_of_it_once(
        self, mounts: Mounts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        verbs = mounts(retries=True)
        uploads = verbs.filesystem.contents.uploads
        pauses: list[float] = []
        monkeypatch.setattr(uploads._background, "schedule", lambda key, pause, work: pauses.append(pause))
        mounts.fail("EIO")
        fd = verbs.open("f", W)
        for _ in range(10):
            with pytest.raises(OSError):
                verbs.fsync(fd)
        assert all(2**n / 2 <= pause <= 2**n for n, pause in enumerate(pauses[:6]))
        assert all(30 <= pause <= 60 for pause in pauses[7:])
        verbs.filesystem.drain()
        (told,) = caplog.messages
        assert told.startswith("not stored, tried again in ")
        assert told.endswith(f"'f', 0 bytes: {os.strerror(errno.EIO)}")

    @pytest.mark.parametrize("death", ["unlink", "rename"])
    def test_it_dies_with_its_name(self, mounts: Mounts, death: str) -> None:
        verbs = mounts()
        mounts.fail("EIO")
        with pytest.raises(OSError):
            verbs.put("f", NEW)
        mounts.mend()
        assert len(notes(verbs)) == 1
        if death == "unlink":
            verbs.unlink("f")
        else:
            verbs.put("g", OTHER)
            verbs.rename("g", "f")
        assert (pending(verbs), notes(verbs)) == ([], [])
        assert verbs.filesystem.drain() == []
        assert mounts.content("f") == (None if death == "unlink" else OTHER)

    def test_an_unlink_that_fails_lets_it_live(self, mounts: Mounts, monkeypatch: pytest.MonkeyPatch) -> None:
        verbs = mounts()
        mounts.fail("EIO")
        with pytest.raises(OSError):
            verbs.put("f", NEW)
        mounts.mend()
        with monkeypatch.context() as patch:
            patch.setattr(mounts.storage, "unlink", lambda name: (_ for _ in ()).throw(TimeoutError()))
            with pytest.raises(TimeoutError):
                verbs.unlink("f")
        assert len(notes(verbs)) == 1
        assert (verbs.filesystem.drain(), mounts.content("f")) == ([], NEW)

    def test_it_has_its_new_name_though_there_is_no_room_to_note_that(
        self, mounts: Mounts, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        verbs = mounts()
        leave_unsaved(mounts, verbs, "f", "g")
        with monkeypatch.context() as patch:
            patch.setattr(Note, "write", no_room)
            verbs.rename("f", "g")
        assert (pending(verbs), verbs.listdir("")) == ([("g", os.strerror(errno.EIO))], ["g"])
        assert (verbs.filesystem.drain(), mounts.content("f"), mounts.content("g")) == ([], None, NEW)

    @pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_WRONLY | os.O_TRUNC], ids=["", "O_TRUNC"])
    def test_what_cannot_be_begun_changes_nothing(
        self, mounts: Mounts, monkeypatch: pytest.MonkeyPatch, flags: int
    ) -> None:
        mounts.storage.replace("f", ContentFile(OLD))
        verbs = mounts()
        with monkeypatch.context() as patch:
            patch.setattr(Spool, "open", no_room)
            with pytest.raises(OSError, match="no room"):
                verbs.truncate("f", 0)
            with pytest.raises(OSError, match="no room"):
                verbs.write(verbs.open("f", flags), NEW, 0)
        verbs.close_all()
        assert (pending(verbs), verbs.filesystem.drain(), mounts.content("f")) == ([], [], OLD)

    def test_a_drain_ends_in_time_though_the_storage_hangs(
        self, mounts: Mounts, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        verbs = mounts()
        leave_unsaved(mounts, verbs, "f", "g")
        gate = Gate.at(monkeypatch, mounts.storage, "replace")
        began = time.monotonic()
        assert verbs.filesystem.drain(0.2) in (["f"], ["g"])
        assert time.monotonic() - began < SOON
        gate.open()
        wait_for(lambda: (mounts.content("f"), mounts.content("g")) == (NEW, NEW))
        assert verbs.filesystem.drain() == []


class TestWhatIsBeingWritten:
    """By somebody who has not closed it: a dump that is half done."""

    def test_a_drain_leaves_it_to_its_close(self, mounts: Mounts) -> None:
        mounts.storage.replace("f", ContentFile(OLD))
        verbs = mounts()
        fd = verbs.open("f", os.O_WRONLY | os.O_TRUNC)
        verbs.write(fd, NEW[:3], 0)
        assert (verbs.filesystem.drain(), mounts.content("f")) == ([], OLD)
        verbs.write(fd, NEW, 0)
        verbs.close(fd)
        assert mounts.content("f") == NEW

    def test_what_was_to_be_stored_by_fsync_is_not_left(self, mounts: Mounts) -> None:
        verbs = mounts()
        fd = verbs.open("f", W)
        verbs.write(fd, NEW, 0)
        mounts.fail("EIO")
        with pytest.raises(OSError):
            verbs.fsync(fd)
        mounts.mend()
        assert (verbs.filesystem.drain(), mounts.content("f")) == ([], NEW)

    def test_at_the_end_of_the_mount_it_stays_in_the_spool_as_that(self, mounts: Mounts) -> None:
        mounts.storage.replace("f", ContentFile(OLD))
        verbs = mounts()
        verbs.write(verbs.open("f", os.O_WRONLY | os.O_TRUNC), NEW[:3], 0)
        (kept,) = verbs.filesystem.close()
        note = Note.read(Path(f"{kept}.json"))
        assert note is not None
        assert (note.state, Path(kept).read_bytes(), mounts.content("f")) == (State.WRITING, NEW[:3], OLD)
        verbs._open.clear()


class TestWriteBack:
    @pytest.mark.skipif(sys.platform != "linux", reason="looks at descriptors in /proc")
    def test_close_returns_before_the_upload_with_content_and_note_on_the_disk(
        self, mounts: Mounts, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        synced: list[str] = []
        real = os.fsync
        monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(os.readlink(f"/proc/self/fd/{fd}")), real(fd)))
        verbs = mounts(write_back=60.0)
        verbs.put("f", NEW)
        content = verbs.filesystem.contents.spool.directory / "content-1"
        assert [Path(path) for path in synced[-3:]] == [content, content.with_suffix(".new"), content.parent]
        assert (mounts.content("f"), pending(verbs), verbs.get("f")) == (None, [("f", "")], NEW)
        assert (verbs.filesystem.drain(), mounts.content("f"), notes(verbs)) == ([], NEW, [])

    def test_it_is_stored_after_the_delay(self, mounts: Mounts) -> None:
        verbs = mounts(write_back=0.05)
        for number in range(20):
            verbs.put(f"{number}", b"%d" % number)
        wait_for(lambda: not files_here(verbs.filesystem))
        assert [mounts.content(f"{number}") for number in range(20)] == [b"%d" % number for number in range(20)]
        assert notes(verbs) == []

    def test_fsync_brings_it_to_the_storage(self, mounts: Mounts) -> None:
        verbs = mounts(write_back=60.0)
        fd = verbs.open("f", W)
        verbs.write(fd, NEW, 0)
        verbs.fsync(fd)
        assert mounts.content("f") == NEW
        verbs.close(fd)

    def test_flush_does_not_wait_for_the_delay_and_names_what_fails(self, mounts: Mounts) -> None:
        verbs = mounts(write_back=60.0)
        uploads = verbs.filesystem.contents.uploads
        verbs.put("f", NEW)
        mounts.fail("EACCES")
        begun = uploads.flush(None, 0.0)
        told = uploads.flush(begun["since"], SOON)
        assert (told["files"], [(it["name"], it["error"]) for it in told["failed"]]) == (
            0,
            [("f", "Permission denied")],
        )
        mounts.mend()
        begun = uploads.flush(None, 0.0)
        told = uploads.flush(begun["since"], SOON)
        assert (told["files"], told["bytes"], told["failed"], mounts.content("f")) == (0, 0, [], NEW)

    def test_flush_does_not_wait_for_a_clock_that_is_set_back(
        self, mounts: Mounts, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        verbs = mounts(write_back=60.0)
        uploads = verbs.filesystem.contents.uploads
        verbs.put("f", NEW)
        mounts.fail("EACCES")
        clock = itertools.count(time.time(), -3600.0)
        monkeypatch.setattr(time, "time", lambda: next(clock))
        begun = uploads.flush(None, 0.0)
        assert [it["name"] for it in uploads.flush(begun["since"], SOON)["failed"]] == ["f"]
        mounts.mend()

    def test_files_are_uploaded_side_by_side(self, mounts: Mounts, monkeypatch: pytest.MonkeyPatch) -> None:
        together = threading.Barrier(8)
        real = mounts.storage.save

        def save(*args: Any) -> str:
            together.wait(SOON)
            return real(*args)

        monkeypatch.setattr("versioned._LOCK", threading.RLock())
        monkeypatch.setattr(mounts.storage, "replace", lambda name, content, **_: _stored(mounts, save, name, content))
        verbs = mounts(write_back=0.0)
        for number in range(8):
            verbs.put(f"{number}", b"x")
        wait_for(lambda: not files_here(verbs.filesystem))
        assert len(list(mounts.storage.scandir())) == 8

    def test_a_spool_that_is_half_full_lets_close_wait_for_the_upload(self, mounts: Mounts) -> None:
        verbs = mounts(write_back=60.0, limit=100)
        verbs.put("small", b"s" * 40)
        assert mounts.content("small") is None
        verbs.put("f", b"f" * 30)
        assert mounts.content("f") == b"f" * 30
        with pytest.raises(OSError) as caught:
            verbs.put("large", b"l" * 70)
        assert caught.value.errno == errno.ENOSPC

    def test_a_rename_goes_with_it(self, mounts: Mounts) -> None:
        verbs = mounts(write_back=60.0)
        verbs.put("f", NEW)
        verbs.rename("f", "g")
        assert (verbs.filesystem.drain(), mounts.content("f"), mounts.content("g")) == ([], None, NEW)

    def test_a_conflict_is_kept_beside_and_reported(self, mounts: Mounts) -> None:
        verbs = mounts(write_back=60.0)
        verbs.put("f", NEW)
        mounts.storage.replace("f", ContentFile(OTHER))
        verbs.filesystem.drain()
        assert (mounts.content("f"), list(mounts.beside().values())) == (OTHER, [NEW])
        assert [told["name"] for told in verbs.filesystem.contents.uploads.conflicts] == ["f"]

    def test_rewritten_before_it_was_stored_it_is_stored_once(self, mounts: Mounts) -> None:
        verbs = mounts(write_back=60.0)
        for content in (OLD, NEW, OTHER):
            verbs.put("f", content)
        assert (verbs.filesystem.drain(), mounts.content("f"), mounts.storage.stored) == ([], OTHER, ["f"])


def _stored(mounts: Mounts, save: Callable[..., str], name: str, content: Any) -> Any:
    save(name, content)
    return mounts.storage.stat(name)


def test_closes_of_different_files_do_not_wait_for_each_other(mounts: Mounts, monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(8)

    def replace(name: str, content: Any, **_: Any) -> Any:
        together.wait(SOON)
        mounts.storage.save(name, content)
        return mounts.storage.stat(name)

    monkeypatch.setattr(mounts.storage, "replace", replace)
    verbs = mounts()
    writers = [start(Verbs(verbs.filesystem).put, f"{number}", b"x") for number in range(8)]
    for writer in writers:
        writer.result(2 * SOON)
    assert len(list(mounts.storage.scandir())) == 8
