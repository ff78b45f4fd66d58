"""Settings for backends that ask Django for theirs, in a process where nobody has set up Django.

django-storages and many others read `django.conf.settings` even if all their options are given. Where there is no
Django project, they find our settings there, and Django's defaults for the rest.
"""

from __future__ import annotations

import sys
from typing import Any

from storage import times
from storage.conf import setting_changed, settings


class _OurSettings:
    """What Django falls back on: our value of a setting, else Django's default, but for Chicago the process's zone."""

    def __getattr__(self, name: str) -> Any:
        from django.conf import global_settings

        if name == "TIME_ZONE" and not times.is_set():
            return times.process_zone()
        try:
            return getattr(settings, name)
        except AttributeError:
            return getattr(global_settings, name)


_ours = _OurSettings()


def are_given() -> bool:
    """Whether Django has our settings, and nobody else's."""
    from django.conf import settings as django_settings

    return getattr(django_settings, "default_settings", None) is _ours


def give() -> None:
    """Let Django have our settings, if it has none; they are looked up when asked for, and follow changes."""
    from django.conf import settings as django_settings

    if not django_settings.configured:
        django_settings.configure(default_settings=_ours)
        setting_changed.connect(_forget)


def _forget(*, setting: str, **_: Any) -> None:
    """Take a changed value out of Django's cache."""
    from django.conf import settings as django_settings

    django_settings.__dict__.pop(setting, None)
    timezone = sys.modules.get("django.utils.timezone")
    if setting == "TIME_ZONE" and timezone is not None:
        timezone.get_default_timezone.cache_clear()
