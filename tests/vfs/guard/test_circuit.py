"""vfs.guard.circuit: when a backend is asked, and when not."""

from __future__ import annotations

import errno
import socket
import time

import pytest

from vfs.guard.calls import HungError, NotAskedError
from vfs.guard.circuit import FAILURES, FIRST_PAUSE, LONGEST_PAUSE, SECONDS, Circuit, is_outage


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def circuit(clock: Clock) -> Circuit:
    return Circuit(clock)


def _break(circuit: Circuit, clock: Clock) -> None:
    for _ in range(FAILURES):
        circuit.failed(ConnectionError("refused"))
        clock.now += SECONDS / (FAILURES - 1)


def test_a_burst_of_failures_is_no_reason_to_give_up(circuit: Circuit) -> None:
    for _ in range(FAILURES * 3):
        circuit.failed(ConnectionError("503"))
        circuit.enter()


def test_failures_that_go_on_open_it(circuit: Circuit, clock: Clock) -> None:
    _break(circuit, clock)
    assert circuit.is_open
    assert circuit.outage is not None
    assert (circuit.outage[0] >= SECONDS, str(circuit.outage[1])) == (True, "refused")
    with pytest.raises(ConnectionError, match=r"refused.*asked again") as caught:
        circuit.enter()
    assert caught.value.errno == errno.EIO


def test_two_failures_open_it_that_a_client_has_tried_for_long_to_avoid(circuit: Circuit, clock: Clock) -> None:
    clock.now += 4.0
    circuit.failed(ConnectionError("refused"), waited=4.0)
    circuit.enter()
    clock.now += 4.0
    circuit.failed(ConnectionError("refused"), waited=4.0)
    assert circuit.is_open


@pytest.mark.parametrize("error", [HungError("hung"), TimeoutError("the client has waited for long")])
def test_one_call_that_hung_opens_it(circuit: Circuit, error: TimeoutError) -> None:
    circuit.failed(error, waited=30.0, hung=not isinstance(error, HungError))
    assert circuit.outage == (30.0, error)
    with pytest.raises(TimeoutError) as caught:
        circuit.enter()
    assert caught.value.errno == errno.ETIMEDOUT


@pytest.mark.parametrize("error", [ConnectionError("refused"), TimeoutError("silent")])
def test_who_is_not_asked_knows_when_somebody_was(circuit: Circuit, clock: Clock, error: OSError) -> None:
    before = time.monotonic()
    for _ in range(FAILURES):
        circuit.failed(error)
        clock.now += SECONDS / (FAILURES - 1)
    after = time.monotonic()
    with pytest.raises(NotAskedError) as raised:
        circuit.enter()
    assert before <= raised.value.asked_at <= after
    assert is_outage(raised.value)
    assert isinstance(raised.value, type(error))


def test_an_answer_in_between_keeps_it_closed(circuit: Circuit, clock: Clock) -> None:
    for _ in range(FAILURES * 2):
        circuit.failed(ConnectionError("refused"))
        clock.now += SECONDS / 3
        if clock.now % 2 < 1:
            circuit.succeeded()
    circuit.enter()


def test_after_a_pause_one_call_tries_for_all(circuit: Circuit, clock: Clock) -> None:
    circuit.failed(HungError("hung"))
    clock.now += FIRST_PAUSE
    circuit.enter()
    with pytest.raises(TimeoutError):
        circuit.enter()
    circuit.succeeded()
    circuit.enter()
    circuit.enter()


def test_each_pause_is_longer_up_to_a_limit(circuit: Circuit, clock: Clock) -> None:
    pauses = []
    for _ in range(12):
        circuit.failed(HungError("hung"))
        before = clock.now
        while circuit.is_open:
            clock.now += 0.125
        pauses.append(clock.now - before)
    assert pauses[0] <= FIRST_PAUSE < pauses[2] < pauses[4]
    assert LONGEST_PAUSE / 2 < pauses[-1] <= LONGEST_PAUSE + 0.125


def test_it_says_in_the_log_when_it_opens_and_closes(
    circuit: Circuit, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    _break(circuit, clock)
    circuit.failed(ConnectionError("refused"))
    circuit.succeeded()
    circuit.succeeded()
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert "refused" in caplog.text


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(errno.ECONNREFUSED, "refused"),
        ConnectionError(errno.EIO, "503"),
        TimeoutError(),
        OSError(errno.EHOSTUNREACH, "no route"),
        socket.gaierror(socket.EAI_AGAIN, "no resolver"),
    ],
    ids=repr,
)
def test_what_an_outage_is(error: OSError) -> None:
    assert is_outage(error)


@pytest.mark.parametrize(
    "error", [FileNotFoundError(errno.ENOENT, "404"), PermissionError(errno.EACCES, "403"), ValueError()], ids=repr
)
def test_what_an_answer_is(error: Exception) -> None:
    assert not is_outage(error)
