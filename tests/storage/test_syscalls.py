"""The calls that `os` does not have."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage import syscalls
from storage.syscalls import RESOLVE_BENEATH, fallocate, openat2, openat2_works, renameat2, set_times

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="a Linux system call")


@pytest.fixture
def unprobed() -> Iterator[None]:
    openat2_works.cache_clear()
    yield
    openat2_works.cache_clear()


@linux_only
@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EPERM])
@pytest.mark.usefixtures("unprobed")
def test_a_kernel_or_a_sandbox_without_openat2_is_noticed(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(*_args: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(syscalls, "openat2", refuse)
    assert not openat2_works()


@linux_only
def test_openat2_opens_with_close_on_exec_and_names_the_path_of_an_error(tmp_path: Path) -> None:
    if not openat2_works():
        pytest.skip("no openat2 here")
    root = os.open(tmp_path, os.O_PATH)
    try:
        fd = openat2(root, "new", os.O_RDWR | os.O_CREAT, 0o600, RESOLVE_BENEATH)
        assert not os.get_inheritable(fd)
        os.close(fd)
        with pytest.raises(FileNotFoundError) as caught:
            openat2(root, "none", os.O_RDONLY, 0, RESOLVE_BENEATH)
        assert caught.value.filename == "none"
        with pytest.raises(OSError) as outside:
            openat2(root, "..", os.O_PATH, 0, RESOLVE_BENEATH)
        assert outside.value.errno == errno.EXDEV
    finally:
        os.close(root)


def test_a_nul_does_not_cut_a_path_short(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.touch()
    with pytest.raises(ValueError, match="null"):
        renameat2(None, f"{victim}\0x", None, str(tmp_path / "new"), 1)
    with pytest.raises(ValueError, match="null"):
        set_times(None, f"{victim}\0x", 1, 1)
    assert victim.exists()


@linux_only
def test_rename_with_flags(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("1")
    two.write_text("2")
    with pytest.raises(FileExistsError):
        renameat2(None, str(one), None, str(two), 1)
    renameat2(None, str(one), None, str(two), 2)
    assert (one.read_text(), two.read_text()) == ("2", "1")
    with pytest.raises(NotImplementedError):
        renameat2(None, str(one), None, str(two), 64)


def test_a_system_without_the_call_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(syscalls, "_libc", object())
    with pytest.raises(NotImplementedError):
        renameat2(None, str(tmp_path / "a"), None, str(tmp_path / "b"), 1)


@pytest.mark.parametrize("by_descriptor", [False, True])
def test_a_time_that_is_left_out_stays(tmp_path: Path, by_descriptor: bool) -> None:
    path = tmp_path / "file"
    path.touch()
    os.utime(path, ns=(1_000_000_001, 2_000_000_002))
    fd = os.open(path, os.O_RDONLY)
    target: tuple[int | None, str | None] = (fd, None) if by_descriptor else (None, str(path))
    try:
        set_times(target[0], target[1], None, 5)
        assert (path.stat().st_atime_ns, path.stat().st_mtime_ns) == (1_000_000_001, 5)
        set_times(target[0], target[1], -3, None)
        assert (path.stat().st_atime_ns, path.stat().st_mtime_ns) == (-3, 5)
    finally:
        os.close(fd)


def test_the_times_of_a_link_are_its_own(tmp_path: Path) -> None:
    path, link = tmp_path / "file", tmp_path / "link"
    path.touch()
    before = path.stat().st_mtime_ns
    link.symlink_to(path)
    set_times(None, str(link), None, 7)
    assert (link.lstat().st_mtime_ns, path.stat().st_mtime_ns) == (7, before)


def test_setting_the_times_of_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        set_times(None, str(tmp_path / "none"), 1, 1)


@linux_only
def test_fallocate_allocates_and_tells_what_is_wrong(tmp_path: Path) -> None:
    with (tmp_path / "f").open("w+b") as file:
        try:
            fallocate(file.fileno(), 0, 1 << 20, 4096)
        except NotImplementedError:
            pytest.skip("not on this filesystem")
        assert os.fstat(file.fileno()).st_size == (1 << 20) + 4096
        for arguments, code in (((0, 0, 0), errno.EINVAL), ((0, 0, 1 << 62), errno.EFBIG)):
            with pytest.raises(OSError) as caught:
                fallocate(file.fileno(), *arguments)
            assert caught.value.errno == code
        with pytest.raises(NotImplementedError):
            fallocate(file.fileno(), 0x8000, 0, 1)


def test_a_system_without_fallocate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(syscalls, "_libc", object())
    with pytest.raises(NotImplementedError):
        fallocate(0, 0, 0, 1)
