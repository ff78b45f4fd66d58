"""vfs refresh: which part of a mount is meant; what it does is tested with mounts that believe for long."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from commands import Vfs

from vfs.cli.running import name_in


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("", ""),
        (".", ""),
        ("/", ""),
        ("reports/2026", "reports/2026"),
        ("reports//./2026/", "reports/2026"),
        ("mnt/reports", "reports"),
        ("./mnt", ""),
        ("{here}/mnt/a/b", "a/b"),
        ("mnt/../mnt/a", "a"),
    ],
)
def test_a_path_is_of_the_mount_or_leads_into_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, name: str
) -> None:
    (tmp_path / "mnt").mkdir()
    (tmp_path / "link").symlink_to("mnt")
    monkeypatch.chdir(tmp_path)
    for mountpoint in ("mnt", "link", str(tmp_path / "mnt")):
        assert name_in(Path(mountpoint), path.format(here=tmp_path)) == name


def test_inside_of_the_mount_names_go_on_from_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mnt" / "a").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "mnt" / "a")
    assert [name_in(tmp_path / "mnt", path) for path in ("b", ".", "..")] == ["a/b", "a", ""]


def test_where_nothing_is_mounted(vfs: Vfs, tmp_path: Path) -> None:
    os.mkdir("mnt")
    result = vfs("refresh", "mnt")
    assert (result.code, result.out) == (1, "")
    assert "nothing of yours is mounted" in result.err
