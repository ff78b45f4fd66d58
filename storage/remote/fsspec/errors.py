"""What filesystems of fsspec raise, in terms of this package's errors.

They translate themselves, and not always well: s3fs says FileNotFoundError for a bucket that is not there, the one for
FTP for whatever a server answers. So what they have translated is looked at first, where it is still to be had.
"""

from __future__ import annotations

import contextlib
import errno
import sys
from collections.abc import Iterator

from storage.exceptions import os_error
from storage.remote import errors
from storage.remote.secrets import without_secrets

_CODES: dict[type[OSError], int] = {
    FileExistsError: errno.EEXIST,
    IsADirectoryError: errno.EISDIR,
    NotADirectoryError: errno.ENOTDIR,
    PermissionError: errno.EACCES,
}
"""What belongs to an error that was raised without."""


@contextlib.contextmanager
def translating(name: str) -> Iterator[None]:
    """Raise what the block raises as this package would, `from` the original; what is not known passes as it is."""
    handled = sys.exception()
    try:
        yield
    except Exception as error:
        translated = translate(error, name, handled)
        if translated is error:
            raise
        raise translated from error


def translate(error: Exception, name: str, handled: BaseException | None = None) -> Exception:
    """The exception of ours that means the same; `error` itself where there is none.

    `handled` is what the caller was handling before, and so has nothing to do with it.
    """
    if isinstance(error, UnicodeError):
        return OSError(errno.EILSEQ, "The protocol has no bytes for this name", name)
    for kind, code in _CODES.items():
        if isinstance(error, kind):
            return error if error.errno else os_error(code, name)
    if isinstance(error, OSError) and errors.is_numbered_by_the_system(error):
        alike = type(os_error(error.errno or 0, name))
        if not isinstance(error, alike):  # smbprotocol has a class of its own
            return os_error(error.errno or 0, name)
    causes = _causes(error, handled)
    for cause in causes:
        known = errors.translate(cause, name)
        if known is not cause:
            return known
    known = errors.translate(error, name)
    if known is error or isinstance(error, FileNotFoundError):
        known = _outage_among(causes, error, name) or known
    if known is error and isinstance(error, OSError) and not error.errno:
        # Libraries over sockets say so in words alone: "Socket is closed", "Failure".
        closed = "closed" in str(error).lower() or "reset" in str(error).lower()
        return (ConnectionError if closed else OSError)(errno.EIO, without_secrets(str(error) or repr(error)), name)
    return known


def _outage_among(causes: list[Exception], error: Exception, name: str) -> OSError | None:
    """The outage that `error` comes of, which has no errno, and says no more than that it has found nothing."""
    if isinstance(error, NotImplementedError) or (isinstance(error, OSError) and error.errno):
        return None
    for cause in causes:
        for kind in (ConnectionError, TimeoutError):
            if isinstance(cause, kind):
                return kind(cause.errno, cause.strerror, name)
    return None


def _causes(error: BaseException, handled: BaseException | None) -> list[Exception]:
    """What `error` was raised from, the first of all before the others."""
    found: list[Exception] = []
    current = error
    while True:
        following = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
        if not isinstance(following, Exception) or following is handled or following in found:
            return found[::-1]
        found.append(following)
        current = following
