"""vfs mv, rm, mkdir: what changes a storage."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from commands import Project, Vfs

from storage import FileSystemStorage


def fill(project: Project) -> None:
    (project.media / "d" / "e").mkdir(parents=True)
    (project.media / "a").write_text("one")
    (project.media / "b").write_text("two")
    (project.media / "d" / "c").write_text("three")
    (project.media / "d" / "e" / "link").symlink_to("../c")


D = {"c": "three", "e/": "", "e/link": "-> ../c"}


def test_mv_renames(vfs: Vfs, project: Project) -> None:
    fill(project)
    assert vfs("mv", "media:a", "media:b") == (0, "", "")
    assert vfs("mv", "-v", "media:d", "media:new/place") == (0, "media:d -> media:new/place\n", "")
    assert vfs("mv", "media:b", "media:new/") == (0, "", "")
    assert project.tree(project.media) == {
        "new/": "",
        "new/b": "one",
        "new/place/": "",
        **{f"new/place/{name}": text for name, text in D.items()},
    }


def test_mv_between_storages_and_local_folders(vfs: Vfs, project: Project) -> None:
    fill(project)
    os.utime(project.media / "d" / "c", ns=(1, 1_500_000_000_000_000_003))
    (project.media / "d" / "c").chmod(0o640)
    assert vfs("mv", "media:d", "media:a", "archive:x/") == (0, "", "")
    assert project.tree(project.media) == {"b": "two"}
    assert vfs("mv", "archive:x", "here") == (0, "", "")
    assert project.tree(project.path / "here") == {
        "a": "one",
        "d/": "",
        **{f"d/{name}": text for name, text in D.items()},
    }
    moved = (project.path / "here" / "d" / "c").stat()
    assert (moved.st_mtime_ns, moved.st_mode & 0o777) == (1_500_000_000_000_000_003, 0o640)
    assert vfs("mv", "here/a", "media:") == (0, "", "")
    assert (project.media / "a").read_text() == "one"


def test_mv_in_a_bucket_copies_and_deletes(vfs: Vfs, project: Project) -> None:
    (project.bucket / "d" / "e").mkdir(parents=True)
    (project.bucket / "d" / "e" / "a").write_text("one")
    assert vfs("mv", "bucket:d", "bucket:x") == (0, "", "")
    assert vfs("mv", "bucket:x/e/a", "bucket:a") == (0, "", "")
    assert project.tree(project.bucket) == {"a": "one"}


def test_what_was_not_copied_is_not_removed(vfs: Vfs, project: Project) -> None:
    fill(project)
    code, _, err = vfs("mv", "media:d", "media:a", "bucket:")
    assert code == 1
    assert "it stays where it is, because not all of it could be copied" in err
    assert project.tree(project.media) == {"b": "two", "d/": "", **{f"d/{name}": text for name, text in D.items()}}
    assert (project.bucket / "a").read_text() == "one"


def test_mv_no_clobber(vfs: Vfs, project: Project) -> None:
    fill(project)
    assert vfs("mv", "-n", "media:a", "media:b") == (0, "", "")
    assert (project.media / "a").read_text() == "one"
    assert vfs("mv", "-n", "media:a", "media:z") == (0, "", "")
    assert (project.media / "z").read_text() == "one"
    (project.archive / "b").write_text("old")
    assert vfs("mv", "-n", "media:b", "archive:") == (0, "", "")
    assert (project.archive / "b").read_text() == "old"
    assert (project.media / "b").read_text() == "two"


def test_mv_no_clobber_keeps_the_source_of_what_it_leaves_out(project: Project) -> None:
    with (project.path / "vfs.toml").open("a") as file:
        file.write('[STORAGES.folding]\nBACKEND = "cli_backends.Folding"\nOPTIONS = {location = "archive"}\n')
    (project.media / "d").mkdir()
    (project.media / "d" / "name").write_text("one")
    (project.media / "d" / "NAME").write_text("two")
    code, _, err = project.process("mv", "-n", "media:d", "folding:")
    assert code == 1
    assert "File exists" in err
    assert err.endswith("vfs: media:d -> folding:d: it stays where it is, because not all of it could be copied\n")
    assert project.tree(project.media / "d") == {"name": "one", "NAME": "two"}
    assert list(project.tree(project.archive / "d")) == ["name"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["media:", "archive:"], "has no name to move it by"),
        (["media:d/.", "archive:"], "has no name to move it by"),
        (["media:d", "media:d/e/f"], "cannot go into itself"),
        (["media:a", "media:a"], "same file"),
        (["media:none", "media:x/y"], "No such file"),
        (["media:a", "media:b", "media:none"], "end it with '/'"),
        (["media:a", "none/"], "there is no directory"),
        (["media:d", "archive:file"], "one is a directory, the other is not"),
        (["media:a", "archive:full"], "one is a directory, the other is not"),
        (["media:d", "archive:"], "a directory that is not empty"),
    ],
)
def test_what_cannot_be_moved(vfs: Vfs, project: Project, args: list[str], words: str) -> None:
    fill(project)
    (project.archive / "file").write_text("old")
    (project.archive / "full" / "a").mkdir(parents=True)
    (project.archive / "d").mkdir()
    (project.archive / "d" / "x").touch()
    before = project.tree(project.media), project.tree(project.archive)
    result = vfs("mv", *args)
    assert result.code == 1
    assert words in result.err
    assert (project.tree(project.media), project.tree(project.archive)) == before


def test_rm(vfs: Vfs, project: Project) -> None:
    fill(project)
    assert vfs("rm", "media:a", "media:d/e/link") == (0, "", "")
    assert project.tree(project.media) == {"b": "two", "d/": "", "d/c": "three", "d/e/": ""}
    code, out, err = vfs("rm", "-rv", "media:d")
    assert (code, err) == (0, "")
    assert out.splitlines() == ["media:d/c", "media:d/e", "media:d"]
    assert project.tree(project.media) == {"b": "two"}


def test_rm_goes_on_and_reports_each(vfs: Vfs, project: Project) -> None:
    fill(project)
    code, _, err = vfs("rm", "media:none", "media:d", "media:a", "media:b/x")
    assert code == 1
    assert err.splitlines() == [
        "vfs: media:none: No such file or directory",
        "vfs: media:d: it is a directory; remove it with -r",
        "vfs: media:b/x: Not a directory",
    ]
    assert not (project.media / "a").exists()
    assert vfs("rm", "-f", "media:none", "media:b/x") == (0, "", "")


def test_rm_tells_once_what_keeps_a_tree(vfs: Vfs, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(project)
    unlink: Callable[..., None] = FileSystemStorage.unlink

    def refuse(self: FileSystemStorage, name: str) -> None:
        if name == "d/e/link":
            raise PermissionError(13, "Permission denied", name)
        unlink(self, name)

    monkeypatch.setattr(FileSystemStorage, "unlink", refuse)
    assert vfs("rm", "-r", "media:d", "media:a") == (1, "", "vfs: media:d/e/link: Permission denied\n")
    assert project.tree(project.media) == {"b": "two", "d/": "", "d/e/": "", "d/e/link": "-> ../c"}


def test_rm_never_follows_a_link(vfs: Vfs, project: Project) -> None:
    (project.path / "precious").mkdir()
    (project.path / "precious" / "a").write_text("x")
    (project.media / "d").mkdir()
    (project.media / "d" / "link").symlink_to(project.path / "precious")
    assert vfs("rm", "-r", "media:d").code == 0
    assert (project.path / "precious" / "a").read_text() == "x"


def test_a_whole_storage_is_not_removed_by_chance(vfs: Vfs, project: Project) -> None:
    fill(project)
    for name in ("media:", "media:/", "media:."):
        assert "--no-preserve-root" in vfs("rm", "-r", "archive:none", name).err
    assert (project.media / "a").exists()
    assert vfs("rm", "-r", "--no-preserve-root", "media:").code == 0
    assert project.tree(project.media) == {}
    assert project.media.is_dir()


def test_rm_in_a_bucket(vfs: Vfs, project: Project) -> None:
    (project.bucket / "d" / "e").mkdir(parents=True)
    for name in ("a", "d/b", "d/e/c"):
        (project.bucket / name).write_text(name)
    assert vfs("rm", "-r", "bucket:d") == (0, "", "")
    assert project.tree(project.bucket) == {"a": "a"}


def test_mkdir(vfs: Vfs, project: Project) -> None:
    assert vfs("mkdir", "media:x") == (0, "", "")
    assert vfs("mkdir", "-p", "media:x/y/z", "media:x") == (0, "", "")
    assert project.tree(project.media) == {"x/": "", "x/y/": "", "x/y/z/": ""}
    assert (project.media / "x").stat().st_mode & 0o022 == 0


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["media:x"], "it is there already"),
        (["media:"], "it is there already"),
        (["media:q/r"], "No such file or directory"),
        (["media:file"], "it is there and is no directory"),
        (["-p", "media:file"], "it is there and is no directory"),
        (["bucket:x"], "keeps no empty directories"),
    ],
)
def test_mkdir_that_fails(vfs: Vfs, project: Project, args: list[str], words: str) -> None:
    (project.media / "x").mkdir()
    (project.media / "file").touch()
    result = vfs("mkdir", *args)
    assert result.code == 1
    assert words in result.err


def test_a_connection_that_breaks_is_not_taken_for_the_end_of_the_reader(
    vfs: Vfs, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("vfs.cli.mkdir.place_of", broken)
    assert vfs("mkdir", "media:x") == (1, "", "vfs: The server closed the connection\n")
