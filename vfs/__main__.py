"""`python -m vfs` is the command `vfs`."""

from __future__ import annotations

import sys

from vfs.cli import main

if __name__ == "__main__":
    sys.exit(main())
