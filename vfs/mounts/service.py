"""The service manager that has started this process, where one has: the protocol of sd_notify(3).

A message is one datagram of lines NAME=VALUE, to the Unix socket that $NOTIFY_SOCKET names; '@' begins the name of an
abstract one. The variable is taken out of the environment when it is read, for a child that inherited it could speak in
our name. A manager that does not listen any more does no harm.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

logger = logging.getLogger("vfs")

VARIABLE = "NOTIFY_SOCKET"
STEP = 5.0
"""Seconds between two messages that the end takes longer."""
_PATIENCE = 5.0
"""Seconds for which a manager may have no room for one more message."""


class ServiceManager:
    """Whom the state of this process is told; nobody where no address is known."""

    def __init__(self, address: str = "") -> None:
        """By the address that $NOTIFY_SOCKET has."""
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._is_stopping = False

    @classmethod
    def of_environment(cls) -> ServiceManager:
        """The one that the environment names, which it does no longer then."""
        return cls(os.environ.pop(VARIABLE, ""))

    def ready(self, status: str) -> None:
        """The work has begun, or goes on after `reloading()`; `status` is for people."""
        if not self._is_stopping:
            self._tell(READY="1", STATUS=status)

    def reloading(self) -> None:
        """The configuration is read again, until `ready()`."""
        if not self._is_stopping:
            self._tell(RELOADING="1", MONOTONIC_USEC=_microseconds(time.monotonic()))

    @contextmanager
    def stopping(self, status: Callable[[], str]) -> Iterator[None]:
        """A block that ends the work, however long it takes; `status` says now and then how far it is.

        From then on there is nothing to be ready for.
        """
        self._is_stopping = True
        self._tell(STOPPING="1", STATUS=status())
        ended = threading.Event()

        def go_on() -> None:
            while not ended.wait(STEP):
                self._tell(EXTEND_TIMEOUT_USEC=_microseconds(3 * STEP), STATUS=status())

        if self._address:
            threading.Thread(target=go_on, name="vfs-stopping", daemon=True).start()
        try:
            yield
        finally:
            ended.set()

    def _tell(self, **values: str) -> None:
        if not self._address:
            return
        words = "\n".join(f"{name}={_one_line(value)}" for name, value in values.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
                connection.settimeout(_PATIENCE)
                connection.sendto(words.encode(errors="backslashreplace"), self._address)
        except OSError as error:
            logger.warning("the service manager is not told %s: %s", ", ".join(values), error)


def _microseconds(seconds: float) -> str:
    return str(int(seconds * 1_000_000))


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
