"""From an alias to its storage, or to the reason why a command cannot work with it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from vfs.cli.errors import CommandError
from vfs.cli.names import escape

if TYPE_CHECKING:
    from storage.base import Storage


def storage_of(alias: str, text: str = "") -> Storage:
    """The storage of an alias, with the extended surface.

    InvalidStorageError for one that cannot be made; CommandError for one that is unknown, and for an in-memory storage,
    whose files another process has. `text` is what the user wrote.
    """
    from storage import adapt, storages
    from storage.exceptions import InvalidStorageError

    if alias not in storages:
        try:
            return adapt(storages[alias])
        except InvalidStorageError as error:
            local = f", and a local file of this name is written ./{text}" if os.path.lexists(text) else ""
            raise CommandError(f"{error} `vfs storages` lists them{local}") from error
    storage = storages[alias]
    if is_in_memory(storage):
        raise CommandError(_why_not_from_here(alias))
    try:
        return adapt(storage)
    except TypeError as error:  # it is no storage at all
        raise CommandError(f"{error} (in STORAGES[{alias!r}])") from error


def require(alias: str) -> None:
    """CommandError for an alias that is unknown, which says which there are."""
    from storage import storages

    if alias not in storages:
        storage_of(alias)


def is_in_memory(storage: Any) -> bool:
    """Whether its files are in the memory of the process that has it: ours, Django's, or a class derived from them."""
    return any(cls.__name__ == "InMemoryStorage" for cls in type(storage).__mro__)


def mountpoints(alias: str) -> list[str]:
    """Where running mounts of this user show an alias."""
    from vfs.mounts.records import records

    return [record.mountpoint for record in records() if record.alias == alias and record.is_in_the_tree()]


def _why_not_from_here(alias: str) -> str:
    why = f"{alias}: keeps its files in the memory of one process, and this command is another one."
    found = mountpoints(alias)
    if found:
        return f"{why} They are to be seen at {', '.join(map(escape, found))}"
    return f"{why} To have it as a directory: vfs mount {alias} DIR"
