"""Renames of directories where the storage has none, and what a crash in the middle leaves."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gates import SOON, Gate, start
from kernel import Verbs
from versioned import VersionedStorage

from storage import ContentFile, Entry, FileSystemStorage
from vfs.filesystem import FileSystem
from vfs.names.filemoves import finish, noted
from vfs.spool.journal import NewerFormatError
from vfs.spool.recovery import recover
from vfs.spool.spools import StorageSpools

FILES = {"a": b"1", "b": b"22", "sub/c": b"333", "sub/sub/d": b"4444"}


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def storage(tmp_path: Path) -> VersionedStorage:
    (tmp_path / "objects").mkdir()
    made = VersionedStorage(tmp_path / "objects")
    for name, content in FILES.items():
        made.replace(f"old/{name}", ContentFile(content))
    return made


@pytest.fixture
def spools(tmp_path: Path) -> StorageSpools:
    return StorageSpools(tmp_path / "spools", "alias", "backend")


@pytest.fixture
def verbs(storage: VersionedStorage, spools: StorageSpools) -> Iterator[Verbs]:
    caller = Verbs(FileSystem(storage, cache_seconds=0.0, spool=spools.new()))
    yield caller
    caller.close_all()
    caller.filesystem.close()


def below(storage: VersionedStorage, top: str) -> dict[str, bytes]:
    found = {}
    for path, _, others in storage.walk(""):
        for entry in others:
            name = f"{path}/{entry.name}" if path else entry.name
            if name.startswith(f"{top}/"):
                with storage.open(name) as file:
                    found[name[len(top) + 1 :]] = file.read()
    return found


def dies_at(monkeypatch: pytest.MonkeyPatch, storage: VersionedStorage, method: str, after: int) -> None:
    """The process is killed when `method` is called for the next time after so many."""
    real, lock, calls = getattr(storage, method), threading.Lock(), iter(range(after))

    def call(*args: Any) -> Any:
        with lock:
            alive = next(calls, None) is not None
        if not alive:
            raise Killed
        return real(*args)

    monkeypatch.setattr(storage, method, call)
    monkeypatch.setattr("vfs.names.moves.Move.take_back", lambda move: None)


def crash(verbs: Verbs) -> None:
    with pytest.raises(Killed):
        verbs.rename("old", "new")
    verbs.filesystem.contents.spool.close()


def test_a_rename_moves_everything(storage: VersionedStorage, verbs: Verbs, spools: StorageSpools) -> None:
    verbs.mkdir("new")
    verbs.rename("old", "new")
    assert (below(storage, "new"), below(storage, "old"), verbs.listdir("")) == (FILES, {}, ["new"])
    assert list(spools.folder.glob("mount-*/*")) == []


def test_the_old_place_is_listed_once_for_each_step(
    storage: VersionedStorage, verbs: Verbs, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed, glance = [], storage.glance

    def noted(path: str = "") -> Iterator[Entry]:
        listed.append(path)
        return glance(path)

    monkeypatch.setattr(storage, "glance", noted)
    verbs.rename("old", "new")
    assert listed.count("old/sub") == 2, "to know what is to be copied, and what may be deleted"


def test_nothing_is_deleted_before_everything_is_copied(
    storage: VersionedStorage, verbs: Verbs, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, bytes]] = []
    real = storage.unlink

    def unlink(name: str) -> None:
        seen.append(below(storage, "new"))
        real(name)

    monkeypatch.setattr(storage, "unlink", unlink)
    verbs.rename("old", "new")
    assert seen == [FILES] * len(FILES)


def test_a_directory_that_vanishes_while_all_is_listed_takes_no_other_with_it(
    storage: VersionedStorage, verbs: Verbs, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.replace("old/other/c", ContentFile(b"333"))
    glance, gone = storage.glance, []

    def emptied(path: str = "") -> Iterator[Entry]:
        """Somebody else empties the first directory below old/ that is looked into."""
        if path in {"old/sub", "old/other"} and not gone:
            gone.append(path)
            shutil.rmtree(Path(storage.location, path))
        yield from glance(path)

    monkeypatch.setattr(storage, "glance", emptied)
    verbs.rename("old", "new")
    left = {"other/c": b"333"} if gone == ["old/sub"] else {"sub/c": b"333", "sub/sub/d": b"4444"}
    assert below(storage, "new") == {"a": b"1", "b": b"22", **left}
    assert below(storage, "old") == {}


@pytest.mark.parametrize("after", range(4))
def test_a_rename_that_fails_has_not_begun(
    storage: VersionedStorage, verbs: Verbs, spools: StorageSpools, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    with monkeypatch.context() as patch:
        real, calls, lock = storage.copy, iter(range(after)), threading.Lock()

        def copy(src: str, dst: str) -> None:
            with lock:
                works = next(calls, None) is not None
            if not works:
                raise TimeoutError("the storage is down")
            real(src, dst)

        patch.setattr(storage, "copy", copy)
        with pytest.raises(TimeoutError):
            verbs.rename("old", "new")
    assert (below(storage, "old"), below(storage, "new"), verbs.listdir("")) == (FILES, {}, ["old"])
    assert list(spools.folder.glob("mount-*/*")) == []
    verbs.rename("old", "new")
    assert below(storage, "new") == FILES


@pytest.mark.parametrize("after", range(4))
@pytest.mark.parametrize("method", ["copy", "unlink"])
def test_one_that_was_killed_goes_on(
    storage: VersionedStorage,
    verbs: Verbs,
    spools: StorageSpools,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    after: int,
) -> None:
    with monkeypatch.context() as patch:
        dies_at(patch, storage, method, after)
        crash(verbs)
    everywhere = below(storage, "old") | below(storage, "new")
    assert everywhere == FILES
    outcome = recover(storage, spools)
    assert (outcome.failed, below(storage, "new"), below(storage, "old")) == ([], FILES, {})
    assert list(spools.folder.glob("mount-*")) == []


def test_what_was_changed_after_the_crash_is_not_lost(
    storage: VersionedStorage, verbs: Verbs, spools: StorageSpools, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        dies_at(patch, storage, "unlink", 0)
        crash(verbs)
    storage.replace("old/a", ContentFile(b"changed at the old place"))
    storage.replace("old/e", ContentFile(b"new at the old place"))
    storage.replace("new/b", ContentFile(b"changed at the new place"))
    assert recover(storage, spools).failed == []
    assert below(storage, "old") == {"a": b"changed at the old place", "e": b"new at the old place"}
    assert below(storage, "new") == {**FILES, "b": b"changed at the new place"}


@pytest.mark.parametrize("content", [b"55555", b"5555"], ids=["another size", "as long"])
def test_what_somebody_else_has_put_where_a_file_was_to_come_replaces_none(
    storage: VersionedStorage,
    verbs: Verbs,
    spools: StorageSpools,
    monkeypatch: pytest.MonkeyPatch,
    content: bytes,
) -> None:
    with monkeypatch.context() as patch:
        dies_at(patch, storage, "copy", 0)
        crash(verbs)
    storage.replace("new/sub/sub/d", ContentFile(content))
    assert recover(storage, spools).failed == []
    assert below(storage, "old") == {"sub/sub/d": FILES["sub/sub/d"]}
    assert below(storage, "new") == {**FILES, "sub/sub/d": content}


def test_a_copy_that_was_not_noted_any_more_is_known(
    storage: VersionedStorage, verbs: Verbs, spools: StorageSpools, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        dies_at(patch, storage, "copy", 0)
        crash(verbs)
    storage.copy("old/sub/sub/d", "new/sub/sub/d")
    (path,) = spools.folder.glob("mount-*/move-*.json")
    path.write_bytes(path.read_bytes() + b'"sub/su')
    assert recover(storage, spools).failed == []
    assert (below(storage, "new"), below(storage, "old")) == (FILES, {})


class TestWhatIsDeletedLater:
    """A rename is done, but old/ cannot be deleted before the mount has been used again."""

    @pytest.fixture
    def left(self, storage: VersionedStorage, verbs: Verbs, monkeypatch: pytest.MonkeyPatch) -> Path:
        """The list of a rename of which that is true."""
        scheduled: list[float] = []
        uploads = verbs.filesystem.contents.uploads
        with monkeypatch.context() as patch:
            patch.setattr(storage, "unlink", lambda name: (_ for _ in ()).throw(ConnectionError("reset")))
            patch.setattr(uploads._background, "schedule", lambda key, pause, work: scheduled.append(pause))
            verbs.rename("old", "new")
        assert (len(scheduled), below(storage, "new")) == (1, FILES)
        (path,) = verbs.filesystem.contents.spool.directory.glob("moved-*.json")
        return path

    def test_it_goes(self, storage: VersionedStorage, verbs: Verbs, left: Path) -> None:
        resume(verbs, left)
        assert (below(storage, "old"), left.exists(), verbs.listdir("")) == ({}, False, ["new"])

    def test_it_goes_at_the_end_of_the_mount_at_the_latest(
        self, storage: VersionedStorage, verbs: Verbs, left: Path
    ) -> None:
        assert verbs.filesystem.drain() == []
        assert (below(storage, "old"), left.exists()) == ({}, False)

    def test_what_cannot_be_deleted_then_is_left_to_the_next_mount(
        self, storage: VersionedStorage, verbs: Verbs, left: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(storage, "unlink", lambda name: (_ for _ in ()).throw(ConnectionError("reset")))
            assert verbs.filesystem.drain() == []
        assert (below(storage, "old"), left.exists()) == (FILES, True)

    @pytest.mark.parametrize("killed", [False, True], ids=["by this process", "by the next one"])
    def test_what_was_done_since_is_not_undone(
        self, storage: VersionedStorage, verbs: Verbs, spools: StorageSpools, left: Path, killed: bool
    ) -> None:
        verbs.unlink("new/a")
        verbs.rename("new/b", "new/sub/b")
        verbs.put("new/sub/c", b"changed")
        if killed:
            verbs.filesystem.contents.spool.close()
            assert recover(storage, spools).failed == []
        else:
            resume(verbs, left)
        assert below(storage, "new") == {"sub/b": b"22", "sub/c": b"changed", "sub/sub/d": b"4444"}
        assert (below(storage, "old"), left.exists()) == ({}, False)

    def test_a_directory_that_was_renamed_since_does_not_come_back(
        self, storage: VersionedStorage, verbs: Verbs, left: Path
    ) -> None:
        verbs.rename("new", "newer")
        resume(verbs, left)
        assert (below(storage, "newer"), below(storage, "new"), below(storage, "old")) == (FILES, {}, {})

    @pytest.mark.parametrize("killed", [False, True], ids=["by this process", "by the next one"])
    def test_what_was_brought_back_stays_though_it_is_as_it_was(
        self,
        storage: VersionedStorage,
        verbs: Verbs,
        spools: StorageSpools,
        left: Path,
        monkeypatch: pytest.MonkeyPatch,
        killed: bool,
    ) -> None:
        verbs.rename("new/a", "old/a")
        verbs.put("old/sub/c", FILES["sub/c"])
        versions_are_of_contents(monkeypatch, storage, left)
        if killed:
            verbs.filesystem.contents.spool.close()
            assert recover(storage, spools).failed == []
        else:
            resume(verbs, left)
        assert below(storage, "old") == {"a": b"1", "sub/c": b"333"}
        assert below(storage, "new") == {name: content for name, content in FILES.items() if name != "a"}

    def test_what_somebody_has_open_goes_when_it_is_closed(
        self, storage: VersionedStorage, verbs: Verbs, left: Path
    ) -> None:
        fd = verbs.open("old/sub/c", os.O_RDONLY)
        with pytest.raises(OSError, match="in use"):
            resume(verbs, left)
        assert (below(storage, "old"), verbs.read(fd, 9, 0)) == ({"sub/c": b"333"}, b"333")
        verbs.close(fd)
        resume(verbs, left)
        assert (below(storage, "old"), left.exists()) == ({}, False)

    def test_meanwhile_the_old_place_alone_is_nobody_elses(
        self, storage: VersionedStorage, verbs: Verbs, left: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gate = Gate.at(monkeypatch, storage, "unlink")
        resuming = start(resume, verbs, left)
        gate.wait()
        looking = start(verbs.stat, "old/a")
        assert verbs.get("new/a") == b"1"
        with pytest.raises(TimeoutError):
            looking.result(0.2)
        gate.open()
        resuming.result(SOON)
        with pytest.raises(FileNotFoundError):
            looking.result(SOON)


class TestWhatIsTakenBackLater:
    """A rename has failed as the storage went away, and what it had copied to new/ could not be deleted."""

    COPIED = ("a", "b", "sub/c")

    @pytest.fixture
    def left(self, storage: VersionedStorage, verbs: Verbs, monkeypatch: pytest.MonkeyPatch) -> Path:
        """The list of that rename."""
        scheduled: list[float] = []
        uploads, real = verbs.filesystem.contents.uploads, storage.copy
        others = threading.Semaphore(0)

        def copy(src: str, dst: str) -> None:
            if not src.endswith("d"):
                real(src, dst)
                others.release()
                return
            for _ in self.COPIED:
                assert others.acquire(timeout=SOON)
            raise TimeoutError("the storage is down")

        with monkeypatch.context() as patch:
            patch.setattr(storage, "copy", copy)
            patch.setattr(storage, "unlink", lambda name: (_ for _ in ()).throw(ConnectionError("reset")))
            patch.setattr(uploads._background, "schedule", lambda key, pause, work: scheduled.append(pause))
            with pytest.raises(TimeoutError):
                verbs.rename("old", "new")
        assert (len(scheduled), below(storage, "new").keys()) == (1, set(self.COPIED))
        (path,) = verbs.filesystem.contents.spool.directory.glob("back-*.json")
        return path

    @pytest.mark.parametrize("killed", [False, True], ids=["by this process", "by the next one"])
    def test_it_goes(
        self, storage: VersionedStorage, verbs: Verbs, spools: StorageSpools, left: Path, killed: bool
    ) -> None:
        if killed:
            verbs.filesystem.contents.spool.close()
            assert recover(storage, spools).failed == []
        else:
            resume(verbs, left)
            assert verbs.listdir("") == ["old"]
        assert (below(storage, "old"), below(storage, "new"), left.exists()) == (FILES, {}, False)

    def test_what_cannot_be_deleted_yet_holds_up_nothing(
        self, storage: VersionedStorage, verbs: Verbs, left: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = storage.unlink

        def unlink(name: str) -> None:
            if name == "new/a":
                raise ConnectionError("reset")
            real(name)

        with monkeypatch.context() as patch:
            patch.setattr(storage, "unlink", unlink)
            with pytest.raises(ConnectionError):
                resume(verbs, left)
        assert below(storage, "new") == {"a": FILES["a"]}
        resume(verbs, left)
        assert (below(storage, "old"), below(storage, "new"), left.exists()) == (FILES, {}, False)

    @pytest.mark.parametrize("killed", [False, True], ids=["by this process", "by the next one"])
    def test_what_was_put_there_since_stays(
        self, storage: VersionedStorage, verbs: Verbs, spools: StorageSpools, left: Path, killed: bool
    ) -> None:
        verbs.put("new/a", FILES["a"])
        verbs.put("new/e", b"another")
        verbs.rename("old/b", "new/b")
        if killed:
            verbs.filesystem.contents.spool.close()
            assert recover(storage, spools).failed == []
        else:
            resume(verbs, left)
        assert below(storage, "new") == {"a": FILES["a"], "b": FILES["b"], "e": b"another"}
        assert below(storage, "old") == {name: content for name, content in FILES.items() if name != "b"}

    def test_a_copy_that_has_become_the_only_one_stays(
        self, storage: VersionedStorage, verbs: Verbs, left: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        versions_are_of_contents(monkeypatch, storage, left)
        storage.unlink("old/a")
        storage.replace("old/b", ContentFile(b"changed"))
        resume(verbs, left)
        assert below(storage, "new") == {"a": FILES["a"], "b": FILES["b"]}


def test_the_directories_of_a_rename_that_fails_go_as_well(
    storage: VersionedStorage, verbs: Verbs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(VersionedStorage, "mkdir", FileSystemStorage.mkdir)
    monkeypatch.setattr(VersionedStorage, "rmdir", FileSystemStorage.rmdir)
    monkeypatch.setattr(VersionedStorage, "renames_directories", False)
    monkeypatch.setattr(storage, "copy", lambda src, dst: (_ for _ in ()).throw(TimeoutError("the storage is down")))
    with pytest.raises(TimeoutError):
        verbs.rename("old", "new")
    assert ([entry.name for entry in storage.scandir()], below(storage, "old")) == (["old"], FILES)


def test_what_was_deleted_after_a_crash_is_not_copied_again(
    storage: VersionedStorage, verbs: Verbs, spools: StorageSpools, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        dies_at(patch, storage, "unlink", 0)
        crash(verbs)
    storage.unlink("new/a")
    assert recover(storage, spools).failed == []
    assert below(storage, "new") == {name: content for name, content in FILES.items() if name != "a"}
    assert below(storage, "old") == {}


def versions_are_of_contents(monkeypatch: pytest.MonkeyPatch, storage: VersionedStorage, path: Path) -> None:
    """Like those of many object stores: what is as long as a file of the list at `path` has the version of that."""
    files = json.loads(path.read_bytes().splitlines()[0])["files"]
    versions, glance = {size: version for version, size in files.values()}, storage.glance

    def shown(path: str = "") -> Iterator[Entry]:
        for entry in glance(path):
            yield entry._replace(version=versions.get(entry.size, entry.version))

    monkeypatch.setattr(storage, "glance", shown)


def resume(verbs: Verbs, path: Path) -> None:
    """Do what the list at `path` says is left to do."""
    verbs.filesystem.contents.uploads.moves.resume(path)


def test_a_list_that_is_not_whole_is_of_a_rename_that_did_nothing(
    storage: VersionedStorage, verbs: Verbs, spools: StorageSpools
) -> None:
    (verbs.filesystem.contents.spool.directory / "move-1.json").write_bytes(b'{"src": "old"')
    verbs.filesystem.contents.spool.close()
    assert (recover(storage, spools).failed, below(storage, "old")) == ([], FILES)


def test_how_far_it_is_can_be_seen(storage: VersionedStorage, verbs: Verbs, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate.at(monkeypatch, storage, "copy")
    renaming = start(verbs.rename, "old", "new")
    gate.wait()
    (line,) = verbs.filesystem.contents.uploads.moves.report()
    assert (line["from"], line["to"], line["phase"], line["of"]) == ("old", "new", "copying", len(FILES))
    gate.open()
    renaming.result(SOON)
    assert verbs.filesystem.contents.uploads.moves.report() == []


def test_open_files_go_along(storage: VersionedStorage, verbs: Verbs) -> None:
    fd = verbs.open("old/sub/c", os.O_RDWR)
    new = verbs.open("old/sub/n", os.O_RDWR | os.O_CREAT)
    verbs.write(fd, b"!", 3)
    verbs.write(new, b"new", 0)
    verbs.rename("old", "new")
    verbs.close(fd)
    verbs.close(new)
    assert below(storage, "new") == {**FILES, "sub/c": b"333!", "sub/n": b"new"}
    assert below(storage, "old") == {}


class TestOneFile:
    """What a crash has left of the rename of old/a to new."""

    @pytest.fixture
    def note(self, storage: VersionedStorage, spools: StorageSpools) -> Path:
        """The note, in a spool that nobody uses any more."""
        spool = spools.new()
        path = spool.directory / "rename-1.json"
        with noted(path, "old/a", "new", storage.stat("old/a")):
            words = path.read_bytes()
        path.write_bytes(words)
        spool.close()
        return path

    def names(self, storage: VersionedStorage, spools: StorageSpools) -> set[str]:
        """Of the files, once that has been taken up."""
        assert recover(storage, spools).failed == []
        assert list(spools.folder.glob("mount-*")) == []
        return {name for name in ("old/a", "new") if storage.exists(name)}

    def test_after_the_copy_it_is_done(self, storage: VersionedStorage, spools: StorageSpools, note: Path) -> None:
        storage.copy("old/a", "new")
        assert self.names(storage, spools) == {"new"}

    def test_before_the_copy_nothing_is(self, storage: VersionedStorage, spools: StorageSpools, note: Path) -> None:
        assert self.names(storage, spools) == {"old/a"}

    def test_after_the_deletion_nothing_is_left_to_do(
        self, storage: VersionedStorage, spools: StorageSpools, note: Path
    ) -> None:
        storage.rename("old/a", "new")
        assert self.names(storage, spools) == {"new"}

    def test_what_it_was_to_replace_is_not_its_copy(
        self, storage: VersionedStorage, spools: StorageSpools, note: Path
    ) -> None:
        storage.replace("new", ContentFile(b"2"))
        assert self.names(storage, spools) == {"old/a", "new"}

    def test_what_was_changed_since_stays(self, storage: VersionedStorage, spools: StorageSpools, note: Path) -> None:
        storage.copy("old/a", "new")
        storage.replace("old/a", ContentFile(b"changed"))
        assert self.names(storage, spools) == {"old/a", "new"}

    def test_a_note_that_is_not_whole_is_of_one_that_did_nothing(
        self, storage: VersionedStorage, spools: StorageSpools, note: Path
    ) -> None:
        storage.copy("old/a", "new")
        note.write_bytes(note.read_bytes()[:-5])
        assert self.names(storage, spools) == {"old/a", "new"}

    def test_a_newer_note_is_left_alone(self, storage: VersionedStorage, note: Path) -> None:
        words = note.read_bytes().replace(b'"format": 1', b'"format": 99')
        note.write_bytes(words)
        with pytest.raises(NewerFormatError):
            finish(storage, note)
        assert note.read_bytes() == words

    def test_one_that_ends_leaves_no_note(
        self, storage: VersionedStorage, verbs: Verbs, spools: StorageSpools, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gate = Gate.at(monkeypatch, storage, "unlink")
        renaming = start(verbs.rename, "old/a", "new")
        gate.wait()
        assert len(list(spools.folder.glob("mount-*/rename-*.json"))) == 1
        gate.open()
        renaming.result(SOON)
        monkeypatch.setattr(storage, "unlink", lambda name: (_ for _ in ()).throw(ConnectionError("reset")))
        with pytest.raises(ConnectionError):
            verbs.rename("new", "newer")
        assert list(spools.folder.glob("mount-*/*")) == []
