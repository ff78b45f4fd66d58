"""Projects on mounts: version control, builds, packages and databases, which ask more of a filesystem than copying."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from places import Place, on
from programs import EVERYWHERE, HEAVY, IN_PLACE, needs

from vfs.testing.place import run


@needs("git")
@EVERYWHERE
def test_git(place: Place, sources: Callable[[int], Path]) -> None:
    run(["cp", "-r", sources(60), place / "project"], place.path)
    project = place / "project"

    def git(*words: str) -> str:
        identity = ["-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "safe.directory=*"]
        return run(["git", *identity, *words], project)

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    assert git("status", "--porcelain") == ""
    (project / "empty").write_text("not any more\n")
    (project / "run me").unlink()
    assert git("status", "--porcelain").split("\n")[:2] == [" M empty", ' D "run me"']
    git("checkout", "-q", "run me")
    git("commit", "-qam", "second")
    git("gc", "-q")
    git("branch", "other", "HEAD~1")
    git("checkout", "-q", "other")
    assert (project / "empty").read_bytes() == b""
    assert git("fsck", "--full", "--strict") in ("", "notice: HEAD points to an unborn branch\n")
    assert git("log", "--oneline", "--all").count("\n") == 2
    assert git("status", "--porcelain") == ""


@needs("git")
@pytest.mark.slow
@HEAVY
def test_git_clones_packs_and_collects(place: Place, sources: Callable[[int], Path]) -> None:
    run(["cp", "-r", sources(150), place / "origin"], place.path)
    place.sh(
        "export GIT_CONFIG_COUNT=3 GIT_CONFIG_KEY_0=user.name GIT_CONFIG_VALUE_0=A GIT_CONFIG_KEY_1=user.email\n"
        "export GIT_CONFIG_VALUE_1=a@example.com GIT_CONFIG_KEY_2=safe.directory GIT_CONFIG_VALUE_2='*'\n"
        "set -e; cd origin; git init -q -b main; git add .; git commit -qm first\n"
        "for i in 1 2 3 4 5; do echo $i >> empty; git commit -qam $i; done\n"
        "cd ..; git clone -q --no-local origin clone; git clone -q origin linked; git clone -q --bare origin bare\n"
        "cd clone; git checkout -qb side HEAD~3; echo side > new; git add new; git commit -qm side\n"
        "git merge -q --no-edit main; git rebase -q main; git push -q origin side; git gc -q --aggressive --prune=now\n"
        "git repack -qad; git fsck --full --strict; git stash list; git worktree add -q ../tree main~2 2>&1\n"
        "cd ../origin; git gc -q; git fsck --full; git log --oneline | wc -l; git status --porcelain"
    )
    assert place.sh("diff -r --exclude=.git --exclude=new origin linked") == ""
    assert place.sh("cat clone/empty") == "1\n2\n3\n4\n5\n"
    assert place.sh("cat tree/empty") == "1\n2\n3\n"


@needs("make", "cc")
@IN_PLACE
def test_a_build(place: Place) -> None:
    (place / "main.c").write_text('#include <stdio.h>\nint main(void) { puts("built"); return 0; }\n')
    (place / "Makefile").write_text("main: main.o\n\tcc -o $@ $<\n")
    assert "cc" in place.sh("make -j2 2>&1")
    assert place.sh("./main") == "built\n"
    assert "up to date" in place.sh("make")


@needs("make", "cc", "ar")
@pytest.mark.slow
@HEAVY
def test_a_library_and_its_users_are_built_in_parallel(place: Place) -> None:
    for number in range(12):
        (place / f"part{number}.c").write_text(f"int part{number}(int x) {{ return x + {number}; }}\n")
        (place / f"part{number}.h").write_text(f"int part{number}(int);\n")
    calls = " + ".join(f"part{number}({number})" for number in range(12))
    includes = "".join(f'#include "part{number}.h"\n' for number in range(12))
    (place / "main.c").write_text(f'{includes}#include <stdio.h>\nint main(void) {{ printf("%d\\n", {calls}); }}\n')
    (place / "Makefile").write_text(
        "parts := $(patsubst %.c,%.o,$(wildcard part*.c))\nCFLAGS = -O1 -g -MMD\n"
        "main: main.o libparts.a\n\tcc -o $@ $^\nshared.so: $(wildcard part*.c)\n\tcc -shared -fPIC -o $@ $^\n"
        "libparts.a: $(parts)\n\tar rcs $@ $^\n-include *.d\n"
    )
    place.sh("make -j4 main shared.so > log 2>&1")
    assert place.sh("./main") == "132\n"
    assert "up to date" in place.sh("make main")
    (place / "part3.h").write_text("int part3(int); /* changed */\n")
    remade = place.sh("make main")
    assert "main.c" in remade
    assert "part4.c" not in remade
    script = "import ctypes; print(ctypes.CDLL('./shared.so').part7(1))"
    assert run([sys.executable, "-c", script], place.path) == "8\n"


@pytest.mark.slow
@on("memory")
def test_pip_installs_a_package_into_an_environment(place: Place, tmp_path: Path) -> None:
    """Without a network: pip is that of the interpreter, the package is a folder."""
    (tmp_path / "package" / "made").mkdir(parents=True)
    (tmp_path / "package" / "made" / "__init__.py").write_text("def main():\n    print('installed')\n")
    (tmp_path / "package" / "backend.py").write_text(_BACKEND)
    (tmp_path / "package" / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    run([sys.executable, "-m", "venv", "--without-pip", place / "venv"], place.path)
    python = place / "venv" / "bin" / "python"
    pip: list[str | Path] = [sys.executable, "-I", "-m", "pip", "--disable-pip-version-check", "-q", "--python", python]
    run([*pip, "install", "--no-index", "--no-build-isolation", tmp_path / "package"], place.path)
    assert run([python, "-c", "import made; made.main()"], "/") == "installed\n"
    assert run([place / "venv" / "bin" / "made"], "/") == "installed\n"
    run([*pip, "check"], place.path)
    run([*pip, "uninstall", "-y", "made"], place.path)
    assert not (place / "venv" / "bin" / "made").exists()


_BACKEND = textwrap.dedent(
    """
    import base64, hashlib, zipfile

    def build_wheel(folder, settings=None, metadata=None):
        files = {
            "made/__init__.py": open("made/__init__.py").read(),
            "made-1.0.dist-info/METADATA": "Metadata-Version: 2.1\\nName: made\\nVersion: 1.0\\n",
            "made-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
            "made-1.0.dist-info/entry_points.txt": "[console_scripts]\\nmade = made:main\\n",
        }
        record = "".join(f"{name},,\\n" for name in [*files, "made-1.0.dist-info/RECORD"])
        with zipfile.ZipFile(f"{folder}/made-1.0-py3-none-any.whl", "w") as wheel:
            for name, text in {**files, "made-1.0.dist-info/RECORD": record}.items():
                wheel.writestr(name, text)
        return "made-1.0-py3-none-any.whl"
    """
)


@pytest.mark.parametrize("journal", ["DELETE", "TRUNCATE", "PERSIST", "WAL"])
@IN_PLACE
def test_sqlite_writes(place: Place, journal: str) -> None:
    database = sqlite3.connect(place / "database.sqlite")
    try:
        assert database.execute(f"PRAGMA journal_mode = {journal}").fetchone() == (journal.lower(),)
        database.execute("CREATE TABLE numbers (number INTEGER, text TEXT)")
        for start in range(0, 3000, 1000):
            with database:
                rows = [(number, f"text {number}") for number in range(start, start + 1000)]
                database.executemany("INSERT INTO numbers VALUES (?, ?)", rows)
        database.execute("DELETE FROM numbers")
        database.rollback()
        assert database.execute("SELECT count(*), sum(number) FROM numbers").fetchone() == (3000, sum(range(3000)))
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert _in_another_process(place, "SELECT max(number) FROM numbers") == "(2999,)"
    finally:
        database.close()
    assert _in_another_process(place, "PRAGMA integrity_check") == "('ok',)"


def _in_another_process(place: Place, query: str) -> str:
    script = (
        "import sqlite3, sys; d = sqlite3.connect(sys.argv[1]); print(d.execute(sys.argv[2]).fetchone()); d.close()"
    )
    return run([sys.executable, "-c", script, place / "database.sqlite", query], place.path).strip()


@on("scanned", "objects")
def test_sqlite_writes_into_whole_objects(place: Place) -> None:
    database = sqlite3.connect(place / "database.sqlite")
    with database:
        database.execute("CREATE TABLE numbers (number INTEGER)")
    with database:
        database.executemany("INSERT INTO numbers VALUES (?)", [(number,) for number in range(500)])
    database.close()
    assert _in_another_process(place, "SELECT count(*) FROM numbers") == "(500,)"
    assert os.listdir(place.path) == ["database.sqlite"]


@IN_PLACE
def test_sqlite_in_wal_mode_is_written_by_two_processes(place: Place) -> None:
    """Its shared memory is a mapped file of the mount, and its locks are on ranges of that."""
    script = (
        "import sqlite3, sys\n"
        "database = sqlite3.connect('database.sqlite', timeout=30, isolation_level=None)\n"
        "for number in range(150):\n"
        "    database.execute('BEGIN IMMEDIATE')\n"
        "    database.execute('UPDATE total SET count = count + 1')\n"
        "    database.execute('INSERT INTO log VALUES (?, ?)', (sys.argv[1], number))\n"
        "    database.execute('COMMIT')\n"
        "    if number % 50 == 49: database.execute('PRAGMA wal_checkpoint(TRUNCATE)')\n"
    )
    database = sqlite3.connect(place / "database.sqlite")
    assert database.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",)
    database.executescript("CREATE TABLE total (count); INSERT INTO total VALUES (0); CREATE TABLE log (name, number)")
    writers = [subprocess.Popen([sys.executable, "-c", script, name], cwd=place.path) for name in ("one", "two")]
    seen = 0
    while any(writer.poll() is None for writer in writers):
        (now,) = database.execute("SELECT count FROM total").fetchone()
        assert now >= seen, "a reader went back in time"
        seen = now
    assert [writer.returncode for writer in writers] == [0, 0]
    assert database.execute("SELECT count FROM total").fetchone() == (300,)
    assert database.execute("SELECT name, count(*), max(number) FROM log GROUP BY name").fetchall() == [
        ("one", 150, 149),
        ("two", 150, 149),
    ]
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()
    assert os.listdir(place.path) == ["database.sqlite"]


@needs("fio")
@pytest.mark.slow
@pytest.mark.parametrize("way", ["write", "randwrite", "randrw"])
@EVERYWHERE
def test_fio_verifies_what_it_wrote(place: Place, way: str) -> None:
    fio(place, f"--rw={way}", "--ioengine=psync", "--bsrange=512-64k", "--bs_unaligned", "--fsync=64")


@needs("fio")
@pytest.mark.slow
@IN_PLACE
def test_fio_verifies_what_it_wrote_to_a_mapping(place: Place) -> None:
    fio(place, "--rw=randwrite", "--ioengine=mmap", "--bs=4k", "--fsync=256")


def fio(place: Place, *options: str) -> None:
    """Write 16 MiB, each block with a checksum, and read them again."""
    job = ["fio", "--name=job", "--filename=file", "--size=16m", "--verify=crc32c", "--verify_fatal=1", "--do_verify=1"]
    run([*job, *options, "--randseed=1", "--output-format=terse"], place.path)
