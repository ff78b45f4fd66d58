"""A directory under test: what it can do, and what the tests of directories share."""

from __future__ import annotations

import errno
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

IS_ROOT = os.geteuid() == 0
IN_PLACE = frozenset(
    {"symlinks", "nodes", "directories", "in place", "hard links", "any bytes", "backslashes", "exchange", "holes"}
)
"""What a storage can do whose content is written "in place", where it is. "nodes": FIFOs, sockets and devices.
"holes": it tells where a file has no content. "any bytes": names need not be UTF-8. "backslashes": names have them."""
CARRIED = frozenset({"noreplace", "exchange", "unnamed files", "holes", "inodes", "birth"})
"""What libfuse 2 does not carry. "inodes": two names of one file are one file to the kernel, with one cache. "birth":
it is told when a file was made."""
BY_THE_KERNEL = frozenset({"noreplace", "inodes", "unnamed files"})
"""What the kernel's transport does for every storage."""
ABILITIES = IN_PLACE | CARRIED | {"local", "xattr"}
"""All that a directory may be able to do; a plain one can. "local": the content lies in a local folder."""


@dataclass(frozen=True)
class Place:
    """A fresh, empty directory for one test."""

    path: Path
    abilities: frozenset[str]

    def can(self, what: str) -> bool:
        """Whether the directory can do `what`, one of the words of `ABILITIES`."""
        assert what in ABILITIES
        return what in self.abilities

    def require(self, what: str) -> None:
        """Skip the test unless the directory can do `what`; that it is refused there is seen by another."""
        if not self.can(what):
            pytest.skip(f"no {what} there")

    @property
    def behind(self) -> Path:
        """The same directory on disk, behind the mount, where the storage is "local"."""
        return self.path

    def stored(self, name: str) -> bytes:
        """The content that the storage itself has of a file, seen behind the mount's back where that is possible."""
        return (self.behind / name).read_bytes()

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def sh(self, script: str, *, check: bool = True, timeout: float = 60, user: int | None = None) -> str:
        """Run a shell script in the place, and return what it printed, errors included."""
        return run(["sh", "-c", script], self.path, check=check, timeout=timeout, user=user)


@contextmanager
def failing(*codes: int) -> Iterator[None]:
    """The block must raise an OSError with one of these errnos."""
    wanted = " or ".join(errno.errorcode[code] for code in codes)
    try:
        yield
    except OSError as error:
        if error.errno not in codes:
            raise AssertionError(f"{error!r} instead of {wanted}") from error
    else:
        raise AssertionError(f"no error, instead of {wanted}")


@contextmanager
def opened(path: Path | bytes, flags: int, mode: int = 0o666) -> Iterator[int]:
    """A descriptor of `path` for the length of the block."""
    descriptor = os.open(path, flags, mode)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def soon(condition: Callable[[], bool]) -> bool:
    """Whether it comes true within the time for which a kernel believes what it was told, with much to spare."""
    deadline = time.monotonic() + 10.0
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def run(
    command: Sequence[str | Path], cwd: Path | str, *, check: bool = True, timeout: float = 60, user: int | None = None
) -> str:
    """Run a program and return what it printed, errors included; AssertionError when it fails."""
    done = subprocess.run(
        command,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=timeout,
        check=False,
        user=user,
        group=user,
        extra_groups=[] if user is not None else None,
        env={**os.environ, "LC_ALL": "C.UTF-8", "HOME": str(cwd)},
    )
    printed = done.stdout.decode(errors="replace")
    assert not check or done.returncode == 0, f"{command}: exit code {done.returncode}\n{printed}"
    return printed
