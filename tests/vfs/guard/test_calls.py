"""vfs.guard.calls: calls that are waited for only while there is progress."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from storage.remote.wire import Wire, is_visible
from vfs.guard import calls as module
from vfs.guard.calls import Calls, progress_of_this_call

SHORT = 0.1
NOWHERE = (1,)
"""Ports that this process has no connections to."""
SOON = 5.0


@pytest.fixture
def calls() -> Iterator[Calls]:
    made = Calls(SHORT, Wire(NOWHERE))
    yield made
    made.close()


@pytest.fixture
def server() -> Iterator[threading.Event]:
    """What calls hang on until it is set, at the latest by the end of the test."""
    event = threading.Event()
    yield event
    event.set()


def _until(condition: object) -> None:
    deadline = time.monotonic() + SOON
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_what_it_returns_and_raises_is_the_functions(calls: Calls) -> None:
    assert calls.make(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        calls.make(lambda: 1 // 0)


def test_a_call_that_hangs_is_an_error_after_its_time(calls: Calls, server: threading.Event) -> None:
    before = time.monotonic()
    with pytest.raises(TimeoutError) as caught:
        calls.make(server.wait)
    assert caught.value.errno == errno.ETIMEDOUT
    assert SHORT <= time.monotonic() - before < SOON
    assert calls.hanging == 1
    server.set()
    _until(lambda: calls.hanging == 0)


def test_progress_begins_the_time_anew(calls: Calls) -> None:
    def work() -> str:
        tell = progress_of_this_call()
        for _ in range(6):
            time.sleep(SHORT / 2)
            tell(0)
        return "done"

    assert calls.make(work) == "done"


def test_progress_is_told_from_other_threads_too(calls: Calls) -> None:
    def work() -> str:
        tell = progress_of_this_call()
        helper = threading.Timer(SHORT * 0.7, tell, (0,))
        helper.start()
        time.sleep(SHORT * 1.4)
        return "done"

    assert calls.make(work) == "done"


def test_bytes_bring_the_time_that_a_slow_line_needs(calls: Calls, server: threading.Event) -> None:
    assert calls.make(lambda: time.sleep(SHORT * 2), size=module.SLOW_LINE) is None
    with pytest.raises(TimeoutError):
        calls.make(server.wait, size=module.SLOW_LINE // 100)


def test_bytes_bring_no_more_time_than_that(
    calls: Calls, server: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_AHEAD", 0.2)

    def work() -> None:
        tell = progress_of_this_call()
        for _ in range(100):
            tell(1 << 30)
        server.wait()

    before = time.monotonic()
    with pytest.raises(TimeoutError):
        calls.make(work)
    assert time.monotonic() - before < 2


@pytest.fixture
def line() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection, this process's first."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        near = stack.enter_context(socket.create_connection(listener.getsockname()))
        far = stack.enter_context(listener.accept()[0])
        yield near, far


@pytest.mark.skipif(not is_visible(), reason="only Linux shows how connections get ahead")
def test_bytes_that_move_are_progress_and_silence_is_none(line: tuple[socket.socket, socket.socket]) -> None:
    near, far = line
    calls = Calls(0.5, Wire((near.getpeername()[1],)))

    def send(times: int) -> None:
        progress_of_this_call()(1 << 30)
        for _ in range(times):
            near.send(b"x")
            time.sleep(0.1)
        near.recv(1)

    threading.Timer(1.5, far.send, (b"x",)).start()
    calls.make(lambda: send(12))
    before = time.monotonic()
    with pytest.raises(TimeoutError):
        calls.make(lambda: send(1))
    assert time.monotonic() - before < 2, "bytes bring no time where they can be seen"
    far.send(b"x")
    calls.close()


def test_one_that_needs_more_time_has_it_if_the_storage_says_so(calls: Calls, server: threading.Event) -> None:
    assert calls.make(lambda: time.sleep(SHORT * 2), needs=lambda: SHORT * 50) is None
    for needs in (lambda: 0.0, lambda: server.wait() and 50.0, lambda: 1 / 0):
        before = time.monotonic()
        with pytest.raises(TimeoutError):
            calls.make(server.wait, needs=needs)
        assert time.monotonic() - before < SOON
    assert calls.hanging == 4, "three calls, and one of the questions"
    server.set()
    _until(lambda: calls.hanging == 0)


def test_nobody_is_asked_what_a_call_needs_that_ends_soon(calls: Calls) -> None:
    asked = threading.Event()
    assert calls.make(lambda: 7, needs=lambda: float(asked.set() or 0)) == 7
    assert not asked.is_set()


def test_nobody_changes_what_a_hanging_call_may_yet_change(calls: Calls, server: threading.Event) -> None:
    with pytest.raises(TimeoutError):
        calls.make(server.wait, changes=("name",))
    with pytest.raises(TimeoutError):
        calls.make(lambda: None, changes=("other", "name"))
    calls.make(lambda: None, changes=("other",))
    calls.make(lambda: None)
    server.set()
    _until(lambda: calls.hanging == 0)
    calls.make(lambda: None, changes=("name",))


def test_what_comes_too_late_is_closed(calls: Calls, server: threading.Event) -> None:
    closed = threading.Event()

    class Opened:
        def close(self) -> None:
            closed.set()

    def opens() -> Opened:
        server.wait()
        return Opened()

    with pytest.raises(TimeoutError):
        calls.make(opens)
    server.set()
    assert closed.wait(SOON)


def test_no_more_are_begun_when_too_many_hang(
    calls: Calls, server: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 2)
    begun = []
    for _ in range(2):
        with pytest.raises(TimeoutError):
            calls.make(server.wait)
    with pytest.raises(TimeoutError):
        calls.make(lambda: begun.append(1))
    assert not begun


def test_threads_are_used_again(calls: Calls) -> None:
    names = {calls.make(threading.get_ident) for _ in range(20)}
    assert len(names) <= 2


def test_threads_end_when_it_is_closed(calls: Calls) -> None:
    thread = calls.make(threading.current_thread)
    _until(lambda: calls._idle)
    calls.close()
    thread.join(SOON)
    assert not thread.is_alive()
