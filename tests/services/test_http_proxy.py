"""The proxy that knows HTTP: requests pass as they are, are kept, and meet what was armed for them."""

from __future__ import annotations

import http.client
import http.server
import threading
import time
from collections.abc import Iterator

import pytest

from services.http_proxy import HTTPProxy
from services.server import HOST

BODY = b"0123456789" * 10_000


class Kept(http.server.BaseHTTPRequestHandler):
    """Keeps what is put, on connections that stay."""

    protocol_version = "HTTP/1.1"
    objects: dict[str, bytes]

    def do_PUT(self) -> None:
        self.objects[self.path] = self._body()
        self._answer(201, b"")

    def do_GET(self) -> None:
        self._answer(200, self.objects[self.path])

    def log_message(self, *_: object) -> None:
        return

    def _body(self) -> bytes:
        if "Content-Length" in self.headers:
            return self.rfile.read(int(self.headers["Content-Length"]))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def objects() -> dict[str, bytes]:
    return {"/a": BODY, "/b": b"b"}


@pytest.fixture
def proxy(objects: dict[str, bytes]) -> Iterator[HTTPProxy]:
    handler = type("Handler", (Kept,), {"objects": objects})
    with http.server.ThreadingHTTPServer((HOST, 0), handler) as server:
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # cut connections are what is tested
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        with HTTPProxy(server.server_address[1]) as proxy:
            yield proxy
        server.shutdown()
        thread.join()


@pytest.fixture
def client(proxy: HTTPProxy) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(HOST, proxy.port, timeout=5)
    yield connection
    connection.close()


def get(client: http.client.HTTPConnection, target: str) -> tuple[int, bytes]:
    client.request("GET", target)
    answer = client.getresponse()
    return answer.status, answer.read()


def put(client: http.client.HTTPConnection, target: str, body: bytes, **headers: str) -> int:
    client.request("PUT", target, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = client.getresponse()
    answer.read()
    return answer.status


def test_requests_of_one_connection_pass_and_are_kept(
    proxy: HTTPProxy, client: http.client.HTTPConnection, objects: dict[str, bytes]
) -> None:
    assert get(client, "/a") == (200, BODY)
    assert put(client, "/new", BODY * 30) == 201
    assert put(client, "/empty", b"") == 201
    assert get(client, "/empty") == (200, b"")
    assert objects["/new"] == BODY * 30
    assert proxy.opened == 1
    assert [(one.method, one.target) for one in proxy.requests] == [
        ("GET", "/a"),
        ("PUT", "/new"),
        ("PUT", "/empty"),
        ("GET", "/empty"),
    ]
    assert proxy.requests[1].headers["content-length"] == str(len(BODY) * 30)
    assert proxy.count("PUT") == 2
    assert proxy.count(target="^/e") == 2


def test_a_body_in_chunks(proxy: HTTPProxy, client: http.client.HTTPConnection, objects: dict[str, bytes]) -> None:
    client.request("PUT", "/chunks", iter([BODY, b"x", BODY]), encode_chunked=True)
    assert client.getresponse().read() == b""
    assert objects["/chunks"] == BODY + b"x" + BODY
    assert get(client, "/b") == (200, b"b")
    assert proxy.count() == 2


@pytest.mark.parametrize("status", [429, 500, 503])
def test_the_next_requests_are_answered_with_a_status(
    proxy: HTTPProxy, client: http.client.HTTPConnection, objects: dict[str, bytes], status: int
) -> None:
    proxy.answer(status, body=b"<Error/>", headers={"Retry-After": "1"}, times=2, method="PUT")
    assert get(client, "/b") == (200, b"b")
    for _ in range(2):
        assert put(client, "/new", BODY * 30) == status
    assert "/new" not in objects, "the server has not heard of it"
    assert put(client, "/new", BODY) == 201
    assert proxy.count("PUT") == 3
    assert len(proxy.struck) == 2


def test_the_answer_has_a_body_and_headers(proxy: HTTPProxy, client: http.client.HTTPConnection) -> None:
    proxy.answer(503, body=b"<Error/>", headers={"Retry-After": "7"})
    client.request("GET", "/a")
    answer = client.getresponse()
    assert (answer.read(), answer.headers["Retry-After"]) == (b"<Error/>", "7")


def test_the_answer_to_head_has_no_body(proxy: HTTPProxy, client: http.client.HTTPConnection) -> None:
    proxy.answer(403, body=b"<Error/>")
    client.request("HEAD", "/a")
    assert client.getresponse().read() == b""
    assert get(client, "/b") == (200, b"b")


def test_a_client_that_asks_before_it_sends(proxy: HTTPProxy, client: http.client.HTTPConnection) -> None:
    proxy.answer(503, method="PUT")
    client.putrequest("PUT", "/new")
    client.putheader("Content-Length", "1000000")
    client.putheader("Expect", "100-continue")
    client.endheaders()
    assert client.getresponse().status == 503


def test_a_cut_in_the_middle_of_a_body(proxy: HTTPProxy, client: http.client.HTTPConnection) -> None:
    proxy.cut(after=10_000, method="GET", target="/a", ending="close")
    assert get(client, "/b") == (200, b"b")
    with pytest.raises(http.client.IncompleteRead):
        get(client, "/a")
    client.close()
    assert get(client, "/a") == (200, BODY)


def test_a_reset_in_the_middle_of_an_upload(
    proxy: HTTPProxy, client: http.client.HTTPConnection, objects: dict[str, bytes]
) -> None:
    proxy.cut(after=10_000, way="up", method="PUT")
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        put(client, "/new", BODY * 30)
    assert "/new" not in objects
    client.close()
    assert put(client, "/new", b"whole") == 201


def test_a_lost_answer(proxy: HTTPProxy, client: http.client.HTTPConnection, objects: dict[str, bytes]) -> None:
    proxy.cut(after=0, method="PUT")
    with pytest.raises(ConnectionResetError):
        put(client, "/new", b"stored")
    assert objects["/new"] == b"stored"


def test_slow_first_byte_of_one_answer(proxy: HTTPProxy, client: http.client.HTTPConnection) -> None:
    assert get(client, "/b") == (200, b"b")
    proxy.slow(0.5, target="/a")
    began = time.monotonic()
    assert get(client, "/b") == (200, b"b")
    assert time.monotonic() - began < 0.5
    assert get(client, "/a") == (200, BODY)
    assert time.monotonic() - began >= 0.5


def test_answers_are_delayed_too(proxy: HTTPProxy, client: http.client.HTTPConnection) -> None:
    proxy.delay(down=0.2)
    proxy.answer(500)
    began = time.monotonic()
    assert get(client, "/a") == (500, b"")
    assert time.monotonic() - began >= 0.2


def test_a_moment_in_an_upload(proxy: HTTPProxy, client: http.client.HTTPConnection) -> None:
    proxy.rate(up=1_000_000)
    upload = threading.Thread(target=put, args=(client, "/new", BODY * 2))
    upload.start()
    proxy.wait_for(lambda: proxy.count("PUT") == 1 and proxy.passed["up"] > 50_000)
    assert upload.is_alive()
    proxy.heal()
    upload.join()
