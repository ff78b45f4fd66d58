"""Where settings come from, when code does not set them. In this order; the first that defines a setting wins whole:

1. the file that `--config` names, else `$VFS_CONFIG`;
2. `./vfs.toml`;
3. the table `[tool.vfs]` of `./pyproject.toml`;
4. the user's `vfs/vfs.toml`, in `$XDG_CONFIG_HOME`, else `~/.config` (macOS: `~/Library/Application Support`);
5. the system's `vfs/vfs.toml`, in the folders of `$XDG_CONFIG_DIRS`, else `/etc/xdg` (macOS: `/Library/Application
   Support`), and then in `/etc`;
6. a Django project (`storage.conf.django_project`).

A configuration names code that will be imported. So files that nobody named, 2 to 4, are read only if nobody but root
and the caller could have written them; otherwise they are left out, with a warning that says why.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from storage.conf.configfile import PYPROJECT, ConfigFile, has_section, shown
from storage.conf.global_settings import SETTINGS
from storage.exceptions import ImproperlyConfigured

ENVIRONMENT_VARIABLE = "VFS_CONFIG"
_ETC = "/etc"
_MAC = sys.platform == "darwin"


class Source(Protocol):
    """Something that defines settings: a ConfigFile or the DjangoProject."""

    def defines(self, name: str) -> bool:
        """Whether this source has the setting."""

    def value(self, name: str) -> object:
        """The setting, which this source defines."""

    def origin_of(self, name: str) -> str:
        """Where the setting is defined, in words for people."""


class _LeftOutError(Exception):
    """A file is there, and is not read; says why."""


class Found(NamedTuple):
    """The files that are there, in order, and a sentence for each that was left out."""

    files: tuple[ConfigFile, ...]
    left_out: tuple[str, ...]

    def defines(self, name: str) -> bool:
        """Whether any of the files says anything about a setting."""
        return any(file.defines(name) for file in self.files)

    def values(self, *, strict: bool) -> dict[str, object]:
        """All that the files define; unless `strict`, without what cannot be told for want of a variable."""
        values: dict[str, object] = {}
        for name in SETTINGS:
            first = next((file for file in self.files if file.defines(name)), None)
            try:
                if first is not None:
                    values[name] = first.value(name)
            except ImproperlyConfigured:
                if strict:
                    raise
        return values


def find_files(config: Path | None, folder: Path | None) -> Found:
    """Read the configuration files of a process that was given `config` and that runs in `folder` (both absolute).

    None for `folder` where it was removed. ImproperlyConfigured for a file with mistakes, and for one that was named
    (`config`, $VFS_CONFIG) and cannot be read.
    """
    files: list[ConfigFile] = []
    left_out: list[str] = []
    seen: set[tuple[int, int]] = set()

    named = _named_file(config, folder)
    if named is not None:
        files.append(_read_named(named, "" if config else f" (named by ${ENVIRONMENT_VARIABLE})", seen))
    for path, vouched in _usual_places(folder):
        try:
            file = _read_usual(path, vouched, seen)
        except _LeftOutError as reason:
            left_out.append(f"{shown(path)} was left out: {reason}")
        else:
            files += [file] if file else []
    return Found(tuple(files), tuple(left_out))


def _named_file(config: Path | None, folder: Path | None) -> Path | None:
    if config is not None:
        return config
    variable = os.environ.get(ENVIRONMENT_VARIABLE)
    return Path(folder or "", variable) if variable else None


def _usual_places(folder: Path | None) -> Iterator[tuple[Path, bool]]:
    """Pairs of a path and whether its place vouches for it; what the environment says relatively is ignored (XDG)."""
    if folder is not None:
        yield folder / "vfs.toml", False
        yield folder / PYPROJECT, False
    yield _users_folder() / "vfs" / "vfs.toml", False
    system = os.environ.get("XDG_CONFIG_DIRS") or ("/Library/Application Support" if _MAC else "/etc/xdg")
    for place in (*system.split(":"), _ETC):
        if os.path.isabs(place):
            yield Path(place, "vfs", "vfs.toml"), True


def _users_folder() -> Path:
    variable = os.environ.get("XDG_CONFIG_HOME", "")
    if os.path.isabs(variable):
        return Path(variable)
    return Path(os.path.expanduser("~/Library/Application Support" if _MAC else "~/.config"))


def _read_named(path: Path, by: str, seen: set[tuple[int, int]]) -> ConfigFile:
    try:
        with path.open("rb") as stream:
            status = os.fstat(stream.fileno())
            content = stream.read()
    except FileNotFoundError as error:
        raise ImproperlyConfigured(f"There is no configuration file {shown(path)}{by}") from error
    except OSError as error:
        raise ImproperlyConfigured(f"Cannot read the configuration {shown(path)}{by}: {error.strerror}") from error
    seen.add((status.st_dev, status.st_ino))
    return ConfigFile(path, content)


def _read_usual(path: Path, vouched: bool, seen: set[tuple[int, int]]) -> ConfigFile | None:
    """The file if it is there and has something to say; _LeftOutError if it must not be read, or cannot be."""
    try:
        stream = open(path, "rb", opener=_open_without_waiting)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as error:
        if not os.access(path.parent, os.X_OK):
            return None  # in a folder that is closed to us: nobody can say that it is there
        raise _LeftOutError(error.strerror) from error
    with stream:
        status = os.fstat(stream.fileno())
        identity = status.st_dev, status.st_ino
        if identity in seen or not stat.S_ISREG(status.st_mode):
            return None
        seen.add(identity)
        content = stream.read()
    # Whatever else a pyproject.toml holds, and be it broken or somebody else's, is no business of ours.
    if path.name == PYPROJECT and not has_section(content):
        return None
    if not vouched:
        _require_trust(path, status)
    return ConfigFile(path, content)


def _open_without_waiting(path: str, flags: int) -> int:
    # Somebody may have put a FIFO there, whose writer never comes.
    return os.open(path, flags | os.O_NONBLOCK)


def _require_trust(path: Path, status: os.stat_result) -> None:
    """_LeftOutError unless only root and the caller could have written the file, or the link that led to it."""
    advice = "it names code to import; --config or $VFS_CONFIG reads it all the same"
    caller = os.geteuid()
    for owner in (status.st_uid, path.lstat().st_uid):
        if owner not in (0, caller):
            raise _LeftOutError(
                f"it belongs to user {owner}, not to root or to the caller (user {caller}), and {advice}"
            )
    # A group of one's own is usual (umask 002); any other may have members.
    if status.st_mode & stat.S_IWOTH or (status.st_mode & stat.S_IWGRP and status.st_gid not in (0, os.getegid())):
        raise _LeftOutError(f"others may write to it (mode {stat.S_IMODE(status.st_mode):04o}), and {advice}")
