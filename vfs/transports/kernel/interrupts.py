"""Whether a process whose signal the kernel tells of is to get its system call back.

The kernel sends an INTERRUPT for whatever signal a waiting process got. Most that a program catches come in passing (a
timer, a child that ended, Go's SIGURG), and must not make its calls fail: on a local disk they never do. So a process
is let go for a signal that it dies of, and for one by which somebody wants it back, as Ctrl-C.
"""

from __future__ import annotations

import signal

_IN_PASSING = {
    signal.SIGCHLD,
    signal.SIGURG,
    signal.SIGWINCH,
    signal.SIGCONT,
    signal.SIGIO,
    signal.SIGPROF,
    signal.SIGVTALRM,
    signal.SIGSTOP,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
}
"""Signals that no process dies of by default, or that programs get all the time. Who is stopped goes on later."""
_BY_SOMEBODY = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT}
"""Signals by which somebody wants a process back, though it catches them."""


def wants_back(thread: int) -> bool:
    """Whether a signal waits for that thread which its process dies of, or by which somebody wants it back.

    One that cannot be looked at (another namespace's, or gone) is let go.
    """
    masks = dict.fromkeys(("SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt"), 0)
    try:
        with open(f"/proc/{thread}/status", encoding="utf-8", errors="replace") as status:
            for line in status:
                name, _, value = line.partition(":")
                if name in masks:
                    masks[name] = int(value, 16)
    except OSError:
        return True
    pending = (masks["SigPnd"] | masks["ShdPnd"]) & ~masks["SigBlk"] & ~masks["SigIgn"]
    return bool(pending & ~masks["SigCgt"] & ~_mask(_IN_PASSING) or pending & _mask(_BY_SOMEBODY))


def _mask(signals: set[signal.Signals]) -> int:
    return sum(1 << (number - 1) for number in signals)
