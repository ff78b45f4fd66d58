"""Helps for the tests of programs that work on files: a real directory over an in-memory storage, and what goes wrong.

The fixture is in a plugin of pytest:

    pytest_plugins = ["vfs.testing.plugin"]  # in conftest.py

    def test_the_export_is_complete(mounted_storage):
        subprocess.run(["./export", mounted_storage.path], check=True)
        assert mounted_storage.storage.exists("export/index.html")

A directory that fails as a server does is a mount of a `storage.testing.FaultyStorage`:

    def test_a_full_disk_is_said(tmp_path):
        storage = FaultyStorage(InMemoryStorage())
        storage.room = 1000
        with vfs.mounted(storage) as path:
            done = subprocess.run(["./export", path])
        assert done.returncode == 1
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from storage import InMemoryStorage


class MountedStorage(NamedTuple):
    """A storage, and the directory that shows it: what is changed on either side is there on the other."""

    storage: InMemoryStorage
    path: Path
