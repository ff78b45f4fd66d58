"""What the tests of `storage` share."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.conf import sources


@pytest.fixture
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any configuration; its folders are here/ (the current one), home/, etc/ and system/."""
    for name in ("here", "home", "etc", "system"):
        (tmp_path / name).mkdir()
    for variable in ("VFS_CONFIG", "DJANGO_SETTINGS_MODULE", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "system"))
    monkeypatch.setattr(sources, "_ETC", str(tmp_path / "etc"))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path
