"""From exceptions to errno: the one table, used by the guard of each transport and by nobody else.

A storage raises what it knows (`storage.exceptions`, Django's twins of those, or a library's own error). An OSError
that carries an errno of this system keeps it. Everything else is looked up by class, nearest class first, and by the
*name* of the class, so that Django's `SuspiciousFileOperation` and ours read the same though neither imports the other.
What is in no row is a bug or a library's private error: EIO, and its traceback goes to the log.
"""

from __future__ import annotations

import errno
import logging

logger = logging.getLogger("vfs")

ERRNO_OF_CLASS: dict[str, int] = {
    # Names and configuration (ours and Django's)
    "SuspiciousFileOperation": errno.EINVAL,
    "SuspiciousOperation": errno.EINVAL,
    "InvalidStorageError": errno.EIO,
    "ImproperlyConfigured": errno.EIO,
    # Ours with an errno of their own, named so that the table shows all of the package's errors
    "DirectoryNotEmptyError": errno.ENOTEMPTY,
    "StorageFullError": errno.ENOSPC,
    "VersionMismatchError": errno.ESTALE,
    "NameTooLongError": errno.ENAMETOOLONG,
    "FileInTheWayError": errno.ENOTDIR,
    # Builtins that were raised without an errno
    "FileNotFoundError": errno.ENOENT,
    "FileExistsError": errno.EEXIST,
    "NotADirectoryError": errno.ENOTDIR,
    "IsADirectoryError": errno.EISDIR,
    "PermissionError": errno.EACCES,
    "TimeoutError": errno.ETIMEDOUT,
    "ConnectionError": errno.EIO,
    "InterruptedError": errno.EINTR,
    "BlockingIOError": errno.EAGAIN,
    "NotImplementedError": errno.EOPNOTSUPP,
    "UnsupportedOperation": errno.EOPNOTSUPP,
    "UnicodeError": errno.EILSEQ,
    "MemoryError": errno.ENOMEM,
}
"""Class name -> errno, for exceptions that do not carry one."""

NUMBERED_OTHERWISE = frozenset({"gaierror", "herror", "SSLError"})
"""OSErrors whose `errno` is a number of the resolver or of OpenSSL; a failed connection, all of them."""


def errno_of(error: BaseException) -> int:
    """The errno for `error`, always positive; what the table does not know is EIO with a traceback in the log."""
    kind = type(error)
    if kind.__module__ != "builtins" and not NUMBERED_OTHERWISE.isdisjoint(cls.__name__ for cls in kind.__mro__):
        return errno.EIO
    # Whatever two arguments an OSError is made with, the first becomes its errno; the kernel takes no unknown ones.
    if isinstance(error, OSError) and isinstance(error.errno, int) and error.errno in errno.errorcode:
        return error.errno
    for cls in type(error).__mro__:
        if cls.__name__ in ERRNO_OF_CLASS:
            return ERRNO_OF_CLASS[cls.__name__]
    logger.error("unexpected %s, answered with EIO", type(error).__name__, exc_info=error)
    return errno.EIO
