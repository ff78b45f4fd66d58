"""A folder with a configuration, and commands that run in it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[3]
CONFIGURATION = """
[STORAGES.media]
BACKEND = "storage.FileSystemStorage"
OPTIONS = { location = "media", base_url = "https://example.org/media/" }

[STORAGES.archive]
BACKEND = "storage.FileSystemStorage"
OPTIONS = { location = "archive" }

[STORAGES.inner]
BACKEND = "storage.FileSystemStorage"
OPTIONS = { location = "media/inner" }

[STORAGES.bucket]
BACKEND = "cli_backends.Bucket"
OPTIONS = { location = "${CLI_TESTS}/bucket" }

[STORAGES.broken]
BACKEND = "no_such_package.Storage"
"""


class Result(NamedTuple):
    """What came of a command."""

    code: int
    out: str
    err: str


class Project:
    """A folder with vfs.toml in it, and folders for two of the storages."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.media = path / "media"
        self.archive = path / "archive"
        self.bucket = path / "bucket"
        for folder in (self.media, self.archive, self.bucket):
            folder.mkdir()
        (path / "vfs.toml").write_text(CONFIGURATION)

    def tree(self, folder: Path) -> dict[str, str]:
        """The files below a folder with their content; directories end with '/', links are '-> TARGET'."""
        found = {}
        for path in sorted(folder.rglob("*")):
            name = str(path.relative_to(folder))
            if path.is_symlink():
                found[name] = f"-> {path.readlink()}"
            elif path.is_dir():
                found[f"{name}/"] = ""
            else:
                found[name] = path.read_text()
        return found

    def environment(self) -> dict[str, str]:
        """For processes: the packages of this checkout and the backends of these tests."""
        path = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
        return {**os.environ, "PYTHONPATH": path, "CLI_TESTS": str(self.path), "PYTHONWARNINGS": "error"}

    def start(self, *args: str, **options: object) -> subprocess.Popen[str]:
        """Begin `vfs ARGS` in a process of its own."""
        command = [sys.executable, "-m", "vfs", *args]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        environment = self.environment()
        return subprocess.Popen(command, **{**pipes, "cwd": self.path, **options}, env=environment, text=True)  # type: ignore[call-overload,no-any-return]

    @contextmanager
    def mounted(self, alias: str) -> Iterator[Path]:
        """A block in which `alias` is mounted, at mnt in the folder."""
        mountpoint = self.path / "mnt"
        mountpoint.mkdir()
        assert self.process("mount", alias, "mnt").code == 0
        try:
            yield mountpoint
        finally:
            self.process("unmount", "mnt", "--lazy")

    def process(self, *args: str, timeout: float = 60, **options: object) -> Result:
        """Run `vfs ARGS` in a process of its own; one that takes longer is killed, and TimeoutExpired."""
        with self.start(*args, **options) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return Result(process.returncode, out or "", err or "")


Vfs = Callable[..., Result]
"""Runs a command in this process."""
