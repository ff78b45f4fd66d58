"""The wheel and the sdist that others install: nothing is compiled, nothing is missing, and nothing else gets in."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
NOT_IN_THE_SDIST = {".editorconfig", ".gitattributes", ".gitignore", ".pre-commit-config.yaml"}
MADE_FOR_THE_SDIST = {"PKG-INFO", "setup.cfg"}
LITTER = (".cache/npm/a.js", ".venv/lib/a.py", "dist/a.whl", "mnt/a", "tests/__pycache__/a.pyc", "vfs/a.pyc")
"""What lies about in a checkout that was worked in."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (ROOT / ".git").exists(), reason="git says what belongs in them"),
]


def git(*words: str) -> bytes:
    return subprocess.run(["git", "-c", "safe.directory=*", *words], cwd=ROOT, check=True, capture_output=True).stdout


def tracked(*paths: str) -> set[str]:
    return set(git("ls-tree", "-r", "--name-only", "HEAD", *paths).decode().split())


class Built(NamedTuple):
    """What was built of the last commit."""

    sdist: Path
    wheel: Path
    """Of the tree."""
    wheel_of_sdist: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """By the usual tool; no other program is on its PATH, a compiler neither."""
    folder = tmp_path_factory.mktemp("packages")
    sources = folder / "sources"
    sources.mkdir()
    subprocess.run(["tar", "-x"], cwd=sources, input=git("archive", "HEAD"), check=True)
    for name in LITTER:
        (sources / name).parent.mkdir(parents=True, exist_ok=True)
        (sources / name).touch()

    def build(outcome: str, *words: str) -> Path:
        command = [sys.executable, "-m", "build", "--outdir", folder / outcome, *words, sources]
        environment = {**os.environ, "PATH": str(folder / "nothing")}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return folder / outcome

    both = build("both")  # the sdist, and a wheel of that
    (sdist,) = both.glob("*.tar.gz")
    (wheel_of_sdist,) = both.glob("*.whl")
    (wheel,) = build("wheel", "--wheel").glob("*.whl")
    return Built(sdist, wheel, wheel_of_sdist)


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_is_for_every_machine_and_has_all_of_both_packages(built: Built) -> None:
    assert built.wheel.name.endswith("-py3-none-any.whl")
    wanted = tracked("storage", "vfs")
    names = set(contents(built.wheel))
    assert len(wanted) > 150
    assert {name for name in names if ".dist-info/" not in name} == wanted
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"storage", "vfs", "storage_vfs"}


def test_the_sdist_has_the_tests_and_the_documentation_and_nothing_that_lies_about(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        files = {member.name.partition("/")[2]: member for member in archive if not member.isdir()}
    made = MADE_FOR_THE_SDIST | {name for name in files if name.startswith("storage_vfs.egg-info/")}
    assert set(files) - made == tracked() - NOT_IN_THE_SDIST
    scripts = [name for name in files if name.startswith("scripts/") and os.access(ROOT / name, os.X_OK)]
    assert len(scripts) > 5
    assert [name for name in scripts if not files[name].mode & 0o111] == []


def test_the_wheel_of_the_sdist_is_that_of_the_tree(built: Built) -> None:
    assert built.wheel_of_sdist.name == built.wheel.name
    assert contents(built.wheel_of_sdist) == contents(built.wheel)


def test_what_is_installed_runs_without_the_checkout(built: Built, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", tmp_path / "site", built.wheel]
    subprocess.run(command, check=True)

    def python(*words: str) -> str:
        environment = {"PYTHONPATH": str(tmp_path / "site")}
        return subprocess.run(
            [sys.executable, *words], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
        ).stdout

    assert "memory" in python("-m", "vfs", "storages")
    printed = python("-c", "import storage, vfs; print(storage.__file__, vfs.__file__)")
    assert printed.split() == [str(tmp_path / "site" / name / "__init__.py") for name in ("storage", "vfs")]
