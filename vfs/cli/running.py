"""The daemons of the mounts that commands speak with."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vfs.cli.errors import CommandError, describe
from vfs.cli.names import escape

if TYPE_CHECKING:
    from vfs.mounts.records import Record

PATIENCE = 5.0
"""How many seconds a mount may take to answer; one that hangs must not hide the others."""


def record_at(mountpoint: Path) -> Record:
    """The record of the daemon at `mountpoint`; CommandError if there is none, or it is dead."""
    from vfs.mounts.mountpoint import absolute, is_stale
    from vfs.mounts.records import find

    path = absolute(mountpoint)
    record = find(path)
    if record is not None:
        return record
    shown = escape(str(path))
    if is_stale(path):
        raise CommandError(f"the process of the mount at {shown} is dead; clean up with: vfs unmount {shown}")
    raise CommandError(f"nothing of yours is mounted at {shown}")


def name_in(mountpoint: Path, path: str) -> str:
    """The storage's name of the `path` that was written, from the mountpoint on or from here; nothing is looked at."""
    for top in {os.path.abspath(mountpoint), os.path.realpath(mountpoint)}:
        below = os.path.relpath(os.path.abspath(path), top)
        if path and below != ".." and not below.startswith("../"):
            path = below
    name = os.path.normpath(path).lstrip("/")
    return "" if name == "." else name


def ask_all(found: Sequence[Record], command: str) -> list[dict[str, Any]]:
    """What each daemon answers to `command`; an object with "error" alone where it does not answer in time."""
    answers: list[dict[str, Any]] = [{"error": f"it does not answer within {PATIENCE:g} s"} for _ in found]

    def ask(record: Record, index: int) -> None:
        try:
            answers[index] = record.ask(command)
        except (FileNotFoundError, ConnectionRefusedError):  # while it has a record it listens, but for its end
            answers[index] = {"error": "it is ending"}
        except (OSError, ValueError) as error:
            answers[index] = {"error": f"it does not answer: {describe(error)}"}

    threads = [threading.Thread(target=ask, args=(record, index), daemon=True) for index, record in enumerate(found)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + PATIENCE
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return list(answers)


def memory(record: Record) -> int | None:
    """The resident memory of its process in bytes; None for one that has ended meanwhile."""
    import psutil

    try:
        return int(psutil.Process(record.pid).memory_info().rss)
    except psutil.Error:
        return None
