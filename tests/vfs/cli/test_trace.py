"""vfs trace, over real mounts."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from commands import Project, Vfs

pytestmark = pytest.mark.mount


@pytest.fixture
def mnt(project: Project) -> Iterator[Path]:
    """Where "media" is mounted."""
    with project.mounted("media") as path:
        yield path


@contextmanager
def traced(project: Project, mnt: Path, *args: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`vfs trace mnt ARGS` and the first line that it shows of a file that is made again and again."""
    with project.start("trace", "mnt", *args) as process:
        assert process.stdout is not None
        lines: list[str] = []
        reader = iter(process.stdout.readline, "")
        with subprocess.Popen(["sh", "-c", f"while :; do : > {mnt}/new; rm {mnt}/new; sleep 0.05; done"]) as maker:
            for line in reader:
                if "create" in line:
                    lines.append(line)
                    break
            maker.kill()
        try:
            yield process, lines[0]
        finally:
            if process.poll() is None:
                process.kill()


def test_operations_are_shown_until_it_is_interrupted(project: Project, mnt: Path) -> None:
    with traced(project, mnt) as (process, line):
        assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3} create +\d+ +[\d.]+ (µs|ms|s)  -         /new\n", line)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")


def test_one_path_as_json_until_the_mount_goes(project: Project, mnt: Path) -> None:
    with traced(project, mnt, "mnt/new", "--json") as (process, line):
        found = json.loads(line)
        assert (found["operation"], found["paths"], found["error"]) == ("create", ["new"], None)
        assert found["pid"] > 0
        assert project.process("unmount", "mnt").code == 0
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "vfs: the mount has gone\n")
    assert {path for line in out.splitlines() for path in json.loads(line)["paths"]} <= {"new"}


def test_where_nothing_is_mounted(vfs: Vfs, project: Project) -> None:
    (project.path / "mnt").mkdir()
    result = vfs("trace", "mnt")
    assert (result.code, result.out) == (1, "")
    assert "nothing of yours is mounted" in result.err
