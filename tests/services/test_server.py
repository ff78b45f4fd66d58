"""Starting, pausing and stopping a server, and what a test hears where one is not installed."""

from __future__ import annotations

import os
import select
import socket
import sys
from pathlib import Path

import psutil
import pytest

from services.server import HOST, Server, ServerError, require

LISTEN = """
import os, socket, subprocess, sys

port, child = sys.argv[1:]
if child:
    subprocess.Popen(["sleep", "100"])
with socket.create_server(("127.0.0.1", int(port))) as server:
    print("ready", os.getpid(), flush=True)
    while True:
        connection, _ = server.accept()
        connection.sendall(b"hello")
        connection.close()
"""


class Greeter(Server):
    """Says hello to who connects, and may have a child."""

    NEEDS = ()
    READY = r"^ready"
    CHILD = ""

    def command(self) -> list[str]:
        return [sys.executable, "-c", LISTEN, str(self.port), self.CHILD]


class Parent(Greeter):
    CHILD = "child"


class Broken(Server):
    NEEDS = ()
    READY = "never said"

    def command(self) -> list[str]:
        return ["sh", "-c", "echo the disk is full; exit 1"]


def greeting(server: Server) -> bytes:
    with socket.create_connection((HOST, server.port), timeout=0.2) as client:
        return client.recv(5)


def test_runs_between_start_and_stop(tmp_path: Path) -> None:
    with Greeter(tmp_path) as server:
        assert greeting(server) == b"hello"
        assert "ready" in server.log()
    with pytest.raises(ConnectionRefusedError):
        greeting(server)
    server.stop()


def test_can_be_started_again(tmp_path: Path) -> None:
    server = Greeter(tmp_path)
    for _ in range(2):
        with server:
            assert greeting(server) == b"hello"


@pytest.mark.skipif(sys.platform != "linux", reason="waits for the child by a pidfd")
def test_its_children_end_with_it(tmp_path: Path) -> None:
    with Parent(tmp_path) as server:
        [child] = psutil.Process(int(server.log().split()[-1])).children()
        pidfd = os.pidfd_open(child.pid)
    try:
        assert select.select([pidfd], [], [], 5)[0]
    finally:
        os.close(pidfd)


def test_paused_it_answers_nobody(tmp_path: Path) -> None:
    with Greeter(tmp_path) as server:
        server.pause()
        with pytest.raises(TimeoutError):
            greeting(server)
        server.resume()
        assert greeting(server) == b"hello"
        server.pause()


def test_one_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match=r"Broken did not start.*the disk is full"):
        Broken(tmp_path).start()


def test_what_is_installed_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    require("json", "xml.etree", "sh", sys.executable)


@pytest.mark.parametrize("missing", ["no_such_module", "no_such.module", "/no/such/file"])
def test_what_is_missing_is_told_with_its_cure(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=f"^{missing} not installed: scripts/services installs"):
        require("json", missing)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=f"^{missing} not installed: scripts/services installs"):
        require("json", missing)
