"""A storage that tells one content from another by the second of its change and its size, through a mount: SFTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import vfs
from services.sftp import SFTPFolder
from storage import FsspecStorage

pytestmark = pytest.mark.mount
ATTEMPTS = 20


@pytest.fixture(params=["memory", "disk"])
def mountpoint(request: pytest.FixtureRequest, sftp_folder: SFTPFolder, tmp_path: Path, rescue: None) -> Iterator[Path]:
    """A mount of the folder, with a cache in memory alone or on disk as well."""
    protocol, options, root = sftp_folder.fsspec
    folder = {"cache_dir": str(tmp_path / "cache")} if request.param == "disk" else {}
    with vfs.mounted(FsspecStorage(protocol, root, **options), spool=str(tmp_path / "spool"), **folder) as path:
        yield path


def saved_anew(file: Path, content: str) -> None:
    file.write_text(content)


def renamed_over(file: Path, content: str) -> None:
    """As git does with its index."""
    lock = file.with_name("lock")
    lock.write_text(content)
    lock.replace(file)


def in_another_directory(file: Path, content: str) -> None:
    """The directory gives its name to another, which has a file of that name."""
    new = file.parent.with_name("new")
    new.mkdir()
    (new / file.name).write_text(content)
    file.parent.rename(file.parent.with_name(f"before-{content}"))
    new.rename(file.parent)


@pytest.mark.parametrize("changed", [saved_anew, renamed_over, in_another_directory])
def test_what_is_changed_within_a_second_to_the_same_size_is_read(
    changed: Callable[[Path, str], None], mountpoint: Path, sftp_folder: SFTPFolder
) -> None:
    file, stored = mountpoint / "directory" / "index", sftp_folder.path / "directory" / "index"
    file.parent.mkdir()
    for number in range(100, 100 + ATTEMPTS):
        file.write_text(f"old {number}")
        assert file.read_text() == f"old {number}"
        before = int(stored.stat().st_mtime)
        changed(file, f"new {number}")
        assert file.read_text() == f"new {number}"
        if int(stored.stat().st_mtime) == before:
            return
    pytest.fail("each took more than a second")
