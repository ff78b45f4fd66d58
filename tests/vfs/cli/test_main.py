"""The command as a whole: help, usage, errors, exit codes, settings."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commands import ROOT, Project, Vfs

from vfs.cli import errors
from vfs.testing.place import soon

COMMANDS = [
    *("mount", "unmount", "status", "top", "trace", "log"),
    *("ls", "tree", "cat", "cp", "mv", "rm", "mkdir", "stat", "du", "df", "url"),
    *("storages", "completion"),
]


def test_without_arguments_it_shows_its_help(vfs: Vfs) -> None:
    result = vfs()
    assert result.code == 0
    assert result == vfs("--help") == vfs("-h")
    for command in COMMANDS:
        assert f"  {command} " in result.out


def test_help_tells_every_exit_code(vfs: Vfs) -> None:
    told = vfs("--help").out.partition("Exit codes: ")[2]
    codes = {0, 2, errors.FAILED, errors.CONFIGURATION, errors.INTERRUPTED, errors.NOBODY_READS}
    assert {int(number) for number in re.findall(r"\d+", told)} == codes


@pytest.mark.parametrize("command", [*COMMANDS, "umount"])
def test_each_command_has_help_with_examples(vfs: Vfs, command: str) -> None:
    result = vfs(command, "--help")
    assert result.code == 0
    assert result.out.startswith("Usage: vfs ")
    assert f"vfs {'unmount' if command == 'umount' else command}" in result.out.partition("Options:")[2]


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from vfs.cli import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {"fuse", "psutil", "rich", "django"}.isdisjoint(result.stderr.split())


def test_python_m_vfs_is_the_command(project: Project) -> None:
    result = project.process("--version")
    assert result.code == 0
    assert result.out.startswith("vfs ")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["lss"], "Did you mean ls"),
        (["frobnicate"], "no command 'frobnicate'"),
        (["ls"], "ALIAS:PATH"),
        (["ls", "media"], "'media' is a local path, and this command takes ALIAS:path; for the storage"),
        (["ls", "./a:b"], "local path"),
        (["cat", ""], "empty word"),
        (["ls", "--colour", "media:"], "No such option"),
        (["df", "media:a/b"], "is not an alias"),
        (["completion", "tcsh"], "bash"),
        (["mount", "memory"], "MOUNTPOINT"),
        (["mount", "memory", ""], "a directory is needed"),
        (["mount", "memory", "mnt", "--transport", "smoke"], "fusepy"),
        (["unmount", "mnt", "--wait", "soon"], "soon"),
    ],
)
def test_wrong_usage_is_exit_code_2(vfs: Vfs, args: list[str], words: str) -> None:
    result = vfs(*args)
    assert result.code == 2
    assert words in result.err
    assert result.out == ""


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["ls", "medai:"], "Did you mean 'media'?"),
        (["ls", "nothing-like-it:"], "There are 'media', 'archive', 'inner', 'bucket', 'broken', 'memory'"),
        (["ls", "broken:"], "no_such_package"),
        (["ls", "media:../up"], "not a plain name"),
        (["ls", "media:none"], "vfs: media:none: No such file or directory\n"),
        (["mount", "medai", "."], "Did you mean 'media'?"),
        (["--config", "none.toml", "ls", "media:"], "There is no configuration file"),
    ],
)
def test_errors_are_one_line_and_exit_code_1(vfs: Vfs, args: list[str], words: str) -> None:
    result = vfs(*args)
    assert result.code == 1
    assert result.out == ""
    assert words in result.err
    assert result.err.startswith("vfs: ")
    assert result.err.count("\n") == 1


def test_a_local_file_with_a_colon_is_pointed_out(vfs: Vfs, project: Project) -> None:
    (project.path / "notes:old").touch()
    assert "written ./notes:old" in vfs("cp", "notes:old", "media:").err
    assert vfs("cp", "./notes:old", "media:").code == 0


def test_a_malformed_file_is_named_with_the_line(vfs: Vfs, project: Project) -> None:
    (project.path / "bad.toml").write_text("[STORAGES\n")
    result = vfs("--config", "bad.toml", "storages")
    assert result.code == 1
    assert "bad.toml, line 1" in result.err


def test_config_is_taken_before_all_else(vfs: Vfs, project: Project) -> None:
    (project.path / "other.toml").write_text(
        '[STORAGES.only]\nBACKEND = "storage.FileSystemStorage"\nOPTIONS = {location = "archive"}\n'
    )
    (project.archive / "a").touch()
    assert vfs("--config", "other.toml", "ls", "only:").out == "a\n"


def test_a_django_project_that_is_not_there_is_named(project: Project) -> None:
    (project.path / "vfs.toml").unlink()
    result = project.process("--django-settings", "no.such", "ls", "media:")
    assert result.code == 1
    assert "no.such" in result.err
    assert result.err.count("\n") == 1


def test_tracebacks_are_shown_only_when_asked_for(project: Project) -> None:
    assert "Traceback" not in project.process("ls", "broken:").err
    result = project.process("-v", "ls", "broken:")
    assert result.code == 1
    assert "Traceback" in result.err


BUCKET = """
[STORAGES.remote]
BACKEND = "storage.OpenDALStorage"
OPTIONS = {{ scheme = "s3", bucket = "b", region = "r", endpoint = "http://127.0.0.1:9", retries = 0{more} }}
"""


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("", "No credentials are found in the OPTIONS, the environment, profiles or on the machine: signing http req"),
        (
            ', access_key_id = "key-of-tests", secret_access_key = "secret-of-tests"',
            "send http request: error sending request: client error",
        ),
    ],
)
def test_a_bucket_that_gives_nothing_says_why_in_one_line(
    project: Project, monkeypatch: pytest.MonkeyPatch, more: str, words: str
) -> None:
    pytest.importorskip("opendal")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(project.path))
    (project.path / "vfs.toml").write_text(BUCKET.format(more=more))
    result = project.process("ls", "remote:")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert result.err.startswith(f"vfs: remote: {words}")


def test_a_library_that_does_not_survive_the_end_of_the_interpreter_is_no_failure(project: Project) -> None:
    (project.path / "vfs.toml").write_text(
        '[STORAGES.native]\nBACKEND = "cli_backends.Native"\nOPTIONS = {location = "archive"}\n'
    )
    (project.archive / "a").touch()
    assert project.process("ls", "native:") == (0, "a\n", "")
    assert project.process("ls", "native:", "native:b") == (
        1,
        "native:\na\n",
        "vfs: native:b: No such file or directory\n",
    )


def test_an_unknown_exception_has_a_line_of_its_own(
    vfs: Vfs, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cli_backends import Bucket

    monkeypatch.setattr(Bucket, "refused", "b")
    for name in "abc":
        (project.path / name).write_text(name)
    result = vfs("cp", "a", "b", "c", "bucket:")
    assert result.code == 1
    assert result.err == "vfs: b -> bucket:b: RuntimeError: quota \\x1b[31mexceeded (vfs -v shows where)\n"
    assert project.tree(project.bucket) == {"a": "a", "c": "c"}


def test_a_reader_that_goes_away_is_no_error(project: Project) -> None:
    for number in range(50):
        (project.media / str(number)).touch()
    with project.start("ls", "media:") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(60) == 141
        assert process.stderr.read() == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("command", ["ls", "cat"])
def test_output_that_cannot_be_written_is_an_error(project: Project, command: str) -> None:
    (project.media / "a").write_text("content")
    with open("/dev/full", "w") as full:
        result = project.process(command, "media:a", stdout=full)
    assert result.code == 1
    assert "No space left on device" in result.err
    assert "Exception ignored" not in result.err


def test_ctrl_c_is_exit_code_130_and_leaves_nothing_behind(project: Project) -> None:
    os.mkfifo(project.path / "fifo")
    with project.start("cp", "fifo", "media:a") as process, open(project.path / "fifo", "wb") as writer:
        writer.write(bytes(1 << 18))  # more than a pipe holds: it is being read
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == "\nvfs: interrupted\n"
    assert os.listdir(project.media) == []


def test_ctrl_c_while_it_starts_is_exit_code_130_without_a_traceback(project: Project) -> None:
    (project.path / "click.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    assert project.process("ls", "media:") == (130, "", "vfs: interrupted\n")


def test_ctrl_c_while_an_error_is_told_is_exit_code_130(vfs: Vfs, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(errors, "_tell", interrupted)
    assert vfs("ls", "nowhere:").code == 130


def test_ctrl_c_gives_up_what_other_threads_do(project: Project) -> None:
    for name in "ab":
        os.mkfifo(project.path / name)
    with project.start("cp", "a", "b", "bucket:") as process:
        with open(project.path / "a", "wb", buffering=0) as one, open(project.path / "b", "wb", buffering=0) as other:
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            line = process.stderr.readline()
            for writer in (one, other):
                with contextlib.suppress(BrokenPipeError):  # it was between two reads
                    writer.write(b"more")
        process.communicate(timeout=60)
    assert "Ctrl-C again" in line
    assert process.returncode == 130
    assert os.listdir(project.bucket) == []


def test_a_second_ctrl_c_ends_it_at_once(project: Project) -> None:
    for name in "ab":
        os.mkfifo(project.path / name)
    with (
        project.start("cp", "a", "b", "bucket:") as process,
        open(project.path / "a", "wb"),
        open(project.path / "b", "wb"),
    ):
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130


def test_ctrl_c_does_not_wait_for_the_threads_of_a_backend(project: Project) -> None:
    with (project.path / "vfs.toml").open("a") as file:
        file.write('[STORAGES.hanging]\nBACKEND = "cli_backends.Hanging"\nOPTIONS = {location = "archive"}\n')
    with project.start("ls", "hanging:") as process:
        assert soon((project.archive / "asked").exists)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert (process.returncode, err.strip()) == (130, "vfs: interrupted")
