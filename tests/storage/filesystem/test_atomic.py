"""Drafts: files that appear whole or not at all, and what is left of them when a process dies."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.drafts import is_draft
from storage.filesystem import atomic
from storage.filesystem.atomic import Draft, move_to_free_name, replacing, sweep, sweep_once, sync_names

_MAKE_AND_WAIT = """
import os, sys
from storage.filesystem import atomic
atomic._O_TMPFILE = 0
draft = atomic.Draft(os.open(sys.argv[1], os.O_RDONLY))
os.write(draft.fd, b"half")
print("made", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


@pytest.fixture(params=["unnamed", "hidden"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "hidden":
        monkeypatch.setattr(atomic, "_O_TMPFILE", 0)
    return str(request.param)


def names(path: Path) -> list[str]:
    return sorted(os.listdir(path))


@pytest.mark.usefixtures("kind")
class TestDraft:
    def test_appears_when_it_is_published(self, directory: int, tmp_path: Path) -> None:
        with Draft(directory) as draft:
            os.write(draft.fd, b"whole")
            assert not [name for name in names(tmp_path) if not is_draft(name)]
            draft.publish(directory, "file", overwrite=False)
        assert names(tmp_path) == ["file"]
        assert (tmp_path / "file").read_bytes() == b"whole"

    def test_leaves_nothing_when_it_is_not(self, directory: int, tmp_path: Path) -> None:
        with Draft(directory) as draft:
            os.write(draft.fd, b"half")
        assert names(tmp_path) == []

    def test_never_takes_a_name_from_another_file(self, directory: int, tmp_path: Path) -> None:
        (tmp_path / "taken").write_text("old")
        (tmp_path / "link").symlink_to("nowhere")
        with Draft(directory) as draft:
            for name in ("taken", "link"):
                with pytest.raises(FileExistsError):
                    draft.publish(directory, name, overwrite=False)
            draft.publish(directory, "free", overwrite=False)
        assert names(tmp_path) == ["free", "link", "taken"]
        assert (tmp_path / "taken").read_text() == "old"

    @pytest.mark.parametrize("exists", [False, True])
    def test_replaces_a_file_when_it_may(self, directory: int, tmp_path: Path, exists: bool) -> None:
        if exists:
            (tmp_path / "file").write_text("old")
        with Draft(directory) as draft:
            os.write(draft.fd, b"new")
            draft.publish(directory, "file", overwrite=True)
        assert names(tmp_path) == ["file"]
        assert (tmp_path / "file").read_text() == "new"

    def test_does_not_replace_a_directory(self, directory: int, tmp_path: Path) -> None:
        (tmp_path / "directory").mkdir()
        with pytest.raises(IsADirectoryError), Draft(directory) as draft:
            draft.publish(directory, "directory", overwrite=True)
        assert names(tmp_path) == ["directory"]

    def test_follows_the_umask(self, directory: int, tmp_path: Path) -> None:
        old = os.umask(0o027)
        try:
            with Draft(directory) as draft:
                draft.publish(directory, "file", overwrite=False)
        finally:
            os.umask(old)
        assert (tmp_path / "file").stat().st_mode & 0o7777 == 0o640

    def test_is_not_swept_while_it_is_in_use(self, directory: int, tmp_path: Path) -> None:
        with Draft(directory) as draft:
            assert sweep(directory) == 0
            draft.publish(directory, "file", overwrite=False)
        assert names(tmp_path) == ["file"]


def test_a_draft_that_is_swept_before_its_lock_is_made_again(
    directory: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atomic, "_O_TMPFILE", 0)
    lock = atomic._lock
    swept: list[str] = []

    def sweep_first(fd: int, operation: int) -> bool:
        if not swept:
            swept.extend(names(tmp_path))
            (tmp_path / swept[0]).unlink()
        return lock(fd, operation)

    monkeypatch.setattr(atomic, "_lock", sweep_first)
    with Draft(directory) as draft:
        draft.publish(directory, "file", overwrite=False)
    assert len(swept) == 1
    assert names(tmp_path) == ["file"]


def test_what_a_killed_process_left_is_swept(directory: int, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _MAKE_AND_WAIT, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "made\n"
        assert [is_draft(name) for name in names(tmp_path)] == [True]
        assert sweep(directory) == 0
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert sweep(directory) == 1
    assert names(tmp_path) == []


def test_only_what_is_a_draft_is_swept(directory: int, tmp_path: Path) -> None:
    hidden = ".storage-0123456789abcdef.draft"
    for other in (".storage-0123456789abcdef.draft2", ".storage-0123456789ABCDEF.draft", ".storage-.draft", "x"):
        (tmp_path / other).touch()
        assert not is_draft(other)
    (tmp_path / hidden).mkdir()
    assert sweep(directory) == 0
    (tmp_path / hidden).rmdir()
    (tmp_path / hidden).touch()
    assert sweep(directory) == 1
    assert len(names(tmp_path)) == 4


def test_a_process_sweeps_a_directory_once(directory: int, tmp_path: Path) -> None:
    hidden = tmp_path / ".storage-0123456789abcdef.draft"
    hidden.touch()
    sweep_once(directory)
    assert not hidden.exists()
    hidden.touch()
    sweep_once(directory)
    assert hidden.exists()


@pytest.mark.parametrize("means", ["rename", "link", "reserve"])
def test_moving_to_a_free_name(tmp_path: Path, directory: int, monkeypatch: pytest.MonkeyPatch, means: str) -> None:
    if means != "rename":
        monkeypatch.setattr(atomic, "renameat2", _not_implemented)
    if means == "reserve":
        monkeypatch.setattr(os, "link", _not_permitted)
    (tmp_path / "source").write_text("new")
    (tmp_path / "taken").write_text("old")
    with pytest.raises(FileExistsError):
        move_to_free_name(None, str(tmp_path / "source"), directory, "taken")
    move_to_free_name(directory, "source", None, str(tmp_path / "free"))
    assert names(tmp_path) == ["free", "taken"]
    assert ((tmp_path / "free").read_text(), (tmp_path / "taken").read_text()) == ("new", "old")


def test_a_reserved_name_is_given_up_when_the_move_fails(
    tmp_path: Path, directory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atomic, "renameat2", _not_implemented)
    monkeypatch.setattr(os, "link", _not_permitted)
    with pytest.raises(FileNotFoundError):
        move_to_free_name(directory, "missing", directory, "name")
    assert names(tmp_path) == []


def test_replacing_lets_one_in_at_a_time(tmp_path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []

    def enter() -> None:
        fd = os.open(tmp_path, os.O_RDONLY)
        try:
            for _ in range(200):
                with replacing(fd):
                    inside.append(fd)
                    most.append(len(inside))
                    inside.remove(fd)
        finally:
            os.close(fd)

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(most), set(most)) == (800, {1})


@pytest.mark.skipif(not hasattr(os, "O_PATH"), reason="Linux alone opens what may not be read")
def test_the_names_of_a_directory_that_may_not_be_read_are_left_to_the_filesystem(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    try:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fsync(fd)
        sync_names(fd)
    finally:
        os.close(fd)


def test_that_names_are_not_on_the_disk_is_an_error(directory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="Input/output"):
        sync_names(directory)


def _not_implemented(*_args: object, **_kwargs: object) -> None:
    raise NotImplementedError


def _not_permitted(*_args: object, **_kwargs: object) -> None:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))
