"""The command line: see scripts/backends."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from survey.backends import survey
from survey.tables import replaced, tables

FILE = Path(__file__).parents[2] / "storage" / "README.md"


def main() -> int:
    """Try all of them, and write or compare the tables."""
    parser = argparse.ArgumentParser(prog="scripts/backends", description="Try what each backend does by itself.")
    parser.add_argument("--check", action="store_true", help="write nothing, and fail where the tables are others")
    check = parser.parse_args().check
    found = {}
    with tempfile.TemporaryDirectory(prefix="vfs-survey-") as folder:
        for backend, operations in survey(Path(folder)):
            found[backend] = operations
            native = sum(operation.way == "native" for operation in operations)
            print(f"{backend.family} {backend.name}: {native} of {len(operations)} operations are its own", flush=True)
    text = FILE.read_text(encoding="utf-8")
    new = replaced(text, tables(found))
    if check:
        return int(new != text)
    FILE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
