"""The reference: what the commands say of themselves, and what the docstrings say, as pages to read.

`pages()` has them as they should be; `scripts/docs` writes them, and a test compares them with what is there.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]


def pages() -> dict[Path, str]:
    """Each page that is generated, by its path in the checkout."""
    from documents.api import reference
    from documents.commands import commands

    return {
        Path("vfs/COMMANDS.md"): commands(),
        Path("vfs/API.md"): reference("vfs", "vfs.testing"),
        Path("storage/API.md"): reference("storage", "storage.testing"),
    }
