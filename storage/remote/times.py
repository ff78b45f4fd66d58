"""Times as Django's methods give them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from storage.conf import settings

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment_of(ns: int | None, what: str) -> datetime:
    """The time, aware where the setting USE_TZ is on, else naive and local; NotImplementedError for None.

    `what` says whose time nobody knows, for the message.
    """
    if ns is None:
        raise NotImplementedError(f"{what} is not told")
    moment = _EPOCH + timedelta(microseconds=ns // 1000)
    return moment if settings.USE_TZ else moment.astimezone().replace(tzinfo=None)
