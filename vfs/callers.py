"""Who asks: the process that a request comes from."""

from __future__ import annotations

import errno
import os
from typing import NamedTuple


class Caller(NamedTuple):
    """The process that a request comes from."""

    uid: int
    gid: int
    pid: int


def same_process(opener: int, closer: int) -> bool:
    """Whether two thread ids of requests belong to one process; unsure (a process that is gone) counts as yes."""
    if opener == closer:
        return True
    try:
        return _process_of(opener) == _process_of(closer)
    except OSError:
        return True


def _process_of(thread: int) -> int:
    """The process (thread group) of a thread, from /proc; OSError where that is not to be had."""
    with open(f"/proc/{thread}/status", encoding="utf-8", errors="replace") as status:
        for line in status:
            if line.startswith("Tgid:"):
                return int(line.split()[1])
    raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
