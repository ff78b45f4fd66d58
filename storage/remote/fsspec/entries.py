"""What filesystems of fsspec tell of a name, as an `Entry`.

Each gives a dictionary with "name", "size" and "type", and beside that what its protocol knows, under keys and in types
of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from storage.entry import Entry, Kind
from storage.listing import nanoseconds

Info = Mapping[str, Any]

_logger = logging.getLogger(__name__)
_KINDS = {"directory": Kind.DIRECTORY, "dir": Kind.DIRECTORY, "link": Kind.SYMLINK}
_NO_NAMES = frozenset({"", ".", ".."})

# In the order of what means the content; "created" stands for it where objects are only ever made anew.
_MODIFIED = (
    "mtime",
    "LastModified",
    "last_modified",
    "modified",
    "modify",
    "updated",
    "last_write_time",
    "modificationTime",
    "date_time",
)
_CREATED = ("creation_time", "timeCreated", "ctime")
_VERSIONS = ("generation", "ETag", "etag", "sha", "md5", "md5Hash", "unique")


def entry_of(info: Info) -> Entry:
    """The entry that `info` describes; its name is the last component."""
    name = str(info["name"]).rstrip("/").rpartition("/")[2]
    kind = Kind.SYMLINK if info.get("islink") else _KINDS.get(info.get("type", "file"), Kind.FILE)
    if kind is Kind.DIRECTORY:
        return Entry(name, kind, mtime_ns=_first_time(info, _MODIFIED))
    size = int(info.get("size") or 0)
    mtime_ns, btime_ns = _first_time(info, _MODIFIED), _first_time(info, _CREATED)
    if mtime_ns is None:
        mtime_ns = _first_time(info, ("created",))
    return Entry(
        name,
        kind,
        size=size,
        mtime_ns=mtime_ns,
        atime_ns=_first_time(info, ("time", "atime")),
        btime_ns=btime_ns,
        version=_version(info, size, mtime_ns),
        target=info.get("destination"),
    )


def entries_of(path: str, listed: Iterable[Info], can_name: Callable[[str], bool] = bool) -> Iterator[Entry]:
    """The entries of the directory `path`, each name once, a directory before a file of the same name.

    Listings hold the directory itself, as a marker object or else. What cannot be named is left out with one line in
    the log: of an object called `a//b` the listing shows a directory without a name, and what `can_name` says no to
    could be asked for by no request.
    """
    found: dict[str, Entry] = {}
    for info in listed:
        raw = str(info["name"])
        if raw.strip("/") == path.strip("/") and not (info.get("type") == "directory" and raw.endswith("//")):
            continue
        entry = entry_of(info)
        if raw.endswith("//") or entry.name in _NO_NAMES or "\0" in entry.name or not can_name(entry.name):
            _logger.warning("%r in the listing of %r cannot be named as a file, and is left out", raw, path)
        elif entry.name not in found:
            found[entry.name] = entry
        else:
            _logger.warning("The file %r in %r is hidden by a directory of the same name", entry.name, path)
            found[entry.name] = entry if entry.is_dir else found[entry.name]
    yield from found.values()


def _version(info: Info, size: int, mtime_ns: int | None) -> str | None:
    """What changes with the content: the protocol's own token, else time and size, the inode too where it is told."""
    for key in _VERSIONS:
        if info.get(key):
            own = str(info[key])
            # An FTP server's "unique" is the inode, which a file that is written in place keeps.
            return f"{own}-{info.get('modify')}-{size}" if key == "unique" else own.removeprefix("W/").strip('"')
    if mtime_ns is None:
        return f"{info['modify']}-{size:x}" if "modify" in info else None
    return f"{mtime_ns:x}-{size:x}-{info['ino']:x}" if "ino" in info else f"{mtime_ns:x}-{size:x}"


def _first_time(info: Info, keys: Iterable[str]) -> int | None:
    for key in keys:
        moment = _nanoseconds(info.get(key))
        if moment is not None:
            return moment
    return None


def _nanoseconds(moment: Any) -> int | None:
    """Nanoseconds since the epoch of a time in any of the forms that occur; None for what is not understood."""
    match moment:
        case datetime():
            return nanoseconds(moment)
        case bool() | None:
            return None
        case int() | float():
            seconds = moment / 1000 if moment > 10**11 else moment  # Hadoop counts milliseconds
            return round(seconds * 10**6) * 1000  # a float has no nanoseconds to tell
        case (int(), *_) as parts:  # of an archive, without a zone: what a clock on the wall has shown
            return nanoseconds(datetime(*parts[:6]))
        case str():
            return _of_text(moment)
    return None


def _of_text(moment: str) -> int | None:
    """ISO 8601, which FTP's 20240131235959.123 is as well but for a "T"."""
    text = f"{moment[:8]}T{moment[8:]}" if moment[:14].isdigit() else moment
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    return nanoseconds(parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC))
