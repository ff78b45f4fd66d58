"""What every storage must do, whatever stands behind it: the extended surface."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest

from storage import (
    RENAME_EXCHANGE,
    RENAME_NOREPLACE,
    Change,
    ContentFile,
    Entry,
    Kind,
    Storage,
    SuspiciousFileOperation,
    VersionMismatchError,
)
from storage.testing.conformance.traits import BrokenStream, Traits, names, only_if, put, read

_OPERATIONS: dict[str, Callable[[Storage, str], object]] = {
    "stat": lambda storage, name: storage.stat(name),
    "scandir": lambda storage, name: list(storage.scandir(name)),
    "replace": lambda storage, name: storage.replace(name, ContentFile(b"")),
    "copy from": lambda storage, name: storage.copy(name, "x"),
    "copy to": lambda storage, name: storage.copy("file", name),
    "rename from": lambda storage, name: storage.rename(name, "x"),
    "rename to": lambda storage, name: storage.rename("file", name),
    "unlink": lambda storage, name: storage.unlink(name),
}
_NOT_PLAIN = ("/", "/a", "a/", "a//b", ".", "./a", "a/..", "..", "../a", "a\0b")


def content(data: bytes = b"new") -> ContentFile:
    return ContentFile(data)


class TestLookingAtEntries:
    def test_the_root_is_a_directory_without_a_name(self, storage: Storage) -> None:
        assert storage.stat("")[:2] == ("", Kind.DIRECTORY)

    def test_a_file_has_a_size_a_time_and_a_version(self, storage: Storage, traits: Traits) -> None:
        put(storage, "dir/f", b"12345")
        entry = storage.stat("dir/f")
        assert (entry.name, entry.kind, entry.size, entry.is_file) == ("f", Kind.FILE, 5, True)
        assert (entry.mtime_ns is not None) == ("modified" in traits.times)
        assert (entry.version is not None) == traits.versions
        assert storage.stat("dir").is_dir

    def test_what_is_missing(self, storage: Storage) -> None:
        put(storage, "file")
        with pytest.raises(FileNotFoundError):
            storage.stat("missing")
        with pytest.raises(FileNotFoundError):
            storage.stat("missing/below")
        with pytest.raises(NotADirectoryError):
            storage.stat("file/below")

    def test_scandir_says_what_stat_says(self, storage: Storage) -> None:
        put(storage, "dir/a")
        put(storage, "dir/b", b"longer")
        put(storage, "dir/sub/c")
        found = sorted(storage.scandir("dir"))
        assert found == [storage.stat("dir/a"), storage.stat("dir/b"), storage.stat("dir/sub")]

    def test_scandir_of_what_is_no_directory(self, storage: Storage) -> None:
        put(storage, "file")
        with pytest.raises(FileNotFoundError):
            list(storage.scandir("missing"))
        with pytest.raises(NotADirectoryError):
            list(storage.scandir("file"))

    def test_walk_goes_down_and_can_be_pruned(self, storage: Storage) -> None:
        for name in ("top", "a/one", "a/deep/two", "b/three"):
            put(storage, name)
        found = {}
        for path, directories, files in storage.walk():
            found[path] = {entry.name for entry in files}
            directories[:] = [entry for entry in directories if entry.name != "deep"]
        assert found == {"": {"top"}, "a": {"one"}, "b": {"three"}}

    def test_names_that_are_not_plain_are_refused(self, storage: Storage, traits: Traits) -> None:
        put(storage, "file")
        taken: list[tuple[str, str]] = []
        for name in (*_NOT_PLAIN, *(f"a{character}b" for character in traits.forbidden)):
            for operation, run in _OPERATIONS.items():
                with contextlib.suppress(SuspiciousFileOperation):
                    run(storage, name)
                    taken.append((operation, name))
        assert (taken, names(storage)) == ([], ([], ["file"]))


class TestReplacing:
    def test_replace_makes_and_overwrites(self, storage: Storage, traits: Traits) -> None:
        made = storage.replace("dir/f", content(b"one"))
        assert made == storage.stat("dir/f")
        over = storage.replace("dir/f", content(b"three"))
        assert (over.size, over.version == made.version) == (5, not traits.versions)
        assert read(storage, "dir/f") == b"three"
        assert names(storage, "dir") == ([], ["f"])

    def test_a_failing_stream_keeps_the_old_content(self, storage: Storage) -> None:
        put(storage, "f", b"old")
        with pytest.raises(ConnectionError):
            storage.replace("f", BrokenStream())
        assert read(storage, "f") == b"old"
        assert names(storage) == ([], ["f"])

    def test_if_version(self, storage: Storage, traits: Traits) -> None:
        first = storage.replace("f", content(b"1"))
        second = storage.replace("f", content(b"22"), if_version=first.version)
        for name, version in (("f", first.version), ("missing", second.version)):
            with pytest.raises(VersionMismatchError):
                storage.replace(name, content(b"lost"), if_version=version or "any")
        assert read(storage, "f") == b"22"
        assert names(storage) == ([], ["f"])

    def test_if_absent(self, storage: Storage) -> None:
        storage.replace("f", content(b"first"), if_absent=True)
        with pytest.raises(FileExistsError):
            storage.replace("f", content(b"second"), if_absent=True)
        assert read(storage, "f") == b"first"

    def test_not_over_a_directory(self, storage: Storage) -> None:
        put(storage, "dir/f")
        with pytest.raises(IsADirectoryError):
            storage.replace("dir", content())
        assert names(storage, "dir") == ([], ["f"])

    def test_copy(self, storage: Storage) -> None:
        put(storage, "a", b"content")
        put(storage, "b", b"overwritten")
        storage.copy("a", "b")
        storage.copy("a", "a")
        assert (read(storage, "a"), read(storage, "b")) == (b"content", b"content")
        put(storage, "dir/f")
        with pytest.raises(IsADirectoryError):
            storage.copy("dir", "other")
        with pytest.raises(FileNotFoundError):
            storage.copy("missing", "other")
        assert not storage.exists("other")


class TestRenamingFiles:
    def test_to_a_new_name_and_over_an_old_one(self, storage: Storage) -> None:
        put(storage, "dir/a", b"a")
        put(storage, "dir/b", b"b")
        storage.rename("dir/a", "dir/c")
        storage.rename("dir/c", "dir/b")
        storage.rename("dir/b", "dir/b")
        assert names(storage, "dir") == ([], ["b"])
        assert read(storage, "dir/b") == b"a"

    def test_noreplace(self, storage: Storage) -> None:
        put(storage, "a", b"a")
        put(storage, "b", b"b")
        with pytest.raises(FileExistsError):
            storage.rename("a", "b", RENAME_NOREPLACE)
        storage.rename("a", "c", RENAME_NOREPLACE)
        assert (read(storage, "b"), read(storage, "c")) == (b"b", b"a")
        assert not storage.exists("a")

    def test_exchange(self, storage: Storage, traits: Traits) -> None:
        put(storage, "a", b"a")
        put(storage, "dir/b", b"b")
        with only_if(traits.exchange):
            storage.rename("a", "dir", RENAME_EXCHANGE)
            assert read(storage, "dir") == b"a"
            assert read(storage, "a/b") == b"b"
            with pytest.raises(FileNotFoundError):
                storage.rename("a", "missing", RENAME_EXCHANGE)

    def test_of_one_version(self, storage: Storage) -> None:
        put(storage, "a", b"first")
        put(storage, "b", b"other")
        first = storage.stat("a")
        storage.replace("a", content(b"the second"))
        with pytest.raises(VersionMismatchError):
            storage.rename_version("a", first, "c")
        assert read(storage, "a") == b"the second"
        with pytest.raises(FileExistsError):
            storage.rename_version("a", storage.stat("a"), "b", RENAME_NOREPLACE)
        storage.rename_version("a", storage.stat("a"), "b")
        assert (storage.exists("a"), read(storage, "b")) == (False, b"the second")

    def test_of_what_is_missing(self, storage: Storage) -> None:
        with pytest.raises(FileNotFoundError):
            storage.rename("missing", "b")

    def test_unlink(self, storage: Storage) -> None:
        put(storage, "dir/f")
        put(storage, "dir/g")
        storage.unlink("dir/f")
        assert not storage.exists("dir/f")
        with pytest.raises(FileNotFoundError):
            storage.unlink("dir/f")
        with pytest.raises(IsADirectoryError):
            storage.unlink("dir")


class TestTelling:
    def test_each_change_is_told_once(self, storage: Storage) -> None:
        told: list[Change] = []
        with storage.subscribe(told.append):
            put(storage, "a")
            storage.replace("dir/b", content())
            storage.delete("a")
            storage.delete("a")
            storage.unlink("dir/b")
        put(storage, "unheard")
        wanted = [("save", "a"), ("save", "dir/b"), ("delete", "a"), ("delete", "dir/b")]
        assert [(change.action, change.name) for change in told] == wanted

    def test_a_name_more_or_less_tells_whose(self, storage: Storage, traits: Traits) -> None:
        if not traits.native:
            pytest.skip("it has no hard links")
        put(storage, "a")
        identity = storage.stat("a").identity
        told: list[Change] = []
        with storage.subscribe(told.append):
            storage.link("a", "b")
            storage.unlink("a")
        assert told == [Change("save", "b", None, identity), Change("delete", "a", None, identity)]

    def test_changes_of_the_tree_are_told(self, storage: Storage, traits: Traits) -> None:
        told: list[Change] = []
        with storage.subscribe(told.append), only_if(traits.directories):
            storage.mkdir("d")
            storage.rename("d", "e")
            if traits.native:
                storage.set_attributes("e", mode=0o700)
            storage.rmdir("e")
            attributes = [Change("attributes", "e")] if traits.native else []
            assert told == [Change("mkdir", "d"), Change("rename", "d", "e"), *attributes, Change("rmdir", "e")]

    def test_usage_adds_up(self, storage: Storage, traits: Traits) -> None:
        with only_if(traits.native):
            usage = storage.usage()
            assert usage.total >= usage.used + usage.free > 0

    def test_entries_are_frozen(self, storage: Storage) -> None:
        assert isinstance(storage.stat(""), Entry)
