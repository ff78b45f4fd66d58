"""Service managers for tests: the datagrams that one gets, and a real systemd in namespaces of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from namespaces import UNMOUNT_OTHERS
from vfs.mounts.mountpoint import mount_table

SYSTEMD = Path("/lib/systemd/systemd")
# systemd must not be the first process of its namespace: it would be that of the whole system.
_INSIDE = f"""
{UNMOUNT_OTHERS}
mount --make-rprivate / && mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system && umount -R /sys/fs/cgroup &&
mount -t cgroup2 cgroup2 /sys/fs/cgroup && "$0" --user --log-target=console; exit
"""


class Listener:
    """A socket that is told what a service manager would be, as `$NOTIFY_SOCKET` names it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self.socket.settimeout(30)

    def next(self) -> dict[str, str]:
        """The next message, by its names."""
        return dict(line.split("=", 1) for line in self.socket.recv(65536).decode().splitlines())

    def until(self, name: str) -> dict[str, str]:
        """The next message that has this name."""
        while name not in (message := self.next()):
            pass
        return message


class Systemd:
    """The service manager of root as a user, which has nothing to do with the system's."""

    def __init__(self, process: subprocess.Popen[str], main: int, environment: Mapping[str, str]) -> None:
        self._process = process
        self._main = main
        self._environment = environment

    def run(self, *words: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command where the services run."""
        done = subprocess.run(
            ["nsenter", "--target", str(self._main), "--mount", "--pid", *words],
            env=dict(self._environment), capture_output=True, text=True, timeout=90, check=False, cwd="/",
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done

    def ctl(self, *words: str, check: bool = True) -> str:
        """What `systemctl --user` prints."""
        return self.run("systemctl", "--user", *words, check=check).stdout.strip()

    def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.ctl("show", "--value", "--property", name, unit)


@contextmanager
def systemd(folder: Path, environment: Mapping[str, str]) -> Iterator[Systemd]:
    """A systemd with the units that lie below `folder`/.config/systemd/user; skips where none can be had."""
    if os.geteuid() != 0 or not SYSTEMD.exists() or not shutil.which("nsenter"):
        pytest.skip("a systemd of one's own needs root, and systemd")
    groups = next((Path(entry.path) for entry in mount_table() if entry.kind == "cgroup2"), None)
    if groups is None:
        pytest.skip("a systemd of one's own needs control groups of version 2")
    group = groups / f"vfs-test-{os.getpid()}"
    group.mkdir()
    runtime = folder / "run"
    runtime.mkdir(mode=0o700)
    inside = {**environment, "HOME": str(folder), "XDG_RUNTIME_DIR": str(runtime)}
    for name in ("XDG_CONFIG_HOME", "DBUS_SESSION_BUS_ADDRESS", "NOTIFY_SOCKET"):
        inside.pop(name, None)
    command = ["unshare", "--mount", "--cgroup", "--pid", "--fork", "--kill-child", "--mount-proc"]
    enter = [sys.executable, "-c", f"import os, sys; open('{group}/cgroup.procs', 'w').write('0'); "
             "os.execvp(sys.argv[1], sys.argv[1:])"]  # fmt: skip
    try:
        with (folder / "systemd.log").open("w") as log:
            process = subprocess.Popen(
                [*enter, *command, "sh", "-c", _INSIDE, SYSTEMD], env=inside, stdout=log, stderr=log, text=True
            )
        try:
            yield Systemd(process, _first_child(process, runtime, folder / "systemd.log"), inside)
        finally:
            process.kill()
            process.wait(30)
    finally:
        _remove(group)


def _first_child(process: subprocess.Popen[str], runtime: Path, log: Path) -> int:
    """The process id of systemd, when it listens."""
    deadline = time.monotonic() + 20
    while not (runtime / "systemd/private").exists():
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.skip(f"no systemd can run here: {log.read_text()[-300:]}")
        time.sleep(0.05)
    return int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])


def _remove(group: Path) -> None:
    """Remove a control group with those below it, when their processes have gone."""
    deadline = time.monotonic() + 20
    for path, *_ in os.walk(group, topdown=False):
        while time.monotonic() < deadline:
            try:
                os.rmdir(path)
                break
            except OSError:  # its last process is being killed
                time.sleep(0.05)
