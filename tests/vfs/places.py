"""Places: directories that should behave alike, on a plain folder and on mounts of each kind of storage.

A `Server` is one mount, made by `vfs mount` as a user makes it; a `Place` is a fresh directory on one. What a storage
cannot keep, or a transport cannot carry, is missing from the abilities of a place (`Place.can`), and tests then assert
the refusal that is promised for it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from vfs.mounts import records
from vfs.mounts.mountpoint import is_stale, mount_table
from vfs.testing.configuration import toml
from vfs.testing.place import (
    ABILITIES,
    BY_THE_KERNEL,
    CARRIED,
    IN_PLACE,
    IS_ROOT,
    Place as PlainPlace,
)

HERE = Path(__file__).parent
START_SECONDS = 30

TRANSPORTS = ("kernel", "fusepy") if sys.platform == "linux" else ("fusepy",)
STORAGES = {
    "memory": IN_PLACE | {"birth"},
    "files": IN_PLACE | {"local"},
    "scanned": frozenset({"symlinks", "nodes", "directories", "local", "exchange", "any bytes"}),
    "objects": frozenset({"any bytes"}),
}
"""What a storage of each kind can do."""
OVER_FUSEPY = ("files",)
"""The core is the same over each transport, so one storage shows what libfuse does; mounts of a test's own take all."""
EVERY_KIND_OVER_FUSEPY = sys.platform != "linux" or bool(os.environ.get("VFS_TEST_ALL"))

above_transports = pytest.mark.parametrize("transport", TRANSPORTS if EVERY_KIND_OVER_FUSEPY else TRANSPORTS[:1])
"""For a test with mounts of its own that depends on nothing below the core: one transport shows it."""


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
            return ABILITIES
        able = STORAGES[self.kind]
        return able - CARRIED if self.transport == "fusepy" else able | BY_THE_KERNEL


def everywhere(*kinds: str, heavy: bool = False) -> list[Where]:
    """Each of these kinds, by default "plain" and all storages, over each transport that can be had here.

    Libfuse is spared what is `heavy`: lighter tests show the same of it.
    """
    over_fusepy = () if heavy else OVER_FUSEPY
    found = []
    for kind in kinds or ("plain", *STORAGES):
        over = [it for it in TRANSPORTS if it != "fusepy" or EVERY_KIND_OVER_FUSEPY or kind in over_fusepy]
        found += [Where(kind, it) for it in (over if kind != "plain" else [""])]
    return found


def on(*kinds: str, heavy: bool = False) -> pytest.MarkDecorator:
    """Run a test on places of these kinds alone."""
    return pytest.mark.parametrize("place", everywhere(*kinds, heavy=heavy), ids=str, indirect=True)


def configuration(folder: Path) -> str:
    """A vfs.toml with an alias for each kind of storage that keeps what it has below `folder`."""
    return f"""
[STORAGES.files]
BACKEND = "storage.FileSystemStorage"
OPTIONS = {{ location = "{folder}/files" }}

[STORAGES.scanned]
BACKEND = "backends.ScanningStorage"
OPTIONS = {{ location = "{folder}/scanned" }}

[STORAGES.bucket]
BACKEND = "counted_bucket.FolderBucket"
OPTIONS = {{ location = "{folder}/bucket" }}

[STORAGES.objects]
BACKEND = "backends.ObjectStorage"
OPTIONS = {{ location = "{folder}/objects.sqlite", faults = "{folder}/faults" }}

[STORAGES.versioned]
BACKEND = "versioned.VersionedStorage"
OPTIONS = {{ location = "{folder}/versioned", faults = "{folder}/faults" }}
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
        for directory in (self.mountpoint, *(folder / name for name in ("files", "scanned", "versioned", "faults"))):
            directory.mkdir(parents=True, exist_ok=True)
        self.config.write_text(configuration(folder))
        self.log = Path(os.devnull)
        self.daemon: records.Record | None = None

    def serve_bucket(self, options: Mapping[str, Any]) -> None:
        """Have the alias `bucket`, with these options of `storage.OpenDALStorage`, and no other."""
        definition = {"BACKEND": "storage.OpenDALStorage", "OPTIONS": options}
        self.config.write_text("".join(toml("STORAGES.bucket", definition)))

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which `vfs` finds the settings, the tests' backends, and the spool."""
        paths = os.pathsep.join(filter(None, [str(HERE.parents[1]), str(HERE), os.environ.get("PYTHONPATH")]))
        return {**os.environ, "PYTHONPATH": paths, "XDG_STATE_HOME": str(self.folder / "state")}

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
        """What lies in the spools, of this mount or of others before it; nothing where all is stored."""
        return sorted((self.folder / "state" / "vfs" / "spool").glob("*/mount-*/*"))

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


@dataclass(frozen=True)
class Place(PlainPlace):
    """A fresh, empty directory on a plain folder, or on the mount of a server."""

    server: Server | None = None

    @property
    def kind(self) -> str:
        """The kind of storage."""
        return self.server.kind if self.server is not None else "plain"

    @property
    def behind(self) -> Path:
        """See `PlainPlace.behind`."""
        if self.server is None or not self.can("local"):
            return self.path
        return self.server.folder / self.kind / self.path.relative_to(self.server.mountpoint)

    def stored(self, name: str) -> bytes:
        """See `PlainPlace.stored`."""
        if self.server is None or self.kind != "objects":
            return super().stored(name)
        from backends import ObjectStorage

        storage = ObjectStorage(f"{self.server.folder}/objects.sqlite")
        try:
            return storage.content(str((self / name).relative_to(self.server.mountpoint)))
        finally:
            storage.close()
