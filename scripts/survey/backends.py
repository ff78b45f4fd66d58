"""The storages that are tried: those of this package, and others behind the servers that the tests start."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from services.azurite import Azurite
from services.ftp import FTPServer
from services.gcs import GCSServer
from services.s3 import S3Server
from services.server import Server
from services.sftp import SFTPServer
from services.webdav import WebDAVServer
from storage import FileSystemStorage, FsspecStorage, InMemoryStorage, OpenDALStorage, adapt, storages
from storage.base import Storage
from vfs.doctor.checks import Words
from vfs.doctor.examination import try_storage
from vfs.doctor.operations import Operation
from vfs.doctor.report import Report

OWN, OPENDAL, FSSPEC, DJANGO = ("storage", "OpenDAL", "fsspec", "django-storages")
"""The families, a table for each."""


class Backend(NamedTuple):
    """One storage that is tried."""

    family: str
    name: str
    server: str = ""
    """What it is behind, by its key in `SERVERS`; "" for none."""

    def made(self, space: Any) -> Storage:
        """Over an empty space of the server, or a folder."""
        return _MAKE[self.family](self.name, space)


SERVERS: Mapping[str, tuple[type[Server], str]] = {
    "s3": (S3Server, "bucket"),
    "azure": (Azurite, "container"),
    "gcs": (GCSServer, "bucket"),
    "sftp": (SFTPServer, "space"),
    "ftp": (FTPServer, "space"),
    "webdav": (WebDAVServer, "space"),
}
"""The class of each server, and its method that makes an empty space."""
BACKENDS = (
    Backend(OWN, "FileSystemStorage"),
    Backend(OWN, "InMemoryStorage"),
    Backend(OPENDAL, "s3", "s3"),
    Backend(OPENDAL, "s3, directories", "s3"),
    Backend(OPENDAL, "s3, attributes", "s3"),
    Backend(OPENDAL, "azblob", "azure"),
    Backend(OPENDAL, "gcs", "gcs"),
    Backend(OPENDAL, "webdav", "webdav"),
    Backend(FSSPEC, "s3", "s3"),
    Backend(FSSPEC, "azure", "azure"),
    Backend(FSSPEC, "gcs", "gcs"),
    Backend(FSSPEC, "sftp", "sftp"),
    Backend(FSSPEC, "ftp", "ftp"),
    Backend(FSSPEC, "webdav", "webdav"),
    Backend(DJANGO, "S3Storage", "s3"),
    Backend(DJANGO, "AzureStorage", "azure"),
    Backend(DJANGO, "GoogleCloudStorage", "gcs"),
    Backend(DJANGO, "SFTPStorage", "sftp"),
    Backend(DJANGO, "FTPStorage", "ftp"),
)


def _own(name: str, folder: Path) -> Storage:
    return FileSystemStorage(folder) if name == "FileSystemStorage" else InMemoryStorage()


def _opendal(name: str, space: Any) -> Storage:
    _, _, option = name.partition(", ")
    options: dict[str, Any] = {**space.opendal, **({option: True} if option else {})}
    return OpenDALStorage(**options)


def _fsspec(_: str, space: Any) -> Storage:
    protocol, options, root = space.fsspec
    return FsspecStorage(protocol, root, **options)


def _django(_: str, space: Any) -> Storage:
    return adapt(storages.create_storage(space.django))


_MAKE: Mapping[str, Callable[[str, Any], Storage]] = {
    OWN: _own,
    OPENDAL: _opendal,
    FSSPEC: _fsspec,
    DJANGO: _django,
}


def survey(folder: Path) -> Iterator[tuple[Backend, list[Operation]]]:
    """What each backend does, in order; servers and files are below `folder`."""
    for key in ("", *SERVERS):
        with _spaces(key, folder) as space:
            for backend in BACKENDS:
                if backend.server == key:
                    yield backend, tried(backend.made(space()))


def tried(storage: Storage) -> list[Operation]:
    """What a storage does; AssertionError where anything fails or is left."""
    report = Report()
    try:
        try_storage(storage, report, Words())
    finally:
        storage.close()
    wrong = [operation for operation in report.operations if operation.way == "failed"]
    assert report.operations, report.checks
    assert not wrong, wrong
    assert not report.left, report.left
    return report.operations


@contextmanager
def _spaces(key: str, folder: Path) -> Iterator[Callable[[], Any]]:
    """What makes empty spaces of a server, which runs meanwhile; of none, a folder."""
    own = folder / (key or "files")
    if not key:
        own.mkdir()
        yield lambda: own
        return
    kind, method = SERVERS[key]
    with kind(own) as server:

        def space() -> Any:
            made = getattr(server, method)()
            os.environ.update(getattr(made, "environment", {}))
            return made

        yield space
