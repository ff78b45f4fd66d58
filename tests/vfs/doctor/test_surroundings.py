"""What is said of the settings and the packages."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from storage import settings
from storage.conf import sources
from vfs.doctor import Check, Status, surroundings

CONFIGURATION = '[STORAGES.photos]\nBACKEND = "storage.InMemoryStorage"\n'


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A machine without settings, in whose current folder they are to be."""
    for variable in ("VFS_CONFIG", "DJANGO_SETTINGS_MODULE", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path))
    monkeypatch.setattr(sources, "_ETC", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    (tmp_path / "vfs.toml").unlink(missing_ok=True)
    settings.configure()


def found(text: str | None, folder: Path, mode: int = 0o644) -> list[Check]:
    """What is said with this vfs.toml, the packages aside."""
    if text is not None:
        (folder / "vfs.toml").write_text(text)
        (folder / "vfs.toml").chmod(mode)
    settings.configure()
    return [check for check in surroundings.checks() if check.name == "settings"]


def test_where_settings_are(here: Path) -> None:
    [check] = found(CONFIGURATION, here)
    assert (check.status, check.advice) == (Status.OK, "")
    assert check.message.startswith("photos, memory, by ")
    assert "vfs.toml" in check.message


def test_no_settings(here: Path) -> None:
    [check] = found(None, here)
    assert check.status is Status.OK
    assert check.message == "nothing is configured; built in are default, staticfiles, memory"
    assert "vfs.toml" in check.advice


def test_settings_that_others_may_write(here: Path) -> None:
    left_out, rest = found(CONFIGURATION, here, mode=0o646)
    assert left_out.status is Status.WARNING
    assert "others may write to it" in left_out.message
    assert "--config" in left_out.advice
    assert "nothing is configured" in rest.message


def test_packages_have_their_versions() -> None:
    check = list(surroundings.checks())[-1]
    assert (check.name, check.status) == ("packages", Status.OK)
    assert f"fusepy {metadata.version('fusepy')}" in check.message
