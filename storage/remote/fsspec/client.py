"""The filesystem objects of fsspec behind one storage, and whose turn it is to use them.

An object that many threads may use at once is made once. Of the others each serves one call at a time, and where a
protocol allows several connections more are made when they are needed, so that a long upload keeps nobody waiting.

Nothing is connected before the first call, and a child process begins anew: the threads and sockets of its parent are
of no use to it. A connection that has died is thrown away; a call that only reads is made again, on another. One that
is not to be had, while others are, may be one too many for the server or a short outage: for a minute no more are made.

fsspec keeps instances for whoever asks with the same arguments, and listings for as long as these live. Neither is
wanted: a mount must see what others change, and close what it has opened.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any, TypeVar

from storage.remote.fsspec.errors import translating
from storage.remote.fsspec.known import not_installed
from storage.remote.fsspec.protocol import Protocol

_CONTENT_SECONDS = 60.0
"""For how long no more connections are tried than the server has allowed."""

Result = TypeVar("Result")


class Client:
    """The way to call the filesystem objects of one storage."""

    def __init__(self, protocol: Protocol, options: dict[str, Any]) -> None:
        """Connect to nothing yet; `options` are those of the filesystem class."""
        self._protocol = protocol
        self._options = options
        self._turn = threading.Condition()
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._idle: list[Any] = []
        self._made = 0
        self._allowed, self._allowed_at = self._protocol.connections, -_CONTENT_SECONDS
        self._closed = False

    def call(self, name: str, function: Callable[[Any], Result], *, again: bool = False) -> Result:
        """What `function` returns of a filesystem object; its errors are translated, `name` being what it is about.

        With `again` it is called once more for each connection that has died since it was used last.
        """
        filesystem, used = self._take(name)
        alive = True
        try:
            with translating(name):
                return function(filesystem)
        except (ConnectionError, TimeoutError):
            alive = not self._protocol.session
            if alive or not used or not again:
                raise
        finally:
            self._give_back(filesystem, alive)
        return self.call(name, function, again=True)

    def close(self) -> None:
        """Close what is idle; what is in use is closed when it has been used."""
        with self._turn:
            idle, self._idle, self._closed = self._idle, [], True
            self._made -= len(idle)
        for filesystem in idle:
            self._protocol.close(filesystem)

    def _take(self, name: str) -> tuple[Any, bool]:
        """A filesystem object whose turn it is, and whether it was used before."""
        if self._process != os.getpid():
            self._turn = threading.Condition()
            self._begin()
        with self._turn:
            self._closed = False
            if self._protocol.shared:
                if self._idle:
                    return self._idle[0], True
                self._idle = [self._connected(name)]
                return self._idle[0], False
            while not self._idle and self._made >= self._most():
                self._turn.wait()
            if self._idle:
                return self._idle.pop(), True
            self._made += 1
        try:
            return self._connected(name), False
        except BaseException:
            with self._turn:
                self._made -= 1
                self._turn.notify()
                if not self._made:
                    raise
                self._allowed, self._allowed_at = self._made, monotonic()
        return self._take(name)

    def _most(self) -> int:
        """How many may be made: as many as the protocol allows, unless the server was seen to allow less of late."""
        if monotonic() - self._allowed_at < _CONTENT_SECONDS:
            return self._allowed
        return self._protocol.connections

    def _give_back(self, filesystem: Any, alive: bool) -> None:
        with self._turn:
            if self._protocol.shared:
                self._idle = [one for one in self._idle if alive or one is not filesystem]
                unwanted = not alive
            else:
                unwanted = not alive or self._closed
                if unwanted:
                    self._made -= 1
                else:
                    self._idle.append(filesystem)
                self._turn.notify()
        if unwanted:
            with contextlib.suppress(Exception):  # a dead connection cannot even be closed, as like as not
                self._protocol.close(filesystem)

    def _connected(self, name: str) -> Any:
        try:
            with translating(name):
                return self._protocol.connect(self._options)
        except ImportError as error:  # some import what they need only now
            raise not_installed(self._protocol.name, error) from error
