"""vfs top, over real mounts: what a frame shows, and how it ends."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from commands import Project, Vfs

pytestmark = pytest.mark.mount


@pytest.fixture
def mnt(project: Project) -> Iterator[Path]:
    """Where "bucket" is mounted."""
    with project.mounted("bucket") as path:
        yield path


@contextmanager
def top(project: Project, *args: str) -> Iterator[subprocess.Popen[str]]:
    """`vfs top ARGS`, from its first frame on."""
    with project.start("top", "--interval", "0.2", *args) as process:
        assert process.stdout is not None
        assert re.fullmatch(r"\d\d:\d\d:\d\d\n", process.stdout.readline())
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def test_a_frame_shows_the_interval(project: Project, mnt: Path) -> None:
    with top(project, "mnt") as process:
        assert process.stdout is not None
        (mnt / "file").write_bytes(b"x" * 5000)
        lines: list[str] = []
        while not any(re.match(r" +save ", line) for line in lines):
            lines.append(process.stdout.readline())
            assert len(lines) < 2000
        process.send_signal(signal.SIGINT)
        rest, err = process.communicate(timeout=30)
    text = "".join(lines) + rest
    assert f"bucket at {mnt}\n" in text
    assert re.search(r"^  operations +rate +p50 +p99 +errors *$", text, re.MULTILINE)
    assert re.search(r"^  create +\d+(\.\d)?/s +[\d.]+ (µs|ms|s) ", text, re.MULTILINE)
    assert re.search(r"^  storage: .* KiB/s written *$", text, re.MULTILINE)
    assert re.search(r"^  pending: nothing; spool: 0 B *$", text, re.MULTILINE)
    assert (process.returncode, err) == (0, "")


def test_so_many_frames(project: Project, mnt: Path) -> None:
    once = project.process("top", "--once", "--interval", "0.1")
    assert (once.code, once.out.count(f"bucket at {mnt}\n")) == (0, 1)
    twice = project.process("top", "mnt", "-n", "2", "--interval", "0.1")
    assert (twice.code, twice.out.count(f"bucket at {mnt}\n")) == (0, 2)


def test_a_mount_that_goes_away_is_told(project: Project, mnt: Path) -> None:
    with top(project, "mnt") as process:
        assert project.process("unmount", "mnt").code == 0
        out, err = process.communicate(timeout=30)
    assert f"bucket at {mnt}: the mount has gone\n" in out
    assert (process.returncode, err) == (0, "")


def test_in_a_terminal_a_frame_takes_the_place_of_the_last(project: Project, mnt: Path) -> None:
    ours, theirs = pty.openpty()
    with project.start("top", "mnt", "--interval", "0.1", stdout=theirs) as process:
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # EIO: it has ended
            while data := os.read(ours, 65536):
                shown += data
                if process.poll() is None and shown.count(b"operations") == 3:
                    process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    os.close(ours)
    assert (process.returncode, err) == (0, "")
    assert b"\x1b[1A" in shown  # up a line
    assert shown.endswith(b"\x1b[?25h")  # the cursor is there again


def test_where_nothing_is_mounted(vfs: Vfs, project: Project) -> None:
    (project.path / "mnt").mkdir()
    result = vfs("top", "mnt")
    assert (result.code, result.out) == (1, "")
    assert "nothing of yours is mounted" in result.err
