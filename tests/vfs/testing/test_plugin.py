"""The fixture, in somebody's own test run, and a mount of a storage that fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
TESTS = """
import subprocess
import pytest
import vfs
from storage import ContentFile, InMemoryStorage
from storage.testing import FaultyStorage


def test_both_sides_see_what_is_changed(mounted_storage):
    mounted_storage.storage.save("in.txt", ContentFile("hello"))
    subprocess.run(["cp", "in.txt", "out.txt"], cwd=mounted_storage.path, check=True)
    assert mounted_storage.storage.open("out.txt").read() == b"hello"


def test_each_test_has_its_own(mounted_storage):
    assert list(mounted_storage.path.iterdir()) == []


def copied(data, path):
    return subprocess.run(["cp", "/dev/stdin", path], input=data, capture_output=True, check=False)


def test_a_close_that_fails_is_told_to_the_program():
    storage = FaultyStorage(InMemoryStorage())
    with vfs.mounted(storage) as path:
        fault = storage.fail(PermissionError(13, "Permission denied"), "replace")
        done = copied(b"data", path / "a")
        assert done.returncode == 1
        assert b"Permission denied" in done.stderr
        fault.stop()
        (path / "a").write_bytes(b"again")
    assert storage.open("a").read() == b"again"


def test_a_storage_that_is_full_says_so():
    storage = FaultyStorage(InMemoryStorage())
    storage.room = 10
    with vfs.mounted(storage) as path:
        assert copied(b"12345", path / "a").returncode == 0
        done = copied(b"123456", path / "b")
        assert b"No space left" in done.stderr
        storage.heal()
"""


@pytest.mark.mount
def test_the_examples_run(tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text(TESTS)
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["vfs.testing.plugin"]')
    options = ("-q", "-W", "error", "-p", "no:cacheprovider")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "."],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "4 passed" in done.stdout, done.stdout


def test_the_plugin_loads_nothing_of_ours(tmp_path: Path) -> None:
    program = "import sys, vfs.testing.plugin; print(*(name for name in sys.modules if name.startswith('vfs')))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["vfs", "vfs.testing", "vfs.testing.plugin"]
