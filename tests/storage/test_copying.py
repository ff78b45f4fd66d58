"""Copying by the kernel, and where the kernel cannot."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from storage import copying
from storage.copying import copy_content

CONTENT = os.urandom(3 * 2**20 + 17)


def copied(source: Path, target: Path) -> bytes:
    with source.open("rb") as old, target.open("xb") as new:
        copy_content(old.fileno(), new.fileno())
    return target.read_bytes()


def refuse(*_args: object) -> int:
    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))


@pytest.mark.parametrize("in_kernel", [True, False])
def test_the_copy_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_kernel: bool) -> None:
    if not in_kernel and sys.platform == "linux":
        monkeypatch.setattr(os, "copy_file_range", refuse)
        monkeypatch.setattr(copying, "_clone", lambda *_args: False)
    (tmp_path / "a").write_bytes(CONTENT)
    assert copied(tmp_path / "a", tmp_path / "b") == CONTENT


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")
def test_a_file_that_looks_empty_is_read_to_its_end(tmp_path: Path) -> None:
    assert copied(Path("/proc/self/cmdline"), tmp_path / "b") == Path("/proc/self/cmdline").read_bytes() != b""


@pytest.mark.skipif(sys.platform != "linux", reason="copy_file_range is Linux's")
def test_a_full_disk_is_an_error_not_a_reason_to_try_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(copying, "_clone", lambda *_args: False)
    monkeypatch.setattr(os, "copy_file_range", full)
    (tmp_path / "a").write_bytes(b"x")
    with pytest.raises(OSError) as caught:
        copied(tmp_path / "a", tmp_path / "b")
    assert caught.value.errno == errno.ENOSPC
