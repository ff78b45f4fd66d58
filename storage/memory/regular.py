"""Regular files in memory: a content with its times, its version, and who holds it.

A content whose descriptor was handed out (`lend()`) is written to by others without a word. Its size is asked for
whenever it is needed; that its bytes have changed is found by the descriptor's own time of change, which `look()`
compares with the one before. So everything that shows or sets times looks first. Stores through a mapping change the
bytes at once; the time tells of the first one into a page, as on tmpfs, and of the others when the mapping is gone.
Before Linux 6.13 a write that falls into the same tick of the kernel's clock as a look before it (4 ms) goes unnoticed
until the next one.
"""

from __future__ import annotations

import os
from typing import Any

from storage.entry import Entry, Kind
from storage.memory.content import RESIDENT, Budget, Content
from storage.memory.memfd import Memfd
from storage.memory.nodes import Inode, new_entry

LINGERING = 256
"""How many closed files may stay memfds: some are opened again soon, or deleted."""
_TICK = 10_000_000
_DAY = 86_400 * 10**9


class RegularFile(Content):
    """Every change of the bytes goes through here, so that the times and the version follow."""

    __slots__ = ("changes", "opens")

    kind = Kind.FILE

    def __init__(self, ino: int, mode: int, uid: int, gid: int, now: int, budget: Budget) -> None:
        """An empty one, without names or handles."""
        Inode.__init__(self, ino, mode, uid, gid, now)
        self.budget = budget
        self.data = b""
        self.opens = 0
        self.changes = 0

    def entry(self, name: str) -> Entry:
        """This file as it looks under `name`."""
        data = self.data
        if isinstance(data, Memfd):
            status = self.look(data)
            size, blocks = status.st_size, status.st_blocks
        else:
            size = len(data)
            blocks = (size + 511) // 512
        return new_entry(self, name, size, blocks, f"{self.ino}-{self.changes}")

    def write(self, data: memoryview, offset: int, now: int) -> None:
        """All of `data` at `offset`; writing nothing changes nothing."""
        if data:
            self.pwrite(data, offset)
            self.changed(now)

    def truncate(self, size: int, now: int) -> None:
        """Cut or grow to `size` bytes."""
        self.resize(size)
        self.changed(now)

    def accessed(self, now: int) -> None:
        """Note a read as `relatime` does: the first one after a change, and then once a day."""
        atime_ns = self.atime_ns
        if atime_ns <= self.mtime_ns or atime_ns <= self.ctime_ns or now - atime_ns > _DAY:
            self.atime_ns = now

    def changed(self, now: int) -> None:
        """Note that the bytes have changed."""
        self.mtime_ns = self.ctime_ns = now
        self.changes += 1

    def set_attributes(
        self, now: int, mode: int | None, uid: int | None, gid: int | None, atime_ns: int | None, mtime_ns: int | None
    ) -> None:
        """Change what is not None; what was written before this does not count as a change after it."""
        if isinstance(self.data, Memfd):
            self.look(self.data)
        Inode.set_attributes(self, now, mode, uid, gid, atime_ns, mtime_ns)

    def lend(self, *, mappable: bool) -> int | None:
        """The descriptor of a memfd with the content, for others to write to, and if `mappable` to map.

        None where there is no descriptor to be had, and under a capacity: what is written to the descriptor is not
        asked whether there is room.
        """
        if self.budget.capacity is not None:
            return None
        is_empty = not self.data
        is_made = not isinstance(self.data, Memfd)
        memfd = self.into_memfd(0)
        if memfd is None:
            return None
        memfd.private = not mappable and (is_made or memfd.private)
        if memfd.seen_ns is None:
            memfd.seen_ns = 0 if is_empty else os.fstat(memfd.fd).st_mtime_ns
        return memfd.fd

    def look(self, memfd: Memfd) -> os.stat_result:
        """What the kernel says of the memfd; a change that was made from elsewhere since the last look is noted."""
        status = os.fstat(memfd.fd)
        self._account(memfd, status)
        written_ns = status.st_mtime_ns
        if memfd.seen_ns is not None and memfd.seen_ns != written_ns:
            if memfd.seen_ns or status.st_size:
                # The kernel's clock may be a tick behind ours; a later time was set on purpose.
                if not 0 < self.mtime_ns - written_ns < _TICK:
                    self.mtime_ns = written_ns
                self.ctime_ns = max(self.ctime_ns, written_ns)
                self.changes += 1
            memfd.seen_ns = written_ns
        return status

    def release(self) -> None:
        """One handle fewer; with the last one a memfd is put where the oldest come back into the process."""
        self.opens -= 1
        if self.opens:
            return
        if self.nlink == 0:
            self.free()
        elif isinstance(self.data, Memfd):
            if self.data.private:
                self.come_back()
            else:
                self._linger(self.data)

    def unused(self) -> None:
        """Free the content where neither a link nor a handle is left."""
        if self.opens == 0 and self.nlink == 0 and self.data:
            self.free()

    def _linger(self, memfd: Memfd) -> None:
        """Wait to be opened again, or for the turn to come back into the process.

        Who comes gives two others their turn, so that the queue shrinks again where some had to wait longer.
        """
        closed = self.budget.closed
        if not memfd.waits:
            memfd.waits = True
            closed.append(self)
        for _ in range(2):
            if len(closed) > min(LINGERING, Memfd.most // 2):
                closed.popleft().come_back()

    def come_back(self) -> None:
        """Move what is in a memfd back into this process if it is small and closed, or wait until no one maps it."""
        memfd = self.data
        if not isinstance(memfd, Memfd):
            return
        memfd.waits = False
        if self.opens:
            return
        size = self.look(memfd).st_size
        if size > RESIDENT:
            return
        if memfd.private:
            self.into_bytes(memfd, size)
            memfd.give_back()
        elif memfd.sealed():
            self.into_bytes(memfd, size)
            self.changes += memfd.mapped  # stores through a mapping leave no trace
        else:
            memfd.mapped = True
            memfd.waits = True
            self.budget.closed.append(self)

    def __getstate__(self) -> object:
        """What pickle and copy keep: the bytes themselves, and no open handles."""
        slots = {name: getattr(self, name) for name in (*Inode.__slots__, *Content.__slots__, *RegularFile.__slots__)}
        return None, {**slots, "data": self.pread(self.size, 0), "opens": 0}

    def __setstate__(self, state: tuple[None, dict[str, Any]]) -> None:
        """The same file, on the account of a budget of its own."""
        slots = dict(state[1])
        data = slots.pop("data")
        for name, value in slots.items():
            setattr(self, name, value)
        self.data = b""
        self.pwrite(memoryview(data), 0)
