"""The operating system's records of files, as entries; and the setting of attributes by descriptor."""

from __future__ import annotations

import os
import stat as _stat

from storage.entry import Entry, Kind


def entry_of_stat(name: str, st: os.stat_result, target: str | None = None) -> Entry:
    """The entry called `name` (one component) that a `stat` or `lstat` result describes."""
    return Entry(
        name=name,
        kind=Kind.of_mode(st.st_mode),
        size=st.st_size,
        mtime_ns=st.st_mtime_ns,
        atime_ns=st.st_atime_ns,
        ctime_ns=st.st_ctime_ns,
        btime_ns=_birth_time_ns(st),
        version=f"{st.st_ino:x}-{st.st_mtime_ns:x}-{st.st_size:x}",
        mode=_stat.S_IMODE(st.st_mode),
        uid=st.st_uid,
        gid=st.st_gid,
        nlink=st.st_nlink,
        rdev=st.st_rdev,
        identity=(st.st_dev, st.st_ino),
        target=target,
        blocks=st.st_blocks,
    )


def _birth_time_ns(st: os.stat_result) -> int | None:
    """When the file was made, where the platform's stat tells (macOS)."""
    seconds: float | None = getattr(st, "st_birthtime", None)
    return None if seconds is None else int(seconds * 1_000_000_000)


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
        st = os.fstat(fd)
        atime_ns = st.st_atime_ns if atime_ns is None else atime_ns
        mtime_ns = st.st_mtime_ns if mtime_ns is None else mtime_ns
        os.utime(fd, ns=(atime_ns, mtime_ns))
