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
    from storage.base import RENAME_EXCHANGE, RENAME_NOREPLACE, Storage, Subscription
    from storage.conf import override_settings, setting_changed, settings
    from storage.entry import Change, Entry, Kind, Usage
    from storage.exceptions import (
        DirectoryNotEmptyError,
        ImproperlyConfigured,
        InvalidStorageError,
        NameTooLongError,
        StorageFullError,
        SuspiciousFileOperation,
        SuspiciousOperation,
        VersionMismatchError,
    )
    from storage.files import ContentFile, File, FileProxyMixin
    from storage.filesystem import FileSystemStorage
    from storage.handler import DefaultStorage, StorageHandler, default_storage, storages
    from storage.locks import LOCK_EX, LOCK_NB, LOCK_SH, lock, unlock
    from storage.memory import InMemoryStorage
    from storage.move import file_move_safe
    from storage.names import get_valid_filename, validate_file_name
    from storage.remote.django import DjangoStorage, adapt
    from storage.temp import NamedTemporaryFile, gettempdir

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
    "temp": ("NamedTemporaryFile", "gettempdir"),
}
_MODULE_OF = {name: module for module, names in _NAMES_OF.items() for name in names}

__all__ = [  # noqa: RUF022  in the order of _NAMES_OF
    "RENAME_EXCHANGE", "RENAME_NOREPLACE", "Storage", "Subscription",
    "override_settings", "setting_changed", "settings",
    "Change", "Entry", "Kind", "Usage",
    "DirectoryNotEmptyError", "ImproperlyConfigured", "InvalidStorageError", "NameTooLongError",
    "StorageFullError", "SuspiciousFileOperation", "SuspiciousOperation", "VersionMismatchError",
    "ContentFile", "File", "FileProxyMixin",
    "FileSystemStorage",
    "DefaultStorage", "StorageHandler", "default_storage", "storages",
    "LOCK_EX", "LOCK_NB", "LOCK_SH", "lock", "unlock",
    "InMemoryStorage",
    "file_move_safe",
    "get_valid_filename", "validate_file_name",
    "DjangoStorage", "adapt",
    "NamedTemporaryFile", "gettempdir",
]  # fmt: skip


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
