"""The backend of the tour in storage/README.md: it runs, proves itself by the published tests, and is mounted."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

import pytest

import storage as package
import vfs
from storage import ContentFile, Storage

FOLDER = Path(package.__file__).parent
TOUR = (FOLDER / "README.md").read_text(encoding="utf-8")
BACKEND, PROOF, PROOF_OF_THE_MOUNT = re.findall(r"```python\n(.*?)```", TOUR, re.DOTALL)
(PUBLISHED,) = re.findall(r"```toml\n(.*?)```", TOUR, re.DOTALL)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of packages that has the backend, as pip installs it."""
    site = tmp_path / "site"
    (site / "sqlite_storage-1.0.dist-info").mkdir(parents=True)
    (site / "sqlite_storage.py").write_text(BACKEND)
    points = PUBLISHED.replace('[project.entry-points."', "[").replace('"]', "]").replace('"', "")
    (site / "sqlite_storage-1.0.dist-info" / "entry_points.txt").write_text(points)
    (site / "sqlite_storage-1.0.dist-info" / "METADATA").write_text("Name: sqlite-storage\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(site))
    yield site
    sys.modules.pop("sqlite_storage", None)


@pytest.fixture
def storage(site: Path) -> Iterator[Storage]:
    made: Storage = import_module("sqlite_storage").SQLiteStorage(site / "files.db")
    yield made
    made._database.close()  # type: ignore[attr-defined]


def test_it_is_as_short_as_it_says() -> None:
    assert len(BACKEND.splitlines()) <= 54, "forty lines, the imports and what is empty"


def test_each_module_of_the_tour_is_there() -> None:
    names = re.findall(r"`([\w/]+(?:\.py|/))`", TOUR.partition("## Write")[0])
    assert len(names) > 10
    assert [name for name in names if not (FOLDER / name).exists()] == []


def python(site: Path, *words: str) -> str:
    """What a Python of its own prints: a backend by others has Django configured for the process."""
    environment = {"PYTHONPATH": f"{FOLDER.parent}:{site}"}
    done = subprocess.run(
        [sys.executable, *words], cwd=site, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_is_found_by_the_name_that_it_is_published_under(site: Path) -> None:
    options = {"BACKEND": "sqlite", "OPTIONS": {"location": "files.db"}}
    program = f"import storage; print(type(storage.storages.create_storage({options!r})))"
    assert python(site, "-c", program) == "<class 'sqlite_storage.SQLiteStorage'>\n"


def test_it_proves_itself(site: Path) -> None:
    (site / "test_sqlite_storage.py").write_text(PROOF)
    printed = python(site, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={site}/tmp")
    (passed,) = re.findall(r"(\d+) passed", printed)
    assert int(passed) > 60


@pytest.mark.mount
def test_its_mount_proves_itself(site: Path) -> None:
    """By some of the tests: they are all of the suite that the mounts of each kind of storage are put to."""
    (site / "test_mount.py").write_text(PROOF_OF_THE_MOUNT)
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={site}/tmp"]
    printed = python(site, *words, "-k", "append or lock")
    (passed,) = re.findall(r"(\d+) passed", printed)
    assert int(passed) > 5


def test_savers_of_one_name_get_names_of_their_own(storage: Storage) -> None:
    with ThreadPoolExecutor(6) as pool:
        names = list(pool.map(lambda number: storage.save("a.txt", ContentFile(f"{number}")), range(6)))
    assert [storage.open(name).read() for name in names] == [b"0", b"1", b"2", b"3", b"4", b"5"]


@pytest.mark.mount
def test_it_is_mounted(storage: Storage) -> None:
    with vfs.mounted(storage) as path:
        subprocess.run(["cp", "-r", FOLDER / "conf", path / "copy"], check=True)
        subprocess.run(["mv", path / "copy/__init__.py", path / "moved.py"], check=True)
        done = subprocess.run(["ls", path, path / "copy"], check=True, capture_output=True, text=True)
    assert "moved.py" in done.stdout
    assert "sources.py" in done.stdout
    assert storage.size("moved.py") == (FOLDER / "conf" / "__init__.py").stat().st_size
