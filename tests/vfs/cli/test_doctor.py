"""vfs doctor."""

from __future__ import annotations

import contextlib
import json
import os
import signal

import pytest
from cli_backends import Bucket
from commands import Project, Vfs

from vfs.doctor.operations import TRIALS


@pytest.mark.mount
def test_the_machine_alone(vfs: Vfs) -> None:
    result = vfs("doctor")
    assert (result.code, result.err) == (0, "")
    assert "media, archive, inner, bucket, broken, memory, by " in result.out
    for name in ("libfuse", "open files", "spool", "cache", "settings", "packages"):
        assert f"  {name}  " in result.out
    assert "operation" not in result.out


@pytest.mark.mount
def test_a_storage(vfs: Vfs, project: Project) -> None:
    result = vfs("doctor", "media")
    assert (result.code, result.err) == (0, "")
    assert "\nmedia, which is storage.FileSystemStorage:\noperation " in result.out
    lines = {line[:20].strip(): line.split() for line in result.out.partition("operation ")[2].splitlines()[1:]}
    assert list(lines) == [trial.name for trial in TRIALS]
    assert lines["rename exchange"][2:4] == ["native", "atomic"]
    assert float(lines["copy"][2]) > 0
    assert project.tree(project.media) == {}


@pytest.mark.mount
def test_an_in_memory_storage_is_tried_in_this_process(vfs: Vfs) -> None:
    assert vfs("doctor", "memory:").code == 0


@pytest.mark.mount
def test_json_has_all_of_it(vfs: Vfs, project: Project) -> None:
    result = vfs("doctor", "--json", "bucket")
    found = json.loads(result.out)
    assert (result.code, found["status"], found["alias"], found["left"]) == (0, "ok", "bucket", [])
    assert found["backend"] == "cli_backends.Bucket"
    ways = {operation["name"]: operation["way"] for operation in found["operations"]}
    assert (ways["save"], ways["rename"], ways["link"]) == ("native", "emulated", "refused")
    assert project.tree(project.bucket) == {}
    found = json.loads(vfs("doctor", "--json").out)
    assert (found["alias"], found["operations"]) == (None, [])
    assert {check["status"] for check in found["checks"]} <= {"ok", "warning"}


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["doctor", "broken"], "no_such_package"),
        (["doctor", "medai"], "Did you mean 'media'?"),
        (["doctor", "-o", "cache_dir=vfs.toml"], "vfs.toml is not a directory"),
    ],
)
def test_a_failure_is_exit_code_1(vfs: Vfs, args: list[str], words: str) -> None:
    result = vfs(*args)
    assert (result.code, result.err) == (1, "")
    assert [line for line in result.out.splitlines() if line.startswith("failure") and words in line]


@pytest.mark.mount
def test_the_options_of_the_settings_are_those_of_the_mount(project: Project) -> None:
    with (project.path / "vfs.toml").open("a") as file:
        file.write('[MOUNT_OPTIONS]\nmedia = "ro,spool=waiting"\nbucket = "spool=vfs.toml"\n')
    result = project.process("doctor", "media")
    assert (result.code, result.err) == (0, "")
    assert f"{project.path}/waiting will be made" in result.out
    assert "operation" not in result.out, "with ro nothing is stored"
    assert "\noperation " in project.process("doctor", "media", "-o", "rw").out
    assert "vfs.toml is not a directory" in project.process("doctor", "bucket").out


def test_wrong_options_are_refused(vfs: Vfs) -> None:
    result = vfs("doctor", "-o", "cache_dri=x")
    assert result.code == 1
    assert "did you mean 'cache_dir'?" in result.err
    assert vfs("doctor", "a", "b").code == 2


def test_settings_that_are_wrong(project: Project) -> None:
    (project.path / "vfs.toml").write_text("[STORAGES\n")
    result = project.process("doctor")
    assert result.code == 1
    assert [line for line in result.out.splitlines() if line.startswith("failure") and "vfs.toml, line 1" in line]


def test_what_a_server_says_is_shown_in_one_line_and_without_control_characters(
    vfs: Vfs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def listdir(self: Bucket, path: str) -> tuple[list[str], list[str]]:
        raise RuntimeError("quota \x1b[31mexceeded\nfor you")

    monkeypatch.setattr(Bucket, "listdir", listdir)
    result = vfs("doctor", "bucket")
    assert result.code == 1
    assert r"its root cannot be listed: RuntimeError: quota \x1b[31mexceeded for you" in result.out


def test_how_far_it_is_is_shown_on_a_terminal(project: Project) -> None:
    ours, theirs = os.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal, project.start("doctor", "media", stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # EIO: nobody has the other end any more
            while data := terminal.read(4096):
                shown += data
        out, _ = process.communicate(timeout=60)
    assert f"{len(TRIALS)}/{len(TRIALS)} operations".encode() in shown
    assert "rename exchange" in out


def test_ctrl_c_leaves_nothing_behind(project: Project) -> None:
    """It waits for the operation that is under way, here a copy that waits for a FIFO."""
    fifo = project.path / "fifo"
    os.mkfifo(fifo)
    configuration = project.path / "vfs.toml"
    location = f'OPTIONS = {{ location = "{project.bucket}", fifo = "{fifo}" }}'
    configuration.write_text(f'[STORAGES.slow]\nBACKEND = "cli_backends.Waiting"\n{location}\n')
    with project.start("doctor", "slow") as process:
        with fifo.open("w"):  # it is there
            assert [name for name in os.listdir(project.bucket) if name.startswith("vfs-doctor-")]
            process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err.strip()) == (130, "", "vfs: interrupted")
    assert project.tree(project.bucket) == {}
