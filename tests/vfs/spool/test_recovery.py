"""What a mount leaves when it is killed, and what the next one makes of it."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gates import SOON, Gate, start
from kernel import Verbs, content_of
from versioned import RangedFile, RangedStorage, VersionedStorage

from storage import ContentFile, Storage
from storage.entry import Entry
from vfs.content.spooled import SpooledFile
from vfs.filesystem import FileSystem
from vfs.spool import journal, pending
from vfs.spool.journal import FORMAT, Base, Note
from vfs.spool.pending import Pending
from vfs.spool.recovery import Recovery, recover
from vfs.spool.spool import SpoolFile
from vfs.spool.spools import StorageSpools

OLD, NEW, OTHER = b"old content", b"what is new", b"of somebody else"
W = os.O_CREAT | os.O_WRONLY


class KilledError(BaseException):
    """The process is killed where this is raised."""


def killed(*_: Any, **__: Any) -> Any:
    raise KilledError


def down(*_: Any, **__: Any) -> Any:
    raise TimeoutError(errno.ETIMEDOUT, "the storage is down")


def first_only(function: Callable[..., Any]) -> Callable[..., Any]:
    """For a process that is killed meanwhile: what is called once more does nothing."""
    calls: list[Any] = []

    def called(*args: Any, **options: Any) -> Any:
        calls.append(args)
        return function(*args, **options) if len(calls) == 1 else None

    return called


class Machine:
    """One storage, and mounts of it that come and go."""

    def __init__(self, folder: Path) -> None:
        self.faults = folder / "faults"
        self.faults.mkdir()
        (folder / "objects").mkdir()
        self.storage = VersionedStorage(folder / "objects", str(self.faults))
        self.spools = StorageSpools(folder / "spools", "alias", "backend")
        self.mounts: list[tuple[Verbs, Recovery]] = []

    def mount(self, storage: Storage | None = None) -> Verbs:
        """A mount that has taken up what was left, and stored nothing of it yet."""
        verbs = Verbs(FileSystem(storage or self.storage, cache_seconds=0.0, spool=self.spools.new()))
        recovery = Recovery(verbs.filesystem)
        self.mounts.append((verbs, recovery))
        recovery.take_up(self.spools.left())
        return verbs

    def kill(self) -> None:
        """SIGKILL to the last mount: locks are free, files are as they are."""
        verbs, recovery = self.mounts.pop()
        for spool in [verbs.filesystem.contents.spool, *recovery._spools]:
            if spool._held >= 0:
                os.close(spool._held)
        for file in verbs.filesystem.tree.files():
            if isinstance(file, SpooledFile):
                file.content.keep()
                file._drop_source()

    def unmount(self) -> list[str]:
        """The end of the last mount; returns what is still pending."""
        verbs, recovery = self.mounts.pop()
        verbs.close_all()
        failed = verbs.filesystem.drain()
        verbs.filesystem.close()
        recovery.close()
        return failed

    def break_uploads(self) -> None:
        (self.faults / "replace").write_text("ETIMEDOUT")

    def mend(self) -> None:
        (self.faults / "replace").unlink()

    def pending(self, name: str, content: bytes) -> None:
        """Let a mount be killed that could not store `content`, as a close() was told."""
        verbs = self.mounts[-1][0] if self.mounts else self.mount()
        self.break_uploads()
        with pytest.raises(TimeoutError):
            verbs.put(name, content)
        self.mend()
        self.kill()

    def content(self, name: str) -> bytes | None:
        return content_of(self.storage, name)

    def conflicts(self) -> list[bytes | None]:
        """What was kept beside."""
        names = [entry.name for entry in self.storage.scandir() if ".conflict-" in entry.name]
        return [self.content(name) for name in names]

    def spooled(self) -> list[Path]:
        return sorted(self.spools.folder.glob("mount-*/*"))

    def put(self, name: str, content: bytes) -> None:
        """Store behind the mounts' backs."""
        self.storage.replace(name, ContentFile(content))
        self.storage.stored.clear()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    while made.mounts:
        made.unmount()


class TestWhatWasClosed:
    def test_it_is_shown_at_once_and_stored_once(self, machine: Machine) -> None:
        machine.mount().mkdir("d")
        machine.pending("d/f", NEW)
        verbs = machine.mount()
        assert (verbs.stat("d/f").size, verbs.listdir("d"), machine.content("d/f")) == (len(NEW), ["f"], None)
        assert verbs.get("d/f") == NEW
        assert machine.unmount() == []
        assert (machine.content("d/f"), machine.storage.stored, machine.spooled()) == (NEW, ["d/f"], [])
        assert machine.mount().listdir("") == ["d"]
        assert machine.unmount() == []
        assert machine.storage.stored == ["d/f"]

    def test_over_what_it_was_made_from(self, machine: Machine) -> None:
        machine.put("f", OLD)
        machine.pending("f", NEW)
        assert (machine.mount().get("f"), machine.unmount()) == (NEW, [])
        assert (machine.content("f"), machine.conflicts()) == (NEW, [])

    def test_never_twice_where_the_upload_had_succeeded(self, machine: Machine) -> None:
        """The process was killed after the storage had it, and before the note was gone."""
        machine.put("f", OLD)
        machine.pending("f", NEW)
        machine.put("f", NEW)
        machine.mount()
        assert machine.unmount() == []
        assert (machine.content("f"), machine.storage.stored, machine.conflicts(), machine.spooled()) == (
            NEW,
            [],
            [],
            [],
        )

    @pytest.mark.parametrize("before", [None, OLD])
    def test_beside_what_somebody_else_has_stored_meanwhile(self, machine: Machine, before: bytes | None) -> None:
        if before is not None:
            machine.put("f", before)
        machine.pending("f", NEW)
        machine.put("f", OTHER)
        machine.mount()
        machine.unmount()
        assert (machine.content("f"), machine.conflicts(), machine.spooled()) == (OTHER, [NEW], [])

    def test_again_where_somebody_else_has_deleted_it(self, machine: Machine) -> None:
        machine.put("f", OLD)
        machine.pending("f", NEW)
        machine.storage.unlink("f")
        machine.mount()
        assert machine.unmount() == []
        assert (machine.content("f"), machine.conflicts()) == (NEW, [])

    def test_it_stays_for_as_many_mounts_as_it_takes(self, machine: Machine) -> None:
        machine.pending("f", NEW)
        machine.break_uploads()
        for _ in range(2):
            assert machine.mount().get("f") == NEW
            assert machine.unmount() == ["f"]
            machine.mount()
            machine.kill()
        machine.mend()
        machine.mount()
        assert machine.unmount() == []
        assert (machine.content("f"), machine.spooled()) == (NEW, [])

    def test_it_dies_with_its_name(self, machine: Machine) -> None:
        machine.put("f", OLD)
        machine.pending("f", NEW)
        verbs = machine.mount()
        verbs.unlink("f")
        machine.kill()
        machine.mount()
        assert machine.unmount() == []
        assert (machine.content("f"), machine.storage.stored, machine.spooled()) == (None, [], [])

    def test_it_dies_when_its_name_is_rewritten(self, machine: Machine) -> None:
        machine.pending("f", NEW)
        verbs = machine.mount()
        verbs.put("g", OTHER)
        verbs.rename("g", "f")
        machine.kill()
        machine.mount()
        assert machine.unmount() == []
        assert (machine.content("f"), machine.conflicts(), machine.spooled()) == (OTHER, [], [])

    def test_it_goes_with_its_new_name(self, machine: Machine) -> None:
        verbs = machine.mount()
        machine.break_uploads()
        verbs.mkdir("d")
        with pytest.raises(TimeoutError):
            verbs.put("d/f", NEW)
        verbs.rename("d/f", "g")
        machine.mend()
        machine.kill()
        machine.mount()
        assert machine.unmount() == []
        assert (machine.content("g"), machine.content("d/f")) == (NEW, None)

    def test_what_the_mount_keeps_of_it_is_kept(self, machine: Machine) -> None:
        verbs = machine.mount()
        machine.break_uploads()
        with pytest.raises(TimeoutError):
            verbs.put("f", NEW)
        with verbs.at("f") as node:
            verbs.filesystem.setattr(node, mode=0o640, mtime_ns=10**18)
        machine.mend()
        machine.kill()
        verbs = machine.mount()
        shown = verbs.stat("f")
        assert (shown.mode & 0o7777, shown.mtime_ns) == (0o640, 10**18)
        assert machine.unmount() == []
        entry = machine.storage.stat("f")
        assert (entry.mode, entry.mtime_ns) == (0o640, 10**18)

    def test_a_directory_has_its_name_by_now(self, machine: Machine) -> None:
        machine.pending("f", NEW)
        machine.put("f/x", OTHER)
        machine.mount()
        assert machine.unmount() == []
        assert machine.conflicts() == [NEW]

    def test_two_mounts_have_left_the_same_name(self, machine: Machine) -> None:
        first, second = machine.mount(), machine.mount()
        machine.break_uploads()
        for verbs, content in ((first, OLD), (second, NEW)):
            with pytest.raises(TimeoutError):
                verbs.put("f", content)
        machine.mend()
        machine.kill()
        machine.kill()
        machine.mount()
        assert machine.unmount() == []
        assert sorted([machine.content("f"), *machine.conflicts()]) == sorted([OLD, NEW])  # type: ignore[type-var]

    def test_a_storage_without_versions_is_not_overwritten_later(self, machine: Machine) -> None:
        machine.pending("f", NEW)
        (spool,) = machine.spools.left()
        ((path, note),) = spool.notes()
        assert note is not None
        Note(note.name, note.state, Base(), note.since, note.mtime_ns).write(path.with_suffix(".json"), sync=False)
        spool.close()
        machine.put("f", OTHER)
        machine.mount()
        machine.unmount()
        assert (machine.content("f"), machine.conflicts()) == (OTHER, [NEW])


class TestAMachineThatGoesDown:
    """What close() had not returned for is not forced to the disk, and may be there in part."""

    @pytest.fixture(autouse=True)
    def starts(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """The start of the machine, which a test can change."""
        starts = ["first"]
        for module in (journal, pending):
            monkeypatch.setattr(module, "this_start", lambda: starts[-1])
        return starts

    def kill_in_an_upload(self, machine: Machine, monkeypatch: pytest.MonkeyPatch, verbs: Verbs) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(machine.storage, "replace", killed)
            patch.setattr(verbs.filesystem.contents.uploads, "_failed", lambda *_: None)
            with pytest.raises(KilledError):
                verbs.put("f", NEW)
        machine.kill()

    @pytest.mark.parametrize("goes_down", [False, True])
    def test_in_an_upload(
        self, machine: Machine, monkeypatch: pytest.MonkeyPatch, starts: list[str], goes_down: bool
    ) -> None:
        machine.put("f", OLD)
        self.kill_in_an_upload(machine, monkeypatch, machine.mount())
        if goes_down:
            starts.append("second")
        verbs = machine.mount()
        assert verbs.get("f") == (OLD if goes_down else NEW)
        left = [(one.name, one.closed, "went down" in one.why) for one in machine.mounts[-1][1].left]
        assert left == ([("f", False, True)] if goes_down else [])
        assert machine.unmount() == []
        assert machine.content("f") == (OLD if goes_down else NEW)

    def test_what_was_promised_to_last_is_stored(self, machine: Machine, starts: list[str]) -> None:
        machine.pending("f", NEW)
        starts.append("second")
        machine.mount()
        assert machine.unmount() == []
        assert machine.content("f") == NEW

    def test_what_takes_the_place_of_that_is_forced_to_the_disk_first(
        self, machine: Machine, monkeypatch: pytest.MonkeyPatch, starts: list[str]
    ) -> None:
        verbs = machine.mount()
        machine.break_uploads()
        with pytest.raises(TimeoutError):
            verbs.put("f", OLD)
        machine.mend()
        self.kill_in_an_upload(machine, monkeypatch, verbs)
        starts.append("second")
        machine.mount()
        assert machine.unmount() == []
        assert machine.content("f") == NEW


class TestAStorageThatIsDown:
    def test_what_was_closed_is_taken_up_when_it_answers(
        self, machine: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        machine.put("d/f", OLD)
        machine.pending("d/f", NEW)
        with monkeypatch.context() as patch:
            patch.setattr(machine.storage, "stat", unanswered(machine.storage.stat))
            machine.mount()
            recovery = machine.mounts[-1][1]
            ((left,), complete) = recovery.left, recovery.is_complete
            assert (left.name, left.closed, complete) == ("d/f", True, False)
        recovery.try_again()
        assert (recovery.left, recovery.is_complete) == ([], True)
        assert machine.unmount() == []
        assert (machine.content("d/f"), machine.spooled()) == (NEW, [])

    def test_nothing_that_was_closed_is_discarded(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        machine.pending("f", NEW)
        with monkeypatch.context() as patch:
            patch.setattr(machine.storage, "stat", unanswered(machine.storage.stat))
            outcome = recover(machine.storage, machine.spools, discard=True)
        assert (outcome.stored, outcome.left, [name for name, _ in outcome.failed]) == ([], [], ["f"])
        assert recover(machine.storage, machine.spools).stored == ["f"]
        assert machine.content("f") == NEW


def unanswered(stat: Callable[[str], Entry]) -> Callable[..., Entry]:
    """A `stat()` of which only the root answers, or another call that never does."""

    def ask(name: str, *_: object) -> Entry:
        if name:
            raise ConnectionError(errno.EIO, "no answer")
        return stat(name)

    return ask


class Killed(BaseException):
    """The process ends here."""


class TestARenameOfItsDirectoryThatIsBrokenOff:
    @pytest.fixture
    def broken_off(self, machine: Machine) -> Callable[[str, int], None]:
        """Kill a mount that renames d to e at a call of the storage, or when all that is done."""

        def kill_at(method: str, after: int) -> None:
            for name in ("d/f", "d/g", "d/sub/f"):
                machine.put(name, OLD)
            verbs, calls = machine.mount(), iter(range(after))
            uploads = verbs.filesystem.contents.uploads
            uploads.write_back = 60.0
            for name in ("d/f", "d/sub/f", "d/sub/n"):
                verbs.put(name, NEW)
            target = machine.storage if hasattr(machine.storage, method) else uploads
            real, lock = getattr(target, method), threading.Lock()

            def call(*args: object) -> None:
                with lock:
                    alive = next(calls, None) is not None
                if not alive:
                    raise Killed
                real(*args)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(target, method, call)
                patch.setattr("vfs.names.moves.Move.take_back", lambda move: None)
                with pytest.raises(Killed):
                    verbs.rename("d", "e")
            uploads.stop()
            machine.kill()

        return kill_at

    def check(self, machine: Machine) -> None:
        everything = {f"{path}/{it.name}" for path, _, files in machine.storage.walk() for it in files}
        assert everything == {"e/f", "e/g", "e/sub/f", "e/sub/n"}
        assert [machine.content(name) for name in sorted(everything)] == [NEW, OLD, NEW, NEW]
        assert machine.spooled() == []

    @pytest.mark.parametrize(
        ("method", "after"), [("copy", 0), ("copy", 2), ("unlink", 0), ("unlink", 2), ("renamed", 0)]
    )
    def test_it_is_stored_under_the_new_name(
        self, machine: Machine, broken_off: Callable[[str, int], None], method: str, after: int
    ) -> None:
        broken_off(method, after)
        outcome = recover(machine.storage, machine.spools)
        assert (sorted(outcome.stored), outcome.conflicts) == (["e/f", "e/sub/f", "e/sub/n"], [])
        assert (outcome.failed, outcome.left) == ([], [])
        self.check(machine)

    def test_the_next_mount_shows_it_when_all_is_copied(
        self, machine: Machine, broken_off: Callable[[str, int], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        broken_off("copy", 1)
        verbs = machine.mount()
        recovery, moves = machine.mounts[-1][1], verbs.filesystem.contents.uploads.moves
        (path,) = recovery.moves
        with monkeypatch.context() as patch:
            patch.setattr(machine.storage, "copy", unanswered(machine.storage.stat))
            with pytest.raises(ConnectionError):
                moves.resume(path)
        assert {left.name for left in recovery.left} == {"e/f", "e/sub/f", "e/sub/n"}
        moves.resume(path)
        assert (recovery.left, machine.content("e/f"), verbs.get("e/f")) == ([], OLD, NEW)
        assert machine.unmount() == []
        self.check(machine)

    def test_again_broken_off_when_all_is_copied(
        self, machine: Machine, broken_off: Callable[[str, int], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        broken_off("copy", 1)
        verbs = machine.mount()
        recovery = machine.mounts[-1][1]
        with monkeypatch.context() as patch:
            patch.setattr(machine.storage, "unlink", unanswered(machine.storage.stat))
            with pytest.raises(ConnectionError):
                verbs.filesystem.contents.uploads.moves.resume(recovery.moves[0])
        machine.kill()
        assert recover(machine.storage, machine.spools).conflicts == []
        self.check(machine)

    def test_killed_when_the_rename_is_over_and_nothing_stored(
        self, machine: Machine, broken_off: Callable[[str, int], None]
    ) -> None:
        broken_off("copy", 1)
        verbs = machine.mount()
        recovery = machine.mounts[-1][1]
        verbs.filesystem.contents.uploads.moves.resume(recovery.moves[0])
        machine.kill()
        assert recover(machine.storage, machine.spools).conflicts == []
        self.check(machine)

    def test_what_nobody_had_closed_is_called_by_the_new_name(
        self, machine: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("vfs.spool.pending.GRACE", 0.0)
        machine.put("d/f", OLD)
        verbs = machine.mount()
        verbs.write(verbs.open("d/f", os.O_WRONLY), b"half", 0)
        with monkeypatch.context() as patch:
            patch.setattr(verbs.filesystem.contents.uploads, "renamed", unanswered(machine.storage.stat))
            with pytest.raises(ConnectionError):
                verbs.rename("d", "e")
        machine.kill()
        (left,) = recover(machine.storage, machine.spools).left
        assert (left.name, machine.content("e/f")) == ("e/f", OLD)


class TestWhatIsOverwrittenBeforeItIsStored:
    @pytest.fixture
    def begun(self, machine: Machine) -> tuple[Verbs, int]:
        """A file that was closed and not stored, and has been opened again to be overwritten."""
        verbs = machine.mount()
        verbs.filesystem.contents.uploads.write_back = 60.0
        verbs.put("f", OLD)
        fd = verbs.open("f", os.O_RDWR | os.O_TRUNC)
        verbs.write(fd, NEW[:3], 0)
        return verbs, fd

    def test_what_was_closed_outlives_a_crash_of_who_overwrites_it(
        self, machine: Machine, begun: tuple[Verbs, int]
    ) -> None:
        assert begun[0].read(begun[1], 99, 0) == NEW[:3]
        machine.kill()
        machine.mount()
        assert machine.unmount() == []
        assert (machine.content("f"), machine.storage.stored, machine.conflicts()) == (OLD, ["f"], [])

    def test_what_is_closed_then_is_all_that_is_stored(self, machine: Machine, begun: tuple[Verbs, int]) -> None:
        verbs, fd = begun
        verbs.write(fd, NEW, 0)
        verbs.close(fd)
        machine.kill()
        machine.mount()
        assert machine.unmount() == []
        assert (machine.content("f"), machine.storage.stored, machine.spooled()) == (NEW, ["f"], [])

    def test_a_crash_between_the_two_notes(self, machine: Machine, begun: tuple[Verbs, int]) -> None:
        verbs, fd = begun
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("vfs.spool.spool.SpoolFile.remove", lambda self: None)
            verbs.close(fd)
        machine.kill()
        assert len(machine.spooled()) == 4
        machine.mount()
        assert machine.unmount() == []
        assert (machine.content("f"), machine.storage.stored, machine.spooled()) == (NEW[:3], ["f"], [])

    def test_in_the_background_nothing_half_is_stored(self, machine: Machine, begun: tuple[Verbs, int]) -> None:
        verbs, fd = begun
        uploads = verbs.filesystem.contents.uploads
        uploads.retry(verbs.handle(fd).file)  # type: ignore[arg-type]
        assert (machine.content("f"), uploads.flush(None, 0.0)["files"]) == (None, 0)
        verbs.close(fd)


class TestWhatIsHereInParts:
    """Contents of which parts are in the storage alone."""

    LARGE = bytes(range(256)) * 64
    CHANGED = LARGE[:5000] + NEW + LARGE[5000 + len(NEW) :]

    @pytest.fixture
    def closed(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Verbs:
        """A file that was changed in the middle, and closed, when the storage was down."""
        monkeypatch.setattr("vfs.content.fetched.SMALL", 4096)
        machine.storage = RangedStorage(machine.storage.location, str(machine.faults))
        machine.put("f", self.LARGE)
        verbs = machine.mount()
        fd = verbs.open("f", os.O_RDWR)
        verbs.write(fd, NEW, 5000)
        with monkeypatch.context() as patch:
            patch.setattr(RangedFile, "pread", down)
            with pytest.raises(TimeoutError):
                verbs.close(fd)
        assert Note.read(machine.spooled()[-1]).missing  # type: ignore[union-attr]
        return verbs

    def test_they_are_fetched_by_who_comes_after(self, machine: Machine, closed: Verbs) -> None:
        machine.kill()
        machine.mount()
        assert machine.unmount() == []
        assert (machine.content("f"), machine.conflicts(), machine.spooled()) == (self.CHANGED, [], [])

    @pytest.mark.parametrize("size", [None, 6000, 20_000], ids=["", "cut", "extended"])
    def test_who_changes_it_once_more_and_does_not_close_it_takes_nothing_of_that(
        self, machine: Machine, closed: Verbs, size: int | None
    ) -> None:
        fd = closed.open("f", os.O_RDWR)
        if size is not None:
            closed.ftruncate(fd, size)
        closed.write(fd, b"!", 0)
        machine.kill()
        machine.mount()
        assert machine.unmount() == []
        found = machine.content("f") or b""
        assert (found[5000:5011], found[11:999]) == (NEW, self.LARGE[11:999])
        assert (len(found), machine.conflicts()) == (size or len(self.LARGE), [])

    def test_who_overwrites_it_from_the_beginning_takes_nothing_of_that(self, machine: Machine, closed: Verbs) -> None:
        closed.open("f", os.O_WRONLY | os.O_TRUNC)
        machine.kill()
        machine.mount()
        assert machine.unmount() == []
        assert (machine.content("f"), machine.conflicts()) == (self.CHANGED, [])

    def test_a_truncation_without_room_changes_nothing_of_it(
        self, machine: Machine, closed: Verbs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def no_room(*_: object) -> None:
            raise OSError(errno.ENOSPC, "no room")

        with monkeypatch.context() as patch:
            patch.setattr(closed.filesystem.contents.uploads.pending, "_new", no_room)
            with pytest.raises(OSError, match="no room"):
                closed.open("f", os.O_WRONLY | os.O_TRUNC)
        assert machine.unmount() == []
        assert machine.content("f") == self.CHANGED

    def test_it_is_no_conflict_that_it_was_stored_a_moment_before(
        self, machine: Machine, closed: Verbs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Pending, "forget", killed)
            with pytest.raises(KilledError):
                closed.filesystem.contents.uploads.store(closed.filesystem.pending()[0].file)
        assert machine.content("f") == self.CHANGED
        machine.kill()
        machine.mount()
        assert machine.unmount() == []
        assert (machine.content("f"), machine.conflicts(), machine.spooled()) == (self.CHANGED, [], [])


class TestNamesThatChange:
    """Of what is closed, and not stored."""

    @pytest.fixture
    def verbs(self, machine: Machine) -> Verbs:
        verbs = machine.mount()
        verbs.filesystem.contents.uploads.write_back = 60.0
        return verbs

    def test_a_rename_while_it_is_forced_to_the_disk(
        self, machine: Machine, verbs: Verbs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fd = verbs.open("f", W)
        verbs.write(fd, NEW, 0)
        gate = Gate.at(monkeypatch, SpoolFile, "note", after=True)
        monkeypatch.setattr(SpoolFile, "note", lambda *args, **options: gate(*args, **options))
        closing = start(verbs.close, fd)
        gate.wait()
        verbs.rename("f", "g")
        gate.open()
        closing.result(SOON)
        machine.kill()
        machine.mount()
        assert machine.unmount() == []
        assert (machine.content("f"), machine.content("g")) == (None, NEW)

    @pytest.mark.parametrize("before", [None, OLD], ids=["new", "there"])
    @pytest.mark.parametrize("is_overwritten", [False, True], ids=["", "overwritten"])
    def test_a_crash_in_an_unlink(
        self,
        machine: Machine,
        verbs: Verbs,
        monkeypatch: pytest.MonkeyPatch,
        before: bytes | None,
        is_overwritten: bool,
    ) -> None:
        """What the storage has is not unlinked yet, so what was closed is there; what was never there has gone."""
        self._begin(machine, verbs, before, is_overwritten)
        with monkeypatch.context() as patch:
            patch.setattr(machine.storage, "unlink", killed)
            patch.setattr(Pending, "unlinking", first_only(Pending.unlinking))
            with pytest.raises(KilledError):
                verbs.unlink("f")
        machine.kill()
        machine.mount()
        assert machine.unmount() == []
        assert (machine.content("f"), machine.conflicts()) == (None if before is None else NEW, [])

    @pytest.mark.parametrize("is_overwritten", [False, True], ids=["", "overwritten"])
    def test_a_crash_after_an_unlink(
        self, machine: Machine, verbs: Verbs, monkeypatch: pytest.MonkeyPatch, is_overwritten: bool
    ) -> None:
        self._begin(machine, verbs, OLD, is_overwritten)
        with monkeypatch.context() as patch:
            patch.setattr(Pending, "forget", killed)
            patch.setattr(verbs.filesystem.names, "removed", lambda *_: None)
            with pytest.raises(KilledError):
                verbs.unlink("f")
        machine.kill()
        machine.mount()
        assert machine.unmount() == []
        assert (machine.content("f"), machine.spooled()) == (None, [])

    @pytest.mark.parametrize("is_overwritten", [False, True], ids=["", "overwritten"])
    def test_an_unlink_that_fails(
        self, machine: Machine, verbs: Verbs, monkeypatch: pytest.MonkeyPatch, is_overwritten: bool
    ) -> None:
        self._begin(machine, verbs, OLD, is_overwritten)
        (node,) = verbs.filesystem.pending()
        fate = dataclasses.replace(node.file.fate)  # type: ignore[union-attr]
        with monkeypatch.context() as patch:
            patch.setattr(machine.storage, "unlink", down)
            with pytest.raises(TimeoutError):
                verbs.unlink("f")
        assert node.file.fate == fate  # type: ignore[union-attr]
        machine.kill()
        machine.mount()
        assert machine.unmount() == []
        assert (machine.content("f"), machine.conflicts()) == (NEW, [])

    def test_a_close_while_it_is_unlinked_does_not_bring_it_back(
        self, machine: Machine, verbs: Verbs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        machine.put("f", OLD)
        one, two = verbs.open("f", os.O_RDWR), verbs.open("f", os.O_RDONLY)
        verbs.write(one, NEW, 0)
        gate = Gate.at(monkeypatch, machine.storage, "unlink")
        unlinking = start(verbs.unlink, "f")
        gate.wait()
        verbs.close(one)
        gate.open()
        unlinking.result(SOON)
        assert verbs.read(two, 99, 0) == NEW
        machine.kill()
        machine.mount()
        assert machine.unmount() == []
        assert (machine.content("f"), machine.spooled()) == (None, [])

    @staticmethod
    def _begin(machine: Machine, verbs: Verbs, before: bytes | None, is_overwritten: bool) -> None:
        """`f` is closed, and not stored; maybe it is open once more, to be overwritten."""
        if before is not None:
            machine.put("f", before)
        verbs.put("f", NEW)
        if is_overwritten:
            verbs.write(verbs.open("f", os.O_WRONLY | os.O_TRUNC), OTHER, 0)


class TestCopies:
    """Promised, closed, and not made by the storage, which was down."""

    @pytest.fixture
    def closed(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Verbs:
        machine.put("f", OLD)
        verbs = machine.mount()
        source, copy = verbs.open("f", os.O_RDONLY), verbs.open("copy", W)
        assert verbs.copy_range(source, 0, copy, 0, len(OLD)) == len(OLD)
        with monkeypatch.context() as patch:
            patch.setattr(machine.storage, "stat", down)
            patch.setattr(machine.storage, "copy", down)
            with pytest.raises(TimeoutError):
                verbs.close(copy)
        return verbs

    def test_one_that_is_lost_is_told_of(self, machine: Machine, closed: Verbs) -> None:
        machine.kill()
        machine.mount()
        (left,) = machine.mounts[-1][1].left
        assert (left.name, left.why) == ("copy", "it was to be a copy of 'f', which could not be made")

    def test_it_has_its_content_before_that_of_the_original_goes(self, machine: Machine, closed: Verbs) -> None:
        closed.unlink("f")
        machine.kill()
        machine.mount()
        assert machine.unmount() == []
        assert (machine.content("copy"), machine.content("f")) == (OLD, None)

    def test_one_that_cannot_be_fetched_at_the_end_is_told_of_by_the_next(
        self, machine: Machine, closed: Verbs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(SpooledFile, "secure", down)
            patch.setattr(machine.storage, "stat", down)
            assert machine.unmount() == ["copy"]
        machine.mount()
        assert [left.name for left in machine.mounts[-1][1].left] == ["copy"]


class TestWhatWasNotClosed:
    @pytest.fixture(autouse=True)
    def _at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("vfs.spool.pending.GRACE", 0.0)

    def test_what_is_being_written_is_noted_after_a_while(
        self, machine: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("vfs.spool.pending.GRACE", 0.01)
        verbs = machine.mount()
        fd = verbs.open("f", W)
        verbs.write(fd, b"half", 0)
        deadline = time.monotonic() + 5
        while not any(path.suffix == ".json" for path in machine.spooled()):
            assert time.monotonic() < deadline
        machine.kill()
        machine.mount()
        assert [left.name for left in machine.mounts[-1][1].left] == ["f"]

    def test_it_stays_in_the_spool_and_changes_nothing(self, machine: Machine) -> None:
        machine.put("f", OLD)
        verbs = machine.mount()
        verbs.write(verbs.open("f", os.O_WRONLY), b"half", 0)
        machine.kill()
        verbs = machine.mount()
        (left,) = machine.mounts[-1][1].left
        assert (left.name, left.path.read_bytes(), left.size) == ("f", b"halfcontent", len(OLD))
        assert verbs.get("f") == OLD
        assert machine.unmount() == []
        assert (machine.content("f"), left.path.exists()) == (OLD, True)

    def test_a_file_of_which_nothing_was_written_is_swept(self, machine: Machine) -> None:
        """Such as a copy that the storage was to make, of which no byte comes by here."""
        machine.put("f", OLD)
        verbs = machine.mount()
        source, copy = verbs.open("f", os.O_RDONLY), verbs.open("copy", W)
        assert verbs.copy_range(source, 0, copy, 0, len(OLD)) == len(OLD)
        machine.put("cut", OLD)
        verbs.ftruncate(verbs.open("cut", os.O_WRONLY), 0)
        assert len(machine.spooled()) == 4
        machine.kill()
        machine.mount()
        assert machine.mounts[-1][1].left == []
        machine.unmount()
        assert (machine.content("cut"), machine.content("copy"), machine.spooled()) == (OLD, None, [])

    def test_what_was_only_read_is_swept(self, machine: Machine) -> None:
        machine.put("f", OLD)
        verbs = machine.mount()
        verbs.read(verbs.open("f", os.O_RDONLY), 100, 0)
        assert len(machine.spooled()) == 1
        machine.kill()
        machine.mount()
        machine.unmount()
        assert machine.spooled() == []

    def test_what_was_stored_and_is_written_again(self, machine: Machine) -> None:
        verbs = machine.mount()
        fd = verbs.open("f", W)
        verbs.write(fd, OLD, 0)
        verbs.fsync(fd)
        verbs.write(fd, NEW, 0)
        machine.kill()
        machine.mount()
        assert [left.name for left in machine.mounts[-1][1].left] == ["f"]
        machine.unmount()
        assert machine.content("f") == OLD


class TestAnotherVersion:
    """vfs is upgraded, or goes back, while something is pending."""

    @pytest.fixture
    def note(self, machine: Machine) -> Path:
        """Of what a mount has left."""
        machine.pending("f", NEW)
        (note,) = machine.spools.folder.glob("mount-*/*.json")
        return note

    def test_what_was_left_before_formats_were_told_is_stored(self, machine: Machine, note: Path) -> None:
        fields = json.loads(note.read_text())
        assert fields.pop("format") == FORMAT == 1
        note.write_text(json.dumps(fields))
        assert recover(machine.storage, machine.spools).stored == ["f"]
        with machine.storage.open("f") as file:
            assert file.read() == NEW

    def test_an_older_one_can_read_what_is_left(self, machine: Machine, note: Path) -> None:
        known = {"format", "name", "state", "base", "since", "mtime_ns", "attributes", "missing", "replaces"}
        assert json.loads(note.read_text()).keys() == known

    @pytest.mark.parametrize("changes", [{}, {"state": "sealed"}, {"colour": "red"}, {"name": ["f"]}], ids=str)
    def test_what_a_newer_one_has_left_waits_for_it(
        self, machine: Machine, note: Path, changes: dict[str, object], caplog: pytest.LogCaptureFixture
    ) -> None:
        known = note.read_text()
        newer = json.dumps({**json.loads(known), "format": FORMAT + 1, **changes})
        note.write_text(newer)
        machine.mount()
        assert machine.unmount() == []
        assert "a newer version of vfs has left it" in caplog.text
        outcome = recover(machine.storage, machine.spools, discard=True)
        assert (outcome.stored, outcome.left) == ([], [])
        assert [why for _, why in outcome.failed] == ["a newer version of vfs has left it, and can store it"]
        assert (note.read_text(), note.with_suffix("").read_bytes()) == (newer, NEW)
        assert not machine.storage.exists("f")
        note.write_text(known)
        assert recover(machine.storage, machine.spools).stored == ["f"]

    def test_a_rename_of_a_newer_one_waits_for_it(self, machine: Machine, note: Path) -> None:
        listed = note.with_name("move-1.json")
        listed.write_text(json.dumps({"format": FORMAT + 1, "src": "a", "dst": "b", "files": {}, "directories": []}))
        outcome = recover(machine.storage, machine.spools)
        assert outcome.stored == ["f"]
        assert [name for name, _ in outcome.failed] == [str(listed)]
        assert listed.exists()


def test_a_spool_in_use_is_nobody_elses(machine: Machine) -> None:
    verbs = machine.mount()
    machine.break_uploads()
    with pytest.raises(TimeoutError):
        verbs.put("f", NEW)
    other = machine.mount()
    assert other.listdir("") == []
    machine.unmount()
    machine.mend()
    assert machine.unmount() == []


class TestWhichStorage:
    @pytest.fixture
    def configure(self, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
        def folder(**options: object) -> Path:
            from storage import storages

            definition = {"BACKEND": "x.Backend", "OPTIONS": options}
            monkeypatch.setattr(storages, "backends", {"media": definition}, raising=False)
            return StorageSpools.of("media", Path("/spools")).folder

        return folder

    def test_secrets_do_not_count_and_the_bucket_does(self, configure: Callable[..., Path]) -> None:
        one = configure(bucket="a", secret_access_key="1", params={"password": "1", "port": 1})
        assert one == configure(bucket="a", secret_access_key="2", params={"password": "2", "port": 1})
        assert one != configure(bucket="b", secret_access_key="1", params={"password": "1", "port": 1})
        assert one != configure(bucket="a", secret_access_key="1", params={"password": "1", "port": 2})
        assert one.name.startswith("media-")

    def test_an_object_that_does_not_say_how_it_was_made_inherits_nothing(self, tmp_path: Path) -> None:
        class Foreign:
            open = save = delete = exists = listdir = size = None

        spools = StorageSpools.of(Foreign(), tmp_path)
        assert not spools.inherits
        assert StorageSpools.of(VersionedStorage(tmp_path), tmp_path).inherits

    def test_all_are_found_by_what_they_say_of_themselves(self, tmp_path: Path) -> None:
        spools = StorageSpools.of(VersionedStorage(tmp_path), tmp_path)
        spool = spools.new()
        assert list(StorageSpools.all(tmp_path)) == []
        spool.open().discard()
        (found,) = StorageSpools.all(tmp_path)
        assert (found.folder, found.label, found.inherits) == (spools.folder, "VersionedStorage", True)
        spool.close()


def test_the_default_place(monkeypatch: pytest.MonkeyPatch) -> None:
    from vfs.spool.spools import default_root

    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert default_root() == Path("/state/vfs/spool")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_root() == Path("/var/lib/vfs/spool")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", "/home/me")
    assert default_root() == Path("/home/me/.local/state/vfs/spool")
