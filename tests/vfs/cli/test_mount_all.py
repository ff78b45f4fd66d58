"""vfs mount --all and vfs unmount --all: each alias a folder, whatever becomes of the others."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Project, Vfs

from vfs.mounts import records
from vfs.mounts.mountpoint import mounted_at
from vfs.testing.place import soon

pytestmark = pytest.mark.mount


@pytest.fixture
def folder(project: Project) -> Iterator[Path]:
    yield (project.path / "all").resolve()
    project.process("unmount", "--all", "--lazy", str(project.path))


def mounted(folder: Path) -> dict[str, records.Record]:
    """The mounts in a folder, by name."""
    found = {Path(record.mountpoint): record for record in records.records()}
    return {path.name: record for path, record in found.items() if path.parent == folder}


def test_each_alias_is_a_folder_and_what_fails_is_told(project: Project, folder: Path) -> None:
    (project.media / "a").write_text("here")
    result = project.process("mount", "--all", "all", "-o", "ro")
    assert result.code == 1
    assert "vfs: broken: " in result.err
    assert "no_such_package" in result.err
    assert [line.split(" is mounted at ")[0] for line in result.out.splitlines()] == [
        *("media", "archive", "bucket"),
    ], "not those whose folder is missing, nor what is built in"
    assert "vfs: inner: " in result.err
    found = mounted(folder)
    assert {name: record.alias for name, record in found.items()} == {name: name for name in found}
    assert len({record.pid for record in found.values()}) == 3
    assert sorted(os.listdir(folder)) == ["archive", "bucket", "media"], "a folder of what failed is taken away"
    assert (folder / "media/a").read_text() == "here"
    shown = project.process("status").out
    assert all(f"{name} at {folder}/{name}" in shown for name in found)
    again = project.process("mount", "--all", "all", "-o", "ro")
    assert again.out.count("already") == 3
    assert {name: record.pid for name, record in mounted(folder).items()} == {
        name: record.pid for name, record in found.items()
    }


def test_all_are_unmounted_the_dead_ones_too(project: Project, folder: Path) -> None:
    project.process("mount", "--all", "all")
    elsewhere = project.path / "elsewhere"
    elsewhere.mkdir()
    project.process("mount", "media", "elsewhere")
    found = mounted(folder)
    os.kill(found["archive"].pid, signal.SIGKILL)
    assert found["archive"].wait_for_end(20)
    result = project.process("unmount", "--all", "all")
    assert (result.code, result.err) == (0, "")
    assert sorted(result.out.splitlines()) == [
        f"{folder}/{name} is unmounted" for name in ("archive", "bucket", "media")
    ]
    assert [mounted_at(folder / name) for name in found] == [None] * 3
    assert not any(record.is_alive() for record in found.values())
    assert mounted_at(elsewhere.resolve()) is not None
    assert project.process("unmount", "--all", ".").out == f"{elsewhere.resolve()} is unmounted\n"


@pytest.mark.parametrize("words", [("--cache-dir", "cache"), ("-o", "cache_dir=cache")], ids=["named", "option"])
def test_each_has_a_cache_of_its_own(project: Project, folder: Path, words: tuple[str, ...]) -> None:
    with (project.path / "vfs.toml").open("w") as file:
        for name in ("one", "two"):
            (project.bucket / name).mkdir()
            location = f'OPTIONS = {{ location = "{project.bucket}/{name}" }}'
            file.write(f'[STORAGES.{name}]\nBACKEND = "cli_backends.Bucket"\n{location}\n')
    result = project.process("mount", "--all", "all", *words)
    assert (result.code, result.err) == (0, "")
    found = mounted(folder)
    assert {name: record.options["cache_dir"] for name, record in found.items()} == {
        name: f"{project.path}/cache/{name}" for name in ("one", "two")
    }
    assert sorted(os.listdir(project.path / "cache")) == ["one", "two"]


def test_a_mistake_in_the_options_is_told_once(project: Project, folder: Path) -> None:
    result = project.process("mount", "--all", "all", "-o", "umaks=022")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("vfs: unknown mount option 'umaks': did you mean 'umask'?")
    assert result.err.count("\n") == 1


def test_one_that_is_busy_does_not_keep_the_others(project: Project, folder: Path) -> None:
    project.process("mount", "--all", "all")
    with (folder / "media/file").open("w"):
        result = project.process("unmount", "--all", "--wait", "0.1", "all")
    assert result.code == 1
    assert f"vfs: {folder}/media: " in result.err
    assert "busy" in result.err
    assert mounted(folder).keys() == {"media"}


def test_one_that_is_ending_counts_as_mounted_no_more(project: Project, folder: Path) -> None:
    """It goes on for who has a file open, out of the tree."""
    project.process("mount", "--all", "all")
    ending = mounted(folder)["media"]
    with (folder / "media/file").open("w") as file:
        os.kill(ending.pid, signal.SIGTERM)
        assert soon(lambda: mounted_at(folder / "media") is None)
        status = project.process("status", str(folder / "media"))
        assert (status.code, "ending" in status.out) == (1, True)
        assert json.loads(project.process("status", "--json", str(folder / "media")).out)[0]["ending"] is True
        assert str(folder / "media") not in project.process("storages").out
        assert str(folder / "archive") in project.process("storages").out
        assert "media is mounted at all/media (process " in project.process("mount", "--all", "all").out
        assert mounted(folder)["media"].pid != ending.pid
        file.write("to the old one")
    assert ending.wait_for_end(20)
    assert (folder / "media/file").read_text() == "to the old one"
    assert project.process("status", str(folder / "media")).code == 0, "it has a record still"


def test_an_alias_that_is_no_name_of_a_folder(project: Project, folder: Path) -> None:
    (project.path / "vfs.toml").write_text(
        '[STORAGES."a/b"]\nBACKEND = "storage.InMemoryStorage"\n[STORAGES.c]\nBACKEND = "storage.InMemoryStorage"\n'
    )
    result = project.process("mount", "--all", "all")
    assert result.code == 1
    assert "vfs: a/b: it cannot be the name of a folder" in result.err
    assert mounted(folder).keys() == {"c"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("mount",), "Missing argument 'ALIAS'"),
        (("mount", "media"), "Missing argument 'MOUNTPOINT'"),
        (("mount", "--all", "all", "media"), "--all takes a DIRECTORY alone"),
        (("mount", "--all", "all", "-f"), "--all takes a DIRECTORY alone"),
        (("unmount",), "Missing argument 'MOUNTPOINT'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_wrong_usage(vfs: Vfs, words: tuple[str, ...], said: str) -> None:
    result = vfs(*words)
    assert result.code == 2
    assert said in result.err


def test_nothing_is_configured(project: Project) -> None:
    (project.path / "vfs.toml").write_text("")
    result = project.process("mount", "--all", "all")
    assert (result.code, result.out) == (1, "")
    assert "no storage is configured" in result.err


def test_one_that_hangs_does_not_keep_the_others(project: Project, folder: Path) -> None:
    project.process("mount", "--all", "all")
    hung = mounted(folder)["bucket"]
    os.kill(hung.pid, signal.SIGSTOP)
    try:
        result = project.process("unmount", "--all", "--lazy", "all", timeout=20)
    finally:
        os.kill(hung.pid, signal.SIGCONT)
    assert (result.code, len(result.out.splitlines())) == (0, 3)
    assert hung.wait_for_end(20)
