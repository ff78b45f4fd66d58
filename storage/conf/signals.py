"""A signal: receivers register for it, and each `send()` calls those that are still alive."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

Receiver = Callable[..., Any]
Responses = list[tuple[Receiver, Any]]


class _Connection(NamedTuple):
    """One registration; both references give None once their object is gone."""

    receiver: Callable[[], Receiver | None]
    sender_id: int | None
    sender: Callable[[], object] | None

    def wants(self, sender: object) -> bool:
        """Whether a send by `sender` concerns this registration."""
        if self.sender_id is None:
            return True
        return self.sender_id == id(sender) and (self.sender is None or self.sender() is not None)

    @property
    def dead(self) -> bool:
        """Whether the receiver, or the sender it waits for, no longer exists."""
        return self.receiver() is None or (self.sender is not None and self.sender() is None)


def _key(receiver: Any, sender: object, dispatch_uid: Hashable | None) -> Hashable:
    """What makes two registrations the same one; a bound method is a new object at each access, hence its parts."""
    sender_id = None if sender is None else id(sender)
    if dispatch_uid:
        return dispatch_uid, sender_id
    if hasattr(receiver, "__func__"):
        return id(receiver.__self__), id(receiver.__func__), sender_id
    return id(receiver), sender_id


class Signal:
    """Calls registered receivers with keyword arguments, in the order of registration.

    Receivers are held weakly unless asked otherwise, bound methods included, so that an object that
    registers its own method still dies with its last user. Safe to use from several threads at once.
    """

    def __init__(self) -> None:
        """Start without receivers."""
        # Re-entrant: a garbage collection inside the lock may run a finaliser that disconnects.
        self._lock = threading.RLock()
        self._connections: dict[Hashable, _Connection] = {}
        self._some_died = False

    def connect(
        self,
        receiver: Receiver,
        sender: object = None,
        weak: bool = True,
        dispatch_uid: Hashable | None = None,
    ) -> None:
        """Register `receiver(signal=, sender=, **named)` for sends by `sender`, or by anybody (None).

        Registering again (the same receiver, or the same `dispatch_uid`, for the same sender) changes nothing.
        TypeError where a weak reference is asked for and the receiver cannot have one.
        """
        connection = _Connection(
            self._reference(receiver) if weak else lambda: receiver,
            None if sender is None else id(sender),
            self._sender_reference(sender),
        )
        with self._lock:
            self._forget_dead()
            self._connections.setdefault(_key(receiver, sender, dispatch_uid), connection)

    def disconnect(
        self,
        receiver: Receiver | None = None,
        sender: object = None,
        dispatch_uid: Hashable | None = None,
    ) -> bool:
        """Undo `connect()` with the same arguments; whether there was such a registration."""
        with self._lock:
            self._forget_dead()
            return self._connections.pop(_key(receiver, sender, dispatch_uid), None) is not None

    def has_listeners(self, sender: object = None) -> bool:
        """Whether a send by `sender` would reach anybody."""
        return bool(self._live(sender))

    def send(self, sender: object, **named: Any) -> Responses:
        """Call the receivers; pairs of receiver and answer. The first exception ends the round and is raised."""
        return [(receiver, receiver(signal=self, sender=sender, **named)) for receiver in self._live(sender)]

    def send_robust(self, sender: object, **named: Any) -> Responses:
        """Call every receiver; pairs of receiver and answer, which is the exception where one was raised."""
        responses: Responses = []
        for receiver in self._live(sender):
            try:
                answer = receiver(signal=self, sender=sender, **named)
            except Exception as error:  # noqa: BLE001  the caller gets it as the answer
                answer = error
            responses.append((receiver, answer))
        return responses

    def _live(self, sender: object) -> list[Receiver]:
        with self._lock:
            self._forget_dead()
            wanted = [connection.receiver() for connection in self._connections.values() if connection.wants(sender)]
        return [receiver for receiver in wanted if receiver is not None]

    def _reference(self, receiver: Receiver) -> Callable[[], Receiver | None]:
        if hasattr(receiver, "__self__") and hasattr(receiver, "__func__"):
            return weakref.WeakMethod(receiver, self._notice_death)
        return weakref.ref(receiver, self._notice_death)

    def _sender_reference(self, sender: object) -> Callable[[], object] | None:
        """A weak reference where there can be one: the id of a dead sender may be given to another object."""
        if sender is None:
            return None
        try:
            return weakref.ref(sender, self._notice_death)
        except TypeError:
            return None

    def _notice_death(self, _reference: object) -> None:
        # Called in the middle of anything, also of our own loops: only leave word.
        self._some_died = True

    def _forget_dead(self) -> None:
        if self._some_died:
            self._some_died = False
            self._connections = {key: value for key, value in self._connections.items() if not value.dead}
