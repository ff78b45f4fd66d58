"""Folders for one user alone."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from vfs.private_folders import is_private, make_private


def test_one_that_is_made_is_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make_private(tmp_path / "above" / "folder")
    finally:
        os.umask(before)
    assert is_private(tmp_path / "above" / "folder")
    make_private(tmp_path / "above" / "folder")


@pytest.mark.parametrize("mode", [0o755, 0o710, 0o701, 0o770])
def test_one_that_others_may_enter_is_refused(mode: int, tmp_path: Path) -> None:
    tmp_path.chmod(mode)
    assert not is_private(tmp_path)
    with pytest.raises(PermissionError, match="it must belong to you alone") as caught:
        make_private(tmp_path)
    assert (caught.value.errno, caught.value.filename) == (errno.EACCES, str(tmp_path))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_one_of_somebody_else_is_refused(tmp_path: Path) -> None:
    make_private(tmp_path / "folder")
    os.chown(tmp_path / "folder", 65534, 65534)
    with pytest.raises(PermissionError):
        make_private(tmp_path / "folder")
