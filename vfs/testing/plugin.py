"""The plugin of pytest: nothing but fixtures.

It is not loaded by itself: in a folder with another package called `storage` or `vfs` that would end every test run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from vfs.testing import MountedStorage


@pytest.fixture
def mounted_storage() -> Iterator[MountedStorage]:
    """An empty in-memory storage, mounted at a temporary directory for one test; MountError where that cannot be."""
    import vfs
    from storage import InMemoryStorage
    from vfs.testing import MountedStorage

    storage = InMemoryStorage()
    with vfs.mounted(storage) as path:
        yield MountedStorage(storage, path)
