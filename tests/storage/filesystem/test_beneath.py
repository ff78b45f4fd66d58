"""Nothing outside the location is reached, whatever the names and links are and whoever moves them about."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storage import DirectoryNotEmptyError, NameTooLongError, SuspiciousFileOperation
from storage.filesystem import beneath as module
from storage.filesystem.beneath import DIRECTORY, Beneath
from storage.syscalls import openat2_works

FLIPS = 1500


@pytest.fixture(params=["openat2", "walk"], autouse=True)
def method(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to resolve a path."""
    if request.param == "walk":
        monkeypatch.setattr(module, "openat2_works", lambda: False)
    elif not openat2_works():
        pytest.skip("no openat2 here")
    return str(request.param)


@pytest.fixture
def location(tmp_path: Path) -> Path:
    """inside/a/b/file in a folder that has outside/b/file beside it."""
    for top in ("inside/a/b", "outside/b"):
        (tmp_path / top).mkdir(parents=True)
        (tmp_path / top / "file").write_text(top.partition("/")[0])
    (tmp_path / "outside" / "file").write_text("outside")
    return tmp_path / "inside"


@pytest.fixture
def beneath(location: Path) -> Iterator[Beneath]:
    before = descriptors()
    yield Beneath(str(location))
    assert descriptors() == before


def descriptors() -> int:
    return len(os.listdir("/dev/fd"))


def read(beneath: Beneath, name: str, *, follow: bool = False) -> str:
    with open(beneath.open(name, os.O_RDONLY, follow=follow)) as file:
        return file.read()


def test_a_location_behind_a_link_is_found_again_and_again(location: Path, tmp_path: Path) -> None:
    (tmp_path / "way").symlink_to(tmp_path)
    behind = Beneath(str(tmp_path / "way" / "inside"))
    (location / "a" / "link").symlink_to("b")
    for _ in range(3):
        assert read(behind, "a/b/file") == "inside"
        assert read(behind, "a/link/file", follow=True) == "inside"
        with pytest.raises(NotADirectoryError):
            read(behind, "a/link/file")


def test_names_at_any_depth(beneath: Beneath, location: Path) -> None:
    (location / "top").write_text("inside")
    (location / "a" / "file").write_text("inside")
    for name in ("top", "a/file", "a/b/file"):
        for follow in (False, True):
            assert read(beneath, name, follow=follow) == "inside"
        assert beneath.stat(name).st_ino == (location / name).stat().st_ino
    assert beneath.stat("").st_ino == location.stat().st_ino


def test_a_file_is_created_where_its_name_says(beneath: Beneath, location: Path) -> None:
    for name in ("new", "a/new", "a/b/new"):
        os.close(beneath.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        assert (location / name).is_file()
        with pytest.raises(FileExistsError):
            beneath.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


@pytest.mark.parametrize("depth", ["", "a/", "a/b/"])
def test_no_link_is_followed_strictly(beneath: Beneath, location: Path, depth: str) -> None:
    (location / depth / "link").symlink_to(location / "a" / "b")
    with pytest.raises(NotADirectoryError):
        beneath.stat(f"{depth}link/file")
    with pytest.raises(NotADirectoryError):
        beneath.open(f"{depth}link", os.O_RDONLY | os.O_DIRECTORY)
    with pytest.raises(NotADirectoryError):
        beneath.open(f"{depth}link/new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    assert beneath.stat(f"{depth}link").st_ino == (location / depth / "link").lstat().st_ino


@pytest.mark.parametrize("depth", ["", "a/", "a/b/"])
@pytest.mark.parametrize("absolute", [False, True])
def test_links_that_stay_inside_can_be_followed(beneath: Beneath, location: Path, depth: str, absolute: bool) -> None:
    up = f"{location}/" if absolute else "../" * depth.count("/")
    (location / depth / "directory").symlink_to(f"{up}a/b")
    (location / depth / "file-link").symlink_to(f"{up}a/b/file")
    assert read(beneath, f"{depth}directory/file", follow=True) == "inside"
    assert read(beneath, f"{depth}file-link", follow=True) == "inside"
    assert beneath.stat(f"{depth}file-link", follow=True).st_ino == (location / "a/b/file").stat().st_ino
    (location / depth / "dangling").symlink_to(f"{up}a/b/made")
    os.close(beneath.open(f"{depth}dangling", os.O_WRONLY | os.O_CREAT, 0o600, follow=True))
    assert (location / "a/b/made").is_file()


@pytest.mark.parametrize("depth", ["", "a/"])
@pytest.mark.parametrize("absolute", [False, True])
def test_links_to_the_outside_are_not_followed(beneath: Beneath, location: Path, depth: str, absolute: bool) -> None:
    up = f"{location.parent}/" if absolute else "../" * (depth.count("/") + 1)
    (location / depth / "link").symlink_to(f"{up}outside")
    (location / depth / "new").symlink_to(f"{up}outside/new")
    attempts: list[Callable[[], object]] = [
        lambda: read(beneath, f"{depth}link/file", follow=True),
        lambda: beneath.stat(f"{depth}link", follow=True),
        lambda: beneath.stat(f"{depth}link/b/file", follow=True),
        lambda: beneath.place(f"{depth}link/b", follow=True),
        lambda: beneath.open(f"{depth}new", os.O_WRONLY | os.O_CREAT, 0o600, follow=True),
        lambda: beneath.resolved(f"{depth}link"),
    ]
    for attempt in attempts:
        with pytest.raises(SuspiciousFileOperation, match="allow_outside_symlinks"):
            attempt()
    assert not (location.parent / "outside" / "new").exists()


def test_links_to_the_outside_can_be_allowed(location: Path) -> None:
    (location / "link").symlink_to(location.parent / "outside")
    (location / "file").symlink_to("../outside/file")
    allowed = Beneath(str(location), outside=True)
    assert read(allowed, "link/file", follow=True) == "outside"
    assert read(allowed, "file", follow=True) == "outside"
    where, name = allowed.resolved("link/b/file")
    assert (where.location, name) == (str(location.parent / "outside" / "b"), "file")
    with pytest.raises(NotADirectoryError):
        allowed.stat("link/file")


def test_a_location_that_is_a_link_itself_is_trusted(location: Path) -> None:
    alias = location.parent / "alias"
    alias.symlink_to(location)
    (location / "absolute").symlink_to(location / "a/b/file")
    (location / "by-alias").symlink_to(alias / "a/b/file")
    for name in ("a/b/file", "absolute", "by-alias"):
        assert read(Beneath(str(alias)), name, follow=True) == "inside"


def test_links_in_a_circle_end_in_an_error(beneath: Beneath, location: Path) -> None:
    (location / "one").symlink_to(location / "two")
    (location / "two").symlink_to("one")
    with pytest.raises(OSError) as caught:
        beneath.open("one", os.O_RDONLY, follow=True)
    assert caught.value.errno == errno.ELOOP


def test_errors_are_specific_and_tell_the_whole_path(beneath: Beneath, location: Path) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        beneath.stat("a/b/none")
    assert missing.value.filename == str(location / "a/b/none")
    with pytest.raises(NotADirectoryError):
        beneath.stat("a/b/file/x")
    for follow in (False, True):
        with pytest.raises(NameTooLongError):
            beneath.stat(f"a/b/{'x' * 256}", follow=follow)
    with pytest.raises(DirectoryNotEmptyError), beneath.place("a") as place:
        os.rmdir(place.name, dir_fd=place.fd)


def test_a_path_longer_than_the_system_takes(beneath: Beneath) -> None:
    parts = ["d" * 250] * 20
    for depth in range(len(parts)):
        with beneath.place("/".join(parts[: depth + 1])) as place:
            os.mkdir(place.name, dir_fd=place.fd)
    name = "/".join([*parts, "file"])
    os.close(beneath.open(name, os.O_WRONLY | os.O_CREAT, 0o600))
    assert beneath.stat(name).st_size == 0
    with beneath.place(name) as place:
        os.unlink(place.name, dir_fd=place.fd)
    for depth in reversed(range(len(parts))):
        with beneath.place("/".join(parts[: depth + 1])) as place:
            os.rmdir(place.name, dir_fd=place.fd)


@pytest.mark.parametrize("follow", [False, True])
def test_a_directory_that_turns_into_a_link_is_never_left_through_it(location: Path, follow: bool) -> None:
    """One thread swaps a/b for a link to the outside and back, while another goes through it."""
    beneath = Beneath(str(location))
    link, spare = location / "link", location / "spare"
    link.symlink_to(location.parent / "outside" / "b")
    done = threading.Event()

    def swap() -> None:
        directory = location / "a" / "b"
        while not done.is_set():
            directory.rename(spare)
            link.rename(directory)
            directory.rename(link)
            spare.rename(directory)

    thread = threading.Thread(target=swap)
    thread.start()
    seen: set[str] = set()
    deadline, tries = time.monotonic() + 60, 0
    try:
        # On a busy machine the two threads may take turns in step for long.
        while tries < FLIPS or (not ({"inside"} < seen) and time.monotonic() < deadline):
            tries += 1
            try:
                seen.add(read(beneath, "a/b/file", follow=follow))
            except SuspiciousFileOperation:
                seen.add("refused")
            except (FileNotFoundError, NotADirectoryError):
                seen.add("between")
    finally:
        done.set()
        thread.join()
    assert "inside" in seen
    assert "outside" not in seen
    assert len(seen) > 1


def test_places_close_their_descriptors_when_the_block_fails(beneath: Beneath) -> None:
    with pytest.raises(ZeroDivisionError), beneath.place("a/b/file"):
        _ = 1 / 0
    os.close(beneath.open("a/b", DIRECTORY))
