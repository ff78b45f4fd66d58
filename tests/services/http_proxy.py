"""A proxy that knows HTTP: it keeps the requests, and faults strike single requests, by method and target.

It reads just enough of HTTP/1.1 to find where a request ends, and passes the bytes on as they came.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping

from services.faults import Answer, Request
from services.proxy import Connection, Proxy

_PIECE = 256 << 10


class HTTPProxy(Proxy):
    """Passes HTTP on to a port of loopback; an exchange is a request with its answer."""

    def __init__(self, server_port: int) -> None:
        """As `Proxy`."""
        super().__init__(server_port)
        self.requests: list[Request] = []
        """All that were made, the answered ones too, in the order of their beginnings."""

    def answer(
        self,
        status: int,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        times: int = 1,
        method: str = "",
        target: str = "",
    ) -> None:
        """Answer the next `times` requests with a status, without the server."""
        named = dict(headers or {})
        self.arm(Answer(status=status, body=body, headers=named, times=times, method=method, target=target))

    def count(self, method: str = "", target: str = "") -> int:
        """How many requests had this method, and a target in which this regular expression is found."""
        return sum(request.matches(method, target) for request in self.requests)

    def connection(self, client: socket.socket, server: socket.socket) -> Connection:
        return _HTTPConnection(self, client, server)

    def note(self, request: Request) -> None:
        """Keep a request that begins."""
        self.requests.append(request)


class _HTTPConnection(Connection):
    proxy: HTTPProxy

    async def receive(self) -> None:
        """What the client sends, request by request."""
        client = _Reader(self.client)
        while head := await client.until(b"\r\n\r\n"):
            request = Request.parse(head)
            self.proxy.note(request)
            fault = self.proxy.strike(request)
            if isinstance(fault, Answer):
                await self._answer(fault, request, client)
                break
            self.begin(fault)
            await self.up.put(head)
            async for piece in client.body(request):
                await self.up.put(piece)
        await self.up.put(b"")

    async def _answer(self, answer: Answer, request: Request, client: _Reader) -> None:
        if request.headers.get("expect", "").lower() != "100-continue":
            async for _ in client.body(request):  # a client that is still sending would see a reset, and no answer
                pass
        await self.down.put(answer.encode(request))
        await self.down.put(b"")


class _Reader:
    """Bytes of a socket, by the needs of HTTP."""

    def __init__(self, source: socket.socket) -> None:
        self._source = source
        self._buffer = bytearray()
        self._loop = asyncio.get_running_loop()

    async def until(self, end: bytes) -> bytes:
        """All to this end and with it; nothing where the stream is over before."""
        while (found := self._buffer.find(end)) < 0:
            if not await self._more():
                return b""
        return self._take(found + len(end))

    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """A request's body as it is on the wire, in pieces."""
        if request.headers.get("transfer-encoding", "").lower() != "chunked":
            async for piece in self._exactly(int(request.headers.get("content-length", 0))):
                yield piece
            return
        while line := await self.until(b"\r\n"):
            yield line
            size = int(line.split(b";")[0], 16)
            async for piece in self._exactly(size + 2 if size else 0):
                yield piece
            if not size:
                break
        while line := await self.until(b"\r\n"):  # trailers, and the empty line
            yield line
            if line == b"\r\n":
                break

    async def _exactly(self, size: int) -> AsyncIterator[bytes]:
        while size:
            if not self._buffer and not await self._more():
                return
            piece = self._take(min(size, len(self._buffer)))
            size -= len(piece)
            yield piece

    async def _more(self) -> bool:
        data = await self._loop.sock_recv(self._source, _PIECE)
        self._buffer += data
        return bool(data)

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken
