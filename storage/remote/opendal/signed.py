"""Requests that OpenDAL signs and does not make: for the empty object `name/`, which stands for a directory."""

from __future__ import annotations

import errno
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from storage.exceptions import VersionMismatchError, os_error

if TYPE_CHECKING:
    from storage.remote.opendal.connection import Connection

GOOD_FOR = 900
"""Seconds for which a signature holds, with room for clocks that differ."""
_PASSES = frozenset({408, 429, 500, 502, 503, 504})
"""What a service answers that may do better the next time."""


class Signed:
    """Makes such requests, over a connection of its own for each."""

    def __init__(self, connection: Connection) -> None:
        """With the credentials of `connection`, and as patient as that is."""
        self._connection = connection

    def head(self, path: str, name: str) -> Mapping[str, str] | None:
        """The headers of an object, by their names in small letters; None where there is none."""
        try:
            return self._made("presign_stat", path, name)
        except FileNotFoundError:
            return None

    def put_empty(self, path: str, name: str, **headers: Any) -> None:
        """Store an empty object; `headers` are OpenDAL's of a put. VersionMismatchError where a condition fails."""
        self._made("presign_write", path, name, **headers)

    def _made(self, sign: str, path: str, name: str, **options: Any) -> Mapping[str, str]:
        """The headers of the answer to a request for the object at `path`, tried again where that may help."""
        for pause in (*self._connection.pauses, None):
            try:
                with self._connection.errors.translating(name):
                    request = self._connection.signed(sign, path, GOOD_FOR, **options)
                return self._answer(request, name)
            except (ConnectionError, TimeoutError):
                if pause is None:
                    raise
                time.sleep(pause)
        raise AssertionError("the last try has returned or raised")

    def _answer(self, request: Any, name: str) -> Mapping[str, str]:
        from urllib.error import HTTPError, URLError
        from urllib.request import Request, urlopen

        data = b"" if request.method == "PUT" else None
        wanted = Request(request.url, data, dict(request.headers), method=request.method)  # noqa: S310 - an endpoint's
        try:
            with urlopen(wanted, timeout=self._connection.one_try) as answer:  # noqa: S310 - the same
                return {key.lower(): value for key, value in answer.headers.items()}
        except HTTPError as error:  # whose address is signed, and not to be shown
            error.close()
            raise of_status(error.code, name) from None
        except TimeoutError as error:
            raise os_error(errno.ETIMEDOUT, name) from error
        except (URLError, ConnectionError) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, TimeoutError):
                raise os_error(errno.ETIMEDOUT, name) from reason
            raise ConnectionError(errno.EIO, f"The service cannot be reached: {reason}", name) from error


def of_status(status: int, name: str) -> OSError:
    """What the status of an answer means."""
    match status:
        case HTTPStatus.NOT_FOUND:
            return os_error(errno.ENOENT, name)
        case HTTPStatus.PRECONDITION_FAILED | HTTPStatus.CONFLICT:
            return VersionMismatchError(name)
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            return PermissionError(errno.EACCES, f"The service refuses the credentials: status {status}", name)
        case _ if status in _PASSES:
            return ConnectionError(errno.EIO, f"The service answers with status {status}", name)
        case _:
            return OSError(errno.EIO, f"The service answers with status {status}", name)
