"""FsspecDirectoryStorage: a protocol of fsspec with real directories."""

from __future__ import annotations

import contextlib

from storage.drafts import is_draft
from storage.names import checked_name, split_name
from storage.remote.directories import DIRECTORY_MODE, RealDirectories
from storage.remote.fsspec.entries import entries_of
from storage.remote.fsspec.storage import FsspecStorage


class FsspecDirectoryStorage(RealDirectories, FsspecStorage):
    """A storage over a protocol of fsspec that has real directories, and renames them itself."""

    def readlink(self, name: str) -> str:
        """The target of a symbolic link; NotImplementedError where the protocol does not tell."""
        path = self._path(checked_name(name))
        return str(self._call(name, lambda fs: self._protocol.readlink(fs, path), again=True))

    def _make_directory(self, name: str, mode: int) -> None:
        path = self._path(name)
        try:
            self._call(name, lambda fs: self._protocol.mkdir(fs, path, mode))
        except FileNotFoundError:
            if not name or split_name(name)[0]:
                raise
            self._make_directory("", DIRECTORY_MODE)  # the root is there as soon as something is in it
            self._call(name, lambda fs: self._protocol.mkdir(fs, path, mode))

    def _make_above(self, name: str) -> None:
        """From the lowest up to the one that is there, and down again; what others make meanwhile is as good."""
        above = split_name(name)[0]
        with contextlib.suppress(FileExistsError):
            try:
                self._make_or_find(above, DIRECTORY_MODE)
            except FileNotFoundError:
                if not above:
                    raise
                self._make_above(above)
                self._make_or_find(above, DIRECTORY_MODE)

    def _remove_directory(self, name: str) -> None:
        path = self._path(name)
        self._call(name, lambda fs: self._protocol.rmdir(fs, path))

    def _remove_drafts(self, name: str) -> None:
        path = self._path(name)
        listed = self._call(name, lambda fs: self._protocol.list(fs, path), again=True)
        for entry in entries_of(path, listed):
            if is_draft(entry.name):
                self._call(name, lambda fs, draft=f"{path}/{entry.name}": self._protocol.delete(fs, draft))

    def _rename_entry(self, src: str, dst: str, replace: bool) -> None:
        source, target = self._path(src), self._path(dst)
        self._call(src, lambda fs: self._protocol.rename(fs, source, target, replace=replace))
