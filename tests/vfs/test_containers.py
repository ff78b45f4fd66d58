"""A mount as the first process of a container: what docker does for one is done here by unshare(1) and setpriv(1)."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from places import IS_ROOT, Server

from vfs.mounts.mountpoint import is_stale
from vfs.testing.place import soon

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
(ENTRYPOINT,) = re.findall(r"^ENTRYPOINT (.*)$", README, re.MULTILINE)
"""What the README has in its recipe."""
CAPABILITIES = (
    *("chown", "dac_override", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap", "net_bind_service"),
    *("net_raw", "sys_chroot", "mknod", "audit_write", "setfcap"),
    "sys_admin",
)
"""What docker leaves to root in a container, and what --cap-add gives back."""

pytestmark = [
    pytest.mark.mount,
    pytest.mark.usefixtures("rescue"),
    pytest.mark.skipif(
        not IS_ROOT or not shutil.which("unshare") or not shutil.which("setpriv"), reason="root makes containers"
    ),
]


class Container:
    """A running one; `main` is its first process as the host calls it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.main = 0

    def find_main(self) -> bool:
        """Whether there is a first process by now."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        self.main = int(children[0]) if children else 0
        return bool(children)

    def stop(self) -> int:
        """As `docker stop`: the exit code."""
        os.kill(self.main, signal.SIGTERM)
        return self.process.wait(30)

    def stop_from_within(self) -> int:
        """A signal that the kernel keeps from a first process which has not said that it wants it."""
        subprocess.run(["nsenter", "--target", str(self.main), "--mount", "--pid", "kill", "-TERM", "1"], check=True)
        return self.process.wait(30)

    def kill(self) -> int:
        """As `docker kill`."""
        os.kill(self.main, signal.SIGKILL)
        return self.process.wait(30)


@pytest.fixture
def server(mounts_folder: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    """A mount to be, below a folder whose mounts are shared with the containers, as by -v FOLDER:FOLDER:rshared."""
    folder = mounts_folder / f"shared-{os.getpid()}-{zlib.crc32(request.node.name.encode())}"
    folder.mkdir()
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    subprocess.run(["mount", "--make-rshared", folder], check=True)
    server = Server("objects", folder)
    server.config.write_text(f'{server.config.read_text()}\n[MOUNT_OPTIONS]\nobjects = "write_back=3600"\n')
    yield server
    server.end()
    subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def container(server: Server) -> Iterator[Container]:
    """`vfs mount --foreground` in namespaces of its own, when the host sees the mount."""
    own = ["unshare", "--mount", "--propagation", "unchanged", "--pid", "--fork", "--kill-child", "--mount-proc"]
    limit = ["setpriv", "--inh-caps", "-all", "--bounding-set", ",".join(["-all", *(f"+{it}" for it in CAPABILITIES)])]
    vfs = [sys.executable, "-m", *json.loads(ENTRYPOINT), "objects", server.mountpoint]
    environment = {**server.environment, "VFS_CONFIG": str(server.config)}
    log = (server.folder / "log").open("ab")
    with log, subprocess.Popen([*own, *limit, *vfs], env=environment, cwd="/", stderr=log) as process:
        running = Container(process)
        try:
            assert soon(running.find_main)
            assert soon(lambda: not is_stale(server.mountpoint) and server.mountpoint.is_mount()), logged(server)
            yield running
        finally:
            process.kill()


def logged(server: Server) -> str:
    return (server.folder / "log").read_text()


@pytest.mark.parametrize("stop", [Container.stop, Container.stop_from_within], ids=["from the host", "from within"])
def test_the_first_process_stores_what_is_pending_when_it_is_stopped(
    server: Server, stop: Callable[[Container], int]
) -> None:
    with container(server) as running:
        status = Path(f"/proc/{running.main}/status").read_text()
        assert [line.split()[-1] for line in status.splitlines() if line.startswith("NSpid")] == ["1"]
        (server.mountpoint / "file").write_text("written on the host")
        assert stop(running) == 0, logged(server)
    assert not server.is_mounted
    assert server.spooled() == []
    with container(server) as running:
        assert (server.mountpoint / "file").read_text() == "written on the host"
        assert running.stop() == 0


def test_the_next_container_cleans_up_and_goes_on_where_one_was_killed(server: Server) -> None:
    with container(server) as running:
        (server.mountpoint / "file").write_text("closed")
        assert running.kill() != 0
    assert is_stale(server.mountpoint), "the host has what the container has left"
    with container(server) as running:
        assert (server.mountpoint / "file").read_text() == "closed"
        assert running.stop() == 0
    assert not server.is_mounted
    assert server.spooled() == []
