"""The errors of the package, as a tree.

    Exception
    ├── SuspiciousOperation                 (Django's)
    │   └── SuspiciousFileOperation         a name that leaves the storage, or that it cannot hold
    ├── ImproperlyConfigured                (Django's) a setting is missing or wrong
    │   └── InvalidStorageError             (Django's) an alias or a backend cannot be found
    └── OSError                             the builtins FileNotFoundError, FileExistsError, ... as they are, and
        ├── DirectoryNotEmptyError          ENOTEMPTY
        ├── StorageFullError                ENOSPC
        ├── FileInTheWayError               ENOTDIR, and a FileExistsError as in Django: a file where a directory is
        needed
        ├── VersionMismatchError            ESTALE: `if_version` lost against another writer
        └── NameTooLongError                ENAMETOOLONG

What a backend cannot do at all is a NotImplementedError, as in Django. Only what is known to be absent is a
FileNotFoundError; an outage is a ConnectionError or a TimeoutError.
"""

from __future__ import annotations

import errno
import os


class SuspiciousOperation(Exception):
    """The user did something suspicious."""


class SuspiciousFileOperation(SuspiciousOperation):
    """A file name leaves the storage, or is one that it cannot hold."""


class ImproperlyConfigured(Exception):
    """A setting is missing or wrong; the message says which, and where it came from."""


class InvalidStorageError(ImproperlyConfigured):
    """An alias is not in STORAGES, or its backend cannot be imported."""


class _CodedError(OSError):
    """An OSError whose class fixes the errno."""

    code = errno.EIO

    def __init__(self, name: str, message: str | None = None) -> None:
        super().__init__(self.code, message or os.strerror(self.code), name)


class DirectoryNotEmptyError(_CodedError):
    """A directory that has entries was to be removed or replaced."""

    code = errno.ENOTEMPTY


class StorageFullError(_CodedError):
    """The storage, or the limit set on it, has no room."""

    code = errno.ENOSPC


class VersionMismatchError(_CodedError):
    """The object is no longer the version that the caller based its content on."""

    code = errno.ESTALE


class NameTooLongError(_CodedError):
    """A name has more bytes than the backend can hold."""

    code = errno.ENAMETOOLONG


class FileInTheWayError(FileExistsError, NotADirectoryError):
    """A file stands where a directory is needed: Django's FileExistsError, with the errno of a NotADirectoryError."""

    def __init__(self, path: str) -> None:
        """Say it in Django's words."""
        super().__init__(f"{path} exists and is not a directory.")
        self.errno = errno.ENOTDIR


def os_error(code: int, name: str) -> OSError:
    """The OSError of an errno, of the builtin subclass that belongs to it, in the system's words."""
    return OSError(code, os.strerror(code), name)
