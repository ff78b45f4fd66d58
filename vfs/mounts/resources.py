"""What a process that serves a mount takes of the machine: descriptors, memory, time for looking for cycles."""

from __future__ import annotations

import ctypes
import gc
import resource

OPEN_FILES = 1 << 20
"""How many descriptors a daemon allows itself, as far as the system does."""
COLLECT_AFTER = (50_000, 20, 100)
"""Thresholds of the collector of cycles, of which a mount makes none: with a million files a search takes a second."""
_ARENA_MAX = -8
"""M_ARENA_MAX of malloc.h."""


def allow_many_files() -> None:
    """Raise the soft limit of descriptors: each open file of a mount, and each large one in memory, takes one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def share_memory() -> None:
    """Let threads share what they free: else each has megabytes of its own that held what was read long ago."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # glibc's
        libc.mallopt(_ARENA_MAX, 2)


def collect_seldom() -> None:
    """Leave alone what was imported, which stays, and look for cycles seldom."""
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
