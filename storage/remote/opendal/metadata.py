"""Attributes of POSIX in the user metadata of objects: the form that s3fs gave them, and rclone as far as it agrees.

    mode            st_mode, type included, as a decimal number; rclone writes it in octal, which is told apart
    uid, gid        decimal numbers
    mtime, atime    seconds since the epoch, with a fraction of nine digits; on Azure and Google Cloud rclone writes
                    dates of RFC 3339, which are read too

A symbolic link is an object of the type S_IFLNK whose content is the target. What has no mode is a plain file, and a
value that makes no sense is as none: anybody may write to a bucket.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

from storage.entry import Entry, Kind
from storage.listing import nanoseconds

UserMetadata = Mapping[str, str]

MARK = "vfswrite"
"""The key of what tells a store of this package from others; see `uploads`."""

_NOTHING: UserMetadata = MappingProxyType({})
_SECOND = 10**9
_SECONDS = re.compile(r"(-?\d{1,11})(?:\.(\d{1,9})\d*)?")
_NUMBER = re.compile(r"\d{1,10}")
_MOST_ID = 2**32 - 2
_TYPES = frozenset(kind.type_bits for kind in Kind) | {0}
_SHOWN = {kind.type_bits: kind for kind in (Kind.SYMLINK, Kind.FIFO, Kind.SOCKET)}
"""Of the other types the metadata tell too little: they are shown as the files that their objects are."""
_NO_LONGER_TRUE = frozenset({"ctime"})
"""What s3fs keeps and this does not: the service itself tells when an object was last touched."""


def described(entry: Entry, metadata: UserMetadata) -> Entry:
    """The entry of an object with what its metadata say; the time when it was stored becomes its ctime."""
    mode = _mode(metadata.get("mode"))
    mtime_ns = _time(metadata.get("mtime"))
    stored_ns = entry.mtime_ns if entry.ctime_ns is None else entry.ctime_ns
    return entry._replace(
        kind=entry.kind if mode is None else _SHOWN.get(stat.S_IFMT(mode), entry.kind),
        mode=None if mode is None else stat.S_IMODE(mode),
        uid=_identity(metadata.get("uid")),
        gid=_identity(metadata.get("gid")),
        mtime_ns=entry.mtime_ns if mtime_ns is None else mtime_ns,
        atime_ns=_time(metadata.get("atime")),
        ctime_ns=stored_ns,
    )


def metadata_of(
    changes: Mapping[str, int | None], before: UserMetadata = _NOTHING, *, kind: Kind = Kind.FILE
) -> dict[str, str]:
    """What there was `before`, with what of `changes` is not None; `kind` is that of an object which had no mode.

    The changes are those of `Storage.set_attributes()`: mode, uid, gid, atime_ns and mtime_ns.
    """
    metadata = {key: value for key, value in before.items() if key not in _NO_LONGER_TRUE}
    given = {key: value for key, value in changes.items() if value is not None}
    if "mode" in given:
        known = stat.S_IFMT(_mode(metadata.get("mode")) or 0)
        given["mode"] = (known or kind.type_bits) | stat.S_IMODE(given["mode"])
    metadata |= {key: str(given[key]) for key in ("mode", "uid", "gid") if key in given}
    return metadata | {key: _seconds(given[f"{key}_ns"]) for key in ("atime", "mtime") if f"{key}_ns" in given}


def _mode(text: str | None) -> int | None:
    """The mode; decimal unless that makes no sense: no octal mode that has a type is a decimal one too."""
    if text is None or not _NUMBER.fullmatch(text):
        return None
    for base in (10, 8):
        try:
            mode = int(text, base)
        except ValueError:
            continue
        if mode <= 0o177777 and stat.S_IFMT(mode) in _TYPES:
            return mode
    return None


def _identity(text: str | None) -> int | None:
    """A user or group."""
    if text is None or not _NUMBER.fullmatch(text) or int(text) > _MOST_ID:
        return None
    return int(text)


def _time(text: str | None) -> int | None:
    """Nanoseconds since the epoch."""
    found = _SECONDS.fullmatch(text) if text is not None else None
    if found is not None:
        return int(found[1]) * _SECOND + int((found[2] or "").ljust(9, "0"))
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return nanoseconds(moment) if moment.tzinfo is not None else None


def _seconds(ns: int) -> str:
    return f"{ns // _SECOND}.{ns % _SECOND:09}"
