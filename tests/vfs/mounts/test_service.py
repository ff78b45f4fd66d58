"""A mount as a service: what the manager is told and when, by a socket in its place, and under a real systemd."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from managers import Listener, systemd
from places import Server

from newcomer import OWN_SYSTEM, Newcomer, examples, session
from services.s3 import Bucket
from vfs.mounts import service
from vfs.mounts.mountpoint import is_stale
from vfs.mounts.service import ServiceManager
from vfs.testing.place import soon

_numbers = itertools.count()


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Listener]:
    """A manager's socket, of both kinds."""
    made = Listener(f"@vfs-test-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify"))
    yield made
    made.socket.close()


def test_what_is_told(listener: Listener) -> None:
    manager = ServiceManager(listener.address)
    manager.ready("photos at /srv/a\nREADY=0")
    assert listener.next() == {"READY": "1", "STATUS": "photos at /srv/a?READY=0"}
    manager.reloading()
    message = listener.next()
    assert message.keys() == {"RELOADING", "MONOTONIC_USEC"}
    assert int(message["MONOTONIC_USEC"]) > 0


def test_while_it_ends_it_asks_for_time(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "STEP", 0.01)
    steps = iter(range(1000))
    with ServiceManager(listener.address).stopping(lambda: f"{next(steps)} done"):
        assert listener.next() == {"STOPPING": "1", "STATUS": "0 done"}
        for number in (1, 2):
            assert listener.next() == {"EXTEND_TIMEOUT_USEC": "30000", "STATUS": f"{number} done"}


def test_who_reads_the_configuration_at_the_end_does_not_call_it_off(listener: Listener) -> None:
    manager = ServiceManager(listener.address)
    with manager.stopping(lambda: "the end"):
        manager.reloading()
        manager.ready("again")
    assert listener.next()["STATUS"] == "the end"
    listener.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        listener.next()


def test_the_variable_is_not_inherited(monkeypatch: pytest.MonkeyPatch, listener: Listener) -> None:
    monkeypatch.setenv(service.VARIABLE, listener.address)
    manager = ServiceManager.of_environment()
    assert service.VARIABLE not in os.environ
    manager.ready("x")
    assert listener.next()["READY"] == "1"


def test_a_manager_that_has_gone_does_no_harm(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ServiceManager(str(tmp_path / "nobody")).ready("x")
    assert "the service manager is not told READY, STATUS" in caplog.text
    ServiceManager("").ready("x")


@contextmanager
def served(server: Server, listener: Listener, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """The mount of `server` as a service manager starts it, when it is said to be ready."""
    command = [sys.executable, "-m", "vfs", "--config", str(server.config), "mount", "--foreground"]
    words = [*command, "-o", ",".join(options), "--", server.kind, str(server.mountpoint)]
    environment = {**server.environment, service.VARIABLE: listener.address}
    with (server.folder / "log").open("ab") as log:
        process = subprocess.Popen(words, env=environment, cwd="/", stderr=log)
    try:
        assert listener.until("READY")["STATUS"] == f"{server.kind} at {server.mountpoint}"
        yield process
    finally:
        process.kill()
        process.wait(20)


@pytest.mark.mount
@pytest.mark.usefixtures("rescue")
def test_a_service_is_ready_when_it_answers_and_loses_nothing(mounts_folder: Path, listener: Listener) -> None:
    server = Server("objects", mounts_folder / f"service-{os.getpid()}-{listener.address[0] == '@'}")
    with served(server, listener, "write_back=3600") as process:
        assert os.listdir(server.mountpoint) == []
        assert Path(f"/proc/{process.pid}/environ").read_bytes().count(b"NOTIFY_SOCKET") == 1, "it had it"
        (server.mountpoint / "first").write_text("closed")
        process.kill()
        process.wait(20)
        assert is_stale(server.mountpoint)
    with served(server, listener, "write_back=3600") as process:
        assert (server.mountpoint / "first").read_text() == "closed"
        (server.mountpoint / "second").write_text("number two")
        process.send_signal(signal.SIGTERM)
        message = listener.until("STOPPING")
        assert message["STATUS"].startswith("Storing what is pending: ")
        assert process.wait(20) == 0
    assert not server.is_mounted
    assert server.spooled() == []
    with served(server, listener, "ro"):
        assert [(server.mountpoint / name).read_text() for name in ("first", "second")] == ["closed", "number two"]
    server.end()


@pytest.fixture
def unit_server(mounts_folder: Path) -> Iterator[Server]:
    """What the unit of this vfs mounts, which is installed for a systemd of one's own."""
    server = Server("objects", mounts_folder / f"systemd-{os.getpid()}-{next(_numbers)}")
    server.config.rename(server.folder / "settings.toml")
    units = server.folder / ".config/systemd/user"
    units.mkdir(parents=True)
    server.run("--config", str(server.folder / "settings.toml"), "install-helper", "--systemd", "--folder", str(units))
    settings = units / "vfs@.service.d"
    settings.mkdir()
    (settings / "test.conf").write_text(
        "[Service]\n"
        f"Environment=PYTHONPATH={server.environment['PYTHONPATH']} VFS_CONFIG={server.folder}/settings.toml\n"
        f"Environment=XDG_STATE_HOME={server.folder}/state\n"
        f"Environment=DIRECTORY={server.mountpoint} OPTIONS=write_back=3600,drain=20\n"
        f"StandardError=append:{server.folder}/log\n"
    )
    yield server
    server.end()


@pytest.mark.mount
@pytest.mark.slow
@pytest.mark.usefixtures("rescue")
def test_the_unit_under_systemd(unit_server: Server) -> None:
    """Ready means mounted, a crash is a restart that goes on with what was closed, and a stop drains."""
    server = unit_server
    configured = (server.folder / "settings.toml").read_text()
    with systemd(server.folder, server.environment) as manager:
        unit, mnt = "vfs@objects.service", server.mountpoint
        assert manager.run("systemd-analyze", "--user", "verify", unit).stderr == ""
        manager.ctl("start", unit)
        assert manager.show(unit, "ActiveState") == "active"
        assert manager.show(unit, "StatusText") == f"objects at {mnt}"
        manager.run("sh", "-c", f"echo before > {mnt}/first")
        settings = server.folder / "settings.toml"
        settings.write_text(f'{configured}\n[MOUNT_OPTIONS]\nobjects = "timeout=7"\n')
        manager.ctl("reload", unit)
        assert manager.show(unit, "ActiveState") == "active"
        assert "reloaded: timeout=7.0" in (server.folder / "log").read_text()
        settings.write_text("no TOML")
        assert "failed" in manager.run("systemctl", "--user", "reload", unit, check=False).stderr
        settings.write_text(configured)
        manager.ctl("kill", "--kill-whom=main", "--signal=KILL", unit)
        assert soon(lambda: manager.show(unit, "NRestarts") == "1" and manager.show(unit, "ActiveState") == "active")
        assert manager.run("cat", mnt / "first").stdout == "before\n"
        manager.run("sh", "-c", f"echo after > {mnt}/second")
        manager.ctl("stop", unit)
        assert (manager.show(unit, "ActiveState"), manager.show(unit, "Result")) == ("inactive", "success")
        assert not manager.run("ls", mnt).stdout
        assert server.spooled() == []
        manager.ctl("start", unit)
        assert manager.run("cat", mnt / "first", mnt / "second").stdout == "before\nafter\n"
        manager.ctl("stop", unit)


AT_BOOT = [session("systemctl enable"), *("\n".join(it.typed) for it in examples() if "systemctl" in str(it))]
OF_A_USER = """
mkdir -p /etc/systemd/system /etc/vfs
mount --bind /etc/systemd/system /etc/systemd/user
cp vfs.toml /etc/vfs/
systemctl() { command systemctl --user "$@"; }
"""
"""Where the manager of one's own looks for the system's units."""


@pytest.mark.mount
@pytest.mark.slow
@pytest.mark.parametrize("typed", AT_BOOT, ids=["readme", "help"])
def test_what_the_documents_type_makes_a_service(tmp_path: Path, s3_bucket: Bucket, typed: str) -> None:
    options = ", ".join(f'{name} = "{value}"' for name, value in s3_bucket.opendal.items())
    definition = f'[STORAGES.photos]\nBACKEND = "storage.OpenDALStorage"\nOPTIONS = {{ {options} }}\n'
    (tmp_path / "vfs.toml").write_text(definition)
    (tmp_path / "own").mkdir()
    newcomer = Newcomer(tmp_path)
    with systemd(tmp_path, {**newcomer.environment, "OWN": str(tmp_path / "own")}) as manager:
        manager.run("bash", "-ec", f"cd {tmp_path}\n{OWN_SYSTEM}\n{OF_A_USER}\n{typed}")
        manager.run("sh", "-c", "echo hello >/srv/photos/hello")
        assert s3_bucket.keys() == ["hello"]
        assert ("cache_dir" in typed) == ("allow_other" in manager.run("grep", "/srv/photos", "/proc/mounts").stdout)
        manager.ctl("stop", "vfs@photos")
        assert "/srv/photos" not in manager.run("cat", "/proc/mounts").stdout


@pytest.mark.mount
@pytest.mark.slow
@pytest.mark.usefixtures("rescue")
def test_a_mistake_is_not_tried_again_and_what_may_pass_is(unit_server: Server) -> None:
    server, unit = unit_server, "vfs@objects.service"
    settings = server.folder / "settings.toml"
    configured = settings.read_text()
    with systemd(server.folder, server.environment) as manager:

        def fails(unit: str) -> str:
            """How many restarts there were of a unit that cannot be started, and the exit code of the last."""
            manager.ctl("start", unit, check=False)
            assert soon(lambda: manager.show(unit, "ActiveState") == "failed"), "it is tried again"
            return f"{manager.show(unit, 'NRestarts')}, {manager.show(unit, 'ExecMainStatus')}"

        assert fails("vfs@nothing.service") == "0, 78"
        settings.write_text("no TOML")
        assert fails(unit) == "0, 78"
        settings.write_text(f'{configured}\n[MOUNT_OPTIONS]\nobjects = "drain=soon"\n')
        assert fails(unit) == "0, 78"
        settings.write_text(configured)
        (server.mountpoint / "hidden").write_text("what lies there")
        assert fails(unit) == "0, 78"
        (server.mountpoint / "hidden").unlink()
        unit = "vfs@files.service"
        (server.folder / "files").rmdir()  # as where a disk is not there yet
        manager.ctl("start", "--no-block", unit)
        assert soon(lambda: manager.show(unit, "NRestarts") == "1"), "what may come is not waited for"
        (server.folder / "files").mkdir()
        assert soon(lambda: manager.show(unit, "ActiveState") == "active")
        manager.ctl("stop", unit)
