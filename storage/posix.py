"""The operating system's records of files, as entries; and the setting of attributes by descriptor."""

from __future__ import annotations

import os

from storage.entry import Entry, Kind
from storage.syscalls import set_times

_TYPE_BITS = 0o170000
_KIND_OF_TYPE = {kind.value: kind for kind in Kind}  # Kind(...) takes five times as long
_HAS_BIRTH_TIME = hasattr(os.stat_result, "st_birthtime")


def identity_of_stat(st: os.stat_result) -> tuple[int, int]:
    """Device and inode number: what `Entry.identity` is of a local file."""
    return st.st_dev, st.st_ino


def entry_of_stat(name: str, st: os.stat_result, target: str | None = None) -> Entry:
    """The entry called `name` (one component) that a `stat` or `lstat` result describes.

    Its version follows ctime too: mtime can be set back, and a file of the same size then looks unchanged.
    """
    mode, ino, size, mtime_ns, ctime_ns = st.st_mode, st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns
    return Entry(
        name,
        _KIND_OF_TYPE[mode & _TYPE_BITS],
        size,
        mtime_ns,
        st.st_atime_ns,
        ctime_ns,
        _birth_time_ns(st) if _HAS_BIRTH_TIME else None,
        f"{ino}-{size}-{mtime_ns}-{ctime_ns}",
        mode & 0o7777,
        st.st_uid,
        st.st_gid,
        st.st_nlink,
        st.st_rdev,
        identity_of_stat(st),
        target,
        st.st_blocks,
    )


def _birth_time_ns(st: os.stat_result) -> int:
    """When the file was made, where the platform's stat tells (macOS)."""
    seconds: float = getattr(st, "st_birthtime")  # noqa: B009  unknown to the stubs of other platforms
    return int(seconds * 1_000_000_000)


def set_attributes_of_fd(
    fd: int,
    *,
    mode: int | None = None,
    uid: int | None = None,
    gid: int | None = None,
    atime_ns: int | None = None,
    mtime_ns: int | None = None,
) -> None:
    """Change what is given of an open file: the owner first (which may clear mode bits), then mode, then times."""
    if uid is not None or gid is not None:
        os.fchown(fd, -1 if uid is None else uid, -1 if gid is None else gid)
    if mode is not None:
        os.fchmod(fd, mode)
    if atime_ns is not None or mtime_ns is not None:
        set_times(fd, None, atime_ns, mtime_ns)
