"""What all tests share: those marked `mount` run where a filesystem can be mounted, and are skipped elsewhere."""

from __future__ import annotations

import ctypes.util
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

_CAP_SYS_ADMIN = 21
_why_no_mount = pytest.StashKey[str]()


@pytest.hookimpl(trylast=True)  # what -m deselects needs no mount
def pytest_collection_modifyitems(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    """Skip what needs a mount on a machine that allows none, and keep the reason for the end of the run."""
    needing = [item for item in items if item.get_closest_marker("mount")]
    reason = why_no_mount() if needing else None
    if reason is not None:
        config.stash[_why_no_mount] = reason
        for item in needing:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI, tests that were skipped for want of a mount fail the run: nobody reads the list of skipped tests there."""
    if _why_no_mount in session.config.stash and os.environ.get("CI") and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say in CI why a run without a failed test has failed."""
    if _why_no_mount in config.stash and os.environ.get("CI"):
        reason = config.stash[_why_no_mount]
        terminalreporter.write_line(f"FAILED: in CI the tests that mount must run, and {reason}", red=True)


def why_no_mount() -> str | None:
    """What keeps this process from mounting a filesystem through FUSE, or None if nothing does."""
    names = ("fuse4x", "osxfuse", "fuse") if sys.platform == "darwin" else ("fuse",)
    if not any(map(ctypes.util.find_library, names)):
        return "libfuse is not installed"
    return _why_no_linux_mount(Path("/dev/fuse")) if sys.platform == "linux" else None


def _why_no_linux_mount(device: Path) -> str | None:
    try:
        os.close(os.open(device, os.O_RDWR))
    except FileNotFoundError:
        return f"{device} is missing"
    except OSError as error:
        return f"{device} can't be opened: {error.strerror}"
    if os.geteuid() != 0:
        found = shutil.which("fusermount") or shutil.which("fusermount3")
        return None if found else "fusermount is not installed, and only root can do without it"
    return None if _has_capability(_CAP_SYS_ADMIN) else "this container's root may not mount (no CAP_SYS_ADMIN)"


def _has_capability(number: int) -> bool:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> number & 1)
    return False
