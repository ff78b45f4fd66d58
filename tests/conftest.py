"""What all tests share: those marked `mount` run where a filesystem can be mounted, and are skipped elsewhere.

The servers that tests ask for are in `services.fixtures`.
"""

from __future__ import annotations

import ctypes.util
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["services.fixtures"]

# How long an example takes says more of the machine than of what is tested.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

_CAP_SYS_ADMIN = 21
_why_no_mount = pytest.StashKey[str]()


_LONGEST = (
    "test_ordinary_user.py",
    "test_fsspec_conformance.py",
    "test_projects.py",
    "test_examples.py",
    "test_outages.py",
    "test_stalled_copies.py",
    "test_opendal_leftovers.py",
    "test_survey.py",
    "test_full_spool.py",
    "test_django.py",
    "test_bucket_programs.py",
    "test_bucket_attributes.py",
    "test_faults.py",
    "test_scripts.py",
    "test_cached_mount.py",
    "test_semantics.py",
    "test_mounting.py",
    "test_killed.py",
)
"""The files that take a minute: where several processes share the tests these begin first, so that none ends alone."""


@pytest.hookimpl(trylast=True)  # what -m deselects needs no mount
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what needs a mount on a machine that allows none, and keep the reason for the end of the run.

    What is marked `debian` is run where -m asks for it, and nowhere else.
    """
    if "debian" not in config.option.markexpr:
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("debian")])
        items[:] = [item for item in items if not item.get_closest_marker("debian")]
    if hasattr(config, "workerinput"):  # one of several processes
        items.sort(key=lambda item: _LONGEST.index(item.path.name) if item.path.name in _LONGEST else len(_LONGEST))
    needing = [item for item in items if item.get_closest_marker("mount")]
    reason = why_no_mount() if needing else None
    if reason is not None:
        config.stash[_why_no_mount] = reason
        for item in needing:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI, tests that were skipped for want of a mount fail the run: nobody reads the list of skipped tests there."""
    if _why_no_mount not in session.config.stash:
        return
    if hasattr(session.config, "workeroutput"):  # one of several processes: the first decides
        session.config.workeroutput["why_no_mount"] = session.config.stash[_why_no_mount]
    elif os.environ.get("CI") and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Keep the reason that another process of this run has found."""
    reason = getattr(node, "workeroutput", {}).get("why_no_mount")
    if reason is not None:
        node.config.stash[_why_no_mount] = reason


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


@pytest.fixture(scope="session", autouse=True)
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Spools of these tests are not in the user's folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session", autouse=True)
def signals() -> Iterator[None]:
    """What the tests start hears Ctrl-C and the end of a terminal, also where a shell or nohup has the tests ignore it.

    Ignoring is inherited, a handler is not.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if before[signal.SIGHUP] is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
