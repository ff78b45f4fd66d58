from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from unittest import mock

import pytest

from storage import LOCK_EX, LOCK_NB, LOCK_SH, file_move_safe, lock, unlock


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "old"
    path.write_bytes(b"content" * 50_000)
    path.chmod(0o640)
    return path


@pytest.fixture(params=["one filesystem", "across filesystems"])
def anywhere(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways: without a copy, and with one."""
    if request.param == "across filesystems":
        crossing = OSError(errno.EXDEV, "Invalid cross-device link")
        monkeypatch.setattr("storage.move.os.rename", mock.Mock(side_effect=crossing))
        monkeypatch.setattr("storage.move.os.link", mock.Mock(side_effect=crossing))


@pytest.mark.usefixtures("anywhere")
@pytest.mark.parametrize("allow_overwrite", [False, True])
def test_the_file_moves_with_its_mode(old: Path, allow_overwrite: bool) -> None:
    new = old.with_name("new")
    file_move_safe(old, new, allow_overwrite=allow_overwrite)
    assert new.read_bytes() == b"content" * 50_000
    assert new.stat().st_mode & 0o777 == 0o640
    assert not old.exists()


@pytest.mark.usefixtures("anywhere")
def test_what_is_there_stays_unless_it_may_be_overwritten(old: Path) -> None:
    new = old.with_name("new")
    new.write_text("a longer content" * 50_000)
    with pytest.raises(FileExistsError, match=f"Destination file {new} exists and allow_overwrite is False"):
        file_move_safe(old, new)
    assert old.exists()
    file_move_safe(old, new, allow_overwrite=True)
    assert new.read_bytes() == b"content" * 50_000


@pytest.mark.usefixtures("anywhere")
def test_a_name_that_is_taken_meanwhile_is_not_taken_over(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = old.with_name("new")
    new.write_text("of somebody faster")
    monkeypatch.setattr("storage.move.os.path.lexists", lambda path: False)
    with pytest.raises(FileExistsError, match="exists and allow_overwrite is False"):
        file_move_safe(old, new)
    assert new.read_text() == "of somebody faster"
    assert old.exists()


@pytest.mark.usefixtures("anywhere")
def test_of_many_moves_to_one_name_one_gets_it(tmp_path: Path) -> None:
    winners, losers = [], []

    def move(number: int) -> None:
        source = tmp_path / f"source{number}"
        source.write_text(str(number))
        try:
            file_move_safe(source, tmp_path / "new")
        except FileExistsError:
            losers.append(number)
        else:
            winners.append(number)

    threads = [threading.Thread(target=move, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(winners) == 1
    assert (tmp_path / "new").read_text() == str(winners[0])
    assert sorted(os.listdir(tmp_path)) == sorted(["new", *(f"source{number}" for number in losers)])


def test_a_file_moved_to_itself_stays(old: Path) -> None:
    file_move_safe(old, old)
    assert old.exists()


def test_a_copy_that_fails_leaves_no_half_behind(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.move.os.link", mock.Mock(side_effect=OSError(errno.EXDEV, "")))
    monkeypatch.setattr("storage.move.locks.lock", mock.Mock(side_effect=OSError(errno.EIO, "")))
    with pytest.raises(OSError, match="5"):
        file_move_safe(old, old.with_name("new"))
    assert os.listdir(old.parent) == ["old"]


def test_where_the_old_name_cannot_go_the_new_one_does_not_stay(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unlink = os.unlink

    def refuse(path: Path) -> None:
        if path == old:
            raise PermissionError(errno.EACCES, "Permission denied")
        unlink(path)

    monkeypatch.setattr("storage.move.os.unlink", refuse)
    with pytest.raises(PermissionError):
        file_move_safe(old, old.with_name("new"))
    assert os.listdir(old.parent) == ["old"]


def test_locks_exclude_each_other_by_open_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("w") as one, path.open("w") as other:
        assert lock(one, LOCK_EX)
        assert not lock(other, LOCK_SH | LOCK_NB)
        assert unlock(one)
        assert lock(other.fileno(), LOCK_SH | LOCK_NB)
        assert lock(one, LOCK_SH | LOCK_NB)
