"""The settings, by Django's names and with Django's defaults.

`settings.MEDIA_ROOT` is answered by the first of these that defines it, whole (nothing is merged):

1. what was set in code: `settings.MEDIA_ROOT = ...`, `settings.configure(...)`, `override_settings(...)`;
2. the configuration files and the Django project, in the order that `storage.sources` lists;
3. Django's default.

Nothing is read at import: the sources are looked up at the first access of a setting, and again by
`settings.reload()`. Whoever caches what a setting says listens to `setting_changed`.
"""

from __future__ import annotations

import copy
import functools
import os
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

from storage.signals import Signal

DEFAULT_STORAGE_ALIAS = "default"
STATICFILES_STORAGE_ALIAS = "staticfiles"

DEFAULTS: dict[str, Any] = {
    "STORAGES": {
        DEFAULT_STORAGE_ALIAS: {"BACKEND": "django.core.files.storage.FileSystemStorage"},
        STATICFILES_STORAGE_ALIAS: {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    },
    "MEDIA_ROOT": "",
    "MEDIA_URL": "",
    "STATIC_ROOT": None,
    "STATIC_URL": None,
    "FILE_UPLOAD_PERMISSIONS": 0o644,
    "FILE_UPLOAD_DIRECTORY_PERMISSIONS": None,
    "FILE_UPLOAD_TEMP_DIR": None,
    "USE_TZ": True,
    "TIME_ZONE": "America/Chicago",
}
"""Every setting that the package knows, with the value that Django gives it."""

setting_changed = Signal()
"""Sent after a setting got another value, with `setting`, `value` and `enter` (False where an override ends)."""

_ABSENT = object()
_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])


class Settings:
    """The settings as attributes; one instance, `storage.settings`, serves the process."""

    STORAGES: dict[str, dict[str, Any]]
    MEDIA_ROOT: str | os.PathLike[str]
    MEDIA_URL: str | None
    STATIC_ROOT: str | os.PathLike[str] | None
    STATIC_URL: str | None
    FILE_UPLOAD_PERMISSIONS: int | None
    FILE_UPLOAD_DIRECTORY_PERMISSIONS: int | None
    FILE_UPLOAD_TEMP_DIR: str | os.PathLike[str] | None
    USE_TZ: bool
    TIME_ZONE: str

    _code: dict[str, Any]
    _defaults: dict[str, Any]
    _lock: threading.RLock

    def __init__(self) -> None:
        """Start with nothing set in code, and nothing read."""
        self.__dict__.update(_code={}, _defaults=copy.deepcopy(DEFAULTS), _lock=threading.RLock())

    def __getattr__(self, name: str) -> Any:
        """The value of a setting; AttributeError where nothing defines it."""
        for values in (self._code, self._defaults):
            if name in values:
                return _prefixed(name, values[name])
        import difflib  # only for a mistake

        near = difflib.get_close_matches(name, self._defaults, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise AttributeError(f"There is no setting {name!r}{hint}", name=name, obj=self)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a value in code, which wins over every source."""
        if not name.isupper():
            raise TypeError(f"Setting {name!r} must be uppercase.")
        with self._lock:
            self._replace_code({**self._code, name: value})
        self._announce(name, enter=True)

    def __delattr__(self, name: str) -> None:
        """Forget the value set in code, so that the sources are asked again; AttributeError where there is none."""
        with self._lock:
            if name not in self._code:
                raise AttributeError(f"The setting {name!r} is not set in code", name=name, obj=self)
            self._replace_code({key: value for key, value in self._code.items() if key != name})
        self._announce(name, enter=False)

    def __dir__(self) -> list[str]:
        """The names of the settings too, for completion."""
        return sorted({*super().__dir__(), *self._defaults, *self._code})

    def __repr__(self) -> str:
        """Names no values: they hold secrets."""
        return f"<{type(self).__name__}>"

    def _replace_code(self, values: dict[str, Any]) -> None:
        # Not a plain assignment: that would set a setting. The dictionary in place is never changed.
        self.__dict__["_code"] = values

    def _announce(self, name: str, *, enter: bool) -> None:
        setting_changed.send(sender=type(self), setting=name, value=getattr(self, name, None), enter=enter)


def _prefixed(name: str, value: Any) -> Any:
    """Django puts the path that the site is served under before a relative URL; here that is always "/"."""
    if name in ("MEDIA_URL", "STATIC_URL") and value is not None and not value.startswith(("http://", "https://", "/")):
        return f"/{value}"
    return value


settings = Settings()
"""The settings of this process."""


class override_settings:  # noqa: N801  Django's name
    """Give settings other values for a while: around a block, a function, or a whole unittest.TestCase.

    What is assigned inside is undone at the end too. For tests: the values are those of the process, not of a thread.
    """

    def __init__(self, **options: Any) -> None:
        """Note the values, by setting; nothing changes yet."""
        self.options = options
        self._saved: list[dict[str, Any]] = []

    def enable(self) -> None:
        """Set the values; where a receiver of `setting_changed` fails, undo and raise its exception."""
        with settings._lock:
            self._saved.append(settings._code)
            settings._replace_code({**settings._code, **self.options})
        try:
            for name in self.options:
                settings._announce(name, enter=True)
        except Exception:
            self.disable()
            raise

    def disable(self) -> None:
        """Go back; every receiver is told, and then the first exception of one is raised."""
        with settings._lock:
            inside, before = settings._code, self._saved.pop()
            settings._replace_code(before)
        errors = []
        for name in dict.fromkeys([*self.options, *inside, *before]):
            if name in self.options or inside.get(name, _ABSENT) is not before.get(name, _ABSENT):
                value = getattr(settings, name, None)
                answers = setting_changed.send_robust(type(settings), setting=name, value=value, enter=False)
                errors += [answer for _, answer in answers if isinstance(answer, Exception)]
        if errors:
            raise errors[0]

    def __enter__(self) -> None:
        """Enable for the block."""
        self.enable()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Disable after the block."""
        self.disable()

    def __call__(self, decorated: _Decorated) -> _Decorated:
        """Decorate a function, a coroutine function, or a subclass of unittest.TestCase."""
        if isinstance(decorated, type):
            return self._decorate_class(decorated)
        return self._decorate_function(decorated)

    def _decorate_class(self, case: Any) -> Any:
        """Override from setUpClass to tearDownClass; what a subclass overrides wins over its parents."""
        import unittest  # a program that runs no tests need not load it

        if not issubclass(case, unittest.TestCase):
            raise TypeError("Only subclasses of unittest.TestCase can be decorated with override_settings")
        inherited = getattr(case, "_overridden_settings", None)
        case._overridden_settings = {**(inherited or {}), **self.options}
        if inherited is None:
            set_up = case.setUpClass.__func__

            def set_up_class(cls: Any) -> None:
                cls.enterClassContext(override_settings(**cls._overridden_settings))
                set_up(cls)

            case.setUpClass = classmethod(set_up_class)
        return case

    def _decorate_function(self, function: Any) -> Any:
        import inspect

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def inner(*args: Any, **kwargs: Any) -> Any:
                with override_settings(**self.options):
                    return await function(*args, **kwargs)
        else:

            @functools.wraps(function)
            def inner(*args: Any, **kwargs: Any) -> Any:
                with override_settings(**self.options):
                    return function(*args, **kwargs)

        return inner
