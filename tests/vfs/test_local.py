"""`vfs.local_path`: a file of each kind of storage as a path, for programs that know nothing else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from backends import ObjectStorage

import vfs
from storage import (
    ContentFile,
    FileSystemStorage,
    InMemoryStorage,
    SuspiciousFileOperation,
    VersionMismatchError,
    adapt,
    override_settings,
)


class Upper(FileSystemStorage):
    """A subclass with a save() of its own, which paths must not go around."""

    def _save(self, name: str, content: Any) -> str:
        return super()._save(name, ContentFile(content.read().upper()))


MAKERS: dict[str, Callable[[Path], Any]] = {
    "memory": lambda folder: InMemoryStorage(),
    "files": lambda folder: FileSystemStorage(folder / "files"),
    "objects": lambda folder: ObjectStorage(str(folder / "objects.db")),
    "upper": lambda folder: Upper(folder / "upper"),
}


@pytest.fixture(params=MAKERS)
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    storage = MAKERS[request.param](tmp_path)
    storage.save("notes/today.txt", ContentFile(b"HELLO\n"))
    return storage


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """Where the temporary folders are made, to see that none stays."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


def content(storage: Any, name: str = "notes/today.txt") -> bytes:
    with storage.open(name) as file:
        data: bytes = file.read()
    return data


def sed(path: Path) -> None:
    """What puts another file in the place of the one it is given."""
    subprocess.run(["sed", "-i", "s/HELLO/BYE/", path], check=True)


def test_a_program_reads_it(storage: Any, temporary: Path) -> None:
    with vfs.local_path(storage, "notes/today.txt", "r", directory=temporary) as path:
        assert path.name == "today.txt"
        assert subprocess.run(["cat", path], check=True, capture_output=True).stdout == b"HELLO\n"
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("change", [sed, lambda path: path.write_bytes(b"BYE\n")], ids=["replaced", "rewritten"])
def test_what_a_program_changes_is_stored(storage: Any, temporary: Path, change: Callable[[Path], None]) -> None:
    with vfs.local_path(storage, "notes/today.txt", directory=temporary) as path:
        change(path)
        assert content(storage) == b"HELLO\n", "not before the end"
    assert content(storage) == b"BYE\n"
    assert list(temporary.iterdir()) == []


def test_what_is_made_is_stored(storage: Any, temporary: Path) -> None:
    for data in (b"ONE", b"TWO TWO"):
        with vfs.local_path(storage, "new/made.bin", "w", directory=temporary) as path:
            assert not path.exists()
            path.write_bytes(data)
        assert content(storage, "new/made.bin") == data


def test_nothing_is_stored_when_the_block_fails_or_changes_nothing(storage: Any, temporary: Path) -> None:
    before = adapt(storage).stat("notes/today.txt").mtime_ns
    with vfs.local_path(storage, "notes/today.txt", directory=temporary):
        pass

    def fail(path: Path) -> None:
        path.write_bytes(b"half of it")
        raise RuntimeError

    with pytest.raises(RuntimeError), vfs.local_path(storage, "notes/today.txt", directory=temporary) as path:
        fail(path)
    assert adapt(storage).stat("notes/today.txt").mtime_ns == before
    assert content(storage) == b"HELLO\n"
    assert list(temporary.iterdir()) == []


def test_a_subclass_keeps_its_say(tmp_path: Path) -> None:
    storage = Upper(tmp_path)
    with vfs.local_path(storage, "a.txt", "w") as path:
        path.write_bytes(b"quiet")
    assert (tmp_path / "a.txt").read_bytes() == b"QUIET"


def test_a_local_file_is_read_where_it_is(tmp_path: Path) -> None:
    storage = FileSystemStorage(tmp_path)
    storage.save("a", ContentFile(b"x"))
    with vfs.local_path(storage, "a", "r") as path:
        assert path == tmp_path / "a"


def test_what_another_has_stored_meanwhile_stays_and_so_does_ours(storage: Any, temporary: Path) -> None:
    extended = adapt(storage)

    def write_beside(path: Path, name: str) -> None:
        path.write_bytes(b"OURS")
        extended.replace(name, ContentFile(b"THEIRS, LONGER"))

    with (
        pytest.raises(VersionMismatchError) as raised,
        vfs.local_path(storage, "notes/today.txt", directory=temporary) as path,
    ):
        write_beside(path, "notes/today.txt")
    assert (content(storage), path.read_bytes()) == (b"THEIRS, LONGER", b"OURS")
    assert str(path) in raised.value.__notes__[0]
    with pytest.raises(FileExistsError), vfs.local_path(storage, "new", "w", directory=temporary) as path:
        write_beside(path, "new")
    assert (content(storage, "new"), path.read_bytes()) == (b"THEIRS, LONGER", b"OURS")


def test_what_cannot_be_stored_is_kept(tmp_path: Path, temporary: Path) -> None:
    faults = tmp_path / "faults"
    faults.mkdir()
    (faults / "save").write_text("ENOSPC")
    storage = ObjectStorage(str(tmp_path / "objects.db"), str(faults))
    with (
        pytest.raises(OSError, match="No space left") as raised,
        vfs.local_path(storage, "a", "w", directory=temporary) as path,
    ):
        path.write_bytes(b"kept")
    assert path.read_bytes() == b"kept"
    assert str(path) in raised.value.__notes__[0]


@pytest.mark.parametrize("mode", ["r", "r+"])
def test_what_is_not_there_is_an_error(storage: Any, temporary: Path, mode: Any) -> None:
    with pytest.raises(FileNotFoundError), vfs.local_path(storage, "notes/none", mode, directory=temporary):
        pytest.fail("it was entered")
    with pytest.raises(IsADirectoryError), vfs.local_path(storage, "notes", mode, directory=temporary):
        pytest.fail("it was entered")
    assert list(temporary.iterdir()) == []


def test_a_block_that_leaves_nothing_is_an_error(storage: Any, temporary: Path) -> None:
    with (
        pytest.raises(FileNotFoundError, match="no file to be stored"),
        vfs.local_path(storage, "new", "w", directory=temporary),
    ):
        pass
    with (
        pytest.raises(FileNotFoundError, match="no file to be stored"),
        vfs.local_path(storage, "notes/today.txt", directory=temporary) as path,
    ):
        path.unlink()
    assert content(storage) == b"HELLO\n"
    assert list(temporary.iterdir()) == []


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="mode"), vfs.local_path(InMemoryStorage(), "a", "rb"):  # type: ignore[arg-type]
        pass
    for name in ("../a", "/a", "", "a//b"):
        with pytest.raises(SuspiciousFileOperation), vfs.local_path(InMemoryStorage(), name, "w"):
            pass


def test_an_alias_will_do(tmp_path: Path) -> None:
    with override_settings(
        STORAGES={"media": {"BACKEND": "storage.FileSystemStorage", "OPTIONS": {"location": str(tmp_path)}}}
    ):
        with vfs.local_path("media", "a.py", "w") as path:
            path.write_text("print('it runs')")
        with vfs.local_path("media", "a.py", "r") as path:
            done = subprocess.run([sys.executable, path], check=True, capture_output=True, text=True)
    assert done.stdout == "it runs\n"
