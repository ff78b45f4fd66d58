"""Names: what is known of them, how long it is believed, and what happens when an answer is overtaken."""

from __future__ import annotations

import errno
import logging
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gates import SOON, Gate, start
from kernel import IN_PLACE, SPOOLED, Verbs, filesystem_of

from storage import ContentFile, InMemoryStorage
from storage.entry import Entry, Kind
from storage.exceptions import DirectoryNotEmptyError, NameTooLongError
from storage.remote.django import DjangoStorage
from vfs.filesystem import FileSystem
from vfs.names.lookups import join, supports
from vfs.names.namespace import Namespace

W = os.O_CREAT | os.O_RDWR


@pytest.fixture(params=SPOOLED)
def cached(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Verbs]:
    """Verbs over a storage whose answers are believed for longer than the test takes."""
    caller = Verbs(filesystem_of(request.param, tmp_path, cache_seconds=1000.0))
    caller.filesystem.names.listings.seconds = 1000.0  # local storages do not get one
    yield caller
    caller.close_all()
    caller.filesystem.close()


class Counted:
    """Counts the calls of a storage's methods."""

    def __init__(self, storage: Any, monkeypatch: pytest.MonkeyPatch, *methods: str) -> None:
        self.calls: Counter[str] = Counter()
        for method in methods:
            monkeypatch.setattr(storage, method, self._counted(method, getattr(storage, method)))

    def _counted(self, method: str, real: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls[method] += 1
            return real(*args, **kwargs)

        return call


def test_names_of_the_storage() -> None:
    assert (join("", "a"), join("d/e", "a")) == ("a", "d/e/a")


def test_what_a_storage_supports() -> None:
    assert supports(InMemoryStorage(), "mkdir")
    assert not supports(DjangoStorage(InMemoryStorage()), "mkdir")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0b"])
def test_what_no_entry_can_be_called(name: str) -> None:
    with pytest.raises(OSError) as caught:
        Namespace(InMemoryStorage(), 0.0).check(name)
    assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize(
    ("name", "fits"), [("a" * 255, True), ("a" * 256, False), ("é" * 127, True), ("é" * 128, False)]
)
def test_names_are_measured_in_bytes(name: str, fits: bool) -> None:
    names = Namespace(InMemoryStorage(), 0.0)
    if fits:
        names.check(name)
    else:
        with pytest.raises(NameTooLongError):
            names.check(name)


class TestCaching:
    def test_what_is_known_is_not_asked_again(self, cached: Verbs, monkeypatch: pytest.MonkeyPatch) -> None:
        cached.put("f", b"content")
        counted = Counted(cached.filesystem.storage, monkeypatch, "stat", "scandir")
        for _ in range(3):
            assert cached.stat("f").size == 7
            assert cached.listdir("") == ["f"]
        assert counted.calls["scandir"] <= 1
        assert counted.calls["stat"] <= 1

    def test_a_fresh_listing_answers_for_what_is_missing(self, cached: Verbs, monkeypatch: pytest.MonkeyPatch) -> None:
        assert cached.listdir("") == []
        counted = Counted(cached.filesystem.storage, monkeypatch, "stat", "scandir")
        with pytest.raises(FileNotFoundError):
            cached.stat("missing")
        assert counted.calls == {}

    def test_each_change_is_seen_at_once(self, cached: Verbs) -> None:
        cached.put("a", b"1")
        assert cached.listdir("") == ["a"]
        cached.put("b", b"22")
        assert sorted(cached.listdir("")) == ["a", "b"]
        cached.rename("a", "c")
        assert sorted(cached.listdir("")) == ["b", "c"]
        cached.unlink("b")
        assert cached.listdir("") == ["c"]
        with pytest.raises(FileNotFoundError):
            cached.stat("b")
        cached.put("c", b"333")
        assert (cached.stat("c").size, cached.get("c")) == (3, b"333")
        cached.mkdir("d")
        assert sorted(cached.listdir("")) == ["c", "d"]
        cached.rmdir("d")
        assert cached.listdir("") == ["c"]

    @pytest.mark.parametrize("kind", IN_PLACE)
    def test_storages_that_do_not_wait_are_asked_each_time(self, kind: str, tmp_path: Path) -> None:
        verbs = Verbs(filesystem_of(kind, tmp_path, cache_seconds=1000.0))
        verbs.put("f", b"1")
        verbs.filesystem.storage.replace("f", ContentFile(b"22"))
        verbs.filesystem.storage.save("g", ContentFile(b"333"))
        assert (verbs.stat("f").size, verbs.stat("g").size, sorted(verbs.listdir(""))) == (2, 3, ["f", "g"])


class TestOvertaken:
    """The storage answered, and before the answer was taken in, this mount changed what it says."""

    def test_a_listing_from_before_an_upload_is_not_believed(
        self, cached: Verbs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fd = cached.open("f", W)
        gate = Gate.at(monkeypatch, cached.filesystem.storage, "scandir", after=True)
        listing = start(cached.listdir, "")
        gate.wait()
        cached.close(fd)
        gate.open()
        listing.result(SOON)
        assert cached.listdir("") == ["f"]
        with cached.at("f") as node:
            node.expires = 0.0
        assert cached.stat("f").size == 0

    def test_attributes_from_before_an_upload_are_not_believed(
        self, cached: Verbs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cached.put("f", b"old")
        fd = cached.open("f", W)
        with cached.at("f") as node:
            cached.filesystem.names.touch(node, cached.filesystem.root)
        gate = Gate.at(monkeypatch, cached.filesystem.storage, "stat", after=True)
        asking = start(cached.fstat, fd)
        gate.wait()
        cached.write(fd, b"longer", 0)
        cached.fsync(fd)
        gate.open()
        asking.result(SOON)
        assert (cached.fstat(fd).size, cached.stat("f").size) == (6, 6)

    def test_an_absence_from_before_a_create_takes_no_name_away(
        self, verbs: Verbs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gate = Gate.at(monkeypatch, verbs.filesystem.storage, "find", after=True)
        looking = start(verbs.stat, "f")
        gate.wait()
        other = Verbs(verbs.filesystem)
        with other.above("f") as (parent, name):
            node, _, handle = other.filesystem.create(parent, name, 0o644, W | os.O_EXCL, other.caller)
        gate.open()
        with pytest.raises(FileNotFoundError):
            looking.result(SOON)
        assert list(node.links) == [(verbs.filesystem.root, "f")]
        other.filesystem.write(handle, b"content", 0)
        other.filesystem.release(handle)
        assert verbs.get("f") == b"content"

    def test_a_presence_from_before_an_unlink_brings_nothing_back(
        self, cached: Verbs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cached.put("f", b"content")
        with cached.at("f") as node:
            cached.filesystem.names.touch(node, cached.filesystem.root)
        gate = Gate.at(monkeypatch, cached.filesystem.storage, "stat", after=True)
        looking = start(cached.stat, "f")
        gate.wait()
        cached.filesystem.unlink(cached.filesystem.root, "f")
        gate.open()
        with pytest.raises(FileNotFoundError):
            looking.result(SOON)
        with pytest.raises(FileNotFoundError):
            cached.stat("f")

    def test_an_entry_from_before_a_rename_does_not_take_the_name_from_the_new_file(
        self, verbs: Verbs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        verbs.put("f", b"old")
        fd = verbs.open("new", W)
        verbs.write(fd, b"unsaved", 0)
        gate = Gate.at(monkeypatch, verbs.filesystem.storage, "find", after=True)
        looking = start(verbs.filesystem.lookup, verbs.filesystem.root, "f")
        gate.wait()
        verbs.filesystem.rename(verbs.filesystem.root, "new", verbs.filesystem.root, "f")
        gate.open()
        looking.result(SOON)
        verbs.close(fd)
        assert verbs.get("f") == b"unsaved"


class TestReusedInodes:
    """A local filesystem gives the inode of a file that is gone to the next one."""

    @pytest.fixture
    def files(self, tmp_path: Path) -> Iterator[Verbs]:
        verbs = Verbs(filesystem_of("files", tmp_path))
        number = self.make_on_disk(tmp_path / "files" / "probe")
        (tmp_path / "files" / "probe").unlink()
        if self.make_on_disk(tmp_path / "files" / "probe") != number:
            pytest.skip("this filesystem does not reuse inodes at once")
        (tmp_path / "files" / "probe").unlink()
        yield verbs
        verbs.close_all()
        verbs.filesystem.close()

    @staticmethod
    def make_on_disk(path: Path) -> int:
        path.touch()
        return path.stat().st_ino

    def test_a_file_made_while_another_loses_its_name_is_not_taken_for_it(
        self, files: Verbs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        files.put("f", b"old")
        gate = Gate.at(monkeypatch, files.filesystem.storage, "unlink", after=True)
        with files.at("f") as old:
            unlinking = start(Verbs(files.filesystem).unlink, "f")
            gate.wait()
            fd = files.open("g", W)
            gate.open()
            unlinking.result(SOON)
            assert files.handle(fd).node is not old
            assert (old.links, old.file) == ((), None)
            files.write(fd, b"new", 0)
        assert (files.get("g"), files.listdir("")) == (b"new", ["g"])

    def test_an_answer_from_before_names_no_file_that_was_made_since(
        self, files: Verbs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        files.put("f", b"old")
        files.filesystem.tree.detach(files.filesystem.root, "f")  # it is not known any more
        gate = Gate.at(monkeypatch, files.filesystem.storage, "find", after=True)
        looking = start(files.stat, "f")
        gate.wait()
        other = Verbs(files.filesystem)
        other.unlink("f")
        fd = other.open("g", W)
        gate.open()
        with pytest.raises(FileNotFoundError):
            looking.result(SOON)
        assert list(other.handle(fd).node.links) == [(files.filesystem.root, "g")]
        other.close(fd)

    def test_a_file_made_after_one_was_deleted_behind_the_mount_is_another(self, files: Verbs, tmp_path: Path) -> None:
        files.put("f", b"old")
        with files.at("f") as old:
            (tmp_path / "files" / "f").unlink()
            fd = files.open("g", W)
            assert files.handle(fd).node is not old
            assert files.fstat(fd).ino != old.ino
        files.close(fd)


class TestVirtual:
    @pytest.fixture
    def objects(self, tmp_path: Path) -> Iterator[Verbs]:
        verbs = Verbs(filesystem_of("objects", tmp_path))
        yield verbs
        verbs.close_all()
        verbs.filesystem.close()

    def test_an_empty_directory_lives_in_the_mount(self, objects: Verbs) -> None:
        objects.mkdir("d")
        assert objects.listdir("") == ["d"]
        assert objects.listdir("d") == []
        assert list(objects.filesystem.storage.scandir("")) == []

    def test_it_lives_on_when_its_last_file_goes(self, objects: Verbs) -> None:
        objects.filesystem.storage.save("d/e/f", ContentFile(b"1"))
        objects.unlink("d/e/f")
        assert objects.listdir("d/e") == []
        assert objects.listdir("d") == ["e"]
        objects.rmdir("d/e")
        assert objects.listdir("d") == []

    def test_only_one_of_many_makes_it(self, objects: Verbs) -> None:
        def make() -> bool:
            try:
                objects.filesystem.mkdir(objects.filesystem.root, "d", 0o755, objects.caller)
            except FileExistsError:
                return False
            return True

        made = [start(make) for _ in range(8)]
        assert sorted(future.result(SOON) for future in made) == [False] * 7 + [True]

    def test_a_directory_that_the_storage_keeps_is_not_said_to_be_gone(
        self, objects: Verbs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """SFTP keeps empty directories, and Django has no method to remove one."""
        storage: Any = objects.filesystem.storage
        real = storage.listdir
        monkeypatch.setattr(storage, "listdir", lambda path: (["kept"], []) if path == "" else real(path))
        with pytest.raises(PermissionError):
            objects.rmdir("kept")
        assert objects.listdir("") == ["kept"]

    def test_nothing_is_made_in_a_removed_directory(self, objects: Verbs) -> None:
        objects.mkdir("d")
        with objects.at("d") as node:
            objects.rmdir("d")
            with pytest.raises(FileNotFoundError):
                objects.filesystem.create(node, "f", 0o644, W, objects.caller)
        assert objects.filesystem.contents.spool.directory.exists()
        assert list(objects.filesystem.contents.spool.directory.iterdir()) == []

    def test_emptiness_is_of_mount_and_storage(self, objects: Verbs) -> None:
        names = objects.filesystem.names
        objects.mkdir("d")
        with objects.at("d") as node:
            names.require_empty(node, "d")
            objects.filesystem.storage.save("d/f", ContentFile(b"1"))
            with pytest.raises(DirectoryNotEmptyError):
                names.require_empty(node, "d")
            objects.unlink("d/f")
            fd = objects.open("d/unsaved", W)
            with pytest.raises(DirectoryNotEmptyError):
                names.require_empty(node, "d")
            objects.close(fd)


class Odd(InMemoryStorage):
    """Lists names that no filesystem can show."""

    def scandir(self, path: str = "") -> Iterator[Entry]:
        for name in ("", ".", "..", "a/b", "a\0b", "fine"):
            yield Entry(name, Kind.FILE)


def test_what_cannot_be_shown_is_left_out_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "vfs"):
        assert Verbs(FileSystem(Odd())).listdir("") == ["fine"]
    assert len(caplog.records) == 5


def test_what_is_doubted_is_asked_again_with_all_that_is_below(cached: Verbs) -> None:
    for name in ("a/b/f", "a/g", "c"):
        cached.filesystem.storage.save(name, ContentFile(b"old"))
    shown = ("a/b/f", "a/g", "c")
    assert [cached.stat(name).size for name in shown] == [3, 3, 3]
    assert sorted(cached.listdir("")) == ["a", "c"]
    for name in ("a/b/f", "a/g", "c", "d"):
        cached.filesystem.storage.delete(name)
        cached.filesystem.storage.save(name, ContentFile(b"newer"))
    assert [cached.stat(name).size for name in shown] == [3, 3, 3]
    assert sorted(cached.listdir("")) == ["a", "c"]
    assert len(cached.filesystem.refresh("a/b")) == 2
    assert [cached.stat(name).size for name in shown] == [5, 3, 3]
    assert cached.filesystem.refresh("a/unknown") == []
    assert len(cached.filesystem.refresh("a")) == 4
    assert [cached.stat(name).size for name in shown] == [5, 5, 3]
    cached.filesystem.refresh()
    assert (sorted(cached.listdir("")), cached.stat("c").size) == (["a", "c", "d"], 5)
