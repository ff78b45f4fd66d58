"""vfs install-helper: mount(8) with lines of an fstab, and the unit of systemd."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import ROOT, Project

from vfs.cli import units
from vfs.cli.install_helper import FOLDER, NAME
from vfs.mounts.mountpoint import mounted_at
from vfs.mounts.records import find


@pytest.fixture
def helper(project: Project, tmp_path: Path) -> Iterator[Path]:
    """The helper, where mount(8) looks for it."""
    if os.geteuid() != 0:
        pytest.skip("it is written by root")
    path, kept = Path(FOLDER, NAME), tmp_path / "kept"
    if path.exists():
        shutil.copy2(path, kept)
    result = project.process("install-helper")
    assert (result.code, result.err) == (0, "")
    yield path
    assert project.process("install-helper", "--remove").code == 0
    assert not path.exists()
    if kept.exists():
        shutil.copy2(kept, path)


@pytest.fixture
def program() -> Iterator[None]:
    """A `vfs` where fuse's helper looks for programs, which mount(8) gives no PATH."""
    path = Path("/usr/local/bin/vfs")
    if path.exists() or not shutil.which("mount.fuse"):
        pytest.skip("there is a vfs already, or no fuse3")
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m vfs "$@"\n')
    path.chmod(0o755)
    yield
    path.unlink()


def mount(project: Project, line: str) -> subprocess.CompletedProcess[str]:
    """mount(8) of the directory of an fstab that has this one line."""
    fstab = project.path / "fstab"
    fstab.write_text(f"{line} 0 0\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "VFS_CONFIG": str(project.path / "vfs.toml")}
    words = ["mount", "--fstab", fstab, line.split()[1]]
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False)


def mount_and_unmount(project: Project, first: str) -> None:
    mnt = (project.path / "mnt").resolve()
    mnt.mkdir()
    (project.media / "a").write_text("here")
    done = mount(project, first.replace("MNT", str(mnt)) + " umask=077,nofail,_netdev")
    assert done.returncode == 0, done.stderr
    assert (mnt / "a").read_text() == "here"
    assert (mnt / "a").stat().st_mode & 0o777 == 0o600
    record = find(mnt)
    assert record is not None
    subprocess.run(["umount", mnt], check=True)
    assert mounted_at(mnt) is None
    assert record.wait_for_end(20)


@pytest.mark.mount
@pytest.mark.usefixtures("helper")
def test_a_line_of_fstab_mounts_and_umount_unmounts(project: Project) -> None:
    assert (project.path / "media").is_dir(), "mount(8) takes the alias for this folder"
    mount_and_unmount(project, "media MNT fuse.vfs")


@pytest.mark.mount
@pytest.mark.usefixtures("program")
def test_a_line_of_fstab_may_name_the_program(project: Project) -> None:
    mount_and_unmount(project, "vfs#media MNT fuse")


@pytest.mark.mount
@pytest.mark.usefixtures("helper")
def test_mount_says_what_is_wrong(project: Project) -> None:
    mnt = project.path / "mnt"
    mnt.mkdir()
    done = mount(project, f"none {mnt} fuse.vfs defaults")
    assert done.returncode != 0
    assert "vfs storages" in done.stderr
    done = mount(project, f"media {mnt} fuse.vfs colour=red")
    assert "colour" in done.stderr


def test_what_is_somebody_else_s_stays(project: Project) -> None:
    path = project.path / NAME
    path.write_text("#!/bin/sh\n")
    for words in ((), ("--remove",)):
        result = project.process("install-helper", "--folder", str(project.path), *words)
        assert result.code == 1
        assert "somebody else's" in result.err
    assert path.read_text() == "#!/bin/sh\n"


def test_it_is_written_anew_and_taken_away(project: Project) -> None:
    path = project.path / NAME
    for _ in range(2):
        assert project.process("install-helper", "--folder", str(project.path)).code == 0
        assert path.stat().st_mode & 0o777 == 0o755
        assert sys.executable in path.read_text()
    assert project.process("install-helper", "--folder", str(project.path), "--remove").code == 0
    assert not path.exists()


def test_the_unit_of_systemd(project: Project) -> None:
    folder = project.path / "units"
    folder.mkdir()
    path = folder / "vfs@.service"
    for _ in range(2):
        assert project.process("install-helper", "--systemd", "--folder", str(folder)).code == 0
    assert path.stat().st_mode & 0o777 == 0o644
    text = path.read_text()
    assert f'ExecStart="{sys.executable}" "-P" "-m" "vfs" mount --foreground' in text
    assert not re.search("^(Protect|Private|ReadOnlyPaths|TemporaryFileSystem|MountFlags)", text, re.MULTILINE), (
        "the service would have mounts of its own, and nobody else see the directory"
    )
    assert project.process("install-helper", "--systemd", "--folder", str(folder), "--remove").code == 0
    assert not path.exists()


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd")
def test_systemd_finds_no_mistake_in_the_unit(project: Project) -> None:
    assert project.process("install-helper", "--systemd", "--folder", str(project.path)).code == 0
    unit = (project.path / "vfs@.service").rename(project.path / "vfs@my-photos.service")
    checked = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    unit.write_text(unit.read_text().replace("KillMode=mixed", "KillMood=mixed"))
    checked = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert "KillMood" in checked.stderr


def test_a_user_has_units_of_his_own(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert units.folder() == project.path / ".config/systemd/user"
    text = units.text()
    assert "DIRECTORY=%h/%i" in text
    assert "EnvironmentFile=-%E/vfs/%i.env" in text
    assert "Capability" not in text, "it would imply NoNewPrivileges=, with which fusermount3 cannot mount"
