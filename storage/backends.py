"""From what BACKEND says to an object: which class is meant, and what is missing when it cannot be had.

It is the dotted path of a class, or a name without a dot that an installed package has published for one of its own, as
an entry point of the group `storage.backends`.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from storage.exceptions import ImproperlyConfigured, InvalidStorageError

PUBLISHED = "storage.backends"
"""The group of entry points in which packages publish backends."""

_OWN_CLASSES = {
    "FileSystemStorage": ("storage.filesystem", "django.core.files.storage.filesystem"),
    "InMemoryStorage": ("storage.memory", "django.core.files.storage.memory"),
}

_INSTALL = {
    "django": "'storage-vfs[django]'",
    "storages": "django-storages",
    "boto3": "'django-storages[s3]'",
    "botocore": "'django-storages[s3]'",
    "google": "'django-storages[google]'",
    "azure": "'django-storages[azure]'",
    "dropbox": "'django-storages[dropbox]'",
    "libcloud": "'django-storages[libcloud]'",
    "paramiko": "'django-storages[sftp]'",
    "opendal": "opendal",
    "fsspec": "'storage-vfs[fsspec]'",
}
"""What pip installs, by the top-level module that was missed."""


def create(backend: str, options: Mapping[str, Any]) -> Any:
    """Make the storage of class `backend` with these options; InvalidStorageError says what is wrong with either."""
    storage_class = import_backend(backend)
    try:
        return storage_class(**options)
    except TypeError as error:
        wrong = _wrong_option(storage_class, options, error)
        raise InvalidStorageError(
            f"Could not create backend {backend!r} with the OPTIONS {_listed(options)}: {wrong}"
        ) from error
    except Exception as error:
        if not _is_improperly_configured(error) or isinstance(error, InvalidStorageError):
            raise
        raise InvalidStorageError(f"Could not create backend {backend!r}: {error}") from error


def path_of(storage: Any) -> str:
    """The dotted path of a storage's class, or of the backend's that it wraps; of ours that which is configured."""
    import storage as package

    kind = type(getattr(storage, "wrapped", storage))
    for cls in kind.__mro__ if kind.__module__.startswith("storage.") else ():
        if getattr(package, cls.__name__, None) is cls:
            return f"storage.{cls.__name__}"
    return f"{kind.__module__}.{kind.__qualname__}"


def import_backend(backend: str) -> Any:
    """The class that BACKEND means; InvalidStorageError with the package to install, where that is known.

    Django's own two backends are ours, unless this process has a Django with settings of its own.
    """
    path = backend if "." in backend else _published(backend)
    own = _own_path(path)
    if own is None or _django_has_settings():
        own = path
    try:
        if own == path:
            _give_django_settings(path)
        return import_string(own)
    except Exception as error:
        # A package may hide an import that failed in it behind an error of its own.
        if not isinstance(error, ImportError) and not _is_improperly_configured(error):
            raise
        raise InvalidStorageError(f"Could not find backend {backend!r}: {error}{_install_hint(error)}") from error


def _published(name: str) -> str:
    """The dotted path of the class that a package has published under this name."""
    from importlib.metadata import entry_points  # slow, and most settings have paths

    published = {point.name: point.value for point in entry_points(group=PUBLISHED)}
    if name not in published:
        names = ", ".join(map(repr, sorted(published))) or "none"
        raise InvalidStorageError(
            f"Could not find backend {name!r}: give the dotted path of a class, or a name that an installed package "
            f"has published (there are {names})"
        )
    return published[name].replace(":", ".")


def _own_path(backend: str) -> str | None:
    """Our class for one of Django's, by either of its paths."""
    module, _, name = backend.rpartition(".")
    ours, theirs = _OWN_CLASSES.get(name, ("", ""))
    return f"{ours}.{name}" if module in ("django.core.files.storage", theirs) and theirs else None


def _django_has_settings() -> bool:
    """Whether Django is here and set up by others: by a project, or by the program."""
    if importlib.util.find_spec("django") is None:
        return False
    if os.environ.get("DJANGO_SETTINGS_MODULE"):
        return True
    conf = sys.modules.get("django.conf")
    if conf is None or not conf.settings.configured:
        return False
    from storage.remote.django_settings import are_given

    return not are_given()


def _give_django_settings(backend: str) -> None:
    """Let a backend that asks Django for settings find ours, where Django has none."""
    if backend.startswith("storage.") or importlib.util.find_spec("django") is None or _django_has_settings():
        return
    from storage.remote.django_settings import give

    give()


def import_string(path: str) -> Any:
    """What a dotted path names; ImportError."""
    module_name, _, name = path.rpartition(".")
    module = import_module(module_name)
    try:
        return getattr(module, name)
    except AttributeError as error:
        raise ImportError(f'Module "{module_name}" does not define a "{name}" attribute/class') from error


def _is_improperly_configured(error: BaseException) -> bool:
    """Whether it is ours or Django's exception of this name."""
    return any(cls.__name__ == ImproperlyConfigured.__name__ for cls in type(error).__mro__)


def _install_hint(error: BaseException) -> str:
    """A sentence with the package that brings the missing module; nothing for a module that is not known."""
    for cause in _causes(error):
        if isinstance(cause, ModuleNotFoundError) and cause.name:
            package = _INSTALL.get(cause.name.partition(".")[0])
            if package and _is_missing(cause.name.partition(".")[0]):
                return f". To install it: pip install {package}"
    return ""


def _is_missing(top_level: str) -> bool:
    # "google" and "azure" are shared by many distributions, so that the name alone may well be there.
    return top_level in ("google", "azure") or importlib.util.find_spec(top_level) is None


def _causes(error: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__


def _listed(options: Mapping[str, Any]) -> str:
    """The names of the options; their values may be secrets."""
    return ", ".join(repr(name) for name in options) or "{}"


def _wrong_option(storage_class: Any, options: Mapping[str, Any], error: TypeError) -> str:
    """What the constructor's signature says of the options, else what the constructor itself said."""
    try:
        signature = inspect.signature(storage_class)
    except (TypeError, ValueError):  # written in C, or not a class
        return str(error)
    try:
        signature.bind(**options)
    except TypeError as mismatch:
        named = [p.name for p in signature.parameters.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        return f"{mismatch} (it takes {', '.join(map(repr, named)) or 'none'})"
    return str(error)
