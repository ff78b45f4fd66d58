"""Two ways to run a command in a folder with a configuration: in this process, and in one of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Project, Result, Vfs

from storage import settings
from vfs.cli import main


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """The folder, which is also the current one; settings are read from it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLI_TESTS", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("VFS_CONFIG", "DJANGO_SETTINGS_MODULE", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS"):
        monkeypatch.delenv(name, raising=False)
    found = Project(tmp_path)
    settings.configure()
    yield found
    (tmp_path / "vfs.toml").write_text("")
    settings.configure()


@pytest.fixture
def vfs(project: Project, capfdbinary: pytest.CaptureFixture[bytes]) -> Vfs:
    """Run `vfs ARGS` in this process, in the project's folder."""

    def run(*args: str) -> Result:
        code = main(args)
        out, err = capfdbinary.readouterr()
        return Result(code, os.fsdecode(out), os.fsdecode(err))

    return run
