"""vfs mount, unmount and status, with real mounts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Project

from vfs.cli import main
from vfs.mounts.mountpoint import detach, is_stale, mounted_at
from vfs.mounts.records import find


@pytest.fixture
def mnt(project: Project) -> Iterator[Path]:
    """A mountpoint, given back at the end whatever happened."""
    path = (project.path / "mnt").resolve()
    path.mkdir()
    yield path
    record = find(path)
    if mounted_at(path) is not None:
        detach(path, lazy=True)
    if record is not None:
        record.wait_for_end(20)


@pytest.mark.mount
def test_from_mount_to_unmount(project: Project, mnt: Path) -> None:
    result = project.process("mount", "media", "mnt")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("media is mounted at mnt (process ")
    (mnt / "a").write_text("through the mount")
    assert (project.media / "a").read_text() == "through the mount"
    assert "to unmount: vfs unmount mnt" in result.out
    again = project.process("mount", "media", "mnt")
    assert again.code == 1
    assert "already" in again.err
    assert project.process("unmount", "mnt") == (0, "", "")
    assert os.listdir(mnt) == []


@pytest.mark.mount
def test_status(project: Project, mnt: Path) -> None:
    project.process("mount", "media", "mnt", "-o", "attr_timeout=0.5", "-o", "umask=027")
    with open(mnt / "open", "w") as file:
        file.write("x")
        file.flush()
        result = project.process("status", "mnt", "--json")
    assert result.code == 0
    (report,) = json.loads(result.out)
    assert (report["alias"], report["mountpoint"]) == ("media", str(mnt))
    assert report["pid"] == find(mnt).pid  # type: ignore[union-attr]
    assert report["memory"] > 1_000_000
    assert report["open_files"] == 1
    assert report["age"] > 0
    assert sum(report["operations"].values()) > 0
    assert Path(report["log"]).is_file()
    assert report["options"] == {"attr_timeout": 0.5, "umask": 0o027}
    text = project.process("status", "mnt").out
    assert text.startswith(f"media at {mnt}\n")
    for words in (
        f"process  {report['pid']}, for ",
        "MiB of memory",
        "open files  0",
        "pending  nothing",
        report["log"],
    ):
        assert words in text
    assert str(mnt) in project.process("status").out
    assert str(mnt) in project.process("storages").out.splitlines()[1]
    project.process("unmount", "mnt")
    assert str(mnt) not in project.process("status").out


@pytest.mark.mount
def test_memory_is_looked_at_where_it_is_mounted(project: Project, mnt: Path) -> None:
    assert project.process("mount", "memory", "mnt").code == 0
    result = project.process("ls", "memory:")
    assert result.code == 1
    assert str(mnt) in result.err


@pytest.mark.mount
def test_a_read_only_mount(project: Project, mnt: Path) -> None:
    assert project.process("mount", "media", "mnt", "-o", "ro").code == 0
    with pytest.raises(OSError, match="Read-only"):
        (mnt / "a").touch()


@pytest.mark.mount
def test_in_the_foreground_it_ends_with_ctrl_c(project: Project, mnt: Path) -> None:
    with project.start("mount", "-f", "memory", "mnt") as process:
        assert process.stderr is not None
        while "mounted memory" not in process.stderr.readline():
            assert process.poll() is None
        (mnt / "a").touch()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in err
    assert mounted_at(mnt) is None


@pytest.mark.mount
def test_a_mount_that_hangs_does_not_hide_the_others(
    project: Project, mnt: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    project.process("mount", "memory", "mnt")
    record = find(mnt)
    assert record is not None
    os.kill(record.pid, signal.SIGSTOP)
    try:
        monkeypatch.setattr("vfs.cli.running.PATIENCE", 0.2)
        code = main(["status", "mnt"])
    finally:
        os.kill(record.pid, signal.SIGCONT)
    assert code == 1
    assert "error  it does not answer within 0.2 s" in capfd.readouterr().out


@pytest.mark.mount
def test_a_mount_that_is_at_its_end_says_so(project: Project, mnt: Path) -> None:
    """It has let go of its socket, and its process still runs."""
    project.process("mount", "memory", "mnt")
    record = find(mnt)
    assert record is not None
    aside = record.socket.with_suffix(".aside")
    record.socket.rename(aside)
    try:
        result = project.process("status", "mnt")
    finally:
        aside.rename(record.socket)
    assert result.code == 1
    assert "error  it is ending" in result.out


@pytest.mark.mount
def test_a_mount_in_use_is_told_with_who_uses_it(project: Project, mnt: Path) -> None:
    project.process("mount", "memory", "mnt")
    with subprocess.Popen([sys.executable, "-c", "input()"], cwd=mnt, stdin=subprocess.PIPE) as user:
        result = project.process("unmount", "--wait", "0.2", "mnt")
        assert result.code == 1
        assert f"({user.pid})" in result.err
        assert "--lazy" in result.err
        assert project.process("unmount", "--lazy", "mnt").code == 0
        user.communicate(b"\n")
    assert mounted_at(mnt) is None


@pytest.mark.mount
def test_a_dead_mount_is_told_and_cleaned(project: Project, mnt: Path) -> None:
    project.process("mount", "memory", "mnt")
    record = find(mnt)
    assert record is not None
    os.kill(record.pid, signal.SIGKILL)
    assert record.wait_for_end(20)
    assert is_stale(mnt)
    one, everything = project.process("status", "mnt"), project.process("status")
    assert (one.code, everything.code) == (1, 1)
    assert f"clean up with: vfs unmount {mnt}" in one.err
    assert f"clean up with: vfs unmount {mnt}" in everything.out
    told = project.process("status", "--prometheus")
    assert told.code == 0
    assert f'vfs_up{{alias="memory",mount="{mnt}"}} 0' in told.out.splitlines()
    assert project.process("umount", "mnt").code == 0
    assert not is_stale(mnt)


@pytest.mark.mount
@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["memory", "none"], "does not exist"),
        (["memory", "vfs.toml"], "is a file"),
        (["memory", "media"], "not empty"),
        (["memory", "mnt", "-o", "roo"], "did you mean 'ro'"),
        (["memory", "mnt", "-o", "size=big"], "'big' is not a size"),
        (["broken", "mnt"], "no_such_package"),
        (
            ["bucket", "mnt", "-o", "spool=vfs.toml/x"],
            "vfs.toml/x' cannot be used: Not a directory; choose another with",
        ),
        (["bucket", "mnt", "--spool", "vfs.toml"], "vfs.toml' cannot be used: File exists; choose another with"),
        (["medai", "mnt"], "Did you mean 'media'?"),
    ],
)
def test_a_mount_that_cannot_be_made(project: Project, mnt: Path, args: list[str], words: str) -> None:
    (project.media / "a").touch()
    code, out, err = project.process("mount", *args)
    assert (code, out) == (1, "")
    assert err.startswith("vfs: ")
    assert words in err
    assert err.count("\n") == 1
    assert mounted_at(mnt) is None


@pytest.mark.mount
def test_the_most_that_may_be_said_is_mounted(project: Project, mnt: Path) -> None:
    identity, seconds, size = (1 << 32) - 2, (1 << 31) - 1, "8191P"
    words = (
        f"uid={identity},gid={identity},attr_timeout={seconds},timeout={seconds},drain={seconds},write_back={seconds}"
    )
    sizes = f"size={size},spool_size={size},cache_memory={size},cache_size={size},cache_dir=read"
    assert project.process("mount", "bucket", "mnt", "-o", words, "-o", sizes).code == 0
    assert mnt.stat().st_uid == mnt.stat().st_gid == identity
    assert os.statvfs(mnt).f_blocks * os.statvfs(mnt).f_frsize == 8191 << 50
    (mnt / "file").write_text("x")
    assert (mnt / "file").read_text() == "x"
    assert project.process("unmount", "mnt") == (0, "", "")
    assert (project.bucket / "file").read_text() == "x"


@pytest.mark.mount
@pytest.mark.parametrize("args", [["bucket", "mnt", "-o", "ro"], ["media", "mnt"]], ids=["read-only", "in place"])
def test_a_mount_that_spools_nothing_needs_no_spool(project: Project, mnt: Path, args: list[str]) -> None:
    assert project.process("mount", *args, "--spool", "vfs.toml/x").code == 0


@pytest.mark.mount
def test_a_spool_that_others_may_look_into_is_refused_before_anybody_writes(project: Project, mnt: Path) -> None:
    mount = ["mount", "bucket", "mnt", "--spool", "waiting"]
    assert project.process(*mount).code == 0
    assert list((project.path / "waiting").iterdir()) == [], "it is made, and nothing in it before it is needed"
    (mnt / "file").write_text("x")
    assert project.process("unmount", "mnt").code == 0
    (folder,) = (project.path / "waiting").iterdir()
    folder.chmod(0o755)
    refused = project.process(*mount)
    assert refused.code == 1
    assert f"{str(folder)!r} cannot be used: it must belong to you alone (mode 0700)" in refused.err


@pytest.mark.mount
def test_a_verbose_command_makes_a_verbose_daemon_unless_it_says_otherwise(project: Project, mnt: Path) -> None:
    for words, level in (["mnt"], "debug"), (["mnt", "-o", "log_level=error"], "error"):
        assert project.process("-v", "mount", "media", *words).code == 0
        (report,) = json.loads(project.process("status", "mnt", "--json").out)
        assert report["options"]["log_level"] == level
        assert project.process("unmount", "mnt").code == 0


@pytest.mark.mount
def test_a_relative_folder_is_where_the_command_was_given(project: Project, mnt: Path) -> None:
    (project.path / "sub").mkdir()
    words = '[MOUNT_OPTIONS]\nmedia = "spool=waiting"\n'
    (project.path / "vfs.toml").write_text((project.path / "vfs.toml").read_text() + words)
    mount = ["--config", "../vfs.toml", "mount", "media", "../mnt", "-o", "cache_dir=read"]
    assert project.process(*mount, cwd=project.path / "sub").code == 0
    assert project.process("reload", "mnt") == (0, "Nothing has changed.\n", "")
    (report,) = json.loads(project.process("status", "mnt", "--json").out)
    assert report["options"] == {"spool": f"{project.path}/waiting", "cache_dir": f"{project.path}/sub/read"}


def test_what_is_not_mounted(project: Project) -> None:
    (project.path / "mnt").mkdir()
    for command in ("status", "unmount"):
        result = project.process(command, "mnt")
        assert result.code == 1
        assert "mounted" in result.err


LISTENER = """
def told(alias, change):
    with open({path!r}, "a") as file:
        print(alias, *change[:2], file=file)
"""


@pytest.mark.mount
def test_a_daemon_tells_a_function_of_changes(project: Project, mnt: Path) -> None:
    (project.path / "listener.py").write_text(LISTENER.format(path=str(project.path / "told")))
    assert project.process("mount", "media", "mnt", "-o", "on_change=listener.told").code == 0
    (mnt / "new").write_text("1")
    (mnt / "new").unlink()
    assert project.process("unmount", "mnt").code == 0
    assert (project.path / "told").read_text().splitlines() == ["media save new", "media delete new"]
