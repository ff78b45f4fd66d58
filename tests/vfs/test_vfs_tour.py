"""The tour in vfs/README.md names modules that are there."""

from __future__ import annotations

import re
from pathlib import Path

import vfs

FOLDER = Path(vfs.__file__).parent


def test_each_module_that_is_named_is_there() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\b[\w/]+(?:\.py\b|/(?=[\s`:,]))", text))
    places = (FOLDER, FOLDER / "transports/kernel", FOLDER / "cache")
    assert len(named) > 20
    assert [name for name in named if not any((place / name).exists() for place in places)] == []
