"""What an ordinary user is told, where the tests run as root."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[3]
_SCRIPT = """
import importlib, json, os, sys
from vfs.mounts.options import parse_options
import vfs.transports.fusepy.library
module, options = importlib.import_module(f"vfs.doctor.{sys.argv[1]}"), parse_options(sys.argv[3:])
user = int(sys.argv[2])
os.setgroups([])
os.setgid(user)
os.setuid(user)
print(json.dumps(list(module.checks(options))))
"""
"""All is imported while it is still root's process: others may not go to this checkout."""

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user, or takes /dev away")

Told = dict[str, tuple[str, str, str]]
"""Status, message and advice, by the name of the check."""


def by_name(found: Any) -> Told:
    """Of an iterable of checks, or of lists of their fields."""
    return {name: (str(status), message, advice) for name, status, message, advice in found}


def as_nobody(module: str, *options: str, before: tuple[str, ...] = (), path: str | None = None) -> Told:
    """What `vfs.doctor.MODULE` tells of mount options, in a process that `before` begins, and with this $PATH."""
    words = [*before, sys.executable, "-c", _SCRIPT, module, str(pwd.getpwnam("nobody").pw_uid), *options]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PATH": os.environ["PATH"] if path is None else path}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return by_name(json.loads(done.stdout))
