"""The options of a mount: `-o ro,uid=1000,...` as text, and `MountOptions` for everybody else."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any


class OptionError(ValueError):
    """A mount option is unknown or has a value that it cannot have; the message says which are valid."""


@dataclass(frozen=True, slots=True)
class MountOptions:
    """How a storage is mounted. Times are seconds, `size` is bytes; None leaves the choice to storage and transport."""

    ro: bool = False
    """Refuse every change with EROFS."""
    allow_other: bool = False
    """Let other users than the one that mounts in; the permission bits still hold."""
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


_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}


def parse_size(text: str) -> int:
    """Bytes from "4096", "64k", "1.5G" or "10GiB" (powers of 1024); OptionError otherwise."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgtp]?)(?:i?b)?", text.strip(), re.IGNORECASE)
    if match is None:
        raise OptionError(f"{text!r} is not a size: write bytes, or a number with K, M, G or T, such as 512M")
    return int(float(match[1]) * _UNITS[match[2].lower()])


def _user(text: str) -> int:
    import pwd

    return _identity(text, "user", lambda name: pwd.getpwnam(name).pw_uid)


def _group(text: str) -> int:
    import grp

    return _identity(text, "group", lambda name: grp.getgrnam(name).gr_gid)


def _identity(text: str, what: str, find: Callable[[str], int]) -> int:
    if text.isdecimal():
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
    return float(text)


_FLAGS = {
    "ro": ("ro", True),
    "rw": ("ro", False),
    "allow_other": ("allow_other", True),
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
}
_IGNORED = re.compile(
    r"defaults|default_permissions|auto|noauto|(no)?user|users|_netdev|nofail|async|(no)?(rel)?atime|(no)?dev|(no)?suid|(no)?exec|x-.*|comment=.*"
)
"""What mount(8) and fstab put among the options and what is not ours to do."""


def parse_options(texts: Iterable[str]) -> MountOptions:
    """The options in `texts`, each a comma-separated list as after `-o`; later ones win. OptionError."""
    values: dict[str, Any] = {}
    for option in (part for text in texts for part in text.split(",") if part):
        name, equals, value = option.partition("=")
        if not equals and name in _FLAGS:
            key, values[key] = _FLAGS[name][0], _FLAGS[name][1]
        elif name in _VALUES:
            if not value:
                raise OptionError(f"the mount option {name!r} needs a value: {name}=...")
            values[name] = _VALUES[name](value)
        elif name in _FLAGS:
            raise OptionError(f"the mount option {name!r} takes no value")
        elif not _IGNORED.fullmatch(option):
            raise OptionError(_unknown(name))
    return MountOptions(**values)


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
