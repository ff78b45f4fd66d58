from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest

from storage.conf.signals import Signal


class Recorder:
    """Remembers what its method was called with."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def receive(self, **named: Any) -> str:
        self.calls.append(named)
        return "heard"


@pytest.fixture
def signal() -> Iterator[Signal]:
    signal = Signal()
    yield signal
    gc.collect()


def test_a_receiver_gets_signal_sender_and_the_rest(signal: Signal) -> None:
    recorder = Recorder()
    signal.connect(recorder.receive)
    assert signal.send(sender=int, setting="A", value=1, enter=True) == [(recorder.receive, "heard")]
    assert recorder.calls == [{"signal": signal, "sender": int, "setting": "A", "value": 1, "enter": True}]


def test_receivers_are_called_in_the_order_of_registration(signal: Signal) -> None:
    heard: list[str] = []
    receivers = [lambda letter=letter, **_: heard.append(letter) for letter in "abc"]
    for receiver in receivers:
        signal.connect(receiver)
    signal.send(None)
    assert heard == ["a", "b", "c"]


def test_a_bound_method_does_not_keep_its_object_alive(signal: Signal) -> None:
    recorder = Recorder()
    signal.connect(recorder.receive)
    assert signal.has_listeners()
    del recorder
    gc.collect()
    assert not signal.has_listeners()
    assert signal.send(None) == []


def test_a_strong_receiver_stays(signal: Signal) -> None:
    calls: list[int] = []

    def register() -> None:
        signal.connect(lambda **_: calls.append(1), weak=False)

    register()
    gc.collect()
    signal.send(None)
    assert calls == [1]


def test_what_cannot_be_referenced_weakly_is_refused(signal: Signal) -> None:
    class Slotted:
        __slots__ = ()

        def __call__(self, **named: Any) -> None: ...

    with pytest.raises(TypeError, match="weak reference"):
        signal.connect(Slotted())


def test_connecting_twice_calls_once(signal: Signal) -> None:
    recorder = Recorder()
    signal.connect(recorder.receive)
    signal.connect(recorder.receive)
    signal.send(None)
    assert len(recorder.calls) == 1


def test_one_dispatch_uid_is_one_registration(signal: Signal) -> None:
    first, second = Recorder(), Recorder()
    signal.connect(first.receive, dispatch_uid="caches")
    signal.connect(second.receive, dispatch_uid="caches")
    signal.send(None)
    assert (len(first.calls), len(second.calls)) == (1, 0)
    assert signal.disconnect(dispatch_uid="caches")
    assert not signal.has_listeners()


def test_methods_of_equal_objects_are_different_receivers(signal: Signal) -> None:
    class Equal(Recorder):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    first, second = Equal(), Equal()
    signal.connect(first.receive)
    signal.connect(second.receive)
    signal.send(None)
    assert (len(first.calls), len(second.calls)) == (1, 1)


def test_a_sender_is_listened_to_alone(signal: Signal) -> None:
    class Sender:
        pass

    sender, recorder = Sender(), Recorder()
    signal.connect(recorder.receive, sender=sender)
    signal.send(Sender())
    signal.send(None)
    assert not recorder.calls
    signal.send(sender)
    assert len(recorder.calls) == 1


def test_a_registration_ends_with_its_sender(signal: Signal) -> None:
    class Sender:
        pass

    sender, recorder = Sender(), Recorder()
    signal.connect(recorder.receive, sender=sender)
    del sender
    gc.collect()
    assert not signal.disconnect(recorder.receive, sender=Sender())
    assert signal._connections == {}


def test_disconnect_says_whether_it_was_connected(signal: Signal) -> None:
    recorder = Recorder()
    signal.connect(recorder.receive)
    assert signal.disconnect(recorder.receive)
    assert not signal.disconnect(recorder.receive)
    signal.send(None)
    assert not recorder.calls


def test_send_ends_at_the_first_exception_and_send_robust_does_not(signal: Signal) -> None:
    def fail(**_: Any) -> None:
        raise ValueError("no")

    recorder = Recorder()
    signal.connect(fail)
    signal.connect(recorder.receive)
    with pytest.raises(ValueError, match="no"):
        signal.send(None)
    assert not recorder.calls
    (_, answer), (_, other) = signal.send_robust(None)
    assert isinstance(answer, ValueError)
    assert other == "heard"


def test_a_receiver_may_disconnect_itself(signal: Signal) -> None:
    calls: list[int] = []

    def once(**_: Any) -> None:
        calls.append(1)
        signal.disconnect(once)

    signal.connect(once)
    signal.send(None)
    signal.send(None)
    assert calls == [1]
