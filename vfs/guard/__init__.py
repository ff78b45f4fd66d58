"""A storage that always comes back: calls have a deadline, short outages are bridged, long ones are answered at once.

A call of a network's storage may hang for ever, and whoever reads a directory of the mount would hang with it. So each
call is made by a thread of its own (`vfs.guard.calls`), and who wants the answer waits only while there is progress.
What does not come back is left to its thread; nobody else is to change the same name until that has ended, for it may
still reach the storage.

Errors that look like an outage are met in two ways. What only reads is tried again, a few times, each a bit later. And
when outages follow each other without an answer in between, the circuit opens (`vfs.guard.circuit`): for a while every
call fails at once with the error of the last, so that `ls`, `df` and a shell's prompt are not held up by a server that
is gone. Then one call is let through to try; the first that succeeds closes the circuit again.
"""

from vfs.guard.calls import Calls, NotAskedError
from vfs.guard.circuit import Circuit, is_outage
from vfs.guard.storage import GuardedStorage, guarded

__all__ = ("Calls", "Circuit", "GuardedStorage", "NotAskedError", "guarded", "is_outage")
