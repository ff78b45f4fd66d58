"""Times as Django's methods give them: aware where the setting USE_TZ is on, else naive.

A naive time is one of the zone in TIME_ZONE, where that is set. Where it is not, it is one of the process's zone:
Django's default is Chicago, which nobody means who has set nothing. A Django project moves its whole process to its
TIME_ZONE.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta, tzinfo

from storage.conf import DEFAULT_SOURCE, settings
from storage.exceptions import ImproperlyConfigured
from storage.listing import nanoseconds

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LOCAL_ZONE = "/etc/localtime"


def zone() -> tzinfo | None:
    """The zone of naive times; None for the process's. ImproperlyConfigured where TIME_ZONE names none."""
    name = settings.TIME_ZONE if is_set() else None
    if not name:
        return None
    from zoneinfo import ZoneInfo  # here, because few ask for naive times

    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError) as error:
        raise ImproperlyConfigured(f"TIME_ZONE is {name!r}, which this machine knows no time zone of") from error


def is_set() -> bool:
    """Whether anybody has said which zone TIME_ZONE is."""
    return settings.explain("TIME_ZONE") != DEFAULT_SOURCE


def moment_at(ns: int) -> datetime:
    """The time of so many nanoseconds since the epoch, aware or naive as the settings say."""
    return shown(_EPOCH + timedelta(microseconds=ns // 1000))


def shown(moment: datetime) -> datetime:
    """An aware time, aware or naive as the settings say."""
    if settings.USE_TZ:
        return moment
    here = zone()
    naive = moment.astimezone(here).replace(tzinfo=None)
    return naive if here or naive.astimezone() == moment else naive.replace(fold=1)  # the clock has been set back


def aware(moment: datetime, naive_in: tzinfo | None) -> datetime:
    """A time with its zone; a naive one is of that zone, or (None) of the process's."""
    if moment.tzinfo is not None:
        return moment
    return moment.astimezone() if naive_in is None else moment.replace(tzinfo=naive_in)


def nanoseconds_of(moment: datetime) -> int:
    """Nanoseconds since the epoch of a time that is aware, or naive as the settings say."""
    return nanoseconds(moment if moment.tzinfo is not None else aware(moment, zone()))


def process_zone() -> str:
    """The name of the process's zone; "UTC" where it has none, but a rule of its own or a file that is no link."""
    told = os.environ.get("TZ")
    path = os.path.realpath(_LOCAL_ZONE) if told is None else told.removeprefix(":")
    name = path.rpartition("zoneinfo/")[2]
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        return "UTC"
    return name
