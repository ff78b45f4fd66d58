"""storage.remote.wire: what the kernel shows of connections, on real ones."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from storage.remote import wire as module
from storage.remote.wire import Wire, is_visible

pytestmark = pytest.mark.skipif(not is_visible(), reason="only Linux shows how connections get ahead")
HOST = "127.0.0.1"
MORE_THAN_FITS = bytes(64 << 20)

Connect = Callable[[], tuple[socket.socket, socket.socket]]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Makes connections to one port; their other ends are closed off from who made them, as those of a server are."""
    with ExitStack() as stack, socket.create_server((HOST, 0)) as listener:

        def connected() -> tuple[socket.socket, socket.socket]:
            near = stack.enter_context(socket.create_connection(listener.getsockname()))
            far, _ = listener.accept()
            return near, stack.enter_context(far)

        yield connected


def _until_it_differs(wire: Wire, from_: float) -> float:
    deadline = time.monotonic() + 5
    while (at := wire.progressed_at()) == from_:
        assert time.monotonic() < deadline, "nothing was seen"
        time.sleep(0.01)
    return at


def _stays(wire: Wire, seconds: float = 0.3) -> bool:
    at, end = wire.progressed_at(), time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.02)
    return wire.progressed_at() == at


def test_without_connections_nothing_is_shown() -> None:
    wire = Wire((1,))
    assert (wire.progressed_at(), wire.shows) == (0.0, False)


def test_bytes_either_way_are_progress(connect: Connect) -> None:
    near, far = connect()
    wire = Wire((near.getpeername()[1],))
    began = wire.progressed_at()
    assert wire.shows
    assert _stays(wire)
    near.send(b"x")
    sent = _until_it_differs(wire, began)
    assert sent <= time.monotonic()
    assert _stays(wire)
    far.send(b"x")
    _until_it_differs(wire, sent)


def test_of_other_ports_and_of_those_who_came_here_nothing_counts(connect: Connect) -> None:
    near, _ = connect()
    assert Wire((near.getsockname()[1],)).progressed_at() == 0.0


def test_a_connection_that_is_stuck_is_no_progress_whatever_others_do(connect: Connect) -> None:
    (near, _), (other, _) = connect(), connect()
    wire = Wire((near.getpeername()[1],))
    near.setblocking(False)
    near.send(MORE_THAN_FITS)
    while not _stays(wire):
        pass
    at = wire.progressed_at()
    for _ in range(10):
        other.send(b"x")
        time.sleep(0.05)
    assert wire.progressed_at() == at


def test_who_waits_for_an_answer_is_granted_time_while_others_go_on(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "THINKING", 0.5)
    (asking, _), (other, server) = connect(), connect()
    wire = Wire((asking.getpeername()[1],))
    began = wire.progressed_at()
    asking.send(b"?")
    asked_at = _until_it_differs(wire, began)
    for _ in range(20):
        other.send(b"x")
        server.send(b"x")
        time.sleep(0.05)
    assert wire.progressed_at() == pytest.approx(asked_at + 0.5, abs=0.2)


def test_an_idle_connection_holds_nothing_up(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "THINKING", 0.1)
    (idle, server), (other, other_server) = connect(), connect()
    wire = Wire((idle.getpeername()[1],))
    began = wire.progressed_at()
    idle.send(b"?")
    time.sleep(0.05)
    server.send(b"!")
    other_server.send(b"hello")
    answered = _until_it_differs(wire, began)
    assert _stays(wire)
    other.send(b"x")
    _until_it_differs(wire, answered)
