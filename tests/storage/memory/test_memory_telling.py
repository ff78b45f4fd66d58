"""What the in-memory storage tells its subscribers of: also of changes through its open files."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from storage import Change, ContentFile, File, InMemoryStorage
from storage.ranges import ALLOCATE_KEEP_SIZE, ALLOCATE_PUNCH_HOLE


@pytest.fixture
def storage() -> InMemoryStorage:
    storage = InMemoryStorage()
    storage.save("dir/f", ContentFile(b"content"))
    storage.symlink("dir", "link")
    return storage


@pytest.fixture
def told(storage: InMemoryStorage) -> Iterator[list[Change]]:
    changes: list[Change] = []
    with storage.subscribe(changes.append):
        yield changes


def wrote(storage: InMemoryStorage, name: str = "dir/f") -> Change:
    return Change("write", name, identity=storage.stat(name).identity)


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.write(b"x"),
        lambda file: file.pwrite(b"x", 5),
        lambda file: file.truncate(3),
        lambda file: file.file.truncate(3),
        lambda file: file.allocate(0, 0, 100),
        lambda file: file.allocate(ALLOCATE_PUNCH_HOLE | ALLOCATE_KEEP_SIZE, 0, 5),
        lambda file: file.copy_range(0, file, 50, 3),
    ],
)
def test_each_change_through_an_open_file(storage: InMemoryStorage, told: list[Change], change: object) -> None:
    with storage.open("dir/f", "r+b") as file:
        change(file)  # type: ignore[operator]
    assert told == [wrote(storage)]


def test_attributes_that_are_set_through_it(storage: InMemoryStorage, told: list[Change]) -> None:
    with storage.open("dir/f") as file:
        file.set_attributes(mode=0o600)
        assert told == [Change("attributes", "dir/f", identity=file.stat().identity)]


def test_looking_changes_nothing(storage: InMemoryStorage, told: list[Change]) -> None:
    with storage.open("dir/f", "r+b") as file:
        file.read()
        file.content_fd()
        file.seek(0)
        file.stat()
        file.sync()
    assert told == []


def test_the_name_is_the_one_in_the_tree_when_it_was_opened(storage: InMemoryStorage, told: list[Change]) -> None:
    for name in ("link/f", "./dir//f"):
        with storage.open(name, "r+b") as file:
            storage.rename("dir/f", "elsewhere")
            file.write(b"x")
            assert told[1:] == [Change("write", "dir/f", identity=storage.stat("elsewhere").identity)]
            storage.rename("elsewhere", "dir/f")
        told.clear()


def test_opening_that_makes_or_empties(storage: InMemoryStorage, told: list[Change]) -> None:
    storage.open("dir/new", "wb").close()
    storage.open("link/f", "wb").close()
    storage.open("dir/f", "ab").close()
    assert told == [Change("save", "dir/new"), wrote(storage)]


def test_deleting_by_way_of_a_link(storage: InMemoryStorage, told: list[Change]) -> None:
    storage.delete("link/f")
    assert told == [Change("delete", "dir/f")]


def test_a_file_without_a_name_is_told_of_when_it_has_one(storage: InMemoryStorage, told: list[Change]) -> None:
    with storage.tmpfile("dir") as file:
        file.write(b"x")
        file.set_attributes(mode=0o600)
        file.link("dir/g")
        file.write(b"y")
    assert told == [Change("save", "dir/g"), wrote(storage, "dir/g")]


@pytest.mark.parametrize(
    "change",
    [
        lambda storage, file: file.write(b"C"),
        lambda storage, file: file.truncate(3),
        lambda storage, file: storage.open("dir/f", "wb"),
        lambda storage, file: file.set_attributes(mode=0o600),
        lambda storage, file: storage.save("dir/g", ContentFile(b"")),
        lambda storage, file: storage.replace("dir/f", ContentFile(b"")),
        lambda storage, file: storage.delete("dir/f"),
        lambda storage, file: storage.rename("dir/f", "g"),
    ],
)
def test_no_lock_is_held_meanwhile(storage: InMemoryStorage, change: object) -> None:
    seen: list[str] = []

    def look(_: Change) -> None:
        other = threading.Thread(target=lambda: seen.append(storage.stat("dir").name), daemon=True)
        other.start()
        other.join(timeout=10)

    with storage.open("dir/f", "r+b") as file, storage.subscribe(look):
        change(storage, file)  # type: ignore[operator]
    assert seen == ["dir"]


def test_a_reopened_file_goes_on_telling(storage: InMemoryStorage, told: list[Change]) -> None:
    file: File = storage.open("dir/f", "r+b")
    file.close()
    with file.open() as again:
        again.write(b"x")
    assert told == [wrote(storage)]
