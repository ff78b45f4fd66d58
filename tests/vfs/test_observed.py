"""What a program is told of the changes that others make through its mount."""

from __future__ import annotations

import logging
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from backends import ObjectStorage
from places import TRANSPORTS

import vfs
from storage import Change, ContentFile, FileSystemStorage, InMemoryStorage
from vfs import observed

pytestmark = pytest.mark.mount
Watch = Callable[..., "Watched"]


class Watched:
    """A mount of this process, and what it tells."""

    def __init__(self, storage: Any, mountpoint: Path, transport: str, **options: Any) -> None:
        self.storage = storage
        self.path = mountpoint
        self.mount = vfs.mount(storage, mountpoint, transport=transport, **options)
        self.told: list[tuple[str, ...]] = []
        self.subscription = self.mount.on_change(self.on_change)

    def on_change(self, change: Change) -> None:
        self.told.append(tuple(word for word in change[:3] if isinstance(word, str)))

    def sh(self, script: str) -> None:
        """Let another process change something."""
        subprocess.run(["sh", "-ec", script], cwd=self.path, check=True)

    def all(self) -> list[tuple[str, ...]]:
        """What was told, until the end of the mount."""
        self.mount.unmount()
        return self.told


@pytest.fixture(params=["memory", "files", "objects"])
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(params=TRANSPORTS)
def watched(request: pytest.FixtureRequest, kind: str, tmp_path: Path, rescue: None) -> Iterator[Watched]:
    """A mount of a storage of each kind, over each transport."""
    (tmp_path / "mnt").mkdir()
    (tmp_path / "files").mkdir()
    storages = {
        "memory": InMemoryStorage,
        "files": lambda: FileSystemStorage(tmp_path / "files"),
        "objects": lambda: ObjectStorage(str(tmp_path / "objects.sqlite")),
    }
    made = Watched(storages[kind](), tmp_path / "mnt", request.param)
    yield made
    made.mount.unmount()


def test_each_change_is_told_once(watched: Watched) -> None:
    watched.sh("echo one > a; echo two > b; mkdir d; mv a d/c; echo more >> d/c; rm b")
    assert sorted(watched.all()) == sorted(
        [
            ("save", "a"),
            ("save", "b"),
            ("mkdir", "d"),
            ("rename", "a", "d/c"),
            ("save", "d/c"),
            ("delete", "b"),
        ]
    )


def test_what_changes_nothing_is_not_told(watched: Watched) -> None:
    watched.storage.save("read", ContentFile(b"content"))
    watched.sh("cat read > /dev/null; ls -l > /dev/null; : >> read; chmod 600 read; ! rm none 2> /dev/null")
    assert watched.all() == []


def test_what_the_program_does_itself_is_not_told(watched: Watched) -> None:
    watched.storage.save("own", ContentFile(b"content"))
    watched.storage.delete("own")
    watched.sh("echo theirs > theirs")
    assert watched.all() == [("save", "theirs")]


def test_empty_files_and_truncated_ones(watched: Watched) -> None:
    watched.sh("touch empty; echo content > full; truncate -s 3 full; : > full")
    assert sorted(watched.all()) == sorted([("save", "empty"), ("save", "full"), ("save", "full"), ("save", "full")])


def test_what_an_editor_does(watched: Watched) -> None:
    """A new file under another name takes the place of the old one."""
    watched.sh(
        "echo old > text; echo new > .text.tmp; mv .text.tmp text; mkdir d; mv text d; mv d e; rm e/text; rmdir e"
    )
    assert sorted(watched.all()) == sorted(
        [
            ("save", "text"),
            ("save", ".text.tmp"),
            ("rename", ".text.tmp", "text"),
            ("mkdir", "d"),
            ("rename", "text", "d/text"),
            ("rename", "d", "e"),
            ("delete", "e/text"),
            ("rmdir", "e"),
        ]
    )


def test_what_loses_its_name_while_it_is_open_is_told_before(watched: Watched) -> None:
    """As where the kernel has not said yet that it was closed."""
    with (watched.path / "a").open("w") as file:
        file.write("content")
        file.flush()
        os.fsync(file.fileno())
        os.rename(watched.path / "a", watched.path / "b")
        file.write(" and more")
    with (watched.path / "c").open("w") as file:
        file.write("content")
        file.flush()
        os.fsync(file.fileno())
        os.unlink(watched.path / "c")
    assert watched.all() == [("save", "a"), ("rename", "a", "b"), ("save", "b"), ("save", "c"), ("delete", "c")]


def test_it_is_stored_when_it_is_told(watched: Watched) -> None:
    found = []

    def read(change: Change) -> None:
        with watched.storage.open(change.name) as file:
            found.append(file.read())

    watched.mount.on_change(read)
    watched.sh("echo content > file")
    watched.all()
    assert found == [b"content\n"]


def test_who_is_told_may_use_the_mount(watched: Watched) -> None:
    """Nothing is held meanwhile, so what it does through the mount is done, and told as well."""

    def copy(change: Change) -> None:
        if change.name == "file":
            subprocess.run(["cp", "file", "copy"], cwd=watched.path, check=True)
            done.set()

    done = threading.Event()
    watched.mount.on_change(copy)
    watched.sh("echo content > file")
    assert done.wait(20)
    assert (watched.path / "copy").read_text() == "content\n"
    assert sorted(watched.all()) == sorted([("save", "file"), ("save", "copy")])


def test_who_fails_does_no_harm(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    def fail(change: Change) -> None:
        raise RuntimeError(change.name)

    watched.mount.on_change(fail)
    with caplog.at_level(logging.ERROR):
        watched.sh("echo one > a; echo two > b")
        assert sorted(watched.all()) == sorted([("save", "a"), ("save", "b")])
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [RuntimeError, RuntimeError]


def test_who_has_stopped_is_not_told(watched: Watched) -> None:
    watched.sh("echo one > a")
    os.stat(watched.path / "a")
    watched.subscription.stop()
    watched.sh("echo two > b")
    assert ("save", "b") not in watched.all()


def test_who_takes_for_ever_does_not_keep_the_mount(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(observed, "LAST_SECONDS", 0.1)
    forever = threading.Event()
    watched.mount.on_change(lambda change: bool(forever.wait(60)))
    watched.sh("echo one > a; echo two > b; cat a b")
    watched.all()
    assert "is not waited for" in caplog.text
    forever.set()


@pytest.mark.parametrize("kind", ["objects"], indirect=True)
def test_what_is_written_back_is_told_when_it_is_stored(watched: Watched) -> None:
    watched.mount.filesystem.contents.uploads.write_back = 3600.0
    watched.sh("echo one > a; mv a b; echo two > c; rm c")
    assert watched.told == []
    assert watched.all() == [("save", "b")]


def test_one_that_nobody_listens_to_does_not_look(tmp_path: Path) -> None:
    mount = vfs.Mount("memory", tmp_path)
    with pytest.raises(ValueError, match=r"vfs\.mount\(\)"):
        mount.on_change(lambda change: None)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        (
            "no_such_module.told",
            "No module named 'no_such_module'; what is installed is found, and what is in a folder of PYTHONPATH",
        ),
        ("os.no_such_function", "has no attribute 'no_such_function'"),
        ("os.sep", "it is a str"),
    ],
)
def test_a_listener_that_is_none_is_said_before_anything_is_mounted(path: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(vfs.MountError, match=f"on_change={path} names nothing that can be called.*{why}"):
        vfs.Mount("memory", tmp_path, vfs.MountOptions(on_change=path))
