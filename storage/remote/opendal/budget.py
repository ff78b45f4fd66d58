"""A budget of memory that many threads draw on."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator


class Budget:
    """So many bytes, to be taken for a while."""

    def __init__(self, total: int) -> None:
        """All is free."""
        self._total = total
        self._free = total
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def taken(self, amount: int) -> Iterator[None]:
        """A block that has `amount` bytes, or all that there are; it waits for others to give theirs back."""
        amount = min(amount, self._total)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= amount)
            self._free -= amount
        try:
            yield
        finally:
            with self._changed:
                self._free += amount
                self._changed.notify_all()
