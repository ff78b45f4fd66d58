"""vfs cp."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from commands import Project, Vfs


@pytest.fixture
def source(project: Project) -> Path:
    """A local tree: files, an empty directory, links."""
    top = project.path / "src"
    (top / "sub" / "deep").mkdir(parents=True)
    (top / "empty").mkdir()
    (top / "a").write_text("one")
    (top / "sub" / "b").write_text("two")
    (top / "sub" / "deep" / "c").write_text("three")
    (top / "link").symlink_to("a")
    (top / "sub" / "up").symlink_to("../empty")
    return top


TREE = {
    "a": "one",
    "empty/": "",
    "link": "-> a",
    "sub/": "",
    "sub/b": "two",
    "sub/deep/": "",
    "sub/deep/c": "three",
    "sub/up": "-> ../empty",
}


def test_to_a_storage_and_back(project: Project, source: Path) -> None:
    assert project.process("cp", "-r", "src", "media:") == (0, "", "")
    assert project.tree(project.media / "src") == TREE
    assert project.process("cp", "-r", "media:src", "archive:") == (0, "", "")
    assert project.tree(project.archive / "src") == TREE
    assert project.process("cp", "-r", "archive:src", "back") == (0, "", "")
    assert project.tree(project.path / "back") == TREE


def test_files_get_exactly_the_name_that_was_asked_for(vfs: Vfs, project: Project, source: Path) -> None:
    for storage, folder in (("media", project.media), ("bucket", project.bucket)):
        (folder / "a").write_text("old")
        assert vfs("cp", "src/a", f"{storage}:").code == 0
        assert vfs("cp", "src/a", f"{storage}:x/y.txt").code == 0
        assert vfs("cp", "src/a", "src/sub/b", f"{storage}:new/").code == 0
        assert project.tree(folder) == {
            "a": "one",
            "new/": "",
            "new/a": "one",
            "new/b": "two",
            "x/": "",
            "x/y.txt": "one",
        }


@pytest.mark.parametrize(
    ("args", "there"),
    [
        (["src", "media:new"], "new/a"),
        (["src", "media:has"], "has/src/a"),
        (["src/", "media:has/"], "has/src/a"),
        (["src/.", "media:has"], "has/a"),
        (["src", "media:"], "src/a"),
        (["src", "media:new/"], "new/src/a"),
    ],
)
def test_where_a_tree_goes(vfs: Vfs, project: Project, source: Path, args: list[str], there: str) -> None:
    (project.media / "has").mkdir()
    assert vfs("cp", "-r", *args).code == 0
    assert (project.media / there).read_text() == "one"


def test_a_whole_storage(vfs: Vfs, project: Project) -> None:
    (project.media / "d").mkdir()
    (project.media / "d" / "a").write_text("x")
    assert vfs("cp", "-r", "media:", "archive:").code == 0
    assert vfs("cp", "-r", "media:", "backup").code == 0
    assert project.tree(project.archive) == project.tree(project.path / "backup") == {"d/": "", "d/a": "x"}


def test_directories_need_r(vfs: Vfs, project: Project, source: Path) -> None:
    code, _, err = vfs("cp", "src", "src/a", "media:")
    assert code == 1
    assert err == "vfs: src: it is a directory; copy it with -r\n"
    assert project.tree(project.media) == {"a": "one"}


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["src/a", "src/sub/b", "media:file"], "no directory"),
        (["src/a", "src/sub/b", "media:none"], "end it with '/'"),
        (["src/a", "media:file/"], "no directory"),
        (["-r", "src", "media:file"], "it is there and is no directory"),
        (["src/a", "none/"], "there is no directory none/"),
        (["src/a", "none/x"], "No such file or directory"),
        (["src/a", "media:dir/../x"], "not a plain name"),
        (["none", "media:"], "vfs: none: No such file"),
        (["src/a", "other/a", "media:dir/"], "another one of these goes there"),
    ],
)
def test_what_cannot_be_copied(vfs: Vfs, project: Project, source: Path, args: list[str], words: str) -> None:
    (project.media / "file").write_text("old")
    (project.media / "dir").mkdir()
    (project.path / "other").mkdir()
    (project.path / "other" / "a").touch()
    result = vfs("cp", *args)
    assert result.code == 1
    assert words in result.err
    assert (project.media / "file").read_text() == "old"
    assert not (project.path / "none").exists()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["media:d", "media:d/e/f"], "cannot go into itself"),
        (["media:d", "media:"], "same file"),
        (["media:d", "media:d"], "cannot go into itself"),
        (["media:", "media:d"], "cannot go into itself"),
        (["media:", "inner:"], "cannot go into itself"),
        (["media:d/a", "media:d"], "same file"),
        (["media", "inner:x"], "cannot go into itself"),
        (["media:d", "media/d"], "cannot go into itself"),
        (["link/d", "media:d"], "cannot go into itself"),
    ],
)
def test_nothing_is_copied_onto_or_into_itself(vfs: Vfs, project: Project, args: list[str], words: str) -> None:
    (project.media / "d").mkdir()
    (project.media / "d" / "a").write_text("x")
    (project.media / "inner").mkdir()
    (project.path / "link").symlink_to("media")
    before = project.tree(project.media)
    result = vfs("cp", "-r", *args)
    assert result.code == 1
    assert words in result.err
    assert project.tree(project.media) == before


def test_one_failure_does_not_stop_the_rest(vfs: Vfs, project: Project, source: Path) -> None:
    (project.media / "src" / "a").mkdir(parents=True)
    (project.media / "src" / "sub").write_text("in the way")
    code, _, err = vfs("cp", "-r", "src", "none", "media:")
    assert code == 1
    assert sorted(err.splitlines()) == [
        "vfs: none: No such file or directory",
        "vfs: src/a -> media:src/a: Is a directory",
        "vfs: src/sub -> media:src/sub: it is there and is no directory",
    ]
    assert project.tree(project.media / "src") == {"a/": "", "empty/": "", "link": "-> a", "sub": "in the way"}


def test_no_clobber(vfs: Vfs, project: Project, source: Path) -> None:
    (project.path / "here").mkdir()
    for name, folder in (("media:", project.media), ("bucket:", project.bucket), ("here", project.path / "here")):
        (folder / "a").write_text("old")
        assert vfs("cp", "-n", "src/a", "src/sub/b", name) == (0, "", "")
        assert project.tree(folder) == {"a": "old", "b": "two"}


def test_local_files_get_the_mode_of_the_source_less_the_umask(project: Project) -> None:
    for name, mode in (("tool", 0o775), ("secret", 0o600)):
        (project.media / name).write_text(name)
        (project.media / name).chmod(mode)
    (project.media / "d").mkdir(mode=0o700)
    (project.path / "secret").write_text("old")
    (project.path / "secret").chmod(0o644)
    assert project.process("cp", "-r", "media:tool", "media:secret", "media:d", ".", umask=0o027).code == 0
    modes = {name: stat.S_IMODE((project.path / name).stat().st_mode) for name in ("tool", "secret", "d")}
    assert modes == {"tool": 0o750, "secret": 0o644, "d": 0o700}


def test_preserve_keeps_modes_and_times(vfs: Vfs, project: Project, source: Path) -> None:
    (source / "a").chmod(0o751)
    (source / "sub").chmod(0o750)
    for path in (source / "a", source / "sub" / "b", source / "sub"):
        os.utime(path, ns=(1_400_000_000_000_000_001, 1_500_000_000_000_000_003))
    assert vfs("cp", "-rp", "src", "media:").code == 0
    assert vfs("cp", "-rp", "media:src", "back").code == 0
    for top in (project.media / "src", project.path / "back"):
        assert stat.S_IMODE((top / "a").stat().st_mode) == 0o751
        assert stat.S_IMODE((top / "sub").stat().st_mode) == 0o750
        assert {(top / name).stat().st_mtime_ns for name in ("a", "sub", "sub/b")} == {1_500_000_000_000_000_003}


def test_preserve_says_where_it_cannot(vfs: Vfs, project: Project, source: Path) -> None:
    code, _, err = vfs("cp", "-p", "src/a", "src/sub/b", "bucket:")
    assert code == 1
    assert err.count("mode and times are not kept") == 1
    assert project.tree(project.bucket) == {"a": "one", "b": "two"}


def test_symbolic_links(vfs: Vfs, project: Project, source: Path) -> None:
    assert vfs("cp", "src/link", "media:plain").code == 0
    assert (project.media / "plain").read_text() == "one"
    assert not (project.media / "plain").is_symlink()
    assert vfs("cp", "-rL", "src", "media:").code == 0
    followed = {**TREE, "link": "one", "sub/up/": ""}
    del followed["sub/up"]
    assert project.tree(project.media / "src") == followed


def test_links_inside_a_storage_are_followed_when_named(vfs: Vfs, project: Project) -> None:
    (project.media / "d").mkdir()
    (project.media / "d" / "a").write_text("x")
    (project.media / "to-a").symlink_to("d/a")
    (project.media / "to-d").symlink_to("d")
    (project.media / "d" / "up").symlink_to("../d")
    (project.media / "out").symlink_to("../../etc/passwd")
    (project.media / "circle").symlink_to("circle")
    assert vfs("cp", "media:to-a", "archive:").code == 0
    assert vfs("cp", "media:to-a", "media:copy").code == 0
    assert (project.archive / "to-a").read_text() == (project.media / "copy").read_text() == "x"
    assert "leads outside" in vfs("cp", "media:out", "archive:").err
    assert "symbolic link" in vfs("cp", "media:circle", "archive:").err
    code, _, err = vfs("cp", "-rL", "media:to-d", "archive:")
    assert code == 1
    assert err == "vfs: media:to-d/up: the symbolic link leads to a directory that it is in\n"
    assert project.tree(project.archive / "to-d") == {"a": "x"}


def test_a_link_replaces_and_is_replaced_itself(vfs: Vfs, project: Project, source: Path) -> None:
    (project.path / "victim").write_text("safe")
    (project.media / "src").mkdir()
    (project.media / "src" / "a").symlink_to(project.path / "victim")
    (project.media / "src" / "link").write_text("file")
    assert vfs("cp", "-r", "src", "media:").code == 0
    assert (project.path / "victim").read_text() == "safe"
    assert project.tree(project.media / "src") == TREE


def test_a_bucket_has_neither_links_nor_empty_directories(vfs: Vfs, project: Project, source: Path) -> None:
    code, _, err = vfs("cp", "-r", "src", "bucket:")
    assert code == 1
    assert sorted(line.partition(": ")[2][:30] for line in err.splitlines()) == [
        "src/empty is empty, and left o",
        "src/link -> bucket:src/link: i",
        "src/sub/up -> bucket:src/sub/u",
    ]
    assert "cp -L" in err
    assert project.tree(project.bucket / "src") == {
        "a": "one",
        "sub/": "",
        "sub/b": "two",
        "sub/deep/": "",
        "sub/deep/c": "three",
    }


@pytest.mark.parametrize("command", [["cp", "-r"], ["mv"]])
def test_what_a_storage_cannot_keep_takes_the_place_of_nothing(
    vfs: Vfs, project: Project, source: Path, command: list[str]
) -> None:
    os.mkfifo(source / "fifo")
    (project.bucket / "link").write_text("old")
    (project.bucket / "fifo").write_text("old too")
    code, _, err = vfs(*command, "src/link", "src/fifo", "bucket:")
    assert code == 1
    assert err.count("it is no plain file, and the storage can keep no other") == 2
    assert project.tree(project.bucket) == {"link": "old", "fifo": "old too"}
    assert (source / "link").is_symlink()
    assert (source / "fifo").is_fifo()


def test_a_link_never_takes_the_place_of_a_directory(vfs: Vfs, project: Project, source: Path) -> None:
    (project.media / "src" / "link").mkdir(parents=True)
    assert vfs("cp", "-r", "src", "media:") == (1, "", "vfs: src/link -> media:src/link: Is a directory\n")
    assert project.tree(project.media / "src") == {**{name: TREE[name] for name in TREE if name != "link"}, "link/": ""}


def test_a_bucket_is_copied_several_files_at_once(vfs: Vfs, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    from cli_backends import Bucket

    for name in "abcd":
        (project.path / name).write_text(name)
    monkeypatch.setattr(Bucket, "together", threading.Barrier(4))
    assert vfs("cp", "a", "b", "c", "d", "bucket:") == (0, "", "")
    assert project.tree(project.bucket) == {"a": "a", "b": "b", "c": "c", "d": "d"}


def test_devices_and_pipes(project: Project) -> None:
    (project.media / "a").write_text("content")
    code = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:], input=b'from a pipe').returncode)"
    command = [sys.executable, "-c", code, sys.executable, "-m", "vfs", "cp", "/dev/stdin", "media:piped"]
    subprocess.run(command, cwd=project.path, env=project.environment(), check=True)
    assert (project.media / "piped").read_text() == "from a pipe"
    (project.path / "like-dev-stdout").symlink_to("/proc/self/fd/1" if sys.platform == "linux" else "/dev/fd/1")
    assert project.process("cp", "media:a", "like-dev-stdout").out == "content"
    assert (project.path / "like-dev-stdout").is_symlink()


@pytest.mark.parametrize("linked", [False, True])
def test_what_is_no_plain_file_is_written_to_and_never_replaced(project: Project, linked: bool) -> None:
    (project.media / "a").write_text("content")
    os.mkfifo(project.path / "fifo")
    (project.path / "link").symlink_to("fifo")
    target = "link" if linked else "fifo"
    with project.start("cp", "media:a", target) as process:
        assert (project.path / "fifo").read_text() == "content"
        assert process.wait(60) == 0
    assert stat.S_ISFIFO((project.path / "fifo").stat().st_mode)
    assert (project.path / "link").is_symlink()
    result = project.process("mv", "media:a", target)
    assert (result.code, result.err) == (
        1,
        f"vfs: media:a -> {target}: the destination is no plain file: what is written there cannot be read again\n",
    )
    assert (project.media / "a").read_text() == "content"


def test_a_tree_with_a_fifo_does_not_wait_for_it(vfs: Vfs, project: Project, source: Path) -> None:
    os.mkfifo(source / "fifo")
    assert vfs("cp", "-r", "src", "media:").code == 0
    assert stat.S_ISFIFO((project.media / "src" / "fifo").stat().st_mode)


def test_a_local_file_is_replaced_whole_or_not_at_all(
    vfs: Vfs, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from storage.filesystem.file import LocalFile

    (project.media / "a").write_text("new" * 1000)
    (project.path / "a").write_text("old")

    def read(self: LocalFile, size: int = -1) -> bytes:
        raise ConnectionResetError(104, "Connection reset by peer")

    monkeypatch.setattr(LocalFile, "read", read, raising=False)
    before = sorted(os.listdir(project.path))
    result = vfs("cp", "media:a", "a")
    assert (result.code, result.err) == (1, "vfs: media:a -> a: Connection reset by peer\n")
    assert (project.path / "a").read_text() == "old"
    assert sorted(os.listdir(project.path)) == before


def test_a_link_as_destination_is_written_through(vfs: Vfs, project: Project) -> None:
    (project.media / "a").write_text("new")
    (project.path / "real").write_text("old")
    (project.path / "link").symlink_to("real")
    assert vfs("cp", "media:a", "link").code == 0
    assert (project.path / "link").is_symlink()
    assert (project.path / "real").read_text() == "new"


def test_verbose_names_what_was_copied(vfs: Vfs, project: Project, source: Path) -> None:
    lines = vfs("cp", "-rv", "src/sub", "media:x").out.splitlines()
    assert lines[:2] == ["src/sub -> media:x", "src/sub/deep -> media:x/deep"]
    assert sorted(lines[2:]) == [
        "src/sub/b -> media:x/b",
        "src/sub/deep/c -> media:x/deep/c",
        "src/sub/up -> media:x/up",
    ]


def test_progress_is_drawn_on_a_terminal_only(project: Project, source: Path) -> None:
    import pty

    (source / "[bold]red[").write_text("x")
    ours, theirs = pty.openpty()
    environment = {**project.environment(), "TERM": "xterm", "COLUMNS": "120"}
    command = [sys.executable, "-m", "vfs", "cp", "-rv", "src", "media:"]
    with subprocess.Popen(
        command, cwd=project.path, env=environment, stdin=theirs, stderr=theirs, stdout=subprocess.PIPE
    ) as process:
        os.close(theirs)
        drawn = b""
        try:
            while data := os.read(ours, 65536):
                drawn += data
        except OSError:  # the other side is closed
            pass
        assert process.stdout is not None
        listed = process.stdout.read()
    os.close(ours)
    assert process.returncode == 0
    assert b"Copying" in drawn
    assert b"files" in drawn
    assert b"src/[bold]red[ -> media:src/[bold]red[" in listed
    assert b"->" not in drawn


def test_a_missing_location_is_made(vfs: Vfs, project: Project, source: Path) -> None:
    project.media.rmdir()
    assert vfs("cp", "-r", "src", "media:").code == 0
    assert project.tree(project.media / "src") == TREE
