"""The defaults of `Storage` over Django's methods alone, on backends that behave as the real ones do."""

from __future__ import annotations

import errno
import io
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from storage import (
    RENAME_EXCHANGE,
    RENAME_NOREPLACE,
    Change,
    ContentFile,
    File,
    FileSystemStorage,
    InMemoryStorage,
    Kind,
    Storage,
    SuspiciousFileOperation,
    VersionMismatchError,
)

NOON = datetime(2024, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)


class Bucket(Storage):
    """An object store: names and contents, directories only as prefixes; a save on a taken name gets another."""

    blocking = False
    now = NOON

    def __init__(self, **objects: bytes) -> None:
        self.objects = dict(objects)
        self.listings: list[str] = []

    def _open(self, name: str, mode: str = "rb") -> File:
        return File(io.BytesIO(self._content(name)), name)

    def _content(self, name: str) -> bytes:
        if name not in self.objects:
            raise FileNotFoundError(2, "No such object", name)
        return self.objects[name]

    def _save(self, name: str, content: Any) -> str:
        self.objects[name] = b"".join(content.chunks())
        return name

    def delete(self, name: str) -> None:
        self.objects.pop(name, None)
        self._changed("delete", name)

    def exists(self, name: str) -> bool:
        return name in self.objects

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        self.listings.append(path)
        prefix = f"{path}/" if path else ""
        below = [name.removeprefix(prefix) for name in self.objects if name.startswith(prefix)]
        directories = {name.partition("/")[0] for name in below if "/" in name}
        return sorted(directories), sorted(name for name in below if "/" not in name)

    def size(self, name: str) -> int:
        return len(self._content(name))

    def get_modified_time(self, name: str) -> datetime:
        self._content(name)
        return self.now


class OverwritingBucket(Bucket):
    """The same, where a save replaces what has the name."""

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        return name


@pytest.fixture(params=[Bucket, OverwritingBucket])
def bucket(request: pytest.FixtureRequest) -> Bucket:
    made: Bucket = request.param()
    made.objects = {"a.txt": b"a", "docs/b.txt": b"bb", "docs/more/c.txt": b"ccc"}
    return made


class TestLooking:
    def test_a_file(self, bucket: Bucket) -> None:
        entry = bucket.stat("docs/b.txt")
        assert (entry.name, entry.kind, entry.size) == ("b.txt", Kind.FILE, 2)
        assert entry.mtime_ns == int(NOON.timestamp()) * 10**9 + 123_456_000

    def test_a_directory_that_is_only_a_prefix(self, bucket: Bucket) -> None:
        assert bucket.stat("docs/more").kind is Kind.DIRECTORY
        assert bucket.stat("").kind is Kind.DIRECTORY

    def test_the_version_follows_size_and_time(self, bucket: Bucket) -> None:
        before = bucket.stat("a.txt").version
        assert bucket.stat("a.txt").version == before
        bucket.objects["a.txt"] = b"aa"
        after = bucket.stat("a.txt").version
        bucket.now = NOON.replace(second=1)
        assert len({before, after, bucket.stat("a.txt").version}) == 3

    def test_a_backend_without_times_has_no_version(self) -> None:
        class Timeless(Bucket):
            def get_modified_time(self, name: str) -> datetime:
                raise NotImplementedError

        entry = Timeless(a=b"a").stat("a")
        assert (entry.mtime_ns, entry.version) == (None, None)

    @pytest.mark.parametrize("name", ["x", "docs/x", "x/y/z"])
    def test_what_is_missing(self, bucket: Bucket, name: str) -> None:
        with pytest.raises(FileNotFoundError) as caught:
            bucket.stat(name)
        assert caught.value.filename == name

    @pytest.mark.parametrize("name", ["a.txt/x", "docs/b.txt/x/y"])
    def test_below_a_file(self, bucket: Bucket, name: str) -> None:
        with pytest.raises(NotADirectoryError):
            bucket.stat(name)
        with pytest.raises(NotADirectoryError):
            bucket.scandir(name)

    def test_one_listing_tells_of_a_file_and_of_a_missing_one_beside_it(self, bucket: Bucket) -> None:
        bucket.stat("docs/b.txt")
        with pytest.raises(FileNotFoundError):
            bucket.stat("docs/x")
        assert bucket.listings == ["docs", "docs"]

    def test_scandir_lists_once(self, bucket: Bucket) -> None:
        entries = {entry.name: entry for entry in bucket.scandir("docs")}
        assert {name: entry.kind for name, entry in entries.items()} == {"b.txt": Kind.FILE, "more": Kind.DIRECTORY}
        assert entries["b.txt"].size == 2
        assert bucket.listings == ["docs"]

    def test_scandir_of_what_is_no_directory_fails_before_the_first_entry(self, bucket: Bucket) -> None:
        with pytest.raises(NotADirectoryError):
            bucket.scandir("a.txt")
        with pytest.raises(FileNotFoundError):
            bucket.scandir("x")

    def test_the_empty_root_is_a_directory(self) -> None:
        assert list(Bucket().scandir()) == []

    def test_walk_can_be_pruned(self, bucket: Bucket) -> None:
        assert [path for path, _, _ in bucket.walk()] == ["", "docs", "docs/more"]
        seen = []
        for path, directories, others in bucket.walk():
            seen.append((path, [entry.name for entry in others]))
            directories[:] = [entry for entry in directories if entry.name != "more"]
        assert seen == [("", ["a.txt"]), ("docs", ["b.txt"])]

    @pytest.mark.parametrize("name", ["/a", "a//b", "..", "a/../b", "a\0"])
    def test_names_that_are_not_plain_reach_no_backend(self, bucket: Bucket, name: str) -> None:
        operations = (bucket.stat, bucket.scandir, bucket.unlink, lambda n: bucket.replace(n, ContentFile(b"")))
        for operation in operations:
            with pytest.raises(SuspiciousFileOperation):
                operation(name)
        assert bucket.listings == []


class TestScandirOverANetwork:
    def test_sizes_are_asked_for_several_at_once(self) -> None:
        together = threading.Barrier(4, timeout=10)

        class Slow(Bucket):
            blocking = True

            def size(self, name: str) -> int:
                together.wait()
                return super().size(name)

        bucket = Slow(**{f"f{number}": b"x" * number for number in range(8)})
        assert {entry.name: entry.size for entry in bucket.scandir()} == {f"f{n}": n for n in range(8)}

    def test_a_file_that_goes_away_meanwhile_is_left_out(self) -> None:
        class Vanishing(Bucket):
            blocking = True

            def size(self, name: str) -> int:
                if name == "b":
                    raise FileNotFoundError(2, "No such object", name)
                return super().size(name)

        assert [entry.name for entry in Vanishing(a=b"", b=b"", c=b"").scandir()] == ["a", "c"]

    def test_an_outage_does_not_read_as_absence(self) -> None:
        class Down(Bucket):
            blocking = True

            def size(self, name: str) -> int:
                raise ConnectionError("down")

        with pytest.raises(ConnectionError):
            list(Down(a=b"", b=b"").scandir())


class TestReplacing:
    def test_a_new_name_and_a_taken_one(self, bucket: Bucket) -> None:
        assert bucket.replace("new/n", ContentFile(b"1")).size == 1
        assert bucket.replace("new/n", io.BytesIO(b"22")).size == 2
        assert bucket.objects == {
            "a.txt": b"a",
            "docs/b.txt": b"bb",
            "docs/more/c.txt": b"ccc",
            "new/n": b"22",
        }

    def test_content_that_can_be_read_once_only(self, bucket: Bucket) -> None:
        class Stream(io.RawIOBase):
            def __init__(self) -> None:
                self.left = [b"str", b"eam"]

            def readable(self) -> bool:
                return True

            def read(self, size: int = -1) -> bytes:
                return self.left.pop(0) if self.left else b""

        bucket.replace("a.txt", Stream())
        assert bucket.objects["a.txt"] == b"stream"
        assert len(bucket.objects) == 3

    def test_a_backend_that_closes_what_it_saved(self) -> None:
        class Closing(Bucket):
            def _save(self, name: str, content: Any) -> str:
                stored = super()._save(name, content)
                content.close()
                return stored

        bucket = Closing(a=b"old")
        bucket.replace("a", File(io.BytesIO(b"new"), "a"))
        assert bucket.objects == {"a": b"new"}

    def test_only_where_nothing_is(self, bucket: Bucket) -> None:
        assert bucket.replace("n", ContentFile(b"1"), if_absent=True).size == 1
        with pytest.raises(FileExistsError):
            bucket.replace("n", ContentFile(b"2"), if_absent=True)
        assert bucket.objects["n"] == b"1"

    def test_only_over_the_version_that_was_seen(self, bucket: Bucket) -> None:
        version = bucket.stat("a.txt").version
        bucket.replace("a.txt", ContentFile(b"22"), if_version=version)
        with pytest.raises(VersionMismatchError):
            bucket.replace("a.txt", ContentFile(b"333"), if_version=version)
        with pytest.raises(VersionMismatchError):
            bucket.replace("gone", ContentFile(b"333"), if_version=version)
        assert bucket.objects["a.txt"] == b"22"
        assert "gone" not in bucket.objects

    def test_not_over_a_directory(self, bucket: Bucket) -> None:
        with pytest.raises(IsADirectoryError):
            bucket.replace("docs", ContentFile(b""))
        with pytest.raises(NotADirectoryError):
            bucket.replace("a.txt/x", ContentFile(b""))

    def test_whoever_is_faster_keeps_the_name(self) -> None:
        class Raced(Bucket):
            def get_available_name(self, name: str, max_length: int | None = None) -> str:
                self.objects[name] = b"of another"
                return super().get_available_name(name, max_length)

        bucket = Raced()
        with pytest.raises(FileExistsError):
            bucket.replace("n", ContentFile(b"mine"), if_absent=True)
        assert bucket.objects == {"n": b"of another"}

    def test_a_failing_first_save_leaves_the_old_content(self, bucket: Bucket) -> None:
        class Failing(ContentFile):
            def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
                raise OSError(5, "read error")

        with pytest.raises(OSError, match="read error"):
            bucket.replace("a.txt", Failing(b"new"))
        assert bucket.objects["a.txt"] == b"a"

    def test_a_failing_second_save_leaves_the_new_content_beside(self) -> None:
        class FailingOnce(Bucket):
            saves = 0

            def _save(self, name: str, content: Any) -> str:
                self.saves += 1
                if self.saves == 2:
                    raise ConnectionError("down")
                return super()._save(name, content)

        bucket = FailingOnce(a=b"old")
        with pytest.raises(ConnectionError) as caught:
            bucket.replace("a", ContentFile(b"new"))
        ((alternative, content),) = bucket.objects.items()
        assert content == b"new"
        assert caught.value.__notes__ == [f"The new content of 'a' is kept as {alternative!r}"]

    @pytest.mark.parametrize("name", ["A B", "dir/A"])
    def test_a_name_that_the_backend_changes_is_refused_and_leaves_nothing(self, name: str) -> None:
        class LowerCase(Bucket):
            def _save(self, name: str, content: Any) -> str:
                return super()._save(name.lower().replace(" ", "_"), content)

        bucket = LowerCase(other=b"")
        with pytest.raises(SuspiciousFileOperation, match="under another name"):
            bucket.replace(name, ContentFile(b"new"))
        assert bucket.objects == {"other": b""}


class TestMoving:
    def test_copy(self, bucket: Bucket) -> None:
        bucket.copy("a.txt", "docs/b.txt")
        assert bucket.objects["docs/b.txt"] == bucket.objects["a.txt"] == b"a"

    def test_rename_over_another(self, bucket: Bucket) -> None:
        bucket.rename("a.txt", "docs/b.txt")
        assert bucket.objects == {"docs/b.txt": b"a", "docs/more/c.txt": b"ccc"}

    def test_rename_not_over_another(self, bucket: Bucket) -> None:
        with pytest.raises(FileExistsError):
            bucket.rename("a.txt", "docs/b.txt", RENAME_NOREPLACE)
        bucket.rename("a.txt", "n", RENAME_NOREPLACE)
        assert "a.txt" not in bucket.objects
        assert bucket.objects["n"] == b"a"

    def test_a_file_is_not_renamed_away_by_its_own_name(self, bucket: Bucket) -> None:
        bucket.rename("a.txt", "a.txt")
        bucket.copy("a.txt", "a.txt")
        assert bucket.objects["a.txt"] == b"a"

    def test_what_the_default_cannot_do(self, bucket: Bucket) -> None:
        with pytest.raises(NotImplementedError):
            bucket.rename("a.txt", "docs/b.txt", RENAME_EXCHANGE)
        with pytest.raises(IsADirectoryError):
            bucket.copy("docs", "papers")
        with pytest.raises(IsADirectoryError):
            bucket.rename("a.txt", "docs")
        assert len(bucket.objects) == 3

    def test_a_directory_is_renamed_file_by_file(self, bucket: Bucket) -> None:
        bucket.rename("docs", "papers/old")
        assert bucket.objects == {"a.txt": b"a", "papers/old/b.txt": b"bb", "papers/old/more/c.txt": b"ccc"}
        with pytest.raises(FileExistsError):
            bucket.rename("papers", "a.txt", RENAME_NOREPLACE)

    def test_a_directory_that_cannot_be_copied_whole_stays_as_it_was(
        self, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = dict(bucket.objects)
        save = bucket.save

        def failing(name: str, *arguments: Any, **options: Any) -> str:
            if name.endswith("c.txt"):
                raise OSError(errno.ENOSPC, "full")
            return save(name, *arguments, **options)

        monkeypatch.setattr(bucket, "save", failing)
        with pytest.raises(OSError, match="full"):
            bucket.rename("docs", "papers")
        assert bucket.objects == before

    def test_nothing_moves_from_a_missing_name(self, bucket: Bucket) -> None:
        for operation in (bucket.copy, bucket.rename):
            with pytest.raises(FileNotFoundError):
                operation("x", "a.txt")
        assert bucket.objects["a.txt"] == b"a"

    def test_unlink(self, bucket: Bucket) -> None:
        bucket.unlink("a.txt")
        assert "a.txt" not in bucket.objects
        with pytest.raises(FileNotFoundError):
            bucket.unlink("a.txt")
        with pytest.raises(IsADirectoryError):
            bucket.unlink("docs")


def test_operations_without_a_default_say_whose_they_are() -> None:
    bucket = Bucket(a=b"")
    for operation in (
        lambda: bucket.create("n"),
        lambda: bucket.mkdir("d"),
        lambda: bucket.rmdir("d"),
        lambda: bucket.symlink("a", "l"),
        lambda: bucket.readlink("l"),
        lambda: bucket.link("a", "b"),
        lambda: bucket.mknod("p", 0o010644),
        lambda: bucket.set_attributes("a", mode=0o600),
        lambda: bucket.getxattr("a", "user.x"),
        lambda: bucket.setxattr("a", "user.x", b""),
        lambda: bucket.listxattr("a"),
        lambda: bucket.removexattr("a", "user.x"),
        bucket.usage,
    ):
        with pytest.raises(NotImplementedError, match="Bucket cannot "):
            operation()
    bucket.close()
    assert not bucket.in_place


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("delete", ("a",)),
        ("exists", ("a",)),
        ("listdir", ("",)),
        ("size", ("a",)),
        ("url", ("a",)),
        ("get_accessed_time", ("a",)),
        ("get_created_time", ("a",)),
        ("get_modified_time", ("a",)),
    ],
)
def test_a_backend_must_provide_django_s_methods(method: str, arguments: tuple[str, ...]) -> None:
    with pytest.raises(NotImplementedError, match=rf"subclasses of Storage must provide an? {method}\(\) method"):
        getattr(Storage(), method)(*arguments)


class TestSubscribing:
    def test_each_change_is_told_once(self) -> None:
        bucket = Bucket(a=b"")
        told: list[Change] = []
        with bucket.subscribe(told.append):
            bucket.save("n", ContentFile(b""))
            bucket.delete("n")
            bucket.rename("a", "b")
        bucket.save("m", ContentFile(b""))
        assert told == [Change("save", "n"), Change("delete", "n"), Change("save", "b"), Change("delete", "a")]

    def test_a_failed_change_is_not_told(self) -> None:
        bucket = Bucket()
        told: list[Change] = []
        bucket.subscribe(told.append)
        with pytest.raises(SuspiciousFileOperation):
            bucket.save("../n", ContentFile(b""))
        assert told == []

    def test_a_subscriber_that_fails_harms_nobody(self, caplog: pytest.LogCaptureFixture) -> None:
        bucket = Bucket()
        told: list[Change] = []

        def fail(change: Change) -> None:
            raise ValueError("a bad subscriber")

        bucket.subscribe(fail)
        bucket.subscribe(told.append)
        assert bucket.save("n", ContentFile(b"")) == "n"
        assert told == [Change("save", "n")]
        assert "a bad subscriber" in caplog.text

    def test_subscriptions_are_those_of_one_object(self) -> None:
        one, other = Bucket(), Bucket()
        told: list[Change] = []
        subscription = one.subscribe(told.append)
        other.save("n", ContentFile(b""))
        subscription.stop()
        subscription.stop()
        one.save("n", ContentFile(b""))
        assert told == []


class TestAvailableNames:
    def test_all_extensions_are_kept(self) -> None:
        bucket = Bucket(**{"a.tar.gz": b""})
        root, _, rest = bucket.get_available_name("a.tar.gz").partition("_")
        assert (root, rest[7:]) == ("a", ".tar.gz")

    def test_the_root_is_cut_to_the_length(self) -> None:
        bucket = Bucket(**{"dir/long_name.txt": b""})
        name = bucket.get_available_name("dir/long_name.txt", max_length=20)
        assert len(name) == 20
        assert name.startswith("dir/long_")
        assert name.endswith(".txt")

    def test_there_may_be_no_room(self) -> None:
        with pytest.raises(SuspiciousFileOperation, match="Storage can not find an available filename"):
            Bucket(**{"a.txt": b""}).get_available_name("a.txt", max_length=5)


# What a storage says of itself


def test_a_storage_does_itself_what_its_class_overrides() -> None:
    class Plain(Storage):
        pass

    class Copying(Storage):
        def copy(self, src: str, dst: str) -> None: ...

        def replace(self, name: str, content: Any, **wishes: Any) -> Any: ...

    assert not any(map(Plain().does_itself, ("stat", "copy", "rename", "mkdir")))
    assert (Plain().holds("if_absent"), Plain().holds("if_version")) == (False, False)
    assert (Copying().does_itself("copy"), Copying().does_itself("rename")) == (True, False)
    assert Copying().holds("if_absent") is None, "it may do so or not"


def test_who_saves_in_his_own_way_holds_no_condition(tmp_path: Path) -> None:
    class Scanned(FileSystemStorage):
        def _save(self, name: str, content: Any) -> str:
            return super()._save(name, content)

    class Kept(InMemoryStorage):
        def save(self, name: str | None, content: Any, max_length: int | None = None) -> str:
            return super().save(name, content, max_length)

    for own, changed in ((FileSystemStorage(tmp_path), Scanned(tmp_path)), (InMemoryStorage(), Kept())):
        assert own.does_itself("replace")
        assert own.holds("if_absent") is True
        assert not changed.does_itself("replace")
        assert changed.holds("if_absent") is False
        assert changed.does_itself("rename")


def test_a_local_version_is_not_kept_from_other_programs(tmp_path: Path) -> None:
    assert FileSystemStorage(tmp_path).holds("if_version") is False
    assert InMemoryStorage().holds("if_version") is True
