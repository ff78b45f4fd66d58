"""Places: directories that should behave alike, on a plain folder and on mounts of each kind of storage.

A `Server` is one mount, made by `vfs mount` as a user makes it; a `Place` is a fresh directory on one. What a storage
cannot keep, or a transport cannot carry, is missing from the abilities of a place (`Place.can`), and tests then assert
the refusal that is promised for it.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest

from vfs import records
from vfs.mountpoint import is_stale, mount_table

HERE = Path(__file__).parent
START_SECONDS = 30
BELIEVED_SECONDS = 10.0

IS_ROOT = os.geteuid() == 0
TRANSPORTS = ("kernel", "fusepy") if sys.platform == "linux" else ("fusepy",)
IN_PLACE = frozenset({"symlinks", "nodes", "directories", "in place", "hard links", "backslashes", "exchange", "holes"})
STORAGES = {
    "memory": IN_PLACE,
    "files": IN_PLACE | {"local"},
    "scanned": frozenset({"symlinks", "nodes", "directories", "local", "exchange"}),
    "objects": frozenset(),
}
"""What a storage of each kind can do. "nodes": FIFOs, sockets and devices. "in place": content is written where it is.
"local": it lies in a local folder. "holes": it tells where a file has no content."""
CARRIED = frozenset({"noreplace", "exchange", "unnamed files", "holes", "inodes"})
"""What libfuse 2 does not carry. "inodes": two names of one file are one file to the kernel, with one cache."""
PLAIN = IN_PLACE | CARRIED | {"local", "xattr"}
OVER_FUSEPY = ("files",)
"""The core is the same over each transport, so one storage shows what libfuse does; mounts of a test's own take all."""
EVERY_KIND_OVER_FUSEPY = sys.platform != "linux" or bool(os.environ.get("VFS_TEST_ALL"))


class Where(NamedTuple):
    """A kind of storage, and the transport that its mount is made with; plain folders have none."""

    kind: str
    transport: str = ""

    def __str__(self) -> str:
        return "-".join(filter(None, self))

    @property
    def abilities(self) -> frozenset[str]:
        """What a place can do there."""
        if not self.transport:
            return PLAIN
        able = STORAGES[self.kind]
        return able - CARRIED if self.transport == "fusepy" else able | {"noreplace", "inodes", "unnamed files"}


def everywhere(*kinds: str) -> list[Where]:
    """Each of these kinds, by default "plain" and all storages, over each transport that can be had here."""
    found = []
    for kind in kinds or ("plain", *STORAGES):
        over = [it for it in TRANSPORTS if it != "fusepy" or EVERY_KIND_OVER_FUSEPY or kind in OVER_FUSEPY]
        found += [Where(kind, it) for it in (over if kind != "plain" else [""])]
    return found


def on(*kinds: str) -> pytest.MarkDecorator:
    """Run a test on places of these kinds alone."""
    return pytest.mark.parametrize("place", everywhere(*kinds), ids=str, indirect=True)


def configuration(folder: Path) -> str:
    """A vfs.toml with an alias for each kind of storage that keeps what it has below `folder`."""
    return f"""
[STORAGES.files]
BACKEND = "storage.FileSystemStorage"
OPTIONS = {{ location = "{folder}/files" }}

[STORAGES.scanned]
BACKEND = "backends.ScanningStorage"
OPTIONS = {{ location = "{folder}/scanned" }}

[STORAGES.objects]
BACKEND = "backends.ObjectStorage"
OPTIONS = {{ location = "{folder}/objects.sqlite", faults = "{folder}/faults" }}
"""


class Server:
    """One mount of one alias by a daemon; `folder` is what the storage, its spool and its settings lie in."""

    def __init__(self, kind: str, folder: Path, *options: str, transport: str = "auto") -> None:
        """A mount to be of the alias `kind`, with mount options."""
        self.kind = kind
        self.folder = folder
        self.transport = transport
        self.options = options or (("allow_other",) if IS_ROOT else ())
        self.mountpoint = folder / "mnt"
        self.config = folder / "vfs.toml"
        for directory in (self.mountpoint, folder / "files", folder / "scanned", folder / "faults"):
            directory.mkdir(parents=True, exist_ok=True)
        self.config.write_text(configuration(folder))
        self.log = Path(os.devnull)
        self.daemon: records.Record | None = None

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which `vfs` finds the settings, the tests' backends, and the spool."""
        paths = os.pathsep.join(filter(None, [str(HERE.parents[1]), str(HERE), os.environ.get("PYTHONPATH")]))
        return {**os.environ, "PYTHONPATH": paths, "XDG_CACHE_HOME": str(self.folder / "cache")}

    def run(self, *words: str, check: bool = True, timeout: float = START_SECONDS) -> subprocess.CompletedProcess[str]:
        """`vfs WORDS` with these settings."""
        command = [sys.executable, "-m", "vfs", "--config", str(self.config), *words]
        done = subprocess.run(
            command, env=self.environment, cwd="/", capture_output=True, text=True, timeout=timeout, check=False
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    def mount(self) -> Server:
        """Mount, and return when it answers."""
        options = [word for option in self.options for word in ("-o", option)]
        self.run("mount", self.kind, str(self.mountpoint), "--transport", self.transport, *options)
        self.daemon = self.record
        assert self.daemon is not None, "the mount left no record"
        self.log = Path(self.daemon.log)
        return self

    @property
    def record(self) -> records.Record | None:
        """What is known of the daemon, while it lives."""
        return records.find(self.mountpoint)

    def unmount(self, *words: str) -> None:
        """Unmount, and see that nothing is left: no mount, no process, no record, nothing in the spool."""
        self.run("unmount", str(self.mountpoint), *words)
        self.assert_gone()

    def assert_gone(self) -> None:
        """Nothing of the mount is left."""
        assert not self.is_mounted
        assert self.record is None
        assert self.daemon is None or not self.daemon.is_alive(), "the daemon still runs"
        assert self.spooled() == []

    @property
    def is_mounted(self) -> bool:
        """Whether anything is mounted there, dead or alive."""
        return is_stale(self.mountpoint) or any(entry.path == str(self.mountpoint) for entry in mount_table())

    def spooled(self) -> list[Path]:
        """The files that lie in the spool."""
        return [path for path in (self.folder / "cache").rglob("*") if path.is_file()]

    def logged(self) -> str:
        """All that the daemon has logged."""
        return self.log.read_text() if self.log.is_file() else ""

    def fail(self, method: str, fault: str) -> None:
        """From now on `method` of the object store raises `fault`, the name of an errno or of an exception."""
        (self.folder / "faults" / method).write_text(fault)

    def mend(self) -> None:
        """No method fails any more."""
        for fault in (self.folder / "faults").iterdir():
            fault.unlink()

    def end(self) -> None:
        """Take away whatever is left, by force; for the end of a test that may have failed anywhere."""
        self.mend()
        if self.is_mounted:
            self.run("unmount", str(self.mountpoint), "--lazy", check=False)
        if self.daemon is not None and not self.daemon.wait_for_end(5):
            os.kill(self.daemon.pid, signal.SIGKILL)
            self.daemon.wait_for_end(5)
        if self.is_mounted:
            self.run("unmount", str(self.mountpoint), "--lazy", check=False)
        self.forget_log()

    def forget_log(self) -> None:
        """Remove the log, which lies outside of `folder`."""
        if self.log.is_file():
            self.log.unlink()


@contextmanager
def failing(*codes: int) -> Iterator[None]:
    """The block must raise an OSError with one of these errnos."""
    try:
        yield
    except OSError as error:
        names = [errno.errorcode[code] for code in codes]
        assert error.errno in codes, f"{error!r} instead of {' or '.join(names)}"
    else:
        raise AssertionError(f"no error, instead of {' or '.join(errno.errorcode[code] for code in codes)}")


def soon(condition: Callable[[], bool]) -> bool:
    """Whether it comes true within the time for which a kernel believes what it was told, with much to spare."""
    deadline = time.monotonic() + BELIEVED_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@contextmanager
def opened(path: Path | bytes, flags: int, mode: int = 0o666) -> Iterator[int]:
    """A descriptor of `path` for the length of the block."""
    descriptor = os.open(path, flags, mode)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class Place:
    """A fresh, empty directory for one test."""

    path: Path
    where: Where
    server: Server | None = None

    @property
    def kind(self) -> str:
        """The kind of storage."""
        return self.where.kind

    def can(self, what: str) -> bool:
        """Whether storage and transport can do `what`, one of the words of `PLAIN`."""
        assert what in PLAIN
        return what in self.where.abilities

    @property
    def behind(self) -> Path:
        """The same directory on disk, behind the mount, where the storage is "local"."""
        if self.server is None:
            return self.path
        return self.server.folder / self.kind / self.path.relative_to(self.server.mountpoint)

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def sh(self, script: str, *, check: bool = True, timeout: float = 60, user: int | None = None) -> str:
        """Run a shell script in the place, and return what it printed, errors included."""
        return run(["sh", "-c", script], self.path, check=check, timeout=timeout, user=user)


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
