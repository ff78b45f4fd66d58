"""vfs log, over a mount whose storage fails."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from commands import Project, Vfs
from places import Server

from vfs.testing.place import failing

Serve = Callable[..., Server]


def lines(server: Server) -> list[dict[str, Any]]:
    return [json.loads(line) for line in server.logged().splitlines()]


def test_level_and_format_change_on_a_running_mount(serve: Serve) -> None:
    server = serve("objects")
    mountpoint = str(server.mountpoint)
    assert server.run("log", mountpoint).stdout == f"{server.log}: info and above, as text\n"
    server.fail("listdir", "EACCES")
    with failing(errno.EACCES):
        os.listdir(server.mountpoint)
    assert "failed: " not in server.logged()
    assert server.run("log", mountpoint, "--level", "debug").stdout == f"{server.log}: debug and above, as text\n"
    with failing(errno.EACCES):
        os.listdir(server.mountpoint)
    assert "DEBUG vfs: listdir failed: PermissionError: " in server.logged()
    server.run("log", mountpoint, "--level", "info", "--format", "json")
    last = json.loads(server.logged().splitlines()[-1])
    assert (last["level"], last["alias"], last["mount"]) == ("info", "objects", mountpoint)
    assert server.run("log", mountpoint).stdout == f"{server.log}: info and above, as json\n"


def test_a_mount_that_logs_json_from_the_beginning(serve: Serve) -> None:
    server = serve("memory", "log_format=json")
    server.unmount()
    assert [line["message"] for line in lines(server) if line["logger"] == "vfs"][-2:] == [
        f"mounted memory at {server.mountpoint}",
        f"unmounted {server.mountpoint}",
    ]
    assert {line["alias"] for line in lines(server)} == {"memory"}


def test_a_secret_is_in_no_line(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "open-sesame")
    server = serve("objects")
    server.fail("save", "EACCES")
    with failing(errno.EACCES):
        (server.mountpoint / "for-open-sesame.txt").write_bytes(b"x")
    assert "for-....txt" in server.logged()
    assert "open-sesame" not in server.logged()


@pytest.mark.mount
def test_in_the_foreground_and_as_an_option(project: Project) -> None:
    mnt = project.path / "mnt"
    mnt.mkdir()
    with project.start("mount", "-f", "memory", "mnt", "--log-format", "json") as process:
        assert process.stderr is not None
        while json.loads(process.stderr.readline())["message"] != f"mounted memory at {mnt}":
            assert process.poll() is None
        assert project.process("log", "mnt").out.startswith("stderr of the process, ")
        assert project.process("unmount", "mnt").code == 0
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert all(json.loads(line)["mount"] == str(mnt) for line in err.splitlines())


def test_what_a_log_cannot_be(vfs: Vfs, project: Project) -> None:
    (project.path / "mnt").mkdir()
    assert vfs("log", "mnt", "--level", "loud").code == 2
    result = vfs("mount", "memory", "mnt", "--log-format", "xml")
    assert result.code == 1
    assert "'xml' is no format of a log: valid are text and json" in result.err
