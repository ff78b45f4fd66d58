"""The servers as fixtures: each runs once for a session, from the first test that asks for it; spaces are a test's own.

Tests that use one are marked `services`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import pytest

from services.azurite import Azurite, Container
from services.ftp import FTPFolder, FTPServer
from services.gcs import GCSBucket, GCSServer
from services.http_proxy import HTTPProxy
from services.s3 import Bucket, S3Server
from services.server import Server, require
from services.sftp import SFTPFolder, SFTPServer
from services.smb import SMBFolder, SMBServer
from services.webdav import WebDAVFolder, WebDAVServer

SPACES = ("s3_bucket", "azure_container", "gcs_bucket", "sftp_folder", "ftp_folder", "webdav_folder", "smb_folder")
_NEED_SERVERS = {
    *SPACES,
    "s3_server",
    "azurite",
    "gcs_server",
    "sftp_server",
    "ftp_server",
    "webdav_server",
    "smb_server",
}


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Mark the tests that need a server, also those that get it by the name that a parameter has."""
    for item in items:
        parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
        named = {name for name in parameters if isinstance(name, str)}
        if not _NEED_SERVERS.isdisjoint({*named, *getattr(item, "fixturenames", ())}):
            item.add_marker(pytest.mark.services)


def _running(kind: type[Server], folders: pytest.TempPathFactory) -> Iterator[Server]:
    require(*kind.NEEDS)
    with kind(folders.mktemp(kind.__name__.lower())) as server:
        yield server


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from _running(S3Server, tmp_path_factory)


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from _running(Azurite, tmp_path_factory)


@pytest.fixture(scope="session")
def gcs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from _running(GCSServer, tmp_path_factory)


@pytest.fixture(scope="session")
def sftp_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from _running(SFTPServer, tmp_path_factory)


@pytest.fixture(scope="session")
def ftp_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from _running(FTPServer, tmp_path_factory)


@pytest.fixture(scope="session")
def webdav_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from _running(WebDAVServer, tmp_path_factory)


@pytest.fixture(scope="session")
def smb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from _running(SMBServer, tmp_path_factory)


@pytest.fixture
def s3_bucket(s3_server: S3Server) -> Bucket:
    """An empty bucket."""
    return s3_server.bucket()


@pytest.fixture
def azure_container(azurite: Azurite) -> Container:
    """An empty container."""
    return azurite.container()


@pytest.fixture
def gcs_bucket(gcs_server: GCSServer, monkeypatch: pytest.MonkeyPatch) -> GCSBucket:
    """An empty bucket, which Google's client finds by the environment."""
    bucket = gcs_server.bucket()
    for name, value in bucket.environment.items():
        monkeypatch.setenv(name, value)
    return bucket


@pytest.fixture
def sftp_folder(sftp_server: SFTPServer) -> SFTPFolder:
    """An empty folder behind sftp."""
    return sftp_server.space()


@pytest.fixture
def ftp_folder(ftp_server: FTPServer) -> FTPFolder:
    """An empty folder behind FTP."""
    return ftp_server.space()


@pytest.fixture
def webdav_folder(webdav_server: WebDAVServer) -> WebDAVFolder:
    """An empty folder behind WebDAV."""
    return webdav_server.space()


@pytest.fixture
def smb_folder(smb_server: SMBServer) -> SMBFolder:
    """An empty folder behind SMB."""
    return smb_server.space()


@pytest.fixture
def proxied() -> Iterator[Callable[[int], HTTPProxy]]:
    """Puts a proxy before a server: `proxy = proxied(bucket.port)`, and `bucket.at(proxy.port)` goes through it."""
    with ExitStack() as stack:
        yield lambda port: stack.enter_context(HTTPProxy(port))


@pytest.fixture
def proxy(s3_bucket: Bucket, proxied: Callable[[int], HTTPProxy]) -> HTTPProxy:
    """A proxy before the server of `s3_bucket`: what goes through it is counted, and can be broken."""
    return proxied(s3_bucket.port)
