"""Uploads in parts that fail: that nothing of them is left in a bucket, and nothing of somebody else's is ended."""

from __future__ import annotations

import errno
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest

from services.http_proxy import HTTPProxy
from services.s3 import Bucket
from storage import ContentFile, OpenDALStorage, VersionMismatchError
from storage.remote.opendal.s3 import S3, Credentials

MIB = 1 << 20
CONTENT = b"first" + bytes(30 * MIB)
PART = CONTENT[: 8 * MIB]
LATE = "parts of it stay until the bucket's lifecycle ends them"


@pytest.fixture
def storage(s3_bucket: Bucket, proxy: HTTPProxy) -> Iterator[OpenDALStorage]:
    """The bucket by way of the proxy, below a root with a name that URLs do not have as it is."""
    made = OpenDALStorage(**s3_bucket.at(proxy.port).opendal, root="a root/ä+b", deadline=1, retries=0)
    yield made
    proxy.heal()
    made.close()


def _soon(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _parts(bucket: Bucket, name: str) -> int:
    """How many parts there are of the one upload of an object."""
    found = ElementTree.fromstring(bucket.ask("GET", "?uploads")[0]).findtext("{*}Upload/{*}UploadId")
    if found is None:
        return 0
    answer, _ = bucket.ask("GET", f"a%20root/%C3%A4%2Bb/{name}?uploadId={found}")
    return len(ElementTree.fromstring(answer).findall("{*}Part"))


def _begun_by_others(bucket: Bucket, name: str, part: bytes) -> str:
    """The id of an upload that somebody else has begun."""
    key = f"a%20root/%C3%A4%2Bb/{name}"
    answer, _ = bucket.ask("POST", f"{key}?uploads")
    upload = ElementTree.fromstring(answer).findtext("{*}UploadId") or ""
    bucket.ask("PUT", f"{key}?partNumber=1&uploadId={upload}", part)
    return upload


TROUBLES: dict[str, Callable[[HTTPProxy], None]] = {
    "refused": lambda proxy: proxy.answer(403, target="partNumber=2", times=9),
    "silent": lambda proxy: proxy.cut(ending="stall", target="partNumber=2", times=9),
    "reset": lambda proxy: proxy.cut(after=MIB, way="up", target="partNumber=2", times=9),
    "not completed": lambda proxy: proxy.answer(500, method="POST", target="uploadId=[^&]*$", times=9),
}


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=list(TROUBLES))
def test_nothing_is_left_of_one_that_fails(
    storage: OpenDALStorage, s3_bucket: Bucket, proxy: HTTPProxy, trouble: Callable[[HTTPProxy], None]
) -> None:
    trouble(proxy)
    with pytest.raises(OSError):
        storage.replace("large file+1", ContentFile(CONTENT))
    assert proxy.count("POST", "uploads"), "it was never begun"
    assert _soon(lambda: s3_bucket.uploads() == 0)
    assert s3_bucket.keys() == []


def test_nothing_is_left_of_one_whose_content_cannot_be_read(storage: OpenDALStorage, s3_bucket: Bucket) -> None:
    class Broken(ContentFile):
        def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
            yield CONTENT[: 20 * MIB]
            assert _soon(lambda: _parts(s3_bucket, "large") > 0)
            raise OSError(errno.EIO, "cannot be read")

    with pytest.raises(OSError, match="cannot be read"):
        storage.replace("large", Broken(CONTENT))
    assert _soon(lambda: s3_bucket.uploads() == 0)


def test_nothing_is_left_of_one_that_is_too_late(storage: OpenDALStorage, s3_bucket: Bucket, proxy: HTTPProxy) -> None:
    entry = storage.replace("large", ContentFile(b"old"))
    proxy.slow(0.5, method="PUT", target="partNumber=2")
    replaced = False

    class Slow(ContentFile):
        def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
            nonlocal replaced
            yield CONTENT[: 20 * MIB]
            s3_bucket.put("a root/ä+b/large", b"of others")
            replaced = True
            yield CONTENT[20 * MIB :]

    with pytest.raises(VersionMismatchError):
        storage.replace("large", Slow(CONTENT), if_version=entry.version)
    assert replaced
    assert _soon(lambda: s3_bucket.uploads() == 0), "of the upload, and of the one that tried the condition"
    assert s3_bucket.get("a root/ä+b/large") == b"of others"


def test_what_could_not_be_ended_is_with_the_next_that_succeeds(
    storage: OpenDALStorage, s3_bucket: Bucket, proxy: HTTPProxy
) -> None:
    proxy.answer(403, target="partNumber=2", times=9)
    proxy.answer(503, target="uploads=", times=1)
    with pytest.raises(PermissionError):
        storage.replace("large", ContentFile(CONTENT))
    assert _soon(lambda: proxy.count("GET", "uploads=") > 0)
    assert s3_bucket.uploads() == 1
    proxy.heal()
    storage.replace("large", ContentFile(CONTENT))
    assert _soon(lambda: s3_bucket.uploads() == 0)
    assert hashlib.sha256(s3_bucket.get("a root/ä+b/large")).digest() == hashlib.sha256(CONTENT).digest()


@pytest.mark.parametrize("part", [b"their content", PART], ids=["another", "of the same content"])
def test_the_upload_of_somebody_else_is_not_ended(
    storage: OpenDALStorage, s3_bucket: Bucket, proxy: HTTPProxy, part: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    theirs = _begun_by_others(s3_bucket, "large", part)
    proxy.answer(403, target="partNumber=2", times=9)
    with pytest.raises(PermissionError):
        storage.replace("large", ContentFile(CONTENT))
    if part is PART:
        assert _soon(lambda: LATE in caplog.text), "which of both is ours cannot be told"
    else:
        assert _soon(lambda: s3_bucket.uploads() == 1)
    key = f"a%20root/%C3%A4%2Bb/large?uploadId={theirs}"
    assert b"<PartNumber>1</PartNumber>" in s3_bucket.ask("GET", key)[0]


def test_where_s3_cannot_be_asked_the_log_says_what_is_left(
    s3_bucket: Bucket, proxy: HTTPProxy, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(S3, "of", lambda *_: None)
    storage = OpenDALStorage(**s3_bucket.at(proxy.port).opendal)
    proxy.answer(403, target="partNumber=2", times=9)
    with pytest.raises(PermissionError):
        storage.replace("large", ContentFile(CONTENT))
    assert LATE in caplog.text
    storage.close()


# -- requests


OPTIONS = {"bucket": "photos", "root": "/2026/", "region": "eu-west-1", "access_key_id": "K", "secret_access_key": "S"}


@pytest.mark.parametrize("token", ["", "a token"])
def test_requests_are_signed_as_the_services_own_client_does(token: str) -> None:
    auth = pytest.importorskip("botocore.auth", reason="scripts/services installs botocore")
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials as Theirs

    now = datetime.now(UTC)
    s3 = S3.of("s3", {**OPTIONS, "session_token": token}, {})
    assert s3 is not None
    path, query = "/photos/2026/a%20b/%C3%A4", "prefix=a%20b%2Fc&uploads="
    made = s3.headers("GET", path, query, now)
    request = AWSRequest("GET", f"https://s3.eu-west-1.amazonaws.com{path}?{query}", headers={})
    request.context["payload_signing_enabled"] = True
    signer = auth.S3SigV4Auth(Theirs("K", "S", token or None), "s3", "eu-west-1")
    signer.add_auth(request)
    stamp = request.headers["X-Amz-Date"]
    again = s3.headers("GET", path, query, datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC))
    assert again["authorization"] == request.headers["Authorization"]
    assert made.keys() == again.keys()


@pytest.mark.parametrize(
    ("options", "environment", "found"),
    [
        ({"access_key_id": "K", "secret_access_key": "S"}, {}, Credentials("K", "S")),
        ({"access_key_id": "K", "secret_access_key": "S", "role_arn": "arn"}, {}, None),
        ({"allow_anonymous": "true"}, {"AWS_ACCESS_KEY_ID": "K", "AWS_SECRET_ACCESS_KEY": "S"}, None),
        (
            {},
            {"AWS_ACCESS_KEY_ID": "K", "AWS_SECRET_ACCESS_KEY": "S", "AWS_SESSION_TOKEN": "T"},
            Credentials("K", "S", "T"),
        ),
        ({"disable_config_load": "true"}, {"AWS_ACCESS_KEY_ID": "K", "AWS_SECRET_ACCESS_KEY": "S"}, None),
        ({}, {"AWS_PROFILE": "other"}, Credentials("PK", "PS")),
        ({}, {}, None),
    ],
)
def test_credentials_are_those_that_opendal_finds(
    options: Mapping[str, str], environment: Mapping[str, str], found: Credentials | None, tmp_path: Path
) -> None:
    profiles = tmp_path / "credentials"
    profiles.write_text("[other]\naws_access_key_id = PK\naws_secret_access_key = PS\n")
    assert Credentials.of(options, {"AWS_SHARED_CREDENTIALS_FILE": str(profiles), **environment}) == found
    assert "S" not in repr(found)


def test_what_is_no_s3_is_not_asked() -> None:
    assert S3.of("azblob", OPTIONS, {}) is None
    assert S3.of("s3", {**OPTIONS, "region": ""}, {}) is None
