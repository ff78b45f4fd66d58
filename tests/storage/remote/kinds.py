"""The kinds of remote storages that are tested: the server behind each, the client's modules, and what it can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest

from services.server import require
from storage import FsspecStorage
from storage.testing.conformance import Traits


class Kind(NamedTuple):
    """What a kind of storage is reached through, and its traits; without a `space` it needs no server."""

    traits: Traits
    space: str = ""
    client: tuple[str, ...] = ()


def _told(*times: str, **others: Any) -> Traits:
    return Traits(times=frozenset(times), **others)


_CONTROLS = "\n"
"""A character that no header and no line of FTP can hold."""
_MOTO_LOSES = "\n"
"""It finds no route for such a key."""

OPENDAL = {
    "memory": Kind(_told(versions=False)),
    "fs": Kind(_told("created", "modified", directories=True)),
    "s3": Kind(_told("created", "modified", lost=_MOTO_LOSES), "s3_bucket"),
    "azblob": Kind(_told("created", "modified"), "azure_container"),
    "gcs": Kind(_told("created", "modified"), "gcs_bucket"),
    "webdav": Kind(_told("created", "modified", directories=True), "webdav_folder"),
}
FSSPEC = {
    "memory": Kind(_told("modified")),
    "local": Kind(_told("modified", directories=True)),
    "ssh": Kind(_told("accessed", "modified", directories=True), "sftp_folder", ("sshfs",)),
    "paramiko": Kind(_told("accessed", "modified", directories=True), "sftp_folder", ("paramiko",)),
    "ftp": Kind(_told("modified", directories=True, forbidden=_CONTROLS), "ftp_folder"),
    "webdav": Kind(_told("modified", directories=True, forbidden="#?%\n"), "webdav_folder", ("webdav4",)),
    "smb": Kind(
        _told("accessed", "created", "modified", directories=True, forbidden='"*:<>?\\|\n'),
        "smb_folder",
        ("smbclient",),
    ),
    "s3": Kind(_told("modified", lost=_MOTO_LOSES), "s3_bucket", ("s3fs",)),
    "gcs": Kind(_told("created", "modified", forbidden=_CONTROLS), "gcs_bucket", ("gcsfs",)),
    "azure": Kind(_told("created", "modified", forbidden=_CONTROLS), "azure_container", ("adlfs",)),
}
DJANGO = {
    "s3": Kind(_told("modified", forbidden="\\", lost=_MOTO_LOSES), "s3_bucket", ("boto3",)),
    "gcs": Kind(_told("created", "modified", forbidden="\\"), "gcs_bucket", ("google.cloud.storage",)),
    "azure": Kind(_told("created", "modified", forbidden=f"\\{_CONTROLS}"), "azure_container", ("azure.storage.blob",)),
    "sftp": Kind(_told("accessed", "modified", directories=True, forbidden="\\"), "sftp_folder", ("paramiko",)),
    "ftp": Kind(_told("modified", directories=True, forbidden=f"\\{_CONTROLS}"), "ftp_folder"),
    "libcloud": Kind(_told("modified", forbidden="\\"), client=("libcloud", "fasteners")),
}


def parameters(kinds: Mapping[str, Kind]) -> list[Any]:
    """Their names for `parametrize`, those marked that need a server or a client which is installed with them."""
    return [
        pytest.param(name, marks=[pytest.mark.services] * bool(kind.space or kind.client))
        for name, kind in kinds.items()
    ]


def each(kinds: Mapping[str, Kind], *names: str) -> Any:
    """The mark that has a test run for each of these kinds, or for all that are reached through a server."""
    wanted = names or [name for name, kind in kinds.items() if kind.space]
    return pytest.mark.parametrize("kind", parameters({name: kinds[name] for name in wanted}))


def space_of(kind: Kind, request: pytest.FixtureRequest) -> Any:
    """An empty space on the kind's server."""
    require(*kind.client)
    return request.getfixturevalue(kind.space)


def fsspec_storage(name: str, space: Any, **more: Any) -> FsspecStorage:
    """A storage over a space, by the protocol of that name, with `more` options of fsspec's."""
    protocol, options, root = space.paramiko if name == "paramiko" else space.fsspec
    if name == "paramiko":  # a name that the package sshfs takes for itself
        protocol = "fsspec.implementations.sftp.SFTPFileSystem"
    return FsspecStorage(protocol, root, **{**options, **more})
