"""Telling others what was changed through a storage object."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable
from types import TracebackType
from typing import Self

from storage.entry import Change

Callback = Callable[[Change], None]

_logger = logging.getLogger(__name__)
_guard = threading.Lock()


class Subscription:
    """One callback's wish to be told; ended by `stop()`, or by leaving a `with` block."""

    def __init__(self, observed: Observed, callback: Callback) -> None:
        """Made by `Storage.subscribe()`."""
        self._observed = observed
        self.callback = callback

    def stop(self) -> None:
        """Tell no more; a call that is under way in another thread still ends."""
        with _guard:
            others = tuple(one for one in self._observed._subscriptions if one is not self)
            self._observed._subscriptions = others

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()


class Observed:
    """The part of a storage that keeps the subscriptions.

    A storage that overrides `delete()` or an operation of the extended surface calls `_changed()` when it succeeded;
    what it builds from other public operations is told by those.
    """

    # Never changed in place, so that _changed() needs no lock. On the class, because a subclass need not call __init__.
    _subscriptions: tuple[Subscription, ...] = ()

    def subscribe(self, callback: Callback) -> Subscription:
        """Have `callback` called with a `Change` after each successful change made through this object.

        It runs in the thread that made the change. What it raises is logged: the change has happened all the same.
        """
        subscription = Subscription(self, callback)
        with _guard:
            self._subscriptions = (*self._subscriptions, subscription)
        return subscription

    def _changed(self, action: str, name: str, target: str | None = None, *, identity: Hashable | None = None) -> None:
        """Tell the subscribers; the arguments are the fields of `Change`."""
        if not self._subscriptions:
            return
        change = Change(action, name, target, identity)
        for subscription in self._subscriptions:
            try:
                subscription.callback(change)
            except Exception:
                _logger.exception("A subscriber failed on %r", change)
