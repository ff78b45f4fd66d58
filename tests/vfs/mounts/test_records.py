"""vfs.mounts.records: what is known of daemons, where one ends while another begins, and somebody looks at both."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from vfs.mounts.control import ControlSocket
from vfs.mounts.records import Record, find, records


@pytest.fixture
def living(tmp_path: Path) -> Record:
    """Of this process."""
    return Record(
        pid=os.getpid(),
        process_started=psutil.Process().create_time(),
        alias="media",
        backend="",
        mountpoint=str(tmp_path),
        transport="kernel",
        options={},
        log="",
        started=0.0,
    )


@pytest.fixture
def dead(living: Record) -> Record:
    """Of a process that was killed, whose record and socket are still there."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        dead = replace(living, pid=process.pid, process_started=psutil.Process(process.pid).create_time())
        process.kill()
    dead.write()
    dead.socket.touch()
    return dead


def test_who_sweeps_a_dead_record_takes_nothing_from_the_daemon_that_begins(dead: Record, living: Record) -> None:
    control = ControlSocket(living.socket, {"hello": lambda: {"said": "hello"}})
    try:
        assert dead not in records()
        assert not dead.socket.exists()
        living.write()
        dead.remove()  # by who had read the record before it was replaced
        found = find(Path(living.mountpoint))
        assert found == living
        assert found.ask("hello") == {"said": "hello"}
    finally:
        control.close()
        living.remove()
    assert find(Path(living.mountpoint)) is None


def test_a_daemon_takes_the_socket_of_a_killed_one_away(dead: Record, living: Record) -> None:
    living.write()
    assert not dead.socket.exists()
    living.remove()


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="root has namespaces, on Linux")
def test_a_container_that_shares_the_folder_leaves_the_records_of_others(living: Record) -> None:
    control = ControlSocket(living.socket, {})
    living.write()
    look = "from vfs.mounts.records import records; print(records())"
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", look]
    try:
        seen = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        assert str(living.mountpoint) not in seen, "nobody there could do anything with it"
        assert find(Path(living.mountpoint)) == living
    finally:
        control.close()
        living.remove()
