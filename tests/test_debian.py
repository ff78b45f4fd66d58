"""The README's two commands where nothing is installed but python3 and git: in a bare Debian."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bare_debian import Debian, bare_debian
from newcomer import ROOT, session

AIMED = "tests/vfs/test_mounted.py tests/storage/test_names.py -q"
"""Some of the tests, for all of them are run elsewhere: those of mounts, and quick ones."""

pytestmark = [pytest.mark.debian, pytest.mark.mount, pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture
def debian(tmp_path: Path) -> Iterator[Debian]:
    """With what the README takes for granted, and a checkout of the last commit."""
    (tmp_path / "root").mkdir()
    clone = ["git", "-c", "safe.directory=*", "clone", "-q", "--depth=1", f"file://{ROOT}", tmp_path / "checkout"]
    subprocess.run(clone, check=True)
    with bare_debian(tmp_path / "root") as debian:
        debian.sh("apt-get -qq update && apt-get -qq install --yes --no-install-recommends python3 git")
        debian.set_up("cp", "-a", tmp_path / "checkout", debian.root / "root")
        yield debian


def test_the_two_commands(debian: Debian) -> None:
    demo, test = (line.partition("  #")[0].strip() for line in session("scripts/demo", "scripts/test").splitlines())
    shown = debian.sh(f"cd ~/checkout && {demo}")
    assert "The copy that came back is the same, byte for byte." in shown
    *_, unmount = [line for line in shown.splitlines() if " unmount " in line]
    debian.sh(f"cd ~/checkout && test -e mnt/README.md && {unmount} && test ! -e mnt/README.md")
    tested = debian.sh(f"cd ~/checkout && {test} {AIMED}")
    assert " passed" in tested
    assert "skipped" not in tested
