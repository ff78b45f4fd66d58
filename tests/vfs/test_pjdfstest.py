"""pjdfstest, which asks a filesystem for all that POSIX says of names, modes, owners and times.

It comes with no system and has to be built: https://github.com/pjd/pjdfstest. `VFS_TEST_PJDFSTEST` names the folder it
was built in; each run takes minutes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from places import Server
from programs import needs
from rescue import Rescue

from vfs.testing.place import IS_ROOT, run

SUITE = Path(os.environ.get("VFS_TEST_PJDFSTEST") or "/nonexistent")
TESTS = 8798
"""Of which 28 are expected to fail wherever they run."""
MOST_SECONDS = 1800

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(MOST_SECONDS + 60),
    pytest.mark.skipif(not (SUITE / "pjdfstest").is_file(), reason="VFS_TEST_PJDFSTEST names no built pjdfstest"),
    pytest.mark.skipif(not IS_ROOT, reason="only root can become other users"),
    needs("prove"),
]


@pytest.fixture
def transport() -> str:
    """The one that carries all."""
    return "kernel"


@pytest.mark.parametrize("kind", ["memory", "files"])
def test_all_of_it_passes(serve: Callable[..., Server], rescuer: Rescue, kind: str) -> None:
    server = serve(kind)
    rescuer.wait_for("")  # some of it sleeps for longer than a test may take
    printed = run(["prove", "-r", SUITE / "tests"], server.mountpoint, timeout=MOST_SECONDS)
    assert f"Tests={TESTS}," in printed
    server.unmount()
