"""What tests of real programs have in common: which storages they run on, and a tree of files to work with."""

from __future__ import annotations

import os
import shutil
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest
from places import on

IN_PLACE = on("memory", "files")
HEAVY = on("memory", "files", heavy=True)
EVERYWHERE = on("memory", "files", "scanned", "objects")


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skip where one of the programs is not installed; CI has them all."""
    missing = [program for program in programs if shutil.which(program) is None and not os.environ.get("CI")]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """A source tree of about so many files: of Python's library, with an executable and odd names in it."""
    made: dict[int, Path] = {}

    def tree(count: int) -> Path:
        if count not in made:
            made[count] = tmp_path_factory.mktemp("sources") / "tree"
            _copy_library(made[count], count)
        return made[count]

    return tree


def _copy_library(target: Path, count: int) -> None:
    library = Path(sysconfig.get_path("stdlib"))
    target.mkdir()
    files = (
        path
        for path in sorted(library.rglob("*.py"))
        if "site-packages" not in path.parts and path.stat().st_size < 20_000
    )
    made = 0
    for path in files:
        copy = target / path.relative_to(library)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy)
        made += 1
        if made == count - 3:
            break
    for number in range(count - 3 - made):  # a small library
        (target / f"more {number}.txt").write_text(f"{number}\n" * number)
    (target / "run me").write_text("#!/bin/sh\necho it runs: $1\n")
    (target / "run me").chmod(0o755)
    (target / "empty").touch()
    (target / "sn\N{SNOWMAN}w").write_text("white")
