"""A TCP proxy on loopback that breaks what a test wants broken, at a moment that the test chooses.

Two kinds of trouble. The *weather* is the same for all connections and holds from the call on: `delay`, `rate`,
`stall`, `refuse`. A *fault* strikes single exchanges, the next ones that it is for: `cut`, `slow`. An exchange is a
connection here, and a request with its answer in `http_proxy`.

Each way of a connection is two tasks with a queue between: one receives and notes when the bytes are due, the other
waits until then and sends. So a delay is a latency and costs no throughput (until 64 MiB are under way).

It all runs in one thread with an event loop; a call that changes something runs there too and returns when it holds.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Self

from services.faults import Cut, Ending, Fault, Request, Slow, Way
from services.server import HOST

_PIECE = 256 << 10
_PIECES = 256  # that are under way in one direction of a connection at most
_RATE_STEP = 0.02  # seconds between the pieces of a slow line
_ROOM = 64 << 10  # bytes that a client may send before they are taken, so that it sees how fast the line is


class Proxy:
    """Passes connections on to a port of loopback, from `with` to its end."""

    def __init__(self, server_port: int) -> None:
        """For the server at `server_port`; `port` is what clients connect to."""
        self._server_port = server_port
        self._listener = _bound_socket(0)
        self.port: int = self._listener.getsockname()[1]
        self.passed: dict[Way, int] = {"up": 0, "down": 0}
        """Bytes that went each way."""
        self.opened = 0
        """Connections that were made."""
        self.struck: list[Fault] = []
        """What has befallen the exchanges so far."""
        self.delays: dict[Way, float] = {"up": 0.0, "down": 0.0}
        self.rates: dict[Way, float] = {"up": 0.0, "down": 0.0}
        self._moving: dict[Way, asyncio.Event] = {"up": asyncio.Event(), "down": asyncio.Event()}
        self._armed: list[Fault] = []
        self._connections: set[asyncio.Task[None]] = set()
        self._news = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy {self.port}", daemon=True)

    def __enter__(self) -> Self:
        """Take connections."""
        self._thread.start()
        self.heal()
        return self

    def __exit__(self, *exception: object) -> None:
        """End all connections, and take none."""
        self.refuse()
        self.drop()
        self._listener.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # --- Weather ---

    def delay(self, *, up: float = 0.0, down: float = 0.0) -> None:
        """Let bytes arrive so many seconds later."""
        self.delays = {"up": up, "down": down}

    def rate(self, *, up: float = 0.0, down: float = 0.0) -> None:
        """Let so many bytes pass in a second on each connection; 0 is as many as come.

        Who connects from now on and sends more has to wait, as in front of a slow line.
        """
        self.rates = {"up": up, "down": down}

    def stall(self, *ways: Way) -> None:
        """Let nothing pass, both ways if none is named: connections are made, and stay, and are silent."""

        async def stop() -> None:
            for way in ways or self._moving:
                self._moving[way].clear()

        self._do(stop())

    def refuse(self) -> None:
        """Refuse new connections, and keep the port; `drop` ends those that are there."""

        async def close() -> None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = _bound_socket(
                self.port
            )  # bound and not listening: the kernel refuses, and nobody takes it

        self._do(close())

    def heal(self) -> None:
        """End all weather, disarm all faults, and take connections again; what was stalled goes on."""

        async def reset() -> None:
            self.delay()
            self.rate()
            self._armed.clear()
            for moving in self._moving.values():
                moving.set()
            self._listener.listen()
            self._loop.add_reader(self._listener, self._accept)

        self._do(reset())

    # --- Faults ---

    def cut(
        self,
        after: int = 0,
        *,
        way: Way = "down",
        ending: Ending = "reset",
        times: int = 1,
        method: str = "",
        target: str = "",
    ) -> None:
        """End the next `times` exchanges after so many bytes that went one way."""
        self.arm(Cut(after=after, way=way, ending=ending, times=times, method=method, target=target))

    def slow(self, seconds: float, *, times: int = 1, method: str = "", target: str = "") -> None:
        """Let the first byte of the next `times` answers come so much later."""
        self.arm(Slow(seconds=seconds, times=times, method=method, target=target))

    def drop(self) -> None:
        """Reset all connections that are there."""

        async def end() -> None:
            for connection in self._connections:
                connection.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)

        self._do(end())

    def arm(self, fault: Fault) -> None:
        """Let a fault strike, after those that were armed before."""

        async def add() -> None:
            self._armed.append(fault)

        self._do(add())

    # --- Waiting, for tests ---

    def wait_for(self, condition: Callable[[], bool], within: float = 10.0) -> None:
        """Until something holds that passing bytes, requests or faults bring about; an AssertionError if it doesn't."""
        with self._news:
            assert self._news.wait_for(condition, within), "what was waited for did not come about"

    # --- On the loop ---

    def strike(self, request: Request | None = None) -> Fault | None:
        """The fault that befalls the exchange that begins, if one does."""
        fault = next((fault for fault in self._armed if fault.is_for(request)), None)
        if fault is not None:
            fault.times -= 1
            self.struck.append(fault)
        self.tell()
        return fault

    def tell(self) -> None:
        """Those who wait, that there may be news."""
        with self._news:
            self._news.notify_all()

    async def moving(self, way: Way) -> None:
        """Until bytes may pass."""
        await self._moving[way].wait()

    def connection(self, client: socket.socket, server: socket.socket) -> Connection:
        """What passes bytes between the two."""
        return Connection(self, client, server)

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):  # the client is gone already
            return
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.rates["up"]:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM)
        self.opened += 1
        task = self._loop.create_task(self._serve(client))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        task.add_done_callback(lambda _: client.close())  # one that is dropped before it has begun closes nothing

    async def _serve(self, client: socket.socket) -> None:
        server = socket.socket()
        server.setblocking(False)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await self._loop.sock_connect(server, (HOST, self._server_port))
            await self.connection(client, server).run()
        except (OSError, asyncio.CancelledError):  # one end is gone, or was never there: let the other know
            _reset_at_close(client, server)
        finally:
            client.close()
            server.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()


class Connection:
    """A client and a server, from the connection's first byte to its last."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        """Between two sockets that do not block."""
        self.proxy = proxy
        self.client = client
        self.up = Pipe(self, "up", client, server)
        self.down = Pipe(self, "down", server, client)
        self._sockets = client, server

    async def run(self) -> None:
        """Until both ends are done, or a fault ends it."""
        work = [self.receive(), self.up.send(), self.down.receive(), self.down.send()]
        tasks = [asyncio.ensure_future(one) for one in work]
        try:
            await asyncio.gather(*tasks)
        except _EndError as end:
            if end.ending == "reset":
                _reset_at_close(*self._sockets)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def receive(self) -> None:
        """What the client sends: one exchange."""
        self.begin(self.proxy.strike())
        await self.up.receive()

    def begin(self, fault: Fault | None) -> None:
        """An exchange, and what befalls it."""
        for pipe in (self.up, self.down):
            pipe.cut = fault if isinstance(fault, Cut) and fault.way == pipe.way else None
            pipe.left = pipe.cut.after if pipe.cut else 0
        self.down.wait = fault.seconds if isinstance(fault, Slow) else 0.0


class Pipe:
    """One way of a connection."""

    def __init__(self, connection: Connection, way: Way, source: socket.socket, target: socket.socket) -> None:
        """From one socket to another."""
        self.way = way
        self.cut: Cut | None = None
        self.left = 0  # bytes until the cut
        self.wait = 0.0  # seconds before the next byte
        self._proxy = connection.proxy
        self._source, self._target = source, target
        self._queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_PIECES)
        self._loop = asyncio.get_running_loop()

    async def receive(self) -> None:
        """All that comes, to the end."""
        while data := await self._loop.sock_recv(self._source, _PIECE):
            await self.put(data)
        await self.put(b"")

    async def put(self, data: bytes) -> None:
        """Bytes that are due after the delay; none at all are the end."""
        await self._queue.put((self._loop.time() + self._proxy.delays[self.way], data))
        if self._proxy.rates[self.way]:
            await self._queue.join()

    async def send(self) -> None:
        """What is due, piece by piece, to the end."""
        while True:
            due, data = await self._queue.get()
            await self._pause(due - self._loop.time())
            wait, self.wait = self.wait, 0.0
            await self._pause(wait)
            if not data:
                self._target.shutdown(socket.SHUT_WR)
                return
            await self._send(memoryview(data))
            self._queue.task_done()

    async def _send(self, data: memoryview) -> None:
        while data:
            await self._proxy.moving(self.way)
            rate = self._proxy.rates[self.way]
            size = min(len(data), max(1, int(rate * _RATE_STEP)) if rate else len(data))
            if self.cut is not None:
                size = min(size, self.left)
                self.left -= size
            await self._loop.sock_sendall(self._target, data[:size])
            self._proxy.passed[self.way] += size
            self._proxy.tell()
            if self.cut is not None and not self.left:
                await _end(self.cut.ending)
            if rate:
                await self._pause(size / rate)
            data = data[size:]

    async def _pause(self, seconds: float) -> None:
        if seconds > 0:
            await asyncio.sleep(seconds)


class _EndError(Exception):
    """A fault ends the connection."""

    def __init__(self, ending: Ending) -> None:
        self.ending = ending


async def _end(ending: Ending) -> None:
    if ending == "stall":
        await asyncio.Event().wait()  # which nobody sets: the connection ends with the proxy, or by drop()
    raise _EndError(ending)


def _bound_socket(port: int) -> socket.socket:
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((HOST, port))
    bound.setblocking(False)
    return bound


def _reset_at_close(*sockets: socket.socket) -> None:
    for one in sockets:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
