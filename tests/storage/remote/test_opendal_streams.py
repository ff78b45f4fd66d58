"""Answers that go on: signed by OpenDAL and made by the standard library, or made by OpenDAL where that cannot be."""

from __future__ import annotations

import errno
import http.client
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from services.http_proxy import HTTPProxy
from services.s3 import Bucket
from storage import OpenDALStorage, VersionMismatchError
from storage.remote.opendal import streams

pytest.importorskip("opendal")

DATA = bytes(range(251)) * (1 << 13)
START = 1000
Open = Callable[[], Any]


@pytest.fixture
def storage(s3_bucket: Bucket, proxy: HTTPProxy) -> Iterator[OpenDALStorage]:
    made = OpenDALStorage(**s3_bucket.at(proxy.port).opendal, deadline=10, retries=1)
    yield made
    made.close()


@pytest.fixture
def opened(storage: OpenDALStorage, s3_bucket: Bucket, proxy: HTTPProxy) -> Iterator[Open]:
    """Opens a stream of an object from `START` on; what was asked before that does not count."""
    s3_bucket.put("big", DATA)
    file = storage.open("big")
    file.pread(1, 0)
    proxy.requests.clear()
    made: list[streams.Stream | None] = []

    def open_stream() -> streams.Stream | None:
        made.append(file.stream(START))
        return made[-1]

    yield open_stream
    for stream in filter(None, made):
        stream.close()
    file.close()


def read_all(stream: streams.Stream) -> bytes:
    return b"".join(iter(lambda: bytes(stream.read(1 << 18)), b""))


def gets(proxy: HTTPProxy) -> list[tuple[bool, str]]:
    """Of each GET, whether it was signed by its address, and the range."""
    return [
        ("x-amz-signature" in request.target.lower(), request.headers.get("range", ""))
        for request in proxy.requests
        if request.method == "GET"
    ]


def test_one_request_is_signed(opened: Open, proxy: HTTPProxy) -> None:
    stream = opened()
    assert proxy.requests == [], "nothing is asked for before it is read"
    assert read_all(stream) == DATA[START:]
    assert gets(proxy) == [(True, f"bytes={START}-")]
    assert proxy.requests[-1].headers["if-match"]


@pytest.mark.parametrize("ending", ["reset", "close"])
def test_what_breaks_off_goes_on_from_there(ending: str, opened: Open, proxy: HTTPProxy) -> None:
    stream = opened()
    proxy.cut(after=1 << 20, ending=ending, method="GET")  # type: ignore[arg-type]
    assert read_all(stream) == DATA[START:]
    (_, first), (is_signed, second) = gets(proxy)
    assert is_signed
    assert first == f"bytes={START}-"
    assert START <= int(second.removeprefix("bytes=").removesuffix("-")) <= START + (1 << 20)


def test_what_breaks_off_at_once_again_and_again_fails(opened: Open, proxy: HTTPProxy) -> None:
    stream = opened()
    stream.read(1)
    proxy.drop()
    proxy.cut(after=0, method="GET", times=100)
    with pytest.raises(ConnectionError):
        read_all(stream)
    assert proxy.count("GET") in (2, 3), "what was on its way then may have come"


@pytest.mark.parametrize("error", [ssl.SSLError(1, "record layer failure"), http.client.IncompleteRead(b"some")])
def test_whatever_ends_an_answer_it_goes_on(
    error: Exception, opened: Open, proxy: HTTPProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = opened()
    data = bytes(stream.read(1 << 18))
    read = http.client.HTTPResponse.read

    def broken(self: http.client.HTTPResponse, size: int | None = None) -> bytes:
        if proxy.count("GET") == 1:
            raise error
        return read(self, size)

    monkeypatch.setattr(http.client.HTTPResponse, "read", broken)
    assert data + read_all(stream) == DATA[START:]
    assert gets(proxy)[1] == (True, f"bytes={START + len(data)}-")


def test_another_version_is_told(opened: Open, s3_bucket: Bucket) -> None:
    s3_bucket.put("big", b"another")
    with pytest.raises(VersionMismatchError):
        opened().read(1)


def test_an_object_that_is_gone_is_told(opened: Open, s3_bucket: Bucket) -> None:
    s3_bucket.delete("big")
    with pytest.raises(FileNotFoundError):
        opened().read(1)


def test_a_bucket_that_is_gone_is_no_absence(opened: Open, proxy: HTTPProxy) -> None:
    said = b"<Error><Code>NoSuchBucket</Code><Message>The specified bucket does not exist</Message></Error>"
    proxy.answer(404, body=said, method="GET", target="X-Amz-Signature")
    proxy.answer(404, body=said, times=5)
    with pytest.raises(OSError) as caught:
        opened().read(1)
    assert not isinstance(caught.value, FileNotFoundError)


def test_an_outage_is_no_reason_to_sign_no_more(opened: Open, proxy: HTTPProxy) -> None:
    proxy.answer(503, method="GET", times=2)
    with pytest.raises(ConnectionError):
        opened().read(1)
    proxy.refuse()
    with pytest.raises(ConnectionError):
        opened()
    proxy.heal()
    assert read_all(opened()) == DATA[START:]
    assert [is_signed for is_signed, _ in gets(proxy)] == [True, True, True]


class TestAServiceThatHeedsNoVersion:
    """Its answers say of which they are."""

    @pytest.fixture(autouse=True)
    def unpinned(self, storage: OpenDALStorage, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(storage._conditions, "pins_hold", lambda name: False)

    def test_the_version_that_was_opened(self, opened: Open, proxy: HTTPProxy) -> None:
        assert read_all(opened()) == DATA[START:]
        assert gets(proxy) == [(True, f"bytes={START}-")]
        assert "if-match" not in proxy.requests[-1].headers

    def test_another(self, opened: Open, s3_bucket: Bucket) -> None:
        s3_bucket.put("big", DATA[::-1])
        with pytest.raises(VersionMismatchError):
            opened().read(1)
        s3_bucket.put("big", DATA)
        assert read_all(opened()) == DATA[START:]

    def test_one_that_ends_before_the_reader(self, opened: Open, s3_bucket: Bucket, proxy: HTTPProxy) -> None:
        s3_bucket.put("big", b"short")
        with pytest.raises(VersionMismatchError):
            opened().read(1)
        s3_bucket.put("big", DATA)
        assert read_all(opened()) == DATA[START:]
        assert [is_signed for is_signed, _ in gets(proxy)] == [True, True]

    def test_an_etag_without_quotes(self, opened: Open, s3_bucket: Bucket, proxy: HTTPProxy) -> None:
        bare = {"etag": s3_bucket.etag("big").strip('"')}
        proxy.answer(206, headers=bare, body=DATA[START:], method="GET", target="X-Amz-Signature")
        assert read_all(opened()) == DATA[START:]
        assert len(gets(proxy)) == 1

    def test_where_answers_do_not_say_it_there_are_none(self, opened: Open, proxy: HTTPProxy) -> None:
        proxy.answer(206, body=DATA[START:], method="GET", target="X-Amz-Signature")
        stream = opened()
        with pytest.raises(OSError, match="no telling which version"):
            stream.read(1)
        assert opened() is None


@pytest.mark.parametrize(
    ("status", "headers"),
    [(403, {}), (301, {"location": "http://localhost:1/"}), (206, {"etag": '"another"'}), (200, {})],
    ids=["refused", "moved", "another etag", "another length"],
)
def test_what_a_signed_request_does_not_bring_opendal_does(
    status: int, headers: dict[str, str], opened: Open, proxy: HTTPProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = DATA[START:] if "etag" in headers else DATA[1:]
    proxy.answer(status, headers=headers, body=body, method="GET", target="X-Amz-Signature")
    assert read_all(opened()) == DATA[START:]
    assert read_all(opened()) == DATA[START:]
    assert [is_signed for is_signed, _ in gets(proxy)] == [True, False, False], "once is enough"
    monkeypatch.setattr(time, "monotonic", lambda now=time.monotonic: now() + streams.PAUSE)
    assert read_all(opened()) == DATA[START:]
    assert gets(proxy)[-1] == (True, f"bytes={START}-"), "for a while"


def test_who_has_a_proxy_has_it_for_all_requests(
    opened: Open, proxy: HTTPProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
    assert read_all(opened()) == DATA[START:]
    assert [is_signed for is_signed, _ in gets(proxy)] == [False]


def test_what_cannot_be_signed_opendal_asks_for(
    storage: OpenDALStorage, opened: Open, proxy: HTTPProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("no key to sign with")

    monkeypatch.setattr(storage._connection, "signed", refuse)
    assert read_all(opened()) == DATA[START:]
    assert [is_signed for is_signed, _ in gets(proxy)] == [False]


def test_a_service_whose_own_requests_are_others_is_asked_by_opendal() -> None:
    storage = OpenDALStorage("gcs", bucket="b", credential="e30=", allow_anonymous=True)
    assert storage._connection.capability.presign_read
    assert not storage._ranges._streams.signs
    storage.close()


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OSError(errno.EHOSTUNREACH, "No route to host"), ConnectionError),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), ConnectionError),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), ConnectionError),
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), ConnectionError),
        (TimeoutError(errno.ETIMEDOUT, "timed out"), TimeoutError),
        (ssl.SSLCertVerificationError(1, "self-signed"), streams.UnusableError),
    ],
)
def test_who_cannot_be_reached_is_not_of_no_use(
    error: OSError, raised: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(socket, "create_connection", fail)
    with pytest.raises(raised):
        streams.connected("http://storage.invalid/big?signed", 1.0, "big")


@pytest.mark.parametrize("address", ["::1", "2001:db8::face", "2001:db8::1:8080"])
def test_addresses_without_a_port(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []

    def connect(where: tuple[str, int], *_: object) -> socket.socket:
        asked.append(where)
        return socket.socket()

    monkeypatch.setattr(socket, "create_connection", connect)
    streams.connected(f"http://[{address}]/big", 1.0, "big").close()
    assert asked == [(address, 80)]


def test_a_certificate_that_is_not_trusted_is_no_outage(tmp_path: Path) -> None:
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    files = ["-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "certificate")]
    subprocess.run([*words, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate", tmp_path / "key")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as accepted, pytest.raises(OSError):
                context.wrap_socket(accepted, server_side=True)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(streams.UnusableError, match="SSLCertVerificationError"):
            streams.connected(f"https://127.0.0.1:{listener.getsockname()[1]}/big", 10.0, "big")
        thread.join()
