"""Calls that stop until a test lets them go on, so that races happen when a test wants them to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

SOON = 5.0
"""Seconds after which what should have happened has not."""


class Gate:
    """Stands in for a method: its next call stops, before or after the real one, until `open()`."""

    def __init__(self, real: Callable[..., Any], *, after: bool) -> None:
        self._real = real
        self._after = after
        self._armed = True
        self._reached = threading.Event()
        self._opened = threading.Event()

    @classmethod
    def at(cls, monkeypatch: pytest.MonkeyPatch, target: Any, method: str, *, after: bool = False) -> Gate:
        """Put a gate in the place of `target.method`."""
        gate = cls(getattr(target, method), after=after)
        monkeypatch.setattr(target, method, gate)
        return gate

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        stops, self._armed = self._armed, False
        if not stops:
            return self._real(*args, **kwargs)
        if not self._after:
            self._stop()
            return self._real(*args, **kwargs)
        try:
            return self._real(*args, **kwargs)
        finally:
            self._stop()

    def _stop(self) -> None:
        self._reached.set()
        assert self._opened.wait(2 * SOON), "nobody opened the gate"

    def wait(self) -> None:
        """Until somebody stands at the gate."""
        assert self._reached.wait(SOON), "nobody came to the gate"

    def open(self) -> None:
        """Let go on who stands there."""
        self._opened.set()


def start(function: Callable[..., Any], *args: Any) -> Future[Any]:
    """Call in a thread of its own; the future has what came of it."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(function(*args))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future
