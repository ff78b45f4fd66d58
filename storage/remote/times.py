"""Times as Django's methods give them, of what a service may not tell."""

from __future__ import annotations

from datetime import datetime

from storage.times import moment_at


def moment_of(ns: int | None, what: str) -> datetime:
    """The time, aware where the setting USE_TZ is on, else naive; NotImplementedError for None.

    `what` says whose time nobody knows, for the message.
    """
    if ns is None:
        raise NotImplementedError(f"{what} is not told")
    return moment_at(ns)
