"""What other libraries raise, in terms of this package's errors.

Not found is spelled in many ways, and so is an outage; the one must never be taken for the other, because what is
absent may be created, and what was cached of it forgotten. So only an answer that says "there is no such object" is a
FileNotFoundError. The libraries are not imported: their exceptions are known by class names, statuses and codes.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from typing import Any

from storage import exceptions
from storage.exceptions import StorageFullError, VersionMismatchError, os_error
from storage.remote.secrets import without_secrets

_NOT_FOUND = frozenset(
    {
        "ObjectDoesNotExistError",
        "ResourceNotFound",
        "ResourceNotFoundError",
        "NotFound",
        "NoSuchKey",
        "BlobNotFound",
        "SFTPNoSuchFile",
        "SFTPNoSuchPath",
    }
)
_DENIED = frozenset(
    {
        "AuthenticationException",
        "ForbiddenOperation",
        "NoCredentialsError",
        "PermissionDenied",
        "PermissionError",
        "SFTPPermissionDenied",
    }
)
_UNTRUSTED = frozenset({"BadHostKeyException", "HostKeyNotVerifiable"})
_NUMBERED_OTHERWISE = frozenset({"SSLError", "gaierror", "herror"})
"""OSErrors whose number is one of OpenSSL or of the resolver, and says something else here."""
_NO_WAY = frozenset({errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH})
"""What Python has no ConnectionError for."""
_NO_CERTIFICATE = "CERTIFICATE_VERIFY_FAILED"
"""OpenSSL's word, which clients hand on."""
_TIMED_OUT = frozenset({"ConnectTimeoutError", "FSTimeoutError", "ReadTimeoutError", "Timeout", "TimeoutError"})
_EXISTING = frozenset({"FileExistsError", "ResourceAlreadyExists", "ResourceExistsError", "SFTPFileAlreadyExists"})
_FULL = frozenset({"InsufficientStorage", "SFTPNoSpaceOnFilesystem", "SFTPQuotaExceeded"})
_UNREACHABLE = frozenset(
    {
        "ConnectionError",
        "EOFError",
        "EndpointConnectionError",
        "NoValidConnectionsError",
        "HTTPClientError",
        "BadGatewayError",
        "ClientConnectionError",
        "ClientPayloadError",
        "DisconnectError",
        "SFTPConnectionLost",
        "SFTPNoConnection",
        "SSHException",
        "SSLError",
        "ServiceRequestError",
        "ServiceResponseError",
        "TransportError",
        "ServiceUnavailable",
        "gaierror",
        "herror",
    }
)
# The container is not the object: to answer "no such file" for each of its files would hide a wrong configuration.
_NO_CONTAINER = ("NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted", "bucket does not exist")

_FTP_REFUSALS = ("501", "521", "550", "553")
_FTP_WORDS = {
    "no such": errno.ENOENT,
    "not found": errno.ENOENT,
    "can't find": errno.ENOENT,
    "does not exist": errno.ENOENT,
    "doesn't exist": errno.ENOENT,
    "not a directory": errno.ENOTDIR,
    "is a directory": errno.EISDIR,
    "not empty": errno.ENOTEMPTY,
    "name too long": errno.ENAMETOOLONG,
    "file exists": errno.EEXIST,
    "already exists": errno.EEXIST,
    "denied": errno.EACCES,
    "permission": errno.EACCES,
    "not permitted": errno.EACCES,
    "not enough privileges": errno.EACCES,
}
_TIMEOUT_STATUSES = (408, 504)
_BUSY_STATUSES = (429, 500, 502, 503)


@contextlib.contextmanager
def translating(name: str) -> Iterator[None]:
    """Raise what the block raises as this package would, `from` the original; what is not known passes as it is."""
    try:
        yield
    except Exception as error:
        translated = translate(error, name)
        if translated is error:
            raise
        raise translated from error


def translate(error: Exception, name: str) -> Exception:
    """The exception of ours that means the same; `error` itself where there is none."""
    names = {cls.__name__ for cls in type(error).__mro__}
    if isinstance(error, FileNotFoundError):
        return error if error.errno else os_error(errno.ENOENT, name)
    if isinstance(error, OSError) and is_numbered_by_the_system(error):
        return outage(error, name) or error
    if names & _EXISTING:
        return os_error(errno.EEXIST, name)
    if type(error).__module__ == "django.core.exceptions":
        ours = getattr(exceptions, type(error).__name__, None)
        return error if ours is None else ours(*error.args)
    if "FTPStorageException" in names:
        return _of_ftp(error, error.__context__, name)
    if type(error).__module__ == "ftplib":
        return _of_ftp(error, error, name)
    if any(code in _texts(error) for code in _NO_CONTAINER) or "ContainerDoesNotExistError" in names:
        return OSError(errno.EIO, f"The container does not exist: {_words(error)}", name)
    return _by_status(error, name) or _by_class(error, names, name) or error


def is_numbered_by_the_system(error: OSError) -> bool:
    """Whether it has an errno that says what it does everywhere."""
    return error.errno in errno.errorcode and _NUMBERED_OTHERWISE.isdisjoint(
        cls.__name__ for cls in type(error).__mro__
    )


def outage(error: OSError, name: str) -> OSError | None:
    """The ConnectionError or TimeoutError that an OSError with a number is or means; None where it means another."""
    if isinstance(error, ConnectionError | TimeoutError):
        return error
    code = error.errno or 0
    kind = ConnectionError if code in _NO_WAY else type(os_error(code, name))  # aiohttp has a class of its own
    return kind(code, _words(error), name) if issubclass(kind, ConnectionError | TimeoutError) else None


def _by_status(error: Exception, name: str) -> OSError | None:
    """By the status of the HTTP answer, where there was one."""
    match _status(error):
        case None:
            return None
        case 404:
            return os_error(errno.ENOENT, name)
        case 401 | 403:
            return os_error(errno.EACCES, name)
        case 412:
            return VersionMismatchError(name)
        case 507:
            return StorageFullError(name)
        case status if status in _TIMEOUT_STATUSES:
            return TimeoutError(errno.ETIMEDOUT, _words(error), name)
        case status if status in _BUSY_STATUSES:
            return ConnectionError(errno.EIO, _words(error), name)
    return None


def _by_class(error: Exception, names: set[str], name: str) -> OSError | None:
    """By the names of the exception's classes."""
    if names & _NOT_FOUND or "LookupError('not_found'" in str(error):  # the latter is Dropbox's
        return os_error(errno.ENOENT, name)
    if _NO_CERTIFICATE in str(error):  # which is no outage: nobody should go on asking until it passes
        return PermissionError(errno.EACCES, f"The server's certificate is not trusted: {_words(error)}", name)
    if names & _DENIED:
        return os_error(errno.EACCES, name)
    if names & _UNTRUSTED:
        return PermissionError(errno.EACCES, _words(error), name)
    if names & _FULL:
        return StorageFullError(name)
    if names & _TIMED_OUT:
        return TimeoutError(errno.ETIMEDOUT, _words(error), name)
    if names & _UNREACHABLE:
        return ConnectionError(errno.EIO, _words(error), name)
    return OSError(errno.EIO, _words(error), name) if "SFTPError" in names else None


def _of_ftp(error: Exception, said: BaseException | None, name: str) -> OSError:
    """FTP answers 550 for what is missing and for what is forbidden; only the words tell which."""
    reply = str(said or "").lower()
    if reply.startswith(_FTP_REFUSALS):
        for words, code in _FTP_WORDS.items():
            if words in reply:
                return os_error(code, name)
    if reply.startswith(("530", "532")):
        return os_error(errno.EACCES, name)
    if reply.startswith(("452", "552")):
        return StorageFullError(name)
    told = str(error) if said is error else f"{error}: {said}"
    return ConnectionError(errno.EIO, without_secrets(told), name)


def _words(error: Exception) -> str:
    """The text of an error without secrets of addresses, else what it is called.

    Of paramiko's it is without the "[Errno None]" that str() says.
    """
    words = (isinstance(error, OSError) and error.strerror) or str(error)
    return without_secrets(words) or type(error).__name__


def _status(error: Any) -> int | None:
    """The HTTP status: an attribute of the exception or of its response, or in botocore's dictionary."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return status if isinstance(status, int) else None
    for holder, attribute in (
        (error, "status_code"),
        (error, "http_status"),
        (error, "code"),
        (response, "status_code"),
    ):
        status = getattr(holder, attribute, None)
        if isinstance(status, int):
            return int(status)
    return None


def _texts(error: Any) -> str:
    """Where a code for people or programs may stand."""
    response = getattr(error, "response", None)
    code = response.get("Error", {}).get("Code", "") if isinstance(response, dict) else ""
    return f"{code} {getattr(error, 'error_code', '')} {error}"
