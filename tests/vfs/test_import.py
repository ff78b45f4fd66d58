"""Importing vfs: it is light, and says so when another package stands in its way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
HEAVY = {"fuse", "click", "rich", "psutil", "django", "tomllib", "sqlite3", "asyncio"}


def python(program: str, *path: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
    return subprocess.run(
        [sys.executable, "-c", program], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def test_it_loads_nothing_heavy(tmp_path: Path) -> None:
    done = python("import sys, vfs; print(*sys.modules)", REPOSITORY, cwd=tmp_path)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "vfs" in loaded, done.stderr
    assert not loaded & HEAVY


def test_the_end_of_a_mount_takes_no_filesystem(tmp_path: Path) -> None:
    """It asks the daemon, and starts sooner without what a daemon is made of."""
    done = python("import sys, vfs.cli.unmount, vfs.mounts.mountpoint; print(*sys.modules)", REPOSITORY, cwd=tmp_path)
    assert "vfs.mounts.mountpoint" in done.stdout, done.stderr
    assert "vfs.filesystem" not in done.stdout.split()


def test_each_public_name_is_there(tmp_path: Path) -> None:
    done = python("import vfs; print([getattr(vfs, name).__name__ for name in vfs.__all__])", REPOSITORY, cwd=tmp_path)
    assert "'mounted'" in done.stdout, done.stderr
    assert "has no attribute 'mont'" in python("import vfs; vfs.mont", REPOSITORY, cwd=tmp_path).stderr


@pytest.mark.parametrize("where", ["storage.py", "storage/__init__.py"])
def test_another_package_called_storage_is_named(tmp_path: Path, where: str) -> None:
    shadow = tmp_path / where
    shadow.parent.mkdir(exist_ok=True)
    shadow.write_text("class Storage: ...\n")
    error = python("import vfs", tmp_path, REPOSITORY, cwd=tmp_path).stderr.splitlines()[-1]
    assert error.startswith("ImportError: another package called 'storage' hides the one that vfs needs")
    assert str(shadow) in error
