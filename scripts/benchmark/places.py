"""Places: directories to work in. Here the plain folders and the mounts of ours; `peers` has everybody else's."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import sysconfig
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmark.work import Piece, Sizes
from benchmark.worker import ROOT, User, WorkError, call

REPOSITORY = Path(__file__).parents[2]
START_SECONDS = 30.0


class UnavailableError(Exception):
    """A place cannot be had on this machine; the message says why and what would help."""


class Place(ABC):
    """A directory to work in, made anew for each round by `opened()`."""

    family = "local"
    """Which table it stands in: "memory" or "local"."""
    peer = False
    """Whether it may fail at a piece of work without this being our fault."""
    groups: frozenset[str] | None = None
    """The groups of work that it can do; None is all."""

    def __init__(self, name: str, title: str, base: Path, user: User = ROOT) -> None:
        """The place called `name`, with all that it needs below `base`, for the work of `user`."""
        self.name = name
        self.title = title
        self.base = base / name.replace("/", "-")
        self.user = user
        self.pid: int | None = None
        """The daemon's process, while there is one."""
        self.mount_seconds: float | None = None
        """From the command to the first answer, the last time."""

    @property
    def path(self) -> Path:
        """Where the work is done."""
        return self.base / "files"

    @property
    def behind(self) -> Path | None:
        """The plain folder that the mount shows, where there is one to put files into before it is mounted."""
        return self.path

    def check(self) -> None:  # noqa: B027 - most can be had everywhere
        """UnavailableError unless it can be had here."""

    @contextlib.contextmanager
    def opened(self) -> Iterator[Place]:
        """Mount it for as long as the block lasts."""
        self.start()
        try:
            yield self
        finally:
            self.stop()
            self.pid = None

    @abstractmethod
    def start(self) -> None:
        """Mount. WorkError."""

    @abstractmethod
    def stop(self) -> None:
        """Unmount, and wait for the end of the daemon."""

    def counts(self) -> Mapping[str, int]:
        """The requests that were answered up to now, by operation; empty where nobody counts."""
        return {}

    def piece(self, kind: type[Piece], sizes: Sizes, tree: Path) -> Piece:
        """A piece of work here; `tree` is the repository to copy."""
        return kind(self.path, sizes, tree)

    def clean(self, kind: type[Piece]) -> None:
        """Take away the files of a piece's group. WorkError."""
        call(lambda: kind.clean(self.path), self.user)

    def make_folders(self, *names: str) -> None:
        """Make folders of the place's user below `base`."""
        for name in ("", *names):
            folder = self.base / name
            folder.mkdir(parents=True, exist_ok=True)
            os.chown(folder, self.user.uid, self.user.gid)


class Folder(Place):
    """A plain folder on the disk, or, in the family "memory", on a tmpfs; no FUSE."""

    def __init__(self, name: str, title: str, base: Path, family: str) -> None:
        """The folder `name` below `base`, which lies on that disk or tmpfs."""
        super().__init__(name, title, base)
        self.family = family

    def start(self) -> None:
        """Make it."""
        self.make_folders("files")

    def stop(self) -> None:
        """Keep it for the next round, empty as the work has left it."""


class Ours(Place):
    """An alias mounted by `vfs mount`, as a user does it."""

    def __init__(self, alias: str, transport: str, base: Path, user: User = ROOT) -> None:
        """The alias "memory" or "local" through one transport, for and by one user."""
        who = "" if user is ROOT else "-user"
        title = f"{transport}, as {user.name}" if who else transport
        super().__init__(f"{alias}/{transport}{who}", title, base, user)
        self.family = alias
        self.alias = alias
        self.transport = transport
        self._log: Path | None = None

    @property
    def path(self) -> Path:
        """Where it is mounted."""
        return self.base / "mount"

    @property
    def behind(self) -> Path | None:
        """The location of the local alias."""
        return self.base / "files" if self.family == "local" else None

    def check(self) -> None:
        """UnavailableError where the transport is not there, or the user may not mount."""
        from vfs.transports import NAMES

        if self.transport not in NAMES:
            raise UnavailableError(f"this version has no transport {self.transport!r}")
        if self.user is not ROOT:
            check_user_mounts()
        _python_for(self.user)

    @property
    def storage(self) -> str:
        """The storage behind the alias, as a configuration file."""
        return (
            f'[STORAGES.local]\nBACKEND = "storage.FileSystemStorage"\nOPTIONS = {{ location = "{self.base}/files" }}\n'
        )

    @property
    def options(self) -> list[str]:
        """More words for `vfs mount`."""
        return []

    def start(self) -> None:
        """`vfs mount`, timed until the first stat(2) of its root has come back."""
        self.make_folders("mount", "files", "run", "state")
        config = self.base / "vfs.toml"
        config.write_text(self.storage)
        mount = ["mount", self.alias, str(self.path), "--transport", self.transport, *self.options]
        start = time.perf_counter()
        self._vfs("--config", str(config), *mount)
        call(lambda: os.stat(self.path), self.user)
        self.mount_seconds = time.perf_counter() - start
        record = self._record()
        self.pid, self._log = record["pid"], Path(record["log"])

    def stop(self) -> None:
        """`vfs unmount`; by force where that fails, and WorkError."""
        try:
            self._vfs("unmount", str(self.path))
        except WorkError:
            subprocess.run(["umount", "-l", str(self.path)], stderr=subprocess.DEVNULL, check=False)
            if self.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGKILL)
            raise
        if self._log is not None:
            self._log.unlink(missing_ok=True)  # of a daemon that went well

    def _vfs(self, *words: str) -> None:
        """`vfs WORDS` by the place's user; WorkError with what it says."""
        command = [_python_for(self.user), "-m", "vfs", *words]
        try:
            done = subprocess.run(
                command,
                env=self.environment,
                cwd="/",
                user=self.user.uid,
                group=self.user.gid,
                extra_groups=[] if self.user is not ROOT else None,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=START_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise WorkError(f"vfs {words[0]}: no end after {START_SECONDS:.0f} s") from error
        if done.returncode != 0:
            raise WorkError(f"vfs {' '.join(words)}: {done.stderr.strip()}")

    @property
    def environment(self) -> dict[str, str]:
        """The variables of the command: an ordinary user has folders of its own here, and finds the same packages."""
        if self.user is ROOT:
            return {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        folders = {"HOME": self.base / "state", "XDG_RUNTIME_DIR": self.base / "run"}
        packages = f"{REPOSITORY}{os.pathsep}{sysconfig.get_path('purelib')}"
        return {"PATH": os.environ["PATH"], "PYTHONPATH": packages, **{key: str(path) for key, path in folders.items()}}

    def _runtime_folder(self) -> Path:
        from vfs.mounts.records import runtime_folder

        return runtime_folder() if self.user is ROOT else self.base / "run" / "vfs"

    def _record(self) -> dict[str, Any]:
        """What the daemon has written down of itself, with "socket", where it listens."""
        from vfs.mounts.records import Record

        for path in self._runtime_folder().glob("*.json"):
            record: dict[str, Any] = json.loads(path.read_text())
            if record["mountpoint"] == str(self.path):
                return {**record, "socket": str(path.with_name(Record(**record).socket.name))}
        raise WorkError(f"the daemon at {self.path} has left no record")

    def status(self) -> dict[str, Any]:
        """What the daemon says of itself, as `vfs status --json` shows it. WorkError."""
        from vfs.mounts.control import ask

        try:
            return ask(Path(self._record()["socket"]), "status", timeout=START_SECONDS)
        except (OSError, ValueError) as error:
            raise WorkError(f"the daemon does not tell its status: {error}") from error

    def counts(self) -> Mapping[str, int]:
        """The daemon's own counts."""
        counts: dict[str, int] = self.status()["operations"]
        return counts


def check_user_mounts() -> None:
    """UnavailableError where an ordinary user cannot mount: the device's mode, or no fusermount3."""
    mode = stat.S_IMODE(os.stat("/dev/fuse").st_mode)
    if mode & 0o006 != 0o006:
        raise UnavailableError(f"/dev/fuse has the mode {mode:04o}: ordinary users can mount after chmod 666 /dev/fuse")
    if shutil.which("fusermount3") is None:
        raise UnavailableError("fusermount3 is not installed (Debian's fuse3)")


def ordinary_user(name: str) -> User:
    """The user called `name`; KeyError."""
    entry = pwd.getpwnam(name)
    return User(name, entry.pw_uid, entry.pw_gid)


def _python_for(user: User) -> str:
    """This interpreter, or, where `user` may not run it (it lies in root's home), the system's of the same version."""
    if user is ROOT or _can_run(sys.executable, user):
        return sys.executable
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (f"/usr/bin/python{version}", f"/usr/local/bin/python{version}"):
        if _can_run(candidate, user):
            return candidate
    raise UnavailableError(
        f"{user.name} may not run {os.path.realpath(sys.executable)}, and there is no python{version} beside"
    )


def _can_run(python: str, user: User) -> bool:
    try:
        done = subprocess.run(
            [python, "-c", ""],
            user=user.uid,
            group=user.gid,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            check=False,
        )
    except OSError:
        return False
    return done.returncode == 0
