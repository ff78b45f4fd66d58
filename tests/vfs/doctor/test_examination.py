"""The way through it: what keeps a storage from being tried, what is left, and what nobody may read."""

from __future__ import annotations

import errno
import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from services.http_proxy import HTTPProxy
from services.s3 import Bucket
from storage import FileSystemStorage, InMemoryStorage, override_settings
from storage.entry import Entry
from storage.testing import FaultyStorage
from vfs.doctor import Check, Report, Status, examine
from vfs.doctor.checks import Words
from vfs.doctor.examination import _patient, try_storage
from vfs.doctor.operations import TRIALS
from vfs.mounts.options import MountOptions

FAILED = PermissionError(errno.EACCES, "not today")


def of_storage(definition: dict[str, Any], **options: Any) -> Report:
    """What is found of an alias that is defined so."""
    with override_settings(STORAGES={"it": definition}):
        return examine("it", MountOptions(**options))


def check(report: Report, name: str) -> Check:
    [found] = [check for check in report.checks if check.name == name]
    return found


def opendal(bucket: Bucket, **changes: object) -> dict[str, Any]:
    return {"BACKEND": "storage.OpenDALStorage", "OPTIONS": {**bucket.opendal, **changes}}


def test_a_bucket(s3_bucket: Bucket) -> None:
    report = of_storage(opendal(s3_bucket))
    assert [check(report, name).status for name in ("storage", "access", "store", "clock")] == [Status.OK] * 4
    assert len(report.operations) == len(TRIALS)
    assert (report.alias, report.backend, report.left) == ("it", "storage.OpenDALStorage", [])


def test_a_bucket_that_is_to_be_read_alone(s3_bucket: Bucket) -> None:
    with HTTPProxy(s3_bucket.port) as proxy:
        report = of_storage(opendal(s3_bucket.at(proxy.port)), ro=True)
        assert {request.method for request in proxy.requests} == {"GET"}
    assert (check(report, "access").status, report.operations) == (Status.OK, [])


def test_a_bucket_without_credentials(s3_bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    options = {"access_key_id": None, "secret_access_key": None, "disable_ec2_metadata": True}
    report = of_storage(opendal(s3_bucket, **options))
    found = check(report, "access")
    assert (found.status, report.operations) == (Status.FAILURE, [])
    assert "No credentials are found" in found.message
    assert "credentials" in found.advice
    assert s3_bucket.keys() == []


def test_a_bucket_that_denies(s3_bucket: Bucket) -> None:
    with HTTPProxy(s3_bucket.port) as proxy:
        body = b"<Error><Code>SignatureDoesNotMatch</Code><Message>not secret-key</Message></Error>"
        proxy.answer(403, body=body, times=100)
        report = of_storage(opendal(s3_bucket.at(proxy.port)))
    found = check(report, "access")
    assert (found.status, report.status) == (Status.FAILURE, Status.FAILURE)
    assert "it denies access" in found.message
    assert "secret-key" not in json.dumps(report.as_object())


def test_a_server_that_is_gone(s3_bucket: Bucket) -> None:
    with HTTPProxy(s3_bucket.port) as proxy:
        gone = proxy.port
    begin = time.monotonic()
    found = check(of_storage(opendal(s3_bucket.at(gone), deadline=2.0, retries=0), timeout=2.0), "access")
    assert found.status is Status.FAILURE
    assert "it cannot be reached" in found.message
    assert "endpoint" in found.advice
    assert time.monotonic() - begin < 30


def test_a_backend_that_cannot_be_made() -> None:
    report = of_storage({"BACKEND": "no_such_package.Storage"})
    assert check(report, "storage").status is Status.FAILURE
    assert "no_such_package" in check(report, "storage").message
    report = of_storage({"BACKEND": "storage.FileSystemStorage", "OPTIONS": {"location": "/no/such/folder"}})
    assert "its root is not there" in check(report, "access").message


def test_an_alias_that_there_is_not() -> None:
    found = check(examine("nothing-like-it"), "storage")
    assert found.status is Status.FAILURE
    assert "Could not find config" in found.message


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (FAILED, Status.WARNING),
        (NotImplementedError("the protocol cannot write"), Status.WARNING),
        (OSError(errno.ENOSPC, "No space left on device"), Status.FAILURE),
    ],
)
def test_a_storage_in_which_nothing_can_be_stored(error: Exception, status: Status) -> None:
    storage, report = FaultyStorage(InMemoryStorage()), Report()
    storage.fail(error, "save")
    try_storage(storage, report, Words())
    assert check(report, "store").status is status
    assert ("-o ro" in check(report, "store").advice) is (status is Status.WARNING)
    assert report.operations == []
    assert report.left == []


class Elsewhere(FileSystemStorage):
    """Files of a machine that has another time."""

    blocking = True
    seconds = 0

    def stat(self, name: str) -> Entry:
        entry = super().stat(name)
        return entry._replace(mtime_ns=(entry.mtime_ns or 0) + self.seconds * 10**9)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "the same time"), (3, "the same time"), (-3, "the same time"), (600, "s ahead of"), (-600, "s behind")],
)
def test_the_clocks(tmp_path: Path, seconds: int, words: str) -> None:
    storage, report = Elsewhere(tmp_path), Report()
    storage.seconds = seconds
    try_storage(storage, report, Words())
    found = check(report, "clock")
    assert words in found.message
    assert found.status is (Status.WARNING if abs(seconds) > 5 else Status.OK)
    if found.status is Status.WARNING:
        assert 595 <= int(found.message.split(" is ")[1].split()[0]) <= 600


def test_what_cannot_be_removed_is_named() -> None:
    inner = InMemoryStorage()
    storage, report = FaultyStorage(inner), Report()
    storage.fail(FAILED, "unlink", name="*/shared")
    try_storage(storage, report, Words())
    [left] = report.left
    assert left.endswith("/shared")
    assert inner.stat(left).is_file
    assert left in check(report, "leftovers").message
    assert report.status is Status.FAILURE


def test_all_goes_after_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    inner = InMemoryStorage()
    storage = FaultyStorage(inner)
    storage.fail(KeyboardInterrupt, "copy", times=1)
    with pytest.raises(KeyboardInterrupt):
        try_storage(storage, Report(), Words())
    assert list(inner.scandir("")) == []
    assert caplog.records == []
    storage.fail(KeyboardInterrupt, "rename", "rmdir", times=2)
    with pytest.raises(KeyboardInterrupt):
        try_storage(storage, Report(), Words())
    [entry] = inner.scandir("")
    assert f"{entry.name}/" in caplog.text, "who interrupts the removal too is told what is left"


def test_ctrl_c_is_noticed_between_operations_and_a_second_one_at_once() -> None:
    with _patient() as go_on:
        go_on()
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            go_on()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_secrets_are_in_nothing_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "from-the-environment")
    words = Words({"host": "example.org", "params": {"password": "hunter2", "username": "me"}, "keys": ["k3y-one"]})
    error = RuntimeError("me:hunter2@example.org\nfrom-the-environment https://u:p@h/?sig=abc k3y-one")
    error.add_note("hunter2")
    assert words.of(error) == "RuntimeError: me:...@example.org ... https://...@h/?sig=... ...; ..."
    assert words.of(OSError(errno.EACCES, "no hunter2", "a/name")) == "no ... ('a/name')"


def test_the_object_for_programs() -> None:
    report = Report([Check("kernel", Status.WARNING, "old", "new")])
    try_storage(InMemoryStorage(), report, Words())
    found = json.loads(json.dumps(report.as_object()))
    assert list(found) == ["status", "checks", "alias", "backend", "operations", "left"]
    assert found["status"] == "warning"
    assert found["checks"][0] == {"name": "kernel", "status": "warning", "message": "old", "advice": "new"}
    assert list(found["operations"][0]) == ["name", "way", "atomic", "milliseconds", "note"]
