"""What others have: rclone, fsspec, libfuse's examples in C, and FUSE passthrough with nothing behind it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from benchmark.places import REPOSITORY, START_SECONDS, Place, UnavailableError
from benchmark.worker import WorkError


class Peer(Place):
    """A mount by a program that stays in the foreground and shows a plain folder (or memory)."""

    peer = True

    def __init__(self, name: str, title: str, base: Path, program: str | None, family: str = "local") -> None:
        """`program` is its path; None where it is not to be had."""
        super().__init__(name, title, base)
        self.program = program
        self.family = family
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def path(self) -> Path:
        """Where it is mounted."""
        return self.base / "mount"

    @property
    def behind(self) -> Path | None:
        """What it shows."""
        return self.base / "files"

    def command(self) -> list[str]:
        """How it is started."""
        raise NotImplementedError

    def check(self) -> None:
        """UnavailableError where its program is not there."""
        if self.program is None or shutil.which(self.program) is None:
            raise UnavailableError(f"{self.program or self.name} is not there")

    def start(self) -> None:
        """Start it, timed until something is mounted and answers."""
        self.make_folders("mount", "files", "cache")
        log = self.base / "log"
        device = os.stat(self.base).st_dev
        start = time.perf_counter()
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/", env=self.environment
            )
        while os.stat(self.path).st_dev == device:
            if self._process.poll() is not None or time.perf_counter() - start > START_SECONDS:
                self._process.kill()
                raise WorkError(f"{self.name} has not mounted: {log.read_text(errors='replace').strip()[-300:]}")
            time.sleep(0.001)  # a mount of somebody else's tells nobody that it is there
        self.mount_seconds = time.perf_counter() - start
        self.pid = self._process.pid

    @property
    def environment(self) -> dict[str, str]:
        """The variables it sees."""
        return dict(os.environ)

    def stop(self) -> None:
        """Unmount; a daemon that does not end then is killed."""
        assert self._process is not None
        done = subprocess.run(["umount", str(self.path)], capture_output=True, check=False)
        if done.returncode != 0:
            subprocess.run(["umount", "-l", str(self.path)], capture_output=True, check=False)
        try:
            self._process.wait(10 if done.returncode == 0 else 1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Rclone(Peer):
    """`rclone mount` of a folder of the disk."""

    def command(self) -> list[str]:
        """Its defaults, but for the cache that lets programs write as they like."""
        assert self.program is not None
        words = [self.program, "mount", str(self.behind), str(self.path), "--vfs-cache-mode", "writes"]
        return [*words, "--cache-dir", str(self.base / "cache"), "--config", os.devnull]


class Fsspec(Peer):
    """fsspec's own FUSE over a folder of the disk."""

    def check(self) -> None:
        """UnavailableError where fsspec is not installed."""
        if importlib.util.find_spec("fsspec") is None:
            raise UnavailableError("fsspec is not installed")

    def command(self) -> list[str]:
        """Its command line; there, -f means to stay in the foreground no longer."""
        return [sys.executable, "-m", "fsspec.fuse", "file", str(self.behind), str(self.path)]


class MemfsLl(Peer):
    """libfuse's example of a filesystem in memory, in C++."""

    @property
    def behind(self) -> Path | None:
        """Nothing: it is all in memory."""
        return None

    def command(self) -> list[str]:
        """Its defaults; with its option no_timeout, files have no size any more once the caches were dropped."""
        assert self.program is not None
        return [self.program, "-f", str(self.path)]


class PassthroughHp(Peer):
    """libfuse's example of a fast filesystem over a folder, in C++, with FUSE passthrough where the kernel has it."""

    def command(self) -> list[str]:
        """Its defaults."""
        assert self.program is not None
        return [self.program, "--foreground", str(self.behind), str(self.path)]


class Bare(Peer):
    """One file passed through, and nothing else: the best that FUSE passthrough gives."""

    groups = frozenset({"random"})

    def check(self) -> None:
        """Nothing is needed but the kernel, which says no itself."""

    def command(self) -> list[str]:
        """The responder beside this module."""
        return [sys.executable, "-m", "benchmark.bare", str(self.behind), str(self.path)]

    @property
    def environment(self) -> dict[str, str]:
        """With this package in reach."""
        return {**os.environ, "PYTHONPATH": str(REPOSITORY / "scripts")}
