"""The settings, by Django's names and with Django's defaults.

`settings.MEDIA_ROOT` is answered by the first of these that defines it, whole (nothing is merged):

1. what was set in code: `settings.MEDIA_ROOT = ...`, `settings.configure(...)`, `override_settings(...)`;
2. the configuration files and the Django project, in the order that `storage.conf.sources` lists;
3. Django's default.

Nothing is read at import: the sources are looked up at the first access of a setting, and again by
`settings.reload()`. Whoever caches what a setting says listens to `setting_changed`.
"""

from __future__ import annotations

import copy
import functools
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from storage.conf.django_project import DjangoProject
from storage.conf.global_settings import (
    DEFAULT_STORAGE_ALIAS as DEFAULT_STORAGE_ALIAS,
    SETTINGS,
    STATICFILES_STORAGE_ALIAS as STATICFILES_STORAGE_ALIAS,
)
from storage.conf.signals import Signal
from storage.conf.sources import Found, Source, find_files
from storage.exceptions import ImproperlyConfigured

logger = logging.getLogger("storage")

setting_changed = Signal()
"""Sent after a setting got another value, with `setting`, `value` and `enter` (False where an override ends)."""

DEFAULT_SOURCE = "Django's default"
"""What `Settings.explain()` says of a setting that nothing defines."""

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
    MOUNT_OPTIONS: dict[str, str]

    # What is not a setting is kept out of reach of __setattr__, in __dict__.
    _lock: threading.RLock
    _code: dict[str, Any]  # replaced, never changed, so that readers need no lock
    _defaults: dict[str, Any]
    _config: Path | None
    _folder: Path | None  # the current one when the files were first read
    _found: Found | None
    _django: DjangoProject

    def __init__(self) -> None:
        """Start with nothing set in code, and nothing read."""
        self._put(
            _lock=threading.RLock(),
            _code={},
            _defaults={name: copy.deepcopy(setting.default) for name, setting in SETTINGS.items()},
            _config=None,
            _folder=None,
            _found=None,
            _django=DjangoProject(self._django_changed),
        )

    # ---- values ------------------------------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        """The value of a setting.

        AttributeError where nothing defines it, ImproperlyConfigured where the source that may is wrong.
        """
        if not name.isupper():
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
        return _prefixed(name, self._look_up(name)[0])

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a value in code, which wins over every source."""
        _require_name(name)
        with self._lock:
            self._put(_code={**self._code, name: value})
        self._announce(name, enter=True)

    def __delattr__(self, name: str) -> None:
        """Forget the value set in code, so that the sources are asked again; AttributeError where there is none."""
        with self._lock:
            if name not in self._code:
                raise AttributeError(f"The setting {name!r} is not set in code", name=name, obj=self)
            self._put(_code={key: value for key, value in self._code.items() if key != name})
        self._announce(name, enter=False)

    def __dir__(self) -> list[str]:
        """The names of the settings too, for completion."""
        return sorted({*super().__dir__(), *self._defaults, *self._code})

    def __repr__(self) -> str:
        """Names no values: they hold secrets."""
        return f"<{type(self).__name__}>"

    # ---- sources -----------------------------------------------------------------------------------------------------

    def configure(
        self,
        *,
        config: str | os.PathLike[str] | None = None,
        django_settings: str | None = None,
        **values: Any,
    ) -> None:
        """Say where settings come from, as --config and --django-settings do, and set `values` in code.

        Relative to the current folder, which also becomes the one to look for files in. Nothing is read before a
        setting is asked for, unless files had been read already: then as `reload()`.
        """
        for name in values:
            _require_name(name)
        with self._lock:
            before, chosen = {"_config": self._config, "_folder": self._folder}, self._django.chosen
            self._put(_config=None if config is None else Path(os.path.abspath(config)), _folder=_current_folder())
            self._django.choose(django_settings)
            try:
                changed = self._read_again()
            except ImproperlyConfigured:
                self._put(**before)
                self._django.choose(chosen)
                raise
            self._put(_code={**self._code, **values})
            if self._found is not None and django_settings != chosen:
                changed += [name for name in self._defaults if self._is_left_to_django(name)]
        for name in dict.fromkeys([*changed, *values]):
            self._announce(name, enter=True)

    def reload(self) -> None:
        """Read the files again and tell of each setting that changed; what was set in code stays set.

        ImproperlyConfigured, and nothing changed, if any setting of a file is wrong now. A Django project is not
        imported again, as nothing in Django is.
        """
        with self._lock:
            changed = self._read_again()
        for name in changed:
            self._announce(name, enter=True)

    def check(self) -> None:
        """Ask for every setting once; ImproperlyConfigured now rather than in the middle of the work."""
        for name in self._defaults:
            self._look_up(name)

    def explain(self, name: str) -> str:
        """Where the value of a setting comes from, in words: "set in code", a file, a project, "Django's default"."""
        return self._look_up(name)[1]

    def folder_of(self, name: str) -> Path | None:
        """What relative paths in a setting are relative to: the folder of its file; None where no file defines it."""
        if name in self._code:
            return None
        return next((file.path.parent for file in self._files().files if file.defines(name)), None)

    def left_out(self) -> tuple[str, ...]:
        """A sentence for each configuration file that is there and was not read, with the reason."""
        return self._files().left_out

    def _look_up(self, name: str) -> tuple[Any, str]:
        """The value of a setting, and the words for its source; AttributeError where nothing defines it."""
        code = self._code
        if name in code:
            return code[name], "set in code"
        sources: tuple[Source, ...] = (*self._files().files, self._django)
        for source in sources:
            if source.defines(name):
                return source.value(name), source.origin_of(name)
        if name in self._defaults:
            return self._defaults[name], DEFAULT_SOURCE
        raise self._unknown(name)

    def _unknown(self, name: str) -> AttributeError:
        import difflib  # only for a mistake

        near = difflib.get_close_matches(name, self._defaults, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        return AttributeError(f"There is no setting {name!r}{hint}", name=name, obj=self)

    def _files(self) -> Found:
        found = self._found
        if found is None:
            with self._lock:
                found = self._found or self._find()
                self._put(_found=found)
        return found

    def _find(self) -> Found:
        # A daemon goes to "/" later, and must not look for its files there.
        folder = self._folder or _current_folder()
        self._put(_folder=folder)
        found = find_files(self._config, folder)
        for sentence in found.left_out:
            logger.warning("%s", sentence)
        return found

    def _read_again(self) -> list[str]:
        """Replace what was read of the files, if anything was; the settings that this changed."""
        if self._found is None:
            return []
        found = self._find()
        before, after = self._found.values(strict=False), found.values(strict=True)
        self._put(_found=found)
        names = [name for name in self._defaults if name not in self._code]
        return [name for name in names if before.get(name, _ABSENT) != after.get(name, _ABSENT)]

    def _put(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)

    def _announce(self, name: str, *, enter: bool) -> None:
        setting_changed.send(sender=type(self), setting=name, value=getattr(self, name, None), enter=enter)

    def _django_changed(self, name: str, enter: bool) -> None:
        """Pass on what Django's own signal tells of a setting, where it is Django whose value counts."""
        if self._is_left_to_django(name):
            self._announce(name, enter=enter)

    def _is_left_to_django(self, name: str) -> bool:
        return name not in self._code and not self._files().defines(name)


def _require_name(name: str) -> None:
    if not name.isupper():
        raise TypeError(f"Setting {name!r} must be uppercase.")


def _current_folder() -> Path | None:
    try:
        return Path.cwd()
    except FileNotFoundError:  # removed under us
        return None


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
            settings._put(_code={**settings._code, **self.options})
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
            settings._put(_code=before)
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
        decorate: Callable[[_Decorated], _Decorated]
        decorate = self._decorate_class if isinstance(decorated, type) else self._decorate_function
        return decorate(decorated)

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
