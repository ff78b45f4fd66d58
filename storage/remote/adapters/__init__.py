"""Adapters: what the well-known backends of others can do in one request.

Of any backend `DjangoStorage` knows Django's methods alone, and so asks for the size and time of each file by itself.
An adapter asks the backend's own client instead, for one class each, which is found by its dotted path; the clients are
imported by the backends, never from here.

A class derived from a known one may do anything to contents (encrypt them, compress them, check them) by overriding a
method. So what goes past a method is done only where that is the known class's own: see `adapted.unchanged`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from storage.remote.adapters.adapted import Adapted

_ADAPTERS = {
    "storages.backends.apache_libcloud.LibCloudStorage": ".libcloud.LibCloudAdapter",
    "storages.backends.azure_storage.AzureStorage": ".azure.AzureAdapter",
    "storages.backends.dropbox.DropboxStorage": ".dropbox.DropboxAdapter",
    "storages.backends.ftp.FTPStorage": ".ftp.FTPAdapter",
    "storages.backends.gcloud.GoogleCloudStorage": ".gcloud.GoogleCloudAdapter",
    "storages.backends.s3.S3Storage": ".s3.S3Adapter",
    "storages.backends.sftpstorage.SFTPStorage": ".sftp.SFTPAdapter",
}


def register(backend: str, adapter: str) -> None:
    """Have storages of the class at the dotted path `backend` adapted by the `Adapted` at the dotted path `adapter`."""
    _ADAPTERS[backend] = adapter


def adapter_of(storage: Any) -> Adapted | None:
    """The adapter around a backend object; None where none is known, or the object's class lists by itself."""
    for cls in type(storage).__mro__:
        known = _ADAPTERS.get(f"{cls.__module__}.{cls.__qualname__}")
        if known is not None:
            module, _, name = known.rpartition(".")
            kind = getattr(import_module(module, __name__), name)
            made: Adapted | None = kind(storage, cls) if kind.suits(storage, cls) else None
            return made
    return None
