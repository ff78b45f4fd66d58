"""Django's File Storage API without Django, with the operations of a filesystem on top.

    from storage import ContentFile, storages

    media = storages["default"]
    name = media.save("notes/today.txt", ContentFile("hello"))
    with media.open(name) as file:
        print(file.read())

The public names are loaded when they are first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from storage.base import (
        RENAME_EXCHANGE as RENAME_EXCHANGE,
        RENAME_NOREPLACE as RENAME_NOREPLACE,
        Storage as Storage,
        Subscription as Subscription,
    )
    from storage.conf import (
        override_settings as override_settings,
        setting_changed as setting_changed,
        settings as settings,
    )
    from storage.entry import Change as Change, Entry as Entry, Kind as Kind, Usage as Usage
    from storage.exceptions import (
        DirectoryNotEmptyError as DirectoryNotEmptyError,
        ImproperlyConfigured as ImproperlyConfigured,
        InvalidStorageError as InvalidStorageError,
        NameTooLongError as NameTooLongError,
        StorageFullError as StorageFullError,
        SuspiciousFileOperation as SuspiciousFileOperation,
        SuspiciousOperation as SuspiciousOperation,
        VersionMismatchError as VersionMismatchError,
    )
    from storage.files import ContentFile as ContentFile, File as File, FileProxyMixin as FileProxyMixin
    from storage.filesystem import FileSystemStorage as FileSystemStorage
    from storage.handler import (
        DefaultStorage as DefaultStorage,
        StorageHandler as StorageHandler,
        default_storage as default_storage,
        storages as storages,
    )
    from storage.locks import LOCK_EX as LOCK_EX, LOCK_NB as LOCK_NB, LOCK_SH as LOCK_SH, lock as lock, unlock as unlock
    from storage.memory import InMemoryStorage as InMemoryStorage
    from storage.move import file_move_safe as file_move_safe
    from storage.names import get_valid_filename as get_valid_filename, validate_file_name as validate_file_name
    from storage.remote.django import DjangoStorage as DjangoStorage, adapt as adapt
    from storage.remote.fsspec import FsspecStorage as FsspecStorage
    from storage.remote.opendal import OpenDALStorage as OpenDALStorage
    from storage.temp import NamedTemporaryFile as NamedTemporaryFile, gettempdir as gettempdir

__distribution__ = "storage-vfs"
"""What tells this package from others that are called `storage`."""

_NAMES_OF = {
    "base": ("RENAME_EXCHANGE", "RENAME_NOREPLACE", "Storage", "Subscription"),
    "conf": ("override_settings", "setting_changed", "settings"),
    "entry": ("Change", "Entry", "Kind", "Usage"),
    "exceptions": (
        "DirectoryNotEmptyError",
        "ImproperlyConfigured",
        "InvalidStorageError",
        "NameTooLongError",
        "StorageFullError",
        "SuspiciousFileOperation",
        "SuspiciousOperation",
        "VersionMismatchError",
    ),
    "files": ("ContentFile", "File", "FileProxyMixin"),
    "filesystem": ("FileSystemStorage",),
    "handler": ("DefaultStorage", "StorageHandler", "default_storage", "storages"),
    "locks": ("LOCK_EX", "LOCK_NB", "LOCK_SH", "lock", "unlock"),
    "memory": ("InMemoryStorage",),
    "move": ("file_move_safe",),
    "names": ("get_valid_filename", "validate_file_name"),
    "remote.django": ("DjangoStorage", "adapt"),
    "remote.fsspec": ("FsspecStorage",),
    "remote.opendal": ("OpenDALStorage",),
    "temp": ("NamedTemporaryFile", "gettempdir"),
}
_MODULE_OF = {name: module for module, names in _NAMES_OF.items() for name in names}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    """Load a public name from its module."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, and what is loaded."""
    return sorted({*globals(), *_MODULE_OF})
