"""The options of a mount: `-o ro,uid=1000,...` as text, and `MountOptions` for everybody else."""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

KEEP_BOTH, LAST_WRITER_WINS = ON_CONFLICT = ("keep-both", "last-writer-wins")
"""The close that comes later fails, and its content is kept beside; or it wins, and the other content is gone."""

TEXT, JSON = LOG_FORMATS = ("text", "json")
"""Lines for people, or an object of JSON on each for programs."""
LOG_LEVELS = ("debug", "info", "warning", "error")

REMOTE_SECONDS = 5.0
"""How long is believed what a storage said that waits for a network."""


class OptionError(ValueError):
    """A mount option is unknown or has a value that it cannot have; the message says which are valid."""


class Believed(NamedTuple):
    """For how many seconds is believed what a storage said that waits for a network: one after the other."""

    here: float
    """By the mount."""
    attributes: float
    """Attributes by the kernel, from when the mount has told it."""
    names: float
    """Names by the kernel."""


@dataclass(frozen=True, slots=True)
class MountOptions:
    """How a storage is mounted. Times are seconds, `size` is bytes; None leaves the choice to storage and transport."""

    ro: bool = False
    """Refuse every change with EROFS."""
    allow_other: bool = False
    """Let other users than the one that mounts in; the permission bits still hold."""
    noexec: bool = False
    """Run no programs that lie there. Neither set-user-ID bits nor devices count in any mount."""
    uid: int | None = None
    """Show this owner for everything."""
    gid: int | None = None
    """Show this group for everything."""
    umask: int | None = None
    """Take these bits off every mode shown."""
    attr_timeout: float | None = None
    """How long attributes are believed before the storage is asked again."""
    entry_timeout: float | None = None
    """How long names are believed before the storage is asked again."""
    size: int | None = None
    """The room there is: a limit for in-memory storage, what `df` shows for one without figures of its own."""
    xattr: bool = False
    """Offer the storage's extended attributes (each write then costs a request more)."""
    threads: bool | None = None
    """Serve requests in several threads; by default where the storage may wait for a network."""
    spin: bool = True
    """Let the kernel transport wait awake for a moment where requests follow closely, which saves their wake-up."""
    cache_memory: int = 48 << 20
    """How many bytes of what was read are kept in memory, at least 8 MiB."""
    cache_dir: str | None = None
    """The folder in which what was read is kept as well, for the next mount too; by default it is not."""
    cache_size: int = 10 << 30
    """How many bytes are kept there."""
    timeout: float = 30.0
    """How long a storage that waits for a network may make no progress, before that is an error; 0 waits for ever."""
    spool: str | None = None
    """The folder in which what is written waits for the storage; by default one of the user's."""
    spool_size: int | None = None
    """How many bytes may wait there."""
    write_back: float | None = None
    """Let close() return before the storage has the content, which it gets after so many seconds."""
    drain: float = 30.0
    """How long the end of the mount waits for the storage to take what is pending; the rest is left to the next one."""
    on_conflict: str = KEEP_BOTH
    """What becomes of a content when somebody else has changed what it was made from: one of `ON_CONFLICT`."""
    on_change: str | None = None
    """The dotted path of a function that is called with the alias, and a `storage.Change`, after each change that
    others make through the mount, in the process that serves it."""
    log_level: str = "info"
    """From which level on a daemon logs: one of `LOG_LEVELS`."""
    log_format: str = TEXT
    """What the lines of the daemon's log are: one of `LOG_FORMATS`."""

    def believed(self, *, shared: bool) -> Believed:
        """How the times are shared out, most of them to the mount itself, which knows of its changes.

        By default `REMOTE_SECONDS`, and none for a storage that is `shared` with the program that mounts it.
        """
        attributes = (0.0 if shared else REMOTE_SECONDS) if self.attr_timeout is None else self.attr_timeout
        names = attributes if self.entry_timeout is None else self.entry_timeout
        here = 0.8 * attributes
        return Believed(here, attributes - here, max(names - here, 0.0))


_MOST_SECONDS = (1 << 31) - 1
"""Of which there are 68 years, and which clocks, locks and the kernel can all count."""
_MOST_BYTES = (1 << 63) - 1
_MOST_IDENTITY = (1 << 32) - 2
"""One more is -1, which stands for none."""
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}


def parse_size(text: str) -> int:
    """Bytes from "4096", "64k", "1.5G" or "10GiB" (powers of 1024); OptionError otherwise."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgtp]?)(?:i?b)?", text.strip(), re.IGNORECASE)
    if match is None:
        raise OptionError(f"{text!r} is not a size: write bytes, or a number with K, M, G or T, such as 512M")
    size = float(match[1]) * _UNITS[match[2].lower()]
    if size > _MOST_BYTES:
        raise OptionError(f"{text!r} is too much: a size is below 8192P")
    return int(size)


def _user(text: str) -> int:
    import pwd

    return _identity(text, "user", lambda name: pwd.getpwnam(name).pw_uid)


def _group(text: str) -> int:
    import grp

    return _identity(text, "group", lambda name: grp.getgrnam(name).gr_gid)


def _identity(text: str, what: str, find: Callable[[str], int]) -> int:
    if text.isdecimal():
        if float(text) > _MOST_IDENTITY:
            raise OptionError(f"{text!r} is no number of a {what}: the last is {_MOST_IDENTITY}")
        return int(text)
    try:
        return find(text)
    except KeyError:
        raise OptionError(f"there is no {what} called {text!r}") from None


def _octal(text: str) -> int:
    if not re.fullmatch(r"0*[0-7]{1,4}", text):
        raise OptionError(f"{text!r} is not an umask: write it in octal, such as 022")
    return int(text, 8)


def _seconds(text: str) -> float:
    if not re.fullmatch(r"\d+(\.\d+)?", text):
        raise OptionError(f"{text!r} is not a time: write seconds, such as 1 or 0.5")
    if float(text) > _MOST_SECONDS:
        raise OptionError(f"{text!r} is too long: there are at most {_MOST_SECONDS} seconds")
    return float(text)


def _one_of(choices: tuple[str, ...], what: str) -> Callable[[str], str]:
    """What takes one of these words; of another it says `what` that is."""

    def take(text: str) -> str:
        if text not in choices:
            valid = (" and " if len(choices) == 2 else ", ").join(choices)
            raise OptionError(f"{text!r} is {what}: valid are {valid}")
        return text

    return take


def _dotted_path(text: str) -> str:
    if "." not in text or not all(part.isidentifier() for part in text.split(".")):
        raise OptionError(f"{text!r} is not the path of a function: write it with dots, such as reports.changes.told")
    return text


_FOLDERS = ("cache_dir", "spool")
_FLAGS = {
    "ro": ("ro", True),
    "rw": ("ro", False),
    "allow_other": ("allow_other", True),
    "noexec": ("noexec", True),
    "exec": ("noexec", False),
    "xattr": ("xattr", True),
    "noxattr": ("xattr", False),
    "threads": ("threads", True),
    "nothreads": ("threads", False),
    "spin": ("spin", True),
    "nospin": ("spin", False),
}
_VALUES: dict[str, Callable[[str], Any]] = {
    "uid": _user,
    "gid": _group,
    "umask": _octal,
    "attr_timeout": _seconds,
    "entry_timeout": _seconds,
    "size": parse_size,
    "cache_memory": parse_size,
    "cache_dir": os.path.expanduser,
    "cache_size": parse_size,
    "timeout": _seconds,
    "spool": os.path.expanduser,
    "spool_size": parse_size,
    "write_back": _seconds,
    "drain": _seconds,
    "on_conflict": _one_of(ON_CONFLICT, "nothing to do on a conflict"),
    "on_change": _dotted_path,
    "log_level": _one_of(LOG_LEVELS, "not a log level"),
    "log_format": _one_of(LOG_FORMATS, "no format of a log"),
}
_IMPLYING = {"user": _FLAGS["noexec"], "users": _FLAGS["noexec"]}
"""By these of fstab others may mount than root, and what runs there is not theirs to say; an exec that follows wins."""
_IGNORED = re.compile(
    r"defaults|default_permissions|auto|noauto|nouser|user=.*|owner|group|_netdev|nofail|async|sync|dirsync"
    r"|(no)?(rel|strict)?atime|(no)?diratime|(no)?lazytime|(no)?iversion|(no)?mand|silent|loud"
    r"|(no)?dev|(no)?suid|[xX]-.*|comment=.*"
)
"""What mount(8) and fstab put among the options and what is not ours to do, or makes no difference here."""


def parse_options(
    texts: Iterable[str],
    named: Mapping[str, str | None] | None = None,
    *,
    over: MountOptions | None = None,
    folder: str = "",
) -> MountOptions:
    """The options in `texts`, each a comma-separated list as after `-o`; later ones win. OptionError.

    `named` are options with a value that were given by themselves; those that are None were not. What is not said is as
    in `over`. Relative folders are in `folder`, by default the current one.
    """
    values: dict[str, Any] = {}
    for option in (part for text in texts for part in text.split(",") if part):
        name, equals, value = option.partition("=")
        flag = None if equals else _FLAGS.get(name) or _IMPLYING.get(name)
        if flag is not None:
            values[flag[0]] = flag[1]
        elif name in _VALUES:
            if not value:
                raise OptionError(f"the mount option {name!r} needs a value: {name}=...")
            values[name] = _value(name, value)
        elif name in _FLAGS:
            raise OptionError(f"the mount option {name!r} takes no value")
        elif not _IGNORED.fullmatch(option):
            raise OptionError(_unknown(name))
    values |= {name: _value(name, value) for name, value in (named or {}).items() if value is not None}
    values |= {name: os.path.abspath(os.path.join(folder, values[name])) for name in _FOLDERS if name in values}
    return dataclasses.replace(over or MountOptions(), **values)


def _value(name: str, text: str) -> Any:
    try:
        return _VALUES[name](text)
    except OptionError as error:
        raise OptionError(f"the mount option {name!r}: {error}") from error


def _unknown(name: str) -> str:
    valid = sorted((*_FLAGS, *_VALUES))
    near = difflib.get_close_matches(name, valid, 1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown mount option {name!r}: {hint}valid are {', '.join(valid)}"


def describe(options: MountOptions) -> dict[str, Any]:
    """The options that differ from the default, for `vfs status`."""
    return {
        field.name: value
        for field in dataclasses.fields(options)
        if (value := getattr(options, field.name)) != field.default
    }
