"""What these tests share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that others may go to: those of pytest are closed."""
    with tempfile.TemporaryDirectory(prefix="vfs-nobody-") as name:
        Path(name).chmod(0o755)
        yield Path(name)
