"""What is raised elsewhere, in terms of this package: the exceptions here have the shapes of the real ones."""

from __future__ import annotations

import errno
import ftplib
import http
import socket
import ssl
from collections.abc import Callable
from typing import Any

import pytest

from storage import ImproperlyConfigured, StorageFullError, SuspiciousFileOperation, VersionMismatchError
from storage.remote.errors import translate, translating


def named(class_name: str, *args: Any, module: str = "library", **attributes: Any) -> Exception:
    """An exception of a class with this name."""
    error: Exception = type(class_name, (Exception,), {"__module__": module} | attributes)(*args)
    return error


def of_botocore(code: str, status: int) -> Exception:
    """As botocore makes it from an answer."""
    response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return named("ClientError", f"An error occurred ({code})", response=response)


def of_requests(status: int) -> Exception:
    """As requests and others make it, with the response."""
    return named("HTTPError", f"{status}", response=type("Response", (), {"status_code": status})())


def of_ftp(reply: BaseException) -> Exception:
    """As django-storages makes it: the reason is only in the context."""
    error = named("FTPStorageException", "Error reading file a")
    error.__context__ = reply
    return error


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError("File does not exist: a"),
        FileNotFoundError(errno.ENOENT, "No such file", "a"),
        of_botocore("404", 404),
        of_botocore("NoSuchKey", 404),
        of_requests(404),
        named("ResourceNotFoundError", "no such blob", status_code=404, error_code="BlobNotFound"),
        named("NotFound", "404 GET", code=http.HTTPStatus.NOT_FOUND),
        named("ClientException", "Object HEAD failed", http_status=404),
        named("ObjectDoesNotExistError", "a"),
        named("ApiError", "GetMetadataError('path', LookupError('not_found', None))"),
        of_ftp(ftplib.error_perm("550 a: No such file or directory")),
        of_ftp(ftplib.error_perm("550 Can't find file")),
    ],
    ids=repr,
)
def test_not_found(error: Exception) -> None:
    translated = translate(error, "a")
    assert isinstance(translated, FileNotFoundError)
    assert translated.errno == errno.ENOENT


@pytest.mark.parametrize(
    "error",
    [
        of_botocore("NoSuchBucket", 404),
        named("ResourceNotFoundError", "Gone", status_code=404, error_code="ContainerNotFound"),
        named("NotFound", "404 The specified bucket does not exist.", code=404),
        named("ContainerDoesNotExistError", "b"),
        of_botocore("SlowDown", 503),
        of_requests(500),
        of_ftp(ftplib.error_temp("421 Service not available")),
        of_ftp(ftplib.error_perm("550 Failed")),
        of_ftp(EOFError()),
        of_ftp(ConnectionResetError(errno.ECONNRESET, "reset")),
        named("EndpointConnectionError", "Could not connect"),
        named("SSHException", "Server connection dropped"),
        named("ReadTimeoutError", "timed out"),
        TimeoutError("timed out"),
        EOFError(),
        RuntimeError("not_found"),
    ],
    ids=repr,
)
def test_what_is_not_an_absence_never_reads_as_one(error: Exception) -> None:
    assert not isinstance(translate(error, "a"), FileNotFoundError)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (of_botocore("403", 403), PermissionError),
        (of_requests(401), PermissionError),
        (named("AuthenticationException", "denied"), PermissionError),
        (PermissionError("denied"), PermissionError),
        (of_ftp(ftplib.error_perm("550 Permission denied")), PermissionError),
        (of_botocore("PreconditionFailed", 412), VersionMismatchError),
        (of_requests(507), StorageFullError),
        (of_requests(504), TimeoutError),
        (named("ConnectTimeoutError", "timed out"), TimeoutError),
        (of_botocore("SlowDown", 503), ConnectionError),
        (of_requests(429), ConnectionError),
        (named("ServiceRequestError", "unreachable"), ConnectionError),
        (of_ftp(ftplib.error_temp("421 Service not available")), ConnectionError),
        (EOFError(), ConnectionError),
    ],
    ids=repr,
)
def test_other_errors_of_the_system_s_kind(error: Exception, expected: type[OSError]) -> None:
    translated = translate(error, "a")
    assert isinstance(translated, expected)
    assert translated.errno


def test_a_name_that_is_too_long_for_a_server_of_ftp() -> None:
    translated = translate(of_ftp(ftplib.error_perm("550 File name too long.")), "a")
    assert isinstance(translated, OSError)
    assert translated.errno == errno.ENAMETOOLONG


class OfAiohttpError(OSError):
    """As aiohttp's: the number of the system, and no class of it."""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), ConnectionError),
        (socket.herror(1, "Unknown host"), ConnectionError),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), ConnectionError),
        (OSError(errno.EHOSTUNREACH, "No route to host"), ConnectionError),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), ConnectionError),
        (OfAiohttpError(errno.ECONNREFUSED, "Cannot connect"), ConnectionRefusedError),
        (OfAiohttpError(errno.ETIMEDOUT, "Cannot connect"), TimeoutError),
        (ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] self-signed"), PermissionError),
        (named("SSLError", "SSL validation failed: [SSL: CERTIFICATE_VERIFY_FAILED]"), PermissionError),
    ],
    ids=repr,
)
def test_what_has_no_class_or_number_of_an_outage(error: Exception, expected: type[OSError]) -> None:
    translated = translate(error, "a")
    assert isinstance(translated, expected)
    assert translated.errno in errno.errorcode
    assert str(error.args[-1]) in str(translated)


def test_a_missing_container_is_said_to_be_missing() -> None:
    translated = translate(of_botocore("NoSuchBucket", 404), "a")
    assert isinstance(translated, OSError)
    assert translated.errno == errno.EIO
    assert "The container does not exist" in str(translated)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("SuspiciousFileOperation", SuspiciousFileOperation), ("ImproperlyConfigured", ImproperlyConfigured)],
)
def test_those_of_django(name: str, expected: type[Exception]) -> None:
    translated = translate(named(name, "why", module="django.core.exceptions"), "a")
    assert type(translated) is expected
    assert translated.args == ("why",)


def test_a_text_without_a_number_is_told_without_one() -> None:
    error: OSError = type("NoValidConnectionsError", (OSError,), {})(None, "Unable to connect to port 22")
    assert translate(error, "a").args == (errno.EIO, "Unable to connect to port 22")


@pytest.mark.parametrize("name", ["EOFError", "SFTPError", "NoValidConnectionsError"])
def test_an_error_without_a_text_has_its_name(name: str) -> None:
    assert translate(named(name), "a").args == (errno.EIO, name)


@pytest.mark.parametrize(
    "make",
    [
        lambda words: named("ClientConnectionError", words),
        lambda words: named("ReadTimeoutError", words),
        lambda words: named("ClientError", words, response=type("Response", (), {"status_code": 503})()),
        lambda words: named("ClientError", words, response=type("Response", (), {"status_code": 504})()),
        lambda words: named("ContainerDoesNotExistError", words),
        lambda words: ftplib.error_temp(f"421 {words}"),
        lambda words: of_ftp(ftplib.error_temp(f"421 {words}")),
    ],
)
def test_what_is_told_has_no_secrets_of_addresses(make: Callable[[str], Exception]) -> None:
    translated = translate(make("GET https://bob:hidden@host/f?sig=hidden&se=1 failed"), "f")
    assert isinstance(translated, OSError)
    assert "GET https://...@host/f?sig=...&se=1 failed" in str(translated)


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "full"), ValueError("x"), NotImplementedError(), of_botocore("Odd", 418)], ids=repr
)
def test_what_is_known_or_unknown_stays_as_it_is(error: Exception) -> None:
    assert translate(error, "a") is error


def test_the_original_is_the_cause() -> None:
    original = of_botocore("404", 404)
    with pytest.raises(FileNotFoundError) as caught, translating("a"):
        raise original
    assert caught.value.__cause__ is original
    with pytest.raises(ValueError, match="x") as untouched, translating("a"):
        raise ValueError("x")
    assert untouched.value.__cause__ is None
