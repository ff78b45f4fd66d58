"""vfs.guard: a storage whose server is slow, silent, away or back again, behind a proxy that makes it so."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from services.http_proxy import HTTPProxy
from services.s3 import Bucket
from storage import ContentFile, Entry, FileSystemStorage, InMemoryStorage
from storage.base import Storage
from vfs.guard import Circuit, GuardedStorage, NotAskedError, guarded
from vfs.guard.circuit import LONGEST_PAUSE
from vfs.guard.storage import PAUSES
from vfs.names.lookups import supports

TIMEOUT = 1.0
SOON = 10.0


@pytest.fixture
def storage(request: pytest.FixtureRequest, s3_bucket: Bucket, proxy: HTTPProxy) -> Iterator[Storage]:
    from storage import OpenDALStorage

    s3_bucket.put("file", b"content")
    made = guarded(OpenDALStorage(**s3_bucket.at(proxy.port).opendal), getattr(request, "param", TIMEOUT))
    yield made
    made.close()


def _again(ask: Callable[[], object]) -> object:
    """What it returns once the storage answers again."""
    deadline = time.monotonic() + SOON
    while True:
        try:
            return ask()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_it_does_what_the_storage_does(storage: Storage) -> None:
    assert storage.stat("file").size == 7
    assert [entry.name for entry in storage.scandir("")] == ["file"]
    with storage.open("file") as file:
        assert (file.ranged, file.size, file.pread(3, 2), file.read()) == (True, 7, b"nte", b"content")
    entry = storage.replace("new", ContentFile(b"x" * 100), if_absent=True)
    with storage.open_version("new", entry) as file:
        assert file.pread(200, 0) == b"x" * 100
    storage.unlink("new")
    with pytest.raises(FileNotFoundError):
        storage.stat("new")


def test_requests_are_counted_with_their_bytes_and_errors(s3_bucket: Bucket) -> None:
    from storage import OpenDALStorage

    storage = guarded(OpenDALStorage(**s3_bucket.opendal, deadline=10), 30)
    assert isinstance(storage, GuardedStorage)
    guard = storage.guard
    entry = storage.replace("new", ContentFile(b"x" * 5000))
    with storage.open_version("new", entry) as file:
        assert file.pread(100, 7) == b"x" * 100
        stream = file.stream(4000)
        assert b"".join(iter(lambda: stream.read(300), b"")) == b"x" * 1000
        stream.close()
    with pytest.raises(FileNotFoundError):
        storage.stat("missing")
    found = guard.requests.report()
    assert {kind: report["count"] for kind, report in found.items()} == {
        "replace": 1,
        "open_version": 1,
        "pread": 1,
        "stream": 1,
        "stat": 1,
    }
    assert found["stat"]["errors"] == {"FileNotFoundError": 1}
    assert found["replace"]["seconds"] > 0.0001
    assert guard.traffic.report() == {"read": 1100, "written": 5000}
    storage.close()


def test_what_nobody_was_asked_is_no_request(storage: Storage, proxy: HTTPProxy) -> None:
    assert isinstance(storage, GuardedStorage)
    proxy.stall()
    with pytest.raises(TimeoutError):
        storage.stat("file")
    asked = storage.guard.requests.counts
    assert storage.guard.circuit.is_open
    with pytest.raises(TimeoutError):
        storage.stat("file")
    assert storage.guard.requests.counts == asked
    proxy.heal()


def test_a_silent_server_is_an_error_in_time_and_then_at_once(storage: Storage, proxy: HTTPProxy) -> None:
    storage.stat("file")
    proxy.stall()
    began = time.monotonic()
    with pytest.raises(OSError) as caught:
        list(storage.scandir(""))
    assert caught.value.errno == errno.ETIMEDOUT
    assert TIMEOUT <= time.monotonic() - began < SOON
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        storage.stat("file")
    assert time.monotonic() - began < TIMEOUT / 2
    proxy.heal()
    assert _again(lambda: storage.stat("file").size) == 7


@pytest.mark.parametrize("storage", [3.0], ids=["limit"], indirect=True)  # a busy server is silent for longer than 1 s
def test_a_slow_line_is_no_outage(storage: Storage, proxy: HTTPProxy, s3_bucket: Bucket) -> None:
    proxy.rate(up=400_000)
    content = bytes(2_000_000)
    storage.replace("large", ContentFile(content))
    proxy.heal()
    assert s3_bucket.get("large") == content


def test_a_server_that_is_away_is_an_outage_and_never_an_absence(storage: Storage, proxy: HTTPProxy) -> None:
    proxy.refuse()
    proxy.drop()
    with pytest.raises(OSError) as caught:
        storage.stat("file")
    assert not isinstance(caught.value, FileNotFoundError)
    proxy.heal()
    assert _again(lambda: storage.stat("file").size) == 7


class Flaky(InMemoryStorage):
    """Fails as often as `failures` says, and counts the calls."""

    blocking = True
    failures = 0
    calls = 0

    def stat(self, name: str) -> object:  # type: ignore[override]
        self._fail()
        return super().stat(name)

    def unlink(self, name: str) -> None:
        self._fail()
        super().unlink(name)

    def _fail(self) -> None:
        self.calls += 1
        if self.failures:
            self.failures -= 1
            raise ConnectionError(errno.EIO, "503")


@pytest.fixture
def flaky() -> Flaky:
    storage = Flaky()
    storage.save("file", ContentFile(b"content"))
    return storage


def test_what_only_reads_is_tried_again(flaky: Flaky) -> None:
    flaky.failures, flaky.calls = 2, 0
    assert guarded(flaky, SOON).stat("file").size == 7
    assert flaky.calls == 3


def test_what_changes_something_is_not(flaky: Flaky) -> None:
    flaky.failures, flaky.calls = 1, 0
    with pytest.raises(ConnectionError):
        guarded(flaky, SOON).unlink("file")
    assert flaky.calls == 1


def test_it_is_not_tried_for_ever(flaky: Flaky) -> None:
    flaky.failures, flaky.calls = 1000, 0
    with pytest.raises(ConnectionError):
        guarded(flaky, SOON).stat("file")
    assert flaky.calls <= len(PAUSES) + 1


def test_it_is_not_tried_again_where_the_first_try_took_long(flaky: Flaky, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vfs.guard.storage.BRIDGED", 0.0)
    flaky.failures, flaky.calls = 1000, 0
    with pytest.raises(ConnectionError):
        guarded(flaky, SOON).stat("file")
    assert flaky.calls == 1


class Stuck(InMemoryStorage):
    """What would store "stuck" hangs until it is let go."""

    blocking = True

    def __init__(self) -> None:
        super().__init__()
        self.let_go = threading.Event()

    def replace(self, name: str, *args: Any, **options: Any) -> Entry:
        if name == "stuck":
            self.let_go.wait()
        return super().replace(name, *args, **options)


def test_a_name_that_is_stuck_takes_nothing_else_down() -> None:
    backend = Stuck()
    backend.save("ok", ContentFile(b"content"))
    storage = guarded(backend, 0.2)
    assert isinstance(storage, GuardedStorage)
    circuit = storage.guard.circuit
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        storage.replace("stuck", ContentFile(b"1"))
    assert circuit.is_open
    for is_closed in (False, True):
        if is_closed:
            assert _again(lambda: storage.stat("ok").size) == 7
        asked = storage.guard.requests.counts
        with pytest.raises(NotAskedError) as caught:
            storage.replace("stuck", ContentFile(b"2"))
        assert caught.value.asked_at >= began
        assert (storage.guard.requests.counts, circuit.is_open) == (asked, not is_closed)
    assert storage.stat("ok").size == 7
    assert storage.replace("ok", ContentFile(b"new")).size == 3
    backend.let_go.set()
    assert _again(lambda: storage.replace("stuck", ContentFile(b"two")).size) == 3
    storage.close()


def test_a_name_that_is_stuck_is_not_the_one_that_tries_for_all() -> None:
    backend = Stuck()
    backend.save("ok", ContentFile(b"content"))
    now = [100.0]
    storage = guarded(backend, 0.2, Circuit(lambda: now[0]))
    with pytest.raises(TimeoutError):
        storage.replace("stuck", ContentFile(b"1"))
    now[0] += LONGEST_PAUSE
    with pytest.raises(NotAskedError):
        storage.replace("stuck", ContentFile(b"2"))
    assert storage.stat("ok").size == 7
    backend.let_go.set()
    storage.close()


def test_it_has_what_the_storage_has_and_no_more(flaky: Flaky) -> None:
    class Plain(Storage):
        """Nothing but Django's methods."""

    for storage in (flaky, Plain()):
        for method in ("mkdir", "symlink", "set_attributes", "getxattr", "usage", "stat", "replace"):
            assert supports(guarded(storage, SOON), method) == supports(storage, method), method


def test_what_waits_for_nothing_needs_no_guard(tmp_path: object) -> None:
    for storage in (InMemoryStorage(), FileSystemStorage(location=str(tmp_path))):
        assert guarded(storage, SOON) is storage
