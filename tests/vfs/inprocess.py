"""Programs that mount a storage in their own process, each run in one of its own with a deadline.

For a process that uses a mount of its own can stop itself. They run under the Python of these tests, and under that of
the distribution, whose subprocess module is another.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import fuse
import pytest
from places import TRANSPORTS

from vfs.mounts.mountpoint import mount_table

SECONDS = 40
PRELUDE = """
import errno, functools, io, logging, os, signal, subprocess, sys, threading, time
from pathlib import Path
import vfs
from storage import ContentFile, FileSystemStorage, InMemoryStorage
from backends import ObjectStorage, ScanningStorage
here = Path(sys.argv[1])
mount, mounted = (functools.partial(made, transport=sys.argv[2]) for made in (vfs.mount, vfs.mounted))

def sh(script, **more):
    return subprocess.run(["sh", "-c", script], check=True, capture_output=True, text=True, **more).stdout
"""
STORAGES = {
    "memory": "InMemoryStorage()",
    "files": "FileSystemStorage(here / 'files', allow_overwrite=True)",
    "scanned": "ScanningStorage(here / 'files', allow_overwrite=True)",
    "objects": "ObjectStorage(str(here / 'objects.sqlite'))",
}
Script = Callable[..., str]


def _pythons() -> dict[str, Path]:
    """This Python, and that of the distribution if it is another one that is new enough."""
    found = {"this python": Path(sys.executable)}
    distributions = Path("/usr/bin/python3")
    if distributions.exists() and distributions.resolve() != found["this python"].resolve():
        check: list[str | Path] = [distributions, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
        if subprocess.run(check, check=False).returncode == 0:
            found["the distribution's"] = distributions
    return found


PYTHONS = _pythons()
WAYS = [(name, TRANSPORTS[0]) for name in PYTHONS] + [("this python", transport) for transport in TRANSPORTS[1:]]
"""Under which Python a program mounts, and over which transport."""


@pytest.fixture(params=WAYS, ids=", over ".join)
def script(request: pytest.FixtureRequest, tmp_path: Path) -> Script:
    """Run a program that mounts; it must end well and in time, and leave no mount and no temporary mountpoint.

    It finds what `PRELUDE` has, and `mount` and `mounted` over the transport that it is to use.
    """
    name, transport = request.param
    python = PYTHONS[name]
    here = Path(__file__).parent
    (tmp_path / "files").mkdir()
    (tmp_path / "tmp").mkdir()
    places = [here.parents[1], here, Path(fuse.__file__).parent]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, places)),
        "TMPDIR": str(tmp_path / "tmp"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }

    def run(code: str, *, succeeds: bool = True) -> str:
        done = subprocess.run(
            [python, "-W", "error", "-c", PRELUDE + code, tmp_path, transport],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert (done.returncode == 0) is succeeds, done.stderr
        assert not [mount for mount in mount_table() if mount.path.startswith(f"{tmp_path}/")]
        assert os.listdir(tmp_path / "tmp") == []
        return done.stdout + done.stderr

    return run
