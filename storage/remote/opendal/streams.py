"""Answers that go on: all of one version of an object from an offset on, as it comes, for who reads in order.

A byte takes less than half of the processor where OpenDAL only signs the request and the standard library makes it: it
is received where it stays, instead of being copied and handed from thread to thread on its way. What keeps us from that
is no error, for then OpenDAL makes the request, now and for the next `PAUSE` seconds: a service for which nothing is
signed, a proxy, a certificate that only one of the two trusts, an answer that is not what was asked for. An object or a
service that is gone is gone for both.

Each answer is of one version: that which was asked for, where the service heeds it, else the one that the answer names.
An answer that breaks off is asked for again, from there, unless that one brings nothing either.
"""

from __future__ import annotations

import errno
import logging
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from storage.entry import Entry
from storage.exceptions import VersionMismatchError
from storage.remote.errors import outage, translate
from storage.remote.opendal.entries import quoted
from storage.remote.opendal.signed import GOOD_FOR, of_status

if TYPE_CHECKING:
    import http.client

    from storage.remote.opendal.connection import Connection

_ALIKE = frozenset({"s3", "oss", "cos", "obs", "azblob"})
"""Services for which OpenDAL signs what it asks for itself; of Google's it signs requests to another interface."""
PAUSE = 600.0
"""Seconds for which nothing is signed after that was of no use: credentials may be renewed, a proxy may go."""
_logger = logging.getLogger(__name__)


class Streams:
    """Opens streams over one connection, by the way that works."""

    def __init__(self, connection: Connection) -> None:
        """Nothing is tried yet."""
        self._connection = connection
        self._not_before = 0.0
        """When something may be signed again (time.monotonic seconds)."""

    def open(self, name: str, entry: Entry, offset: int, *, pinned: bool) -> Stream | None:
        """The bytes from `offset` on of the version that `entry`, which has an etag, describes.

        None where the service is not `pinned` to a version that it is asked for, and its answers are not seen.
        """
        return Stream(self, name, entry, offset, pinned=pinned) if pinned or self.signs else None

    @property
    def signs(self) -> bool:
        """Whether requests are signed and made here, as far as is known."""
        is_alike = self._connection.scheme in _ALIKE and bool(self._connection.capability.presign_read)
        return is_alike and time.monotonic() >= self._not_before

    def source(self, name: str, entry: Entry, offset: int, *, pinned: bool) -> SignedSource | OwnSource:
        """What brings them; ConnectionError or TimeoutError where the service is not there."""
        if self.signs:
            try:
                return SignedSource(self._connection, name, entry, offset, pinned=pinned)
            except UnusableError as error:
                self.distrust(error)
        if not pinned:
            raise OSError(errno.EIO, "There is no telling which version would come", name)
        return OwnSource(self._connection, name, entry, offset)

    def distrust(self, error: UnusableError) -> None:
        """Sign nothing for a while."""
        self._not_before = time.monotonic() + PAUSE
        _logger.debug("%s: OpenDAL makes its requests itself: %s", self._connection.scheme, error)


class Stream:
    """The bytes of an object from an offset on."""

    def __init__(self, streams: Streams, name: str, entry: Entry, offset: int, *, pinned: bool) -> None:
        """Nothing is asked for before the first read, but a connection may be made: that first read shows how far the
        service is.
        """
        self._streams = streams
        self._name = name
        self._entry = entry
        self._at = offset
        self._pinned = pinned
        self._source = streams.source(name, entry, offset, pinned=pinned)
        self._breaks = 0
        """How often it has broken off since anything came."""

    def read(self, size: int, /) -> bytes | bytearray:
        """So many bytes; fewer only at the end. VersionMismatchError where the object is another by now."""
        left = min(size, self._entry.size - self._at)
        parts: list[bytes | bytearray] = []
        while left:
            data = self._some(left)
            parts.append(data)
            left -= len(data)
            self._at += len(data)
            self._breaks = 0
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Hang up."""
        self._source.close()

    def _some(self, size: int) -> bytes | bytearray:
        """Up to `size` bytes, and not none."""
        while True:
            try:
                if data := self._source.read(size):
                    return data
                raise ConnectionError(errno.EIO, "The answer has ended early", self._name)
            except UnusableError as error:
                self._streams.distrust(error)
            except (ConnectionError, TimeoutError):
                self._breaks += 1
                if self._breaks > 1:
                    raise
            self._source.close()
            self._source = self._streams.source(self._name, self._entry, self._at, pinned=self._pinned)


class UnusableError(Exception):
    """A request that was signed does not bring what OpenDAL may be able to bring by itself."""


class SignedSource:
    """The answer to a request that OpenDAL has signed; of the version that it says, where the service is not pinned."""

    def __init__(self, connection: Connection, name: str, entry: Entry, offset: int, *, pinned: bool) -> None:
        """Connect; UnusableError, ConnectionError, TimeoutError."""
        try:
            with connection.errors.translating(name):
                self._request = connection.signed("presign_read", name, GOOD_FOR)
        except (ConnectionError, TimeoutError):  # of the service that gives credentials
            raise
        except (OSError, NotImplementedError) as error:  # as without credentials
            raise UnusableError(type(error).__name__) from error
        self._service = connection
        self._name = name
        self._entry = entry
        self._offset = offset
        self._pinned = pinned
        self._answer: http.client.HTTPResponse | None = None
        self._connection = connected(self._request.url, connection.one_try, name)

    def read(self, size: int) -> bytes:
        """So many bytes; fewer where it breaks off. ConnectionError, TimeoutError; UnusableError at first."""
        import http.client

        if self._answer is None:
            try:
                self._answer = self._asked()
            except BaseException:
                self.close()
                raise
        try:
            return self._answer.read(size)
        except (ConnectionError, TimeoutError):
            raise
        except (OSError, http.client.HTTPException) as error:
            raise ConnectionError(errno.EIO, f"The answer breaks off: {type(error).__name__}", self._name) from error

    def close(self) -> None:
        """Hang up."""
        if self._answer is not None:
            self._answer.close()
        self._connection.close()

    def _asked(self) -> http.client.HTTPResponse:
        import http.client
        from urllib.parse import urlsplit

        address = urlsplit(self._request.url)
        target = f"{address.path or '/'}?{address.query}".removesuffix("?")
        headers = {**self._request.headers, "Range": f"bytes={self._offset}-"}
        if self._pinned:
            headers["If-Match"] = self._entry.version
        try:
            self._connection.request(self._request.method, target, headers=headers)
            answer = self._connection.getresponse()
        except (ConnectionError, TimeoutError):
            raise
        except (OSError, ValueError, http.client.HTTPException) as error:  # which may tell the address
            raise UnusableError(type(error).__name__) from None
        try:
            self._require(answer)
        except BaseException:
            answer.close()
            raise
        return answer

    def _require(self, answer: http.client.HTTPResponse) -> None:
        """Raise unless the answer is the rest of this version."""
        if answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise VersionMismatchError(self._name)
        if answer.status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
            error = of_status(answer.status, self._name)
            if isinstance(error, FileNotFoundError):
                with self._service.errors.translating(self._name):
                    self._service.operator.read(self._name, offset=0, size=1)  # a missing object, or the bucket?
                raise VersionMismatchError(self._name)  # it is there again
            if isinstance(error, (VersionMismatchError, ConnectionError)):
                raise error
            raise UnusableError(f"status {answer.status}")
        etag = answer.headers.get("etag")
        if etag is None and not self._pinned:
            raise UnusableError("it does not tell its etag")
        if etag is not None and quoted(etag) != self._entry.version:
            if not self._pinned:
                raise VersionMismatchError(self._name)
            raise UnusableError("it tells another etag than OpenDAL")
        if answer.length != self._entry.size - self._offset:
            raise UnusableError(f"{answer.length} bytes from {self._offset} on, of {self._entry.size}")


class OwnSource:
    """The answer to a request of OpenDAL's own."""

    def __init__(self, connection: Connection, name: str, entry: Entry, offset: int) -> None:
        """Ask for nothing before the first read."""
        self._errors = connection.errors
        self._name = name
        with self._errors.translating(name):
            self._file = connection.operator.open(name, "rb", offset=offset, if_match=entry.version)

    def read(self, size: int) -> bytearray:
        """So many bytes; fewer only at the end. What OpenDAL raises, as this package would."""
        data, filled = bytearray(size), 0
        with memoryview(data) as view, self._errors.translating(self._name):
            while filled < size and (count := self._file.readinto(view[filled:])):
                filled += count
        del data[filled:]
        return data

    def close(self) -> None:
        """Hang up."""
        self._file.close()


def connected(url: str, seconds: float, name: str) -> http.client.HTTPConnection:
    """A connection to where `url` is, on which nothing takes longer than so; `name` is for errors.

    UnusableError, ConnectionError, TimeoutError.
    """
    import http.client
    import socket
    import ssl
    from urllib.parse import urlsplit
    from urllib.request import getproxies, proxy_bypass

    address, proxies = urlsplit(url), getproxies()
    if (address.scheme in proxies or "all" in proxies) and not proxy_bypass(address.netloc):
        raise UnusableError("there is a proxy")
    kind: Any = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    connection: http.client.HTTPConnection = kind(address.hostname, address.port or kind.default_port, timeout=seconds)
    try:
        connection.connect()
    except OSError as error:
        connection.close()
        is_gone = isinstance(error, (socket.gaierror, ssl.SSLEOFError))  # whose numbers are none of the system's
        known = translate(error, name) if is_gone else outage(error, name)
        if known is None:
            raise UnusableError(type(error).__name__) from error  # as a certificate
        if known is error:
            raise
        raise known from error
    return connection
