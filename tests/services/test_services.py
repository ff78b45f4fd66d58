"""Each server holds what its description says."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.azurite import Container
from services.fixtures import SPACES
from services.http_proxy import HTTPProxy
from services.s3 import Bucket
from services.server import HOST
from services.sftp import SFTPFolder
from services.space import Space, ask
from services.webdav import WebDAVFolder


@pytest.fixture(params=SPACES)
def space(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def basic(user: str, password: str) -> dict[str, str]:
    """The header that says who asks."""
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


def test_the_second_client(space: Space) -> None:
    assert space.keys() == []
    space.put("a folder/käse 100%.txt", b"cheese")
    space.put("empty", b"")
    space.put("empty", b"no more")
    assert space.keys() == ["a folder/käse 100%.txt", "empty"]
    assert space.get("a folder/käse 100%.txt") == b"cheese"
    assert space.get("empty") == b"no more"
    space.delete("empty")
    space.delete("empty")
    with pytest.raises(FileNotFoundError):
        space.get("empty")


@pytest.mark.parametrize("name", ["s3_bucket", "azure_container", "gcs_bucket"])
def test_what_reaches_it_through_a_proxy(
    name: str, request: pytest.FixtureRequest, proxied: Callable[[int], HTTPProxy]
) -> None:
    space: Space = request.getfixturevalue(name)
    proxy = proxied(space.port)
    space.at(proxy.port).put("file", b"content")
    assert space.get("file") == b"content"
    assert len(proxy.requests) >= 1


def test_webdav_through_a_proxy(webdav_folder: WebDAVFolder, proxied: Callable[[int], HTTPProxy]) -> None:
    proxy = proxied(webdav_folder.port)
    target = f"/{webdav_folder.path.name}/file"
    ask(proxy.port, "PUT", target, b"content", basic(webdav_folder.user, webdav_folder.password))
    assert webdav_folder.get("file") == b"content"
    assert proxy.count("PUT", target) == 1


def test_s3_keeps_conditions(s3_bucket: Bucket) -> None:
    s3_bucket.put("object", b"first")
    first = s3_bucket.etag("object")
    with pytest.raises(OSError, match="412"):
        s3_bucket.ask("PUT", "object", b"second", {"If-None-Match": "*"})
    s3_bucket.ask("PUT", "object", b"second", {"If-Match": first})
    with pytest.raises(OSError, match="412"):
        s3_bucket.ask("PUT", "object", b"third", {"If-Match": first})
    assert s3_bucket.get("object") == b"second"


def test_s3_knows_of_unfinished_uploads(s3_bucket: Bucket) -> None:
    assert s3_bucket.uploads() == 0
    s3_bucket.ask("POST", "object?uploads")
    assert s3_bucket.uploads() == 1


def test_s3_lists_in_pages(s3_bucket: Bucket) -> None:
    for name in "abc":
        s3_bucket.put(name, b"")
    assert s3_bucket.keys(page=2) == ["a", "b", "c"]


def test_azurite_refuses_another_key(azure_container: Container) -> None:
    from azure.core.exceptions import HttpResponseError

    stranger = replace(azure_container, key=base64.b64encode(bytes(64)).decode())
    with pytest.raises(HttpResponseError, match="AuthorizationFailure"):
        stranger.put("object", b"")


def test_webdav_refuses_another_password(webdav_folder: WebDAVFolder) -> None:
    with pytest.raises(OSError, match="401"):
        ask(webdav_folder.port, "GET", f"/{webdav_folder.path.name}/", headers=basic(webdav_folder.user, "guess"))


def test_sftp_takes_its_own_key_only(sftp_folder: SFTPFolder, tmp_path: Path) -> None:
    sftp_folder.put("file", b"content")
    assert listing(sftp_folder, sftp_folder.key).stdout.splitlines()[-1].endswith("/file")
    another = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", another], check=True)
    refused = listing(sftp_folder, another)
    assert refused.returncode != 0
    assert "Permission denied (publickey)" in refused.stderr


def listing(folder: SFTPFolder, key: Path) -> subprocess.CompletedProcess[str]:
    options = ["IdentitiesOnly=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"]
    given = [part for option in options for part in ("-o", option)]
    command = ["sftp", "-F", "none", *given, "-i", str(key), "-P", str(folder.port), "-b", "-", f"{folder.user}@{HOST}"]
    commands = f'ls -1 "{folder.path}"\n'
    return subprocess.run(command, input=commands, capture_output=True, text=True, timeout=20, check=False)
