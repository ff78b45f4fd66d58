"""The two protocols of fsspec that need no server."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from storage.remote.fsspec.entries import Info
from storage.remote.fsspec.protocol import Condition, Protocol, TreeProtocol


class Local(TreeProtocol):
    """Local files. `FileSystemStorage` does more, and better; this is for what is configured by protocol."""

    shared = True
    exclusive = True

    def root(self, given: str) -> str:
        """Always absolute: fsspec takes a name that begins with '~' for somebody's home."""
        return super().root(given or os.getcwd())

    def info(self, fs: Any, path: str) -> Info:
        """The link itself, which fsspec would follow."""
        if os.path.islink(path):
            return {"name": path, "type": "link", "destination": os.readlink(path), "size": os.lstat(path).st_size}
        return super().info(fs, path)

    def list(self, fs: Any, path: str) -> list[Info]:
        """As `info()` has links."""
        return [self.info(fs, info["name"]) if info.get("islink") else info for info in super().list(fs, path)]

    def send(self, fs: Any, source: str, draft: str, path: str) -> None:
        """The file that is there keeps its mode."""
        shutil.copyfile(source, draft)
        if os.path.exists(path):
            shutil.copymode(path, draft)

    def copy(self, fs: Any, src: str, dst: str) -> None:
        """By way of a draft."""
        self.put(fs, src, dst, Condition())

    def rename(self, fs: Any, src: str, dst: str, *, replace: bool) -> None:
        """fsspec's own would move it below a directory."""
        if replace or os.path.isdir(src):
            os.rename(src, dst)
        else:
            os.link(src, dst, follow_symlinks=False)
            os.unlink(src)

    def mkdir(self, fs: Any, path: str, mode: int) -> None:
        """With the mode."""
        Path(path).mkdir()
        Path(path).chmod(mode)

    def delete(self, fs: Any, path: str) -> None:
        """fsspec's own takes a path apart as if it were a URL."""
        os.unlink(path)

    def readlink(self, fs: Any, path: str) -> str:
        """As it is."""
        return os.readlink(path)


class Memory(Protocol):
    """fsspec's dictionary of the process, in which a directory is what names have in common.

    An open file is the stored one itself, with one cursor for all, so nothing is ever opened here.
    """

    def put(self, fs: Any, source: str, path: str, condition: Condition) -> None:
        """By one call, while nobody else has the turn."""
        self.check(fs, path, condition)
        fs.pipe_file(path, Path(source).read_bytes())
