"""Sending contents: waited for as long as bytes move, and taken back when they do not.

OpenDAL's time for one try holds for a part of an upload however well it goes, and says nothing of how it goes. So
where the system tells how connections get ahead (`storage.remote.wire`), a try may take hours, and an upload ends with
a TimeoutError when nothing has moved for the deadline: while a part is sent, while its answer is waited for, and while
all are put together. OpenDAL's asynchronous calls can be cancelled; their connections are then closed.

A copy that the service makes has no bytes to be watched: it is waited for as long as its size may take.

What is sent in one piece of up to `QUICK` bytes costs less by a call that blocks, and has an end of its own.
"""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import wait
from typing import TYPE_CHECKING, Any, Self

from storage.remote.wire import Wire

if TYPE_CHECKING:
    import asyncio

    from storage.remote.opendal.connection import Connection

QUICK = 64 * 2**10
"""Bytes."""
_LOOKS = 16
"""How often the wire is looked at within the deadline."""


class Sender:
    """The way of bytes to one service."""

    def __init__(self, connection: Connection, wire: Wire | None, deadline: float) -> None:
        """By the operators of `connection`; an upload ends after `deadline` seconds in which nothing moves on `wire`.

        Where nothing can be seen of that (None) OpenDAL's own time holds.
        """
        self._connection = connection
        self._wire = wire
        self._deadline = deadline
        self._guard = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def watches(self, size: int) -> bool:
        """Whether an upload of so many bytes is ended because nothing moves, and not because its time is over."""
        return size > QUICK and self._wire is not None

    def put(self, name: str, data: bytes, **arguments: Any) -> None:
        """Store an object by one request; TimeoutError, and what OpenDAL raises."""
        if len(data) <= QUICK:
            self._connection.uploader.write(name, data, **arguments)
        else:
            self.wait(lambda: self._connection.sender.write(name, data, **arguments), name)

    def open(self, name: str, **arguments: Any) -> Sending:
        """An object to be stored in parts, by `arguments` of OpenDAL's `open()`."""
        file = self.wait(lambda: self._connection.sender.open(name, "wb", **arguments), name)
        return Sending(self, file, name)

    def wait(self, begin: Callable[[], Any], name: str, seconds: float | None = None) -> Any:
        """What the awaitable returns that `begin` makes; TimeoutError when nothing moves, and it is cancelled.

        With `seconds` it has so long, whatever moves.
        """

        async def work() -> Any:
            return await begin()

        return self._ended(work(), name, seconds)

    def close(self) -> None:
        """End the thread, when what is under way has ended."""
        with self._guard:
            loop, self._loop = self._loop, None
        if loop is not None:
            import asyncio

            asyncio.run_coroutine_threadsafe(_stop(loop), loop)

    def _ended(self, work: Coroutine[Any, Any, Any], name: str, seconds: float | None) -> Any:
        import asyncio  # here, because it takes a while that few commands need

        future = asyncio.run_coroutine_threadsafe(work, self._running_loop())
        began = time.monotonic()
        while not wait((future,), self._deadline / _LOOKS).done:
            late = self._is_over(began, seconds)
            if late and future.cancel():  # else it has come back this very moment
                raise TimeoutError(errno.ETIMEDOUT, late, name)
        return future.result()

    def _is_over(self, began: float, seconds: float | None) -> str:
        """Why something is waited for no longer that has `began` then (time.monotonic seconds); "" if it is."""
        if seconds is not None:
            return f"it has not ended in {seconds:.0f} s" if time.monotonic() - began >= seconds else ""
        if self._wire is None:
            return ""
        is_silent = time.monotonic() - max(began, self._wire.progressed_at()) >= self._deadline
        return f"no byte has moved for {self._deadline:g} s" if is_silent else ""

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        import asyncio

        with self._guard:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=_run, args=(self._loop,), name="storage-opendal-sender", daemon=True).start()
            return self._loop


class Sending:
    """An upload in parts under way; leaving its block without close() breaks it off, and closes the connections."""

    def __init__(self, sender: Sender, file: Any, name: str) -> None:
        """By OpenDAL's asynchronous file."""
        self._sender = sender
        self._file = file
        self._name = name

    def write(self, data: bytes) -> None:
        """Send so many bytes more; returns when OpenDAL has taken them. TimeoutError, and what OpenDAL raises."""
        self._sender.wait(lambda: self._file.write(data), self._name)

    def close(self) -> None:
        """Have all put together, so that the object is there; the same errors."""
        self._sender.wait(lambda: self._file.close(), self._name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file = None


async def _stop(loop: asyncio.AbstractEventLoop) -> None:
    import asyncio

    await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)
    loop.stop()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_forever()
    loop.close()
