"""Helps for the tests of programs that use storages.

from storage import InMemoryStorage
from storage.testing import FaultyStorage

storage = FaultyStorage(InMemoryStorage())
storage.fail(ConnectionResetError("cut"), "save", name="reports/*", times=2)
storage.delay(0.2, "open", "listdir")
storage.room = 1_000_000
"""

from storage.testing.faults import Fault, FaultyStorage

__all__ = ["Fault", "FaultyStorage"]
