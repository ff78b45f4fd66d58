"""vfs ls, tree, stat, du, df, url, cat: what only looks."""

from __future__ import annotations

import json
import os
import re

import pytest
from commands import Project, Vfs


@pytest.fixture
def filled(project: Project) -> Project:
    """media: with a tree in it."""
    (project.media / "docs" / "old").mkdir(parents=True)
    (project.media / ".hidden").write_text("h")
    (project.media / "b.txt").write_text("bb")
    (project.media / "a.txt").write_text("a" * 3000)
    (project.media / "docs" / "c.txt").write_text("ccc")
    (project.media / "docs" / "old" / "d.txt").write_text("d")
    (project.media / "link").symlink_to("a.txt")
    os.utime(project.media / "a.txt", ns=(1_500_000_000_123_456_789, 1_600_000_000_123_456_789))
    os.utime(project.media / "b.txt", (1, 1))
    (project.media / "a.txt").chmod(0o640)
    return project


def test_ls_sorts_by_name_and_marks_directories(vfs: Vfs, filled: Project) -> None:
    assert vfs("ls", "media:") == (0, ".hidden\na.txt\nb.txt\ndocs/\nlink\n", "")


def test_ls_of_files_and_directories(vfs: Vfs, filled: Project) -> None:
    assert vfs("ls", "media:docs", "media:b.txt").out == "media:b.txt\n\nmedia:docs:\nc.txt\nold/\n"
    assert vfs("ls", "-d", "media:docs").out == "media:docs/\n"


def test_ls_recursive(vfs: Vfs, filled: Project) -> None:
    assert vfs("ls", "-R", "media:docs").out == "media:docs:\nc.txt\nold/\n\nmedia:docs/old:\nd.txt\n"
    assert "media:\n.hidden\n" in vfs("ls", "-R", "media:").out


@pytest.mark.parametrize(
    ("options", "first"),
    [(["--sort", "size", "-r"], ".hidden"), (["--sort", "time", "-r"], "b.txt"), (["-r"], "link")],
)
def test_ls_sorts(vfs: Vfs, filled: Project, options: list[str], first: str) -> None:
    assert vfs("ls", *options, "media:").out.splitlines()[0] == first


def test_ls_long(vfs: Vfs, filled: Project) -> None:
    lines = vfs("ls", "-l", "media:").out.splitlines()
    assert re.fullmatch(r"-rw-r-----  1  \S+  \S+  +2\.9 KiB  2020-09-1\d \d\d:\d\d  a\.txt", lines[1])
    assert lines[3].startswith("d")
    assert lines[3].endswith("  docs/")
    assert lines[4].endswith("  link -> a.txt")
    assert "  3000  " in vfs("ls", "-lb", "media:a.txt").out


def test_ls_long_leaves_out_what_a_storage_does_not_know(vfs: Vfs, project: Project) -> None:
    (project.bucket / "d").mkdir()
    (project.bucket / "a").write_text("a")
    one, two = vfs("ls", "-l", "bucket:").out.splitlines()
    assert re.fullmatch(r"-  1 B  \d{4}-\d\d-\d\d \d\d:\d\d  a", one)
    assert re.fullmatch(r"d    -  \?                 d/", two)


def test_ls_goes_on_after_a_failure(vfs: Vfs, filled: Project) -> None:
    code, out, err = vfs("ls", "media:none", "media:docs")
    assert code == 1
    assert out == "media:docs:\nc.txt\nold/\n"
    assert err == "vfs: media:none: No such file or directory\n"


def test_ls_json(vfs: Vfs, filled: Project) -> None:
    found = {entry["path"]: entry for entry in json.loads(vfs("ls", "--json", "-R", "media:").out)}
    assert list(found) == [".hidden", "a.txt", "b.txt", "docs", "link", "docs/c.txt", "docs/old", "docs/old/d.txt"]
    assert found["a.txt"]["size"] == 3000
    assert found["a.txt"]["modified"] == "2020-09-13T12:26:40.123456789Z"
    assert found["a.txt"]["mode"] == "0640"
    assert found["docs"]["kind"] == "directory"
    assert found["link"]["target"] == "a.txt"
    assert found["docs/old/d.txt"]["name"] == "d.txt"


def test_json_is_complete_where_nothing_is_or_something_fails(vfs: Vfs, project: Project) -> None:
    assert json.loads(vfs("ls", "--json", "media:").out) == []
    result = vfs("ls", "--json", "media:none")
    assert result.code == 1
    assert json.loads(result.out) == []


def test_tree(vfs: Vfs, filled: Project) -> None:
    assert vfs("tree", "media:").out == (
        "media:\n├── .hidden\n├── a.txt\n├── b.txt\n├── docs/\n│   ├── c.txt\n│   └── old/\n│       └── d.txt\n"
        "└── link -> a.txt\n\n2 directories, 6 files\n"
    )
    assert vfs("tree", "-d", "-L", "1", "media:").out == "media:\n└── docs/\n\n1 directory\n"
    assert "c.txt  (3 B)" in vfs("tree", "-s", "media:docs").out
    assert vfs("tree", "media:a.txt").code == 1


def test_stat(vfs: Vfs, filled: Project) -> None:
    text = vfs("stat", "media:a.txt").out
    assert "size  2.9 KiB (3000 bytes)" in text
    assert "mode  0640 (-rw-r-----)" in text
    assert ".123456789 " in text
    assert "leads to  a.txt" in vfs("stat", "media:link").out
    records = json.loads(vfs("stat", "--json", "media:a.txt", "media:docs").out)
    assert [record["kind"] for record in records] == ["file", "directory"]


def test_stat_of_a_backend_that_knows_little(vfs: Vfs, project: Project) -> None:
    (project.bucket / "a").write_text("abc")
    text = vfs("stat", "bucket:a").out
    assert "3 B" in text
    assert "mode" not in text
    assert json.loads(vfs("stat", "--json", "bucket:a").out)[0]["mode"] is None


def test_du_adds_up(vfs: Vfs, filled: Project) -> None:
    os.link(filled.media / "a.txt", filled.media / "docs" / "same.txt")
    found = json.loads(vfs("du", "-A", "--json", "media:").out)
    sizes = {sum_["path"]: sum_["size"] for sum_ in found}
    folders = {name: (filled.media / name).stat().st_size for name in ("", "docs", "docs/old")}
    assert sizes["media:docs/old"] == 1 + folders["docs/old"]
    assert sizes["media:"] == 1 + 2 + 3000 + 3 + 1 + 5 + folders["docs"] + folders["docs/old"]
    assert found[-1]["path"] == "media:"
    assert found[-1]["files"] == 7


def test_du_shows_as_much_as_is_wanted(vfs: Vfs, filled: Project) -> None:
    def shown(*options: str) -> list[str]:
        return sorted(line.split()[-1] for line in vfs("du", *options).out.splitlines())

    assert shown("-s", "media:") == ["media:"]
    assert shown("-d", "1", "media:") == ["media:", "media:docs"]
    assert shown("-a", "media:docs/old") == ["media:docs/old", "media:docs/old/d.txt"]
    assert vfs("du", "-Ab", "media:b.txt").out == "2  media:b.txt\n"


def test_df(vfs: Vfs, project: Project) -> None:
    assert vfs("df").out.splitlines()[0].split() == ["alias", "size", "used", "free", "use"]
    (usage,) = json.loads(vfs("df", "--json", "media").out)
    assert usage["total"] >= usage["free"] > 0


def test_df_of_storages_that_cannot_tell(vfs: Vfs, project: Project) -> None:
    result = vfs("df", "bucket", "media:")
    assert result.code == 1
    assert result.err.startswith("vfs: bucket: the storage does not know how full it is")
    assert result.out.splitlines()[1].startswith("media ")
    everything = vfs("df")
    assert "no_such_package" in everything.err
    assert "bucket" not in everything.out + everything.err


def test_url(vfs: Vfs, project: Project) -> None:
    assert vfs("url", "media:a b", "bucket:c").out == "https://example.org/media/a%20b\nhttps://bucket.example/c\n"


def test_url_where_there_is_none(vfs: Vfs, project: Project) -> None:
    (project.path / "vfs.toml").write_text(
        'MEDIA_URL = false\n[STORAGES.private]\nBACKEND = "storage.FileSystemStorage"\nOPTIONS = {location = "media"}\n'
    )
    result = project.process("url", "private:a")
    assert result.code == 1
    assert result.err == "vfs: private:a: the storage has no URL for it: This file is not accessible via a URL.\n"


def test_cat(vfs: Vfs, filled: Project) -> None:
    (filled.media / "bytes").write_bytes(bytes(range(256)))
    code, out, err = vfs("cat", "media:bytes", "media:none", "media:link", "media:docs", "media:")
    assert code == 1
    assert os.fsencode(out) == bytes(range(256)) + b"a" * 3000
    assert err == (
        "vfs: media:none: No such file or directory\nvfs: media:docs: Is a directory\nvfs: media: Is a directory\n"
    )


@pytest.fixture
def no_mounts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else is mounted on this machine is not seen."""
    monkeypatch.setattr("vfs.mounts.records.records", list)


@pytest.mark.usefixtures("no_mounts")
@pytest.mark.parametrize("command", ["ls", "tree", "cat", "rm", "mkdir", "stat", "du", "url"])
@pytest.mark.parametrize("name", ["", "a"])
def test_memory_is_never_shown_as_empty(vfs: Vfs, command: str, name: str) -> None:
    code, out, err = vfs(command, f"memory:{name}")
    assert code == 1
    assert out == ""
    assert "memory of one process" in err
    assert "vfs mount memory DIR" in err


@pytest.mark.usefixtures("no_mounts")
@pytest.mark.parametrize("args", [["a", "memory:"], ["memory:a", "."], ["-r", "memory:", "media:"]])
@pytest.mark.parametrize("command", ["cp", "mv"])
def test_nothing_is_copied_to_memory_that_is_gone_at_once(
    vfs: Vfs, project: Project, command: str, args: list[str]
) -> None:
    (project.path / "a").touch()
    result = vfs(command, *(args if command == "cp" else args[-2:]))
    assert result.code == 1
    assert "vfs mount memory DIR" in result.err
    assert (project.path / "a").exists()


def test_storages(vfs: Vfs, project: Project) -> None:
    found = {record["alias"]: record for record in json.loads(vfs("storages", "--json").out)}
    assert list(found) == ["media", "archive", "inner", "bucket", "broken", "memory"]
    assert found["bucket"]["backend"] == "cli_backends.Bucket"
    assert found["media"]["source"] == str(project.path / "vfs.toml")
    assert found["memory"]["source"] == "built in"
    lines = vfs("storages").out.splitlines()
    assert lines[0].split() == ["alias", "backend", "configured", "by", "mounted", "at"]
    assert str(project.path / "vfs.toml") in lines[1]


def test_storages_without_any_configuration(project: Project) -> None:
    (project.path / "vfs.toml").unlink()
    lines = project.process("storages").out.splitlines()
    assert [line.split()[0] for line in lines] == ["alias", "default", "staticfiles", "memory"]
    assert "Django's default" in lines[1]
