"""The storages of the settings, by their aliases: each made when it is first asked for, and kept."""

from __future__ import annotations

import difflib
import threading
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from storage import backends
from storage.conf import setting_changed, settings
from storage.exceptions import InvalidStorageError
from storage.lazy import LazyStorage

DEFAULT_STORAGE_ALIAS = "default"

_BUILT_IN: dict[str, dict[str, Any]] = {"memory": {"BACKEND": "storage.memory.InMemoryStorage"}}
"""Aliases that are there without being configured, unless STORAGES uses the name itself."""


class StorageHandler:
    """A mapping of aliases to storages, lazy in everything.

    `storages = StorageHandler()` follows the setting STORAGES: when it changes, the instances are forgotten and made
    anew. With `backends`, a dictionary of the same form, the handler has those and nothing else.
    """

    def __init__(self, backends: dict[str, dict[str, Any]] | None = None) -> None:
        """Read nothing and make nothing yet."""
        self._backends = backends
        self._storages: dict[str, Any] = {}
        self._built_in = _BUILT_IN if backends is None else {}
        # Re-entrant, for a storage made of other storages.
        self._lock = threading.RLock()
        if backends is None:
            setting_changed.connect(self._forget)

    @cached_property
    def backends(self) -> dict[str, dict[str, Any]]:
        """The definitions, as STORAGES has them."""
        return dict(settings.STORAGES) if self._backends is None else self._backends

    def __getitem__(self, alias: str) -> Any:
        """The storage of an alias; InvalidStorageError if it is not configured, or not rightly."""
        storage = self._storages.get(alias)
        if storage is not None:
            return storage
        with self._lock:
            if alias not in self._storages:
                self._storages[alias] = self._create(alias)
            return self._storages[alias]

    def __contains__(self, alias: object) -> bool:
        """Whether an alias is configured; its storage is not made."""
        return alias in self.backends or alias in self._built_in

    def __iter__(self) -> Iterator[str]:
        """The aliases, in the order of the settings; their storages are not made."""
        return iter({**self.backends, **self._built_in})

    def create_storage(self, params: Mapping[str, Any]) -> Any:
        """Make a storage from one definition, `{"BACKEND": ..., "OPTIONS": {...}}`; InvalidStorageError."""
        backend, options = params.get("BACKEND"), params.get("OPTIONS", {})
        if not isinstance(backend, str):
            raise InvalidStorageError("BACKEND must be the dotted path of a class, such as 'storage.FileSystemStorage'")
        if not isinstance(options, Mapping):
            raise InvalidStorageError(f"OPTIONS must be a dictionary, not {type(options).__name__}")
        return backends.create(backend, options)

    def _create(self, alias: str) -> Any:
        params = self.backends.get(alias, self._built_in.get(alias))
        if params is None:
            raise InvalidStorageError(
                f"Could not find config for '{alias}' in settings.STORAGES.{self._suggestion(alias)}"
            )
        try:
            return self.create_storage(params)
        except InvalidStorageError as error:
            raise InvalidStorageError(f"{error} (in STORAGES[{alias!r}])") from error

    def _suggestion(self, alias: str) -> str:
        near = difflib.get_close_matches(str(alias), list(self), n=3)
        if near:
            return f" Did you mean {' or '.join(map(repr, near))}?"
        return f" There are {', '.join(map(repr, self))}." if list(self) else ""

    def _forget(self, *, setting: str, **_: Any) -> None:
        if setting == "STORAGES":
            with self._lock:
                self.__dict__.pop("backends", None)
                self._storages = {}


storages = StorageHandler()
"""The storages of this process."""


class DefaultStorage(LazyStorage):
    """The storage called "default", looked up anew at each use, so that it follows the settings."""

    def _target(self) -> Any:
        return storages[DEFAULT_STORAGE_ALIAS]


default_storage = DefaultStorage()
"""The storage called "default"."""
