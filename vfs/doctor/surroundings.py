"""The settings that are found, and the packages that are installed."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib import metadata

from vfs.doctor.checks import Check, Words, failure, ok, warning

_EXTRAS = {"opendal": "opendal", "fsspec": "fsspec", "Django": "django"}
"""The extra that brings each package."""


def checks() -> Iterator[Check]:
    """Read the settings, and ask which packages there are."""
    yield from _settings()
    yield _packages()


def _settings() -> Iterator[Check]:
    from storage import settings, storages
    from storage.conf import DEFAULT_SOURCE
    from storage.exceptions import ImproperlyConfigured

    name = "settings"
    try:
        settings.check()
        aliases, source = list(storages), settings.explain("STORAGES")
    except ImproperlyConfigured as error:
        yield failure(name, Words().of(error), "mend that; `vfs storages` shows what is found then")
        return
    for sentence in settings.left_out():
        message, _, advice = sentence.partition(", and ")
        yield warning(name, message, advice)
    if source == DEFAULT_SOURCE:
        advice = "write a vfs.toml with a table [STORAGES.ALIAS]"
        yield ok(name, f"nothing is configured; built in are {', '.join(aliases)}", advice)
    else:
        yield ok(name, f"{', '.join(aliases)}, by {source}")


def _packages() -> Check:
    found = {package: _version(package) for package in ("fusepy", *_EXTRAS)}
    there = [f"{package} {version}" for package, version in found.items() if version]
    missing = [extra for package, extra in _EXTRAS.items() if not found[package]]
    advice = f"for storages that need more: pip install 'storage-vfs[{','.join(missing)}]'" if missing else ""
    return ok("packages", ", ".join([f"Python {platform.python_version()}", *there]), advice)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
