"""Settings as the words of a vfs.toml."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any


def toml(name: str, table: Mapping[str, Any]) -> Iterator[str]:
    """The lines of a table and of those in it; what JSON has for texts, numbers and lists of them TOML has too."""
    yield f"[{name}]\n"
    yield from (f"{key} = {json.dumps(value)}\n" for key, value in table.items() if not isinstance(value, Mapping))
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from toml(f"{name}.{key}", value)
