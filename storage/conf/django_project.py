"""The settings of a Django project, as the last of the sources.

There is one where `--django-settings` or $DJANGO_SETTINGS_MODULE names its settings module, and where the program has
called `django.conf.settings.configure()` itself. Django is imported when a setting is asked for that nothing before
defines, and only then; from there on its own `setting_changed`, which its `override_settings` sends, is passed on.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from storage.conf.configfile import shown
from storage.exceptions import ImproperlyConfigured

ENVIRONMENT_VARIABLE = "DJANGO_SETTINGS_MODULE"


class DjangoProject:
    """Answers from `django.conf.settings`, at every question anew: Django's settings may be set at run time too."""

    def __init__(self, changed: Callable[[str, bool], None]) -> None:
        """Begin with the environment's project; `changed(setting, enter)` is told what Django tells."""
        self._explicit: str | None = None
        self._changed = changed
        self._loaded: Any = None

    def choose(self, module: str | None) -> None:
        """Take the settings module that was named, or again the environment's (None)."""
        self._explicit = module
        self._loaded = None

    @property
    def chosen(self) -> str | None:
        """What `choose()` was given last."""
        return self._explicit

    @property
    def module(self) -> str | None:
        """The dotted name of the settings module, if one is named."""
        return self._explicit or os.environ.get(ENVIRONMENT_VARIABLE) or None

    @property
    def origin(self) -> str:
        """What this source is, in words for people."""
        module = self.module
        if module is None:
            return "django.conf.settings"
        return f"the Django project {shown(module)}" + ("" if self._explicit else f" (${ENVIRONMENT_VARIABLE})")

    def defines(self, name: str) -> bool:
        """Whether Django has the setting: of a project all, its defaults too; else what the program gave to Django."""
        django_settings = self._settings()
        if django_settings is None:
            return False
        if self.module is None:
            return bool(django_settings.is_overridden(name))
        return hasattr(django_settings, name)

    def value(self, name: str) -> Any:
        """The setting, as Django has it now."""
        return getattr(self._settings(), name)

    def origin_of(self, name: str) -> str:
        """The project, or Django's default where the project says nothing."""
        return self.origin if self._settings().is_overridden(name) else "Django's default"

    def _settings(self) -> Any:
        if self._loaded is None:
            conf = sys.modules.get("django.conf")
            if self.module is not None:
                self._loaded = self._load(self.module)
            elif conf is not None and conf.settings.configured:
                self._loaded = conf.settings
            if self._loaded is not None:
                self._listen()
        return self._loaded

    def _load(self, module: str) -> Any:
        """Import Django and the module; ImproperlyConfigured for all that goes wrong in it."""
        try:
            from django.conf import settings as django_settings
        except ModuleNotFoundError as error:
            raise ImproperlyConfigured(
                f"The settings are those of {self.origin}, but Django is not installed: "
                f"pip install 'storage-vfs[django]', or unset {ENVIRONMENT_VARIABLE}"
            ) from error
        if self._explicit:
            _name_to_django(django_settings, self._explicit)
        try:
            django_settings.is_overridden("STORAGES")  # the first attribute makes Django import the module
        except Exception as error:
            # Anything may go wrong in a module of somebody else's.
            raise ImproperlyConfigured(
                f"Cannot load the settings of {self.origin}: {_problem(module, error)}"
            ) from error
        return django_settings

    def _listen(self) -> None:
        from django.core.signals import setting_changed as django_setting_changed

        django_setting_changed.connect(self._forward)

    def _forward(self, *, setting: str, enter: bool = True, **_: Any) -> None:
        self._changed(setting, enter)


def _name_to_django(django_settings: Any, module: str) -> None:
    """Choose the module as Django's own --settings does, and let it be found in the current folder."""
    if django_settings.configured and django_settings.SETTINGS_MODULE not in (module, None):
        used = shown(django_settings.SETTINGS_MODULE)
        raise ImproperlyConfigured(f"Django already uses the settings {used}, and cannot use {shown(module)}")
    os.environ[ENVIRONMENT_VARIABLE] = module
    if os.getcwd() not in sys.path:  # manage.py has it; at the end, so as to hide nothing that is installed
        sys.path.append(os.getcwd())


def _problem(module: str, error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name and f"{module}.".startswith(f"{error.name}."):
        return f"there is no module {shown(error.name)}; is the project's folder on PYTHONPATH?"
    return f"{type(error).__name__}: {error}"
