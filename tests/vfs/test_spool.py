"""The spool: bytes on local disk, and what stays there."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from vfs.spool import Spool, SpoolFile


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


@pytest.fixture
def content(spool: Spool) -> Iterator[SpoolFile]:
    file = spool.open()
    yield file
    file.discard()


def test_the_folder_is_made_when_it_is_needed_and_for_its_owner_alone(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "deep" / "spool")
    assert not (tmp_path / "deep").exists()
    assert stat.S_IMODE(spool.directory.stat().st_mode) == 0o700


def test_without_a_folder_it_takes_one_of_its_own_in_the_users_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    one, other = Spool(), Spool()
    assert one.directory != other.directory
    assert one.directory.parent == other.directory.parent == tmp_path / "vfs" / "spool"
    for spool in (one, other):
        spool.close()
    assert list((tmp_path / "vfs" / "spool").iterdir()) == []


def test_writes_beyond_the_end_leave_zeros(content: SpoolFile) -> None:
    assert content.pwrite(b"end", 5) == 3
    assert (content.size(), content.pread(100, 0)) == (8, b"\0" * 5 + b"end")
    assert content.pread(100, 8) == b""


def test_it_is_cut_and_extended(content: SpoolFile) -> None:
    content.pwrite(memoryview(b"content"), 0)
    content.truncate(3)
    content.truncate(5)
    assert content.pread(9, 0) == b"con\0\0"


def test_it_is_filled_in_chunks(content: SpoolFile) -> None:
    content.fill(iter([b"one", b"", b"two"]))
    assert content.pread(9, 0) == b"onetwo"


def test_a_fill_that_breaks_off_leaves_nothing(content: SpoolFile) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"half of it"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        content.fill(chunks())
    assert content.size() == 0


def test_what_is_discarded_is_gone(spool: Spool) -> None:
    spool.open().discard()
    assert list(spool.directory.iterdir()) == []


def test_what_is_kept_stays_with_its_note(spool: Spool) -> None:
    file = spool.open()
    file.pwrite(b"unsaved", 0)
    path = file.keep(name="d/\udcff")
    spool.close()
    assert path.read_bytes() == b"unsaved"
    assert json.loads(path.with_suffix(".json").read_text()) == {"name": "d/\udcff"}
    assert spool.kept() == [path]


def test_closing_removes_an_empty_folder_and_no_other(spool: Spool) -> None:
    file = spool.open()
    spool.close()
    assert spool.directory.exists()
    file.discard()
    spool.close()
    assert not os.path.exists(file.path.parent)
