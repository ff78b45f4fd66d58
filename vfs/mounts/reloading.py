"""What can be changed of a mount that runs, by reading its configuration again.

The options of a mount are said by its command, and by the setting MOUNT_OPTIONS for its alias, over which the command
wins. Of those in `LIVE` a running mount takes a new value; for the others, and for another backend, it must be made
anew. A configuration that is wrong changes nothing.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from storage import settings, storages
from storage.exceptions import ImproperlyConfigured
from vfs.guard import GuardedStorage
from vfs.mounts.mounting import Mount
from vfs.mounts.options import LAST_WRITER_WINS, MountOptions, OptionError, parse_options
from vfs.watch.logs import LOG

logger = logging.getLogger("vfs")


def _current_folder() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:  # removed under us; only a relative folder needs it
        return ""


@dataclass(frozen=True)
class Said:
    """Which alias a command mounts, with which options, and where: a daemon goes elsewhere."""

    alias: str
    texts: tuple[str, ...] = ()
    """As after -o."""
    named: Mapping[str, str | None] = field(default_factory=dict)
    """Those that were given by themselves; None where they were not."""
    folder: str = field(default_factory=_current_folder)
    """What its relative folders are relative to; those of a file's settings are in the folder of that file."""

    def options(self) -> MountOptions:
        """All that is said by now; OptionError for the command's words, ImproperlyConfigured for the settings."""
        return parse_options(self.texts, self.named, over=self._configured(), folder=self.folder)

    def _configured(self) -> MountOptions:
        name = "MOUNT_OPTIONS"
        try:
            words = settings.MOUNT_OPTIONS.get(self.alias, "")
            return parse_options([words], folder=str(settings.folder_of(name) or self.folder))
        except (OptionError, AttributeError) as error:
            source = settings.explain(name)
            raise ImproperlyConfigured(f"{source}: {name}[{self.alias!r}]: {error}") from error


def _set_timeout(mount: Mount, options: MountOptions) -> bool:
    if not options.timeout or not mount.options.timeout:
        return False  # what guards the storage is there, or is not
    storage = mount.filesystem.storage
    if isinstance(storage, GuardedStorage):
        storage.guard.wait_for(options.timeout, storage.storage.deadline)
    return True


def _set_believed(mount: Mount, options: MountOptions) -> bool:
    if not mount.transport.believe(options):
        return False
    mount.filesystem.believe_for(options.believed(shared=False).here)
    return True


def _set_cache(mount: Mount, options: MountOptions) -> bool:
    mount.filesystem.contents.sources.resize(options.cache_memory, options.cache_size)
    return True


def _set_spool_size(mount: Mount, options: MountOptions) -> bool:
    mount.filesystem.contents.spool.resize(options.spool_size)
    return True


def _set_write_back(mount: Mount, options: MountOptions) -> bool:
    mount.filesystem.contents.uploads.write_back = options.write_back
    return True


def _set_on_conflict(mount: Mount, options: MountOptions) -> bool:
    mount.filesystem.contents.uploads.overwrites = options.on_conflict == LAST_WRITER_WINS
    return True


def _set_drain(mount: Mount, options: MountOptions) -> bool:
    mount.drain_seconds = options.drain
    return True


def _set_log(_: Mount, options: MountOptions) -> bool:
    LOG.change(options.log_level, options.log_format)
    return True


LIVE: dict[str, Callable[[Mount, MountOptions], bool]] = {
    "timeout": _set_timeout,
    "attr_timeout": _set_believed,
    "entry_timeout": _set_believed,
    "cache_memory": _set_cache,
    "cache_size": _set_cache,
    "spool_size": _set_spool_size,
    "write_back": _set_write_back,
    "on_conflict": _set_on_conflict,
    "drain": _set_drain,
    "log_level": _set_log,
    "log_format": _set_log,
}
"""By option, what gives a running mount the value in the options; says whether this mount can have it."""


@dataclass(frozen=True)
class Reloaded:
    """What became of a new configuration."""

    taken: dict[str, Any]
    """Options by name, with their new values."""
    remount: list[str]
    """What has changed, and takes a new mount: options, and "backend" where that or its options have."""


class Reloader:
    """Reads the configuration of one running mount again."""

    def __init__(self, mount: Mount, said: Said) -> None:
        """Of `mount`, which was made as `said`."""
        self._mount = mount
        self._said = said
        self._made_from = storages.backends.get(said.alias)
        self._lock = threading.Lock()

    @property
    def options(self) -> MountOptions:
        """What the mount has by now."""
        return self._mount.options

    def reload(self) -> Reloaded:
        """Take what can be taken; ImproperlyConfigured, OptionError: then nothing has changed."""
        with self._lock:
            try:
                settings.reload()
                wanted, has = self._said.options(), self._mount.options
            except BaseException:
                self._mount.events.add("reload", "refused")
                raise
            changed = [
                it.name for it in dataclasses.fields(wanted) if getattr(wanted, it.name) != getattr(has, it.name)
            ]
            taken = {
                name: getattr(wanted, name) for name in changed if name in LIVE and LIVE[name](self._mount, wanted)
            }
            self._mount.options = dataclasses.replace(has, **taken)
            remount = [name for name in changed if name not in taken]
            if storages.backends.get(self._said.alias) != self._made_from:
                remount.append("backend")
        self._mount.events.add("reload", "taken in part" if remount else "taken")
        logger.info("reloaded: %s", ", ".join(f"{name}={value}" for name, value in taken.items()) or "nothing is new")
        if remount:
            logger.warning("changed, and needs a new mount: %s", ", ".join(remount))
        return Reloaded(taken, remount)
