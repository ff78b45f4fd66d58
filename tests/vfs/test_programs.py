"""Real programs on mounts: what people do with a directory, and what is in the storage afterwards."""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from places import Place, on
from programs import EVERYWHERE, HEAVY, needs

from vfs.testing.place import run, soon


def assert_same_tree(one: Path, other: Path) -> None:
    """Names, contents and modes of two trees are the same, byte for byte."""
    seen = [sorted(str(path.relative_to(top)) for path in top.rglob("*")) for top in (one, other)]
    assert seen[0] == seen[1]
    for name in seen[0]:
        left, right = one / name, other / name
        assert left.stat().st_mode == right.stat().st_mode, name
        assert left.is_dir() or filecmp.cmp(left, right, shallow=False), name


@pytest.mark.slow
@HEAVY
def test_a_source_tree_of_two_thousand_files(place: Place, sources: Callable[[int], Path]) -> None:
    source = sources(2000)
    run(["cp", "-a", source, place / "copy"], place.path)
    assert run(["diff", "-r", source, place / "copy"], place.path) == ""
    if place.can("local"):
        assert_same_tree(source, place.behind / "copy")
    assert len(place.sh("find copy -type f").splitlines()) == 2000
    assert int(place.sh("du -s copy").split()[0]) > 5_000
    assert place.sh("grep -ls 'it runs: ' copy/*.* copy/run*", check=False) == "copy/run me\n"
    assert place.sh("'copy/run me' well") == "it runs: well\n"
    (place / "moved").mkdir()
    place.sh("mv copy moved/tree && rm -r moved")
    assert os.listdir(place.path) == []


@on("scanned", "objects")
def test_a_source_tree_in_whole_objects(place: Place, sources: Callable[[int], Path]) -> None:
    source = sources(150)
    run(["cp", "-r", source, place / "copy"], place.path)
    assert run(["diff", "-r", source, place / "copy"], place.path) == ""
    if place.can("local"):
        assert_same_tree(source, place.behind / "copy")
    assert place.sh("'copy/run me' well") == "it runs: well\n"
    place.sh("mv copy moved && rm -r moved")
    assert os.listdir(place.path) == []


@EVERYWHERE
def test_tar_out_and_in(place: Place, sources: Callable[[int], Path]) -> None:
    source = sources(60)
    run(["tar", "-cf", place / "archive.tar", "-C", source.parent, source.name], place.path)
    place.sh("tar -xf archive.tar && tar -df archive.tar")
    assert_same_tree(source, place / "tree")
    assert place.sh("tar -czf again.tar.gz tree && tar -tzf again.tar.gz | wc -l").strip() == str(
        1 + sum(1 for _ in source.rglob("*"))
    )


@needs("rsync")
@EVERYWHERE
def test_rsync_moves_nothing_the_second_time(place: Place, sources: Callable[[int], Path]) -> None:
    source = sources(60)
    command: list[str | Path] = ["rsync", "-a", "--itemize-changes", f"{source}/", f"{place.path}/copy/"]
    assert len(run(command, place.path).splitlines()) > 60
    assert run(command, place.path) == ""
    assert_same_tree(source, place / "copy")
    (place / "copy" / "empty").write_text("changed")
    os.utime(place / "copy" / "empty", (1, 1))  # rsync compares seconds, of which it took less
    moved = [line for line in run(command, place.path).splitlines() if not line.startswith(".d")]
    assert moved == [">f.st...... empty"]  # a whole object that is stored anew changes its folder too
    assert run(["rsync", "-a", "-c", "-n", "--itemize-changes", *command[3:]], place.path) == ""


@needs("vim")
@pytest.mark.parametrize("settings", ["", "set nobackup nowritebackup noswapfile", "set backup backupcopy=yes"])
@EVERYWHERE
def test_vim_writes(place: Place, settings: str) -> None:
    (place / "file.txt").write_text("first line\n")
    (place / "file.txt").chmod(0o640)
    commands = [word for command in (settings, "normal Osecond line", "wq") if command for word in ("-c", command)]
    run(["vim", "-es", "-u", "NONE", "-i", "NONE", *commands, "file.txt"], place.path)
    assert (place / "file.txt").read_text() == "second line\nfirst line\n"
    assert (place / "file.txt").stat().st_mode & 0o777 == 0o640
    assert {path.name for path in place.path.iterdir()} <= {"file.txt", "file.txt~"}


@EVERYWHERE
def test_tools_that_change_files(place: Place) -> None:
    place.sh("seq 1000 > numbers && sed -i 's/^1/one /' numbers && head -1 numbers | grep -qx 'one '")
    place.sh("seq 1000 > more && sed -i.bak 2d more && test $(wc -l < more) = 999 && test $(wc -l < more.bak) = 1000")
    place.sh("printf abcdef > dd && printf XY | dd of=dd bs=1 seek=2 conv=notrunc status=none")
    assert (place / "dd").read_bytes() == b"abXYef"
    place.sh("truncate -s 100K sparse && truncate -s 3 dd && dd if=/dev/zero of=zeros bs=64k count=20 status=none")
    sizes = {name: (place / name).stat().st_size for name in ("sparse", "dd", "zeros")}
    assert sizes == {"sparse": 102_400, "dd": 3, "zeros": 20 * 65_536}
    place.sh(
        "sort -R numbers > shuffled && sort shuffled -o shuffled && split -l 100 more part. && cat part.* | cmp - more"
    )
    place.sh("cp numbers a && mv a b && cat numbers b > c && tee -a c < b > /dev/null && test $(wc -l < c) = 3000")
    place.sh(
        "patch --version > /dev/null 2>&1 || exit 0; cp more old; diff old numbers > p; patch -s old p; cmp old numbers"
    )
    place.sh("install -m 600 numbers installed && test $(stat -c %a installed) = 600")
    if place.can("symlinks"):
        place.sh(
            "ln -s numbers link && cmp link numbers && cp -P link other && test -L other && rm link && test -f numbers"
        )
    place.sh('rm -r ./* && test -z "$(ls -A)"')


@EVERYWHERE
def test_df_and_find(place: Place) -> None:
    place.sh("mkdir -p a/b && echo x > a/b/file && touch -d 2001-02-03 old")
    assert place.sh("find . -name file -newer old -size -2 -type f") == "./a/b/file\n"
    assert place.sh("find . ! -newer old -type f") == "./old\n"
    lines = place.sh("df --output=fstype,source,target .").splitlines()
    assert place.server is not None
    assert lines[1].split() == ["fuse.vfs", place.kind, str(place.server.mountpoint)]
    place.sh("find a -depth -delete && test ! -e a")


@EVERYWHERE
def test_an_executable_runs(place: Place) -> None:
    shutil.copy2(shutil.which("true") or "/bin/true", place / "program")
    (place / "script").write_text("#!/bin/sh\necho $0 $1\n")
    (place / "script").chmod(0o755)
    run([place / "program"], place.path)
    assert place.sh("./script argument") == "./script argument\n"
    (place / "module.py").write_text("print('imported')")
    assert run([sys.executable, "-c", "import module"], place.path) == "imported\n"
    (place / "script").chmod(0o644)
    assert "ermission denied" in place.sh("./script", check=False)


@needs("flock")
@EVERYWHERE
def test_locks_hold_between_processes(place: Place) -> None:
    (place / "counter").write_text("0")
    place.sh(
        "increment() { for i in 1 2 3 4 5; do flock lock sh -c 'n=$(cat counter); echo $((n + 1)) > counter'; done; }\n"
        "increment & increment & increment & wait"
    )
    assert (place / "counter").read_text() == "15\n"


@needs("unzip")
@EVERYWHERE
def test_archives_of_python(place: Place) -> None:
    """zipfile and shutil seek back and forth in what they write."""
    script = "import shutil; shutil.make_archive('made', 'zip', 'tree'); shutil.unpack_archive('made.zip', 'unpacked')"
    place.sh("mkdir -p tree/sub && seq 10000 > tree/sub/numbers && touch tree/empty")
    run([sys.executable, "-c", script], place.path)
    assert place.sh("diff -r tree unpacked && unzip -tq made.zip").startswith("No errors")


@on("files")
def test_what_django_writes_beside_the_mount_is_seen(place: Place) -> None:
    """The folder of a FileSystemStorage belongs to others too: the kernel believes what it knows for a second."""
    (place / "file").write_text("through the mount")
    assert (place.behind / "file").read_text() == "through the mount"
    (place.behind / "file").write_text("behind it, and longer")
    assert soon(lambda: (place / "file").read_text() == "behind it, and longer")
    (place.behind / "new").mkdir()
    assert sorted(os.listdir(place.path)) == ["file", "new"]
    os.rename(place.behind / "file", place.behind / "new" / "moved")
    assert soon(lambda: not (place / "file").exists())
    assert soon((place / "new" / "moved").exists)
    assert (place / "new" / "moved").read_text() == "behind it, and longer"
    subprocess.run(["rm", "-r", place.behind / "new"], check=True)
    assert os.listdir(place.path) == []
