"""The table of errnos is total: over the package's errors, Django's twins of them, and what Python itself raises."""

from __future__ import annotations

import builtins
import errno
import inspect
import io
import logging
import socket
import ssl

import pytest

from storage import exceptions
from vfs.errors import ERRNO_OF_CLASS, errno_of

OURS = {
    name: cls
    for name, cls in inspect.getmembers(exceptions, inspect.isclass)
    if issubclass(cls, Exception) and not name.startswith("_")
}
OS_ERRORS = [cls for cls in vars(builtins).values() if inspect.isclass(cls) and OSError in cls.__bases__]


@pytest.mark.parametrize("name", OURS)
def test_every_error_of_the_package_has_a_row(name: str) -> None:
    assert name in ERRNO_OF_CLASS


@pytest.mark.parametrize("name", [name for name in OURS if issubclass(OURS[name], OSError)])
def test_the_row_agrees_with_the_errno_that_the_error_carries(name: str) -> None:
    error = OURS[name]("a/name")
    assert errno_of(error) == ERRNO_OF_CLASS[name] == error.errno


@pytest.mark.parametrize("name", [name for name in OURS if not issubclass(OURS[name], OSError)])
def test_djangos_twin_is_known_by_its_name(name: str, caplog: pytest.LogCaptureFixture) -> None:
    bases = [type(base.__name__, (Exception,), {}) for base in OURS[name].__mro__[1:-3]]
    twin = type(name, (*bases, Exception), {"__module__": "django.core.exceptions"})
    assert errno_of(twin("no")) == errno_of(OURS[name]("no")) == ERRNO_OF_CLASS[name]
    assert caplog.records == []


@pytest.mark.parametrize("cls", OS_ERRORS, ids=lambda cls: cls.__name__)
def test_every_builtin_os_error_without_an_errno_is_known(cls: type[OSError], caplog: pytest.LogCaptureFixture) -> None:
    assert errno_of(cls("no errno in here")) in errno.errorcode
    known = cls.__name__ in ERRNO_OF_CLASS or issubclass(cls, ConnectionError)
    assert bool(caplog.records) is not known, "what is in no row is logged, and nothing else"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (FileNotFoundError("no"), errno.ENOENT),
        (FileExistsError("no"), errno.EEXIST),
        (NotADirectoryError("no"), errno.ENOTDIR),
        (IsADirectoryError("no"), errno.EISDIR),
        (PermissionError("no"), errno.EACCES),
        (TimeoutError("no"), errno.ETIMEDOUT),
        (ConnectionResetError("no"), errno.EIO),
        (NotImplementedError("no"), errno.EOPNOTSUPP),
        (io.UnsupportedOperation("no"), errno.EOPNOTSUPP),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no"), errno.EILSEQ),
        (MemoryError(), errno.ENOMEM),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else errno.errorcode[value],
)
def test_what_python_raises_without_an_errno(error: BaseException, expected: int) -> None:
    assert errno_of(error) == expected


@pytest.mark.parametrize("code", [errno.ENOENT, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ELOOP, errno.ESTALE])
def test_an_os_error_keeps_its_errno(code: int) -> None:
    assert errno_of(OSError(code, "said by the system")) == code


def test_the_nearest_class_decides() -> None:
    class GoneError(FileNotFoundError):
        pass

    class LeakyNameError(exceptions.SuspiciousFileOperation, ValueError):
        pass

    assert errno_of(GoneError("no")) == errno.ENOENT
    assert errno_of(LeakyNameError("no")) == errno.EINVAL


@pytest.mark.parametrize(
    "error",
    [
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        socket.herror(1, "Unknown host"),
        ssl.SSLError(1, "[SSL] unknown error"),
        ssl.SSLCertVerificationError(1, "certificate verify failed"),
        ssl.SSLEOFError(8, "EOF occurred in violation of protocol"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_numbers_of_the_resolver_and_of_openssl_are_no_errnos(error: OSError) -> None:
    assert errno_of(error) == errno.EIO


@pytest.mark.parametrize("number", [-2, 0, 512, 10061, "a text", None, ["unhashable"]], ids=repr)
def test_what_is_no_errno_of_this_system_never_reaches_the_kernel(number: object) -> None:
    assert errno_of(OSError(number, "a library's idea")) == errno.EIO


@pytest.mark.parametrize(
    "error", [ValueError("a bug"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), OSError("?")], ids=repr
)
def test_the_unknown_is_eio_with_its_traceback_in_the_log(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def somewhere_inside() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        somewhere_inside()
    assert errno_of(caught.value) == errno.EIO
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("vfs", logging.ERROR)
    assert type(error).__name__ in record.getMessage()
    assert "somewhere_inside" in caplog.text
