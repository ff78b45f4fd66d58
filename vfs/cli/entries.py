"""Entries as people and programs read them."""

from __future__ import annotations

import functools
import stat
import time
from typing import TYPE_CHECKING, Any

from vfs import amounts
from vfs.cli.names import escape

if TYPE_CHECKING:
    from storage.entry import Entry

_NS = 1_000_000_000


def record(entry: Entry, path: str) -> dict[str, Any]:
    """An entry for JSON: what is not known is null, times are ISO 8601 in UTC, the mode is octal text."""
    return {
        "path": path,
        "name": entry.name,
        "kind": entry.kind.name.lower(),
        "size": entry.size,
        "modified": _iso(entry.mtime_ns),
        "accessed": _iso(entry.atime_ns),
        "changed": _iso(entry.ctime_ns),
        "created": _iso(entry.btime_ns),
        "mode": None if entry.mode is None else f"{entry.mode:04o}",
        "uid": entry.uid,
        "gid": entry.gid,
        "links": entry.nlink,
        "target": entry.target,
        "version": entry.version,
    }


def long_row(entry: Entry, *, exact: bool) -> list[str]:
    """The cells of `ls -l` before the name: mode, links, owner, group, size, time; "?" for what is not known."""
    return [
        mode_text(entry),
        "?" if entry.nlink is None else str(entry.nlink),
        "?" if entry.uid is None else user(entry.uid),
        "?" if entry.gid is None else group(entry.gid),
        "-" if entry.is_dir and entry.mode is None else amounts.size(entry.size, exact=exact),
        "?" if entry.mtime_ns is None else when(entry.mtime_ns),
    ]


def name_text(entry: Entry, name: str | None = None) -> str:
    """The name as a listing shows it: escaped, a directory with '/' at its end."""
    return escape(entry.name if name is None else name) + ("/" if entry.is_dir else "")


def mode_text(entry: Entry) -> str:
    """As in "drwxr-xr-x"; of storages that know no modes only the kind, as in "d"."""
    text = stat.filemode(entry.kind.value | (entry.mode or 0))
    return text[0] if entry.mode is None else text


def when(ns: int) -> str:
    """A time in the local zone, as in "2024-05-31 17:04"."""
    return _formatted("%Y-%m-%d %H:%M", ns)


def precisely(ns: int) -> str:
    """A time in the local zone with its nanoseconds and the zone."""
    return f"{_formatted('%Y-%m-%d %H:%M:%S', ns)}.{ns % _NS:09d} {time.strftime('%z', time.localtime())}"


def _formatted(form: str, ns: int) -> str:
    try:
        return time.strftime(form, time.localtime(ns // _NS))
    except (OverflowError, ValueError, OSError):  # beyond what the C library counts
        return f"@{ns // _NS}"


def _iso(ns: int | None) -> str | None:
    if ns is None:
        return None
    try:
        return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(ns // _NS))}.{ns % _NS:09d}Z"
    except (OverflowError, ValueError, OSError):
        return None


@functools.cache
def user(uid: int) -> str:
    """The user's name, or the number."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


@functools.cache
def group(gid: int) -> str:
    """The group's name, or the number."""
    import grp

    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
