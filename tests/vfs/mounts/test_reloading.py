"""Options that are changed on a running mount: what each then does, and what needs a new mount."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from backends import ObjectStorage
from places import Server, above_transports

import vfs
from storage import ContentFile, override_settings, settings
from storage.conf.configfile import ConfigFile
from storage.exceptions import ImproperlyConfigured
from vfs.cache import BlockCache, DiskCache
from vfs.cache.blocks import LEAST_MEMORY
from vfs.mounts.options import MountOptions, OptionError
from vfs.mounts.reloading import LIVE, Reloader, Said
from vfs.spool.spool import Spool
from vfs.testing.place import soon

Serve = Callable[..., Server]


def test_the_command_is_stronger_than_the_settings() -> None:
    with override_settings(MOUNT_OPTIONS={"photos": "timeout=1,drain=2,umask=077", "other": "ro"}):
        said = Said("photos", ("timeout=3",), {"write_back": "4", "spool_size": None})
        assert said.options() == MountOptions(timeout=3.0, drain=2.0, umask=0o77, write_back=4.0)
        assert Said("media").options() == MountOptions()


def test_relative_folders_stay_where_they_were_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, etc = tmp_path / "here", tmp_path / "etc"
    here.mkdir()
    etc.mkdir()
    (etc / "vfs.toml").write_text('[MOUNT_OPTIONS]\nphotos = "spool=waiting,cache_dir=../pieces,ro"\n')
    settings.configure(config=etc / "vfs.toml")
    monkeypatch.chdir(here)
    try:
        said = Said("photos", ("rw",), {"cache_dir": "read"})
        monkeypatch.chdir("/")
        assert said.options() == MountOptions(spool=str(etc / "waiting"), cache_dir=str(here / "read"))
        assert Said("photos").options().cache_dir == str(tmp_path / "pieces")
        with override_settings(MOUNT_OPTIONS={"photos": "spool=waiting"}):
            assert said.options().spool == str(here / "waiting"), "set in code, no file says where"
    finally:
        settings.configure()


@pytest.mark.parametrize("words", ["colour=red", "timeout=soon", 5, ["ro"]])
def test_a_mistake_in_the_settings_is_told_with_its_place(words: object) -> None:
    with (
        override_settings(MOUNT_OPTIONS={"photos": words}),
        pytest.raises(ImproperlyConfigured, match=r"set in code: MOUNT_OPTIONS\['photos'\]: "),
    ):
        Said("photos").options()


def test_a_mistake_of_the_command_is_no_mistake_of_the_settings() -> None:
    with pytest.raises(OptionError):
        Said("photos", ("colour=red",)).options()


def test_a_file_with_another_type_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"vfs.toml: MOUNT_OPTIONS\.photos must be a string"):
        ConfigFile(tmp_path / "vfs.toml", b"[MOUNT_OPTIONS]\nphotos = { ro = true }\n")


def test_every_option_that_is_live_is_an_option() -> None:
    assert LIVE.keys() <= {it.name for it in dataclasses.fields(MountOptions)}


def test_the_memory_of_the_cache_shrinks_and_grows(tmp_path: Path) -> None:
    cache = BlockCache(64 << 20, DiskCache(tmp_path, 1 << 20))
    cache.resize(1 << 30, 5)
    assert cache.status() == {"memory": 0, "memory_limit": (1 << 30) - (16 << 20), "disk": 0, "disk_limit": 5}
    cache.resize(0, 6)
    assert cache.status()["memory_limit"] == LEAST_MEMORY
    cache.close()


def test_a_spool_that_is_made_smaller_is_full(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.resize(10)
    content = spool.open()
    content.pwrite(b"x" * 8, 0)
    spool.resize(9)
    with pytest.raises(OSError, match="it may hold 9 bytes"):
        content.pwrite(b"y" * 4, 8)
    spool.resize(None)
    content.pwrite(b"y" * 4, 8)
    content.discard()
    spool.close()


@pytest.fixture
def objects(tmp_path: Path, rescue: None) -> Iterator[vfs.Mount]:
    (tmp_path / "mnt").mkdir()
    (tmp_path / "faults").mkdir()
    storage = ObjectStorage(str(tmp_path / "objects.sqlite"), str(tmp_path / "faults"))
    mount = vfs.mount(storage, tmp_path / "mnt", attr_timeout=3600.0)
    yield mount
    mount.unmount()


def reload(mount: vfs.Mount, words: str) -> tuple[list[str], list[str]]:
    """What is taken, and what needs a new mount, when the settings say `words`."""
    with override_settings(MOUNT_OPTIONS={"objects": f"attr_timeout=3600,{words}"}):
        found = Reloader(mount, Said("objects")).reload()
    return list(found.taken), found.remount


@pytest.mark.mount
class TestOfARunningMount:
    def test_names_and_attributes_are_believed_for_another_time(self, objects: vfs.Mount, tmp_path: Path) -> None:
        other = ObjectStorage(str(tmp_path / "objects.sqlite"))
        assert not (objects.mountpoint / "new").exists()
        other.save("new", ContentFile(b"content"))
        assert not (objects.mountpoint / "new").exists(), "that is believed for an hour"
        assert reload(objects, "attr_timeout=0") == (["attr_timeout"], [])
        objects.refresh()
        assert (objects.mountpoint / "new").stat().st_size == 7
        other.delete("new")
        other.save("new", ContentFile(b"longer content"))
        assert (objects.mountpoint / "new").stat().st_size == 14

    def test_a_storage_that_hangs_is_waited_for_as_long_as_it_says_now(
        self, objects: vfs.Mount, tmp_path: Path
    ) -> None:
        assert reload(objects, "timeout=0.2") == (["timeout"], [])
        (tmp_path / "faults/save").write_text("HANG")
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            (objects.mountpoint / "file").write_text("content")
        assert time.monotonic() - began < 10
        (tmp_path / "faults/save").unlink()
        assert soon(lambda: objects.filesystem.drain() == [])

    def test_the_end_waits_for_as_long_as_it_says_now(self, objects: vfs.Mount) -> None:
        assert reload(objects, "drain=2") == (["drain"], [])
        assert objects.drain_seconds == 2

    def test_a_guard_is_made_with_the_mount(self, objects: vfs.Mount) -> None:
        assert reload(objects, "timeout=0") == ([], ["timeout"])

    def test_what_was_taken_is_not_taken_again(self, objects: vfs.Mount) -> None:
        reloader = Reloader(objects, Said("objects"))
        with override_settings(MOUNT_OPTIONS={"objects": "attr_timeout=3600,drain=2,ro"}):
            assert list(reloader.reload().taken) == ["drain"]
            found = reloader.reload()
        assert (found.taken, found.remount) == ({}, ["ro"])

    def test_another_backend_needs_a_new_mount(self, objects: vfs.Mount) -> None:
        reloader = Reloader(objects, Said("objects", ("attr_timeout=3600",)))
        with override_settings(STORAGES={"objects": {"BACKEND": "storage.InMemoryStorage"}}):
            assert reloader.reload().remount == ["backend"]


@above_transports
@pytest.mark.mount
def test_a_configuration_that_cannot_be_read_changes_nothing(serve: Serve) -> None:
    server = serve("objects")
    daemon = server.daemon
    assert daemon is not None
    said = "not reloaded, and all is as it was"
    for number, wrong in enumerate(("[STORAGES", 'STORAGES = "x"', '[MOUNT_OPTIONS]\nobjects = "umaks=0"')):
        server.config.write_text(wrong)
        os.kill(daemon.pid, signal.SIGHUP)
        assert soon(lambda: server.logged().count(said) == 2 * number + 1)  # noqa: B023 - it is called at once
        with pytest.raises(OSError, match="the daemon answered: "):
            daemon.ask("reload")
    (server.mountpoint / "file").write_text("content")
    assert server.record == daemon
    server.config.write_text(
        '[STORAGES.objects]\nBACKEND = "nowhere.Storage"\n[MOUNT_OPTIONS]\nobjects = "drain=5,log_level=error"\n'
    )
    assert daemon.ask("reload") == {"taken": {"drain": 5.0, "log_level": "error"}, "remount": ["backend"]}
    assert server.record is not None
    assert server.record.options == {**daemon.options, "drain": 5.0, "log_level": "error"}
    assert daemon.ask("log", level=None, form=None)["level"] == "error"
    assert daemon.ask("metrics")["events"]["reload"] == {"refused": 6, "taken in part": 1}
    server.unmount()
