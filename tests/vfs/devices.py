"""A machine whose devices are others: /dev of a process in a mount namespace of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def vfs_without_devices(prepare: str, command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """What came of `vfs COMMAND` in `folder`, where /dev had nothing but null and what the shell's `prepare` made."""
    script = f"mount -t tmpfs none /dev && mknod /dev/null c 1 3 && {prepare} && exec {sys.executable} -m vfs {command}"
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", script],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
