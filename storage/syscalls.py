"""System calls that `os` does not have: openat2, renameat2, fallocate, and utimensat that leaves one time alone.

Each raises the OSError of its errno, and NotImplementedError where the system, the C library or the filesystem does
not have the call at all.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import sys

RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08

_SYS_OPENAT2 = 437  # the same on every architecture that Python is built for
_AT_FDCWD = -2 if sys.platform == "darwin" else -100
_AT_SYMLINK_NOFOLLOW = 0x20 if sys.platform == "darwin" else 0x100
_UTIME_OMIT = -2 if sys.platform == "darwin" else (1 << 30) - 2
_BILLION = 10**9
_ENCODING = sys.getfilesystemencoding()

_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class _Timespec(ctypes.Structure):
    _fields_ = (("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long))


_HOW_SIZE = ctypes.sizeof(_OpenHow)
if sys.platform == "linux":
    _syscall = _libc.syscall
    _syscall.restype = ctypes.c_long
    _syscall.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)


@functools.lru_cache(maxsize=256)
def _how(flags: int, mode: int, resolve: int) -> tuple[_OpenHow, int]:
    """The argument of openat2 and its address, made once for each combination: the kernel only reads it."""
    how = _OpenHow(flags | os.O_CLOEXEC, mode if flags & os.O_CREAT else 0, resolve)
    return how, ctypes.addressof(how)


def openat2(dir_fd: int | None, path: str, flags: int, mode: int, resolve: int) -> int:
    """Open `path` below the directory `dir_fd` (None: `path` is absolute) under the rules `resolve` (RESOLVE_...).

    Returns the descriptor, close-on-exec.

    EXDEV where RESOLVE_BENEATH is broken, ELOOP where RESOLVE_NO_SYMLINKS is, EAGAIN where a rename meanwhile leaves
    the kernel in doubt.
    """
    _, how = _how(flags, mode, resolve)
    encoded = _encoded(path)
    base = _AT_FDCWD if dir_fd is None else dir_fd
    while True:
        fd: int = _syscall(_SYS_OPENAT2, base, encoded, how, _HOW_SIZE)
        if fd >= 0:
            return fd
        code = ctypes.get_errno()
        if code != errno.EINTR:
            raise OSError(code, os.strerror(code), path)


@functools.cache
def openat2_works() -> bool:
    """Whether this kernel has openat2 (Linux 5.6) and the process may call it (seccomp filters answer EPERM)."""
    if sys.platform != "linux":
        return False
    root = os.open("/", os.O_PATH)
    try:
        os.close(openat2(root, ".", os.O_PATH, 0, RESOLVE_BENEATH))
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EPERM, errno.EINVAL):
            return False
        raise
    finally:
        os.close(root)
    return True


def renameat2(src_fd: int | None, src: str, dst_fd: int | None, dst: str, flags: int) -> None:
    """Rename with `flags` (1: never over an existing name, 2: exchange both), relative to descriptors or, with None,
    to the working directory.

    NotImplementedError where the system has no such call or the filesystem refuses the flag (EINVAL).
    """
    call = getattr(_libc, "renameat2", None)
    if call is None:
        raise NotImplementedError("This system cannot rename with flags.")
    source = _AT_FDCWD if src_fd is None else src_fd
    target = _AT_FDCWD if dst_fd is None else dst_fd
    if call(source, _encoded(src), target, _encoded(dst), ctypes.c_uint(flags)) == 0:
        return
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS):
        raise NotImplementedError("This filesystem cannot rename with these flags.")
    raise OSError(code, os.strerror(code), src, None, dst)


def fallocate(fd: int, mode: int, offset: int, length: int) -> None:
    """Make room for a range of bytes or give it back, by the bits of fallocate(2)'s `mode`.

    NotImplementedError where the system has no such call, or the filesystem not this mode. It never writes zeros
    instead, as posix_fallocate() of some C libraries does.
    """
    call = getattr(_libc, "fallocate64", None) or getattr(_libc, "fallocate", None)
    if call is None:
        raise NotImplementedError("This system cannot allocate ranges of files.")
    while call(fd, mode, ctypes.c_int64(offset), ctypes.c_int64(length)):
        code = ctypes.get_errno()
        if code in (errno.ENOSYS, errno.EOPNOTSUPP):
            raise NotImplementedError("This filesystem cannot allocate in this mode.")
        if code != errno.EINTR:
            raise OSError(code, os.strerror(code))


def set_times(fd: int | None, name: str | None, atime_ns: int | None, mtime_ns: int | None) -> None:
    """Set the times (ns) of `name` in the directory `fd` (None: the working directory), or of the open file `fd` where
    `name` is None; a time that is None stays as it is. A symbolic link is not followed.
    """
    times = (_Timespec * 2)(_timespec(atime_ns), _timespec(mtime_ns))
    if name is None:
        failed = _libc.futimens(fd, times)
    else:
        directory = _AT_FDCWD if fd is None else fd
        failed = _libc.utimensat(directory, _encoded(name), times, _AT_SYMLINK_NOFOLLOW)
    if failed:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), name)


def _timespec(time_ns: int | None) -> _Timespec:
    if time_ns is None:
        return _Timespec(0, _UTIME_OMIT)
    return _Timespec(*divmod(time_ns, _BILLION))


def _encoded(path: str) -> bytes:
    """The bytes of a path; C would take one with a NUL for a shorter one."""
    if "\0" in path:
        raise ValueError("embedded null byte")
    return path.encode(_ENCODING, "surrogateescape")
