"""The proxy: what passes through it unharmed, and each thing that it can break."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Iterator

import pytest

from services.proxy import Proxy
from services.server import HOST

LINE = b"0123456789" * 100


class Echo(socketserver.BaseRequestHandler):
    """Sends back what comes, to the end of it."""

    request: socket.socket

    def handle(self) -> None:
        try:
            while data := self.request.recv(1 << 16):
                self.request.sendall(data)
        except ConnectionResetError:
            return


@pytest.fixture(scope="module")
def echo() -> Iterator[int]:
    with socketserver.ThreadingTCPServer((HOST, 0), Echo) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture
def proxy(echo: int) -> Iterator[Proxy]:
    with Proxy(echo) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: Proxy) -> Iterator[socket.socket]:
    with connected(proxy) as client:
        yield client


def connected(proxy: Proxy) -> socket.socket:
    return socket.create_connection((HOST, proxy.port), timeout=5)


def talk(proxy: Proxy) -> float:
    with connected(proxy) as client:
        return echoed(client)


def receive(client: socket.socket, size: int) -> bytes:
    """So many bytes, or what comes before the end."""
    data = b""
    while len(data) < size and (more := client.recv(size - len(data))):
        data += more
    return data


def echoed(client: socket.socket, data: bytes = LINE) -> float:
    """Seconds until all came back."""
    began = time.monotonic()
    client.sendall(data)
    assert receive(client, len(data)) == data
    return time.monotonic() - began


def test_bytes_pass_both_ways_to_the_end(proxy: Proxy, client: socket.socket) -> None:
    data = bytes(range(256)) * 40_000

    def send() -> None:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send)
    sender.start()
    assert receive(client, len(data) + 1) == data, "and then the end"
    sender.join()
    assert proxy.passed == {"up": len(data), "down": len(data)}
    assert proxy.opened == 1


def test_delay_is_a_latency_of_each_way(proxy: Proxy, client: socket.socket) -> None:
    proxy.delay(up=0.1)
    assert echoed(client) >= 0.1
    proxy.delay(up=0.05, down=0.15)
    assert 0.2 <= echoed(client, LINE * 2000) < 1.5, "two million bytes wait together, not one after the other"
    proxy.heal()
    assert echoed(client) < 0.2


def test_rate(proxy: Proxy, client: socket.socket) -> None:
    proxy.rate(down=10 * len(LINE))
    assert echoed(client, LINE * 3) >= 0.2
    proxy.rate(up=10 * len(LINE))
    assert echoed(client, LINE * 3) >= 0.2


def test_stalled_connection_is_silent_and_goes_on(proxy: Proxy, client: socket.socket) -> None:
    proxy.stall("down")
    client.sendall(LINE)
    proxy.wait_for(lambda: proxy.passed["up"] == len(LINE))
    client.settimeout(0.1)
    with pytest.raises(TimeoutError):
        client.recv(1)
    with connected(proxy) as another:
        another.sendall(LINE)
        another.settimeout(0.1)
        with pytest.raises(TimeoutError):
            another.recv(1)
    client.settimeout(5)
    proxy.heal()
    assert receive(client, len(LINE)) == LINE


def test_refused_and_taken_again_on_the_same_port(proxy: Proxy, client: socket.socket) -> None:
    echoed(client)
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        connected(proxy)
    echoed(client)
    proxy.heal()
    talk(proxy)


def test_drop_resets_what_is_there(proxy: Proxy, client: socket.socket) -> None:
    echoed(client)
    proxy.drop()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    talk(proxy)


def test_server_that_is_gone_is_a_reset() -> None:
    with socket.socket() as nobody:
        nobody.bind((HOST, 0))
        with Proxy(nobody.getsockname()[1]) as proxy, pytest.raises(ConnectionResetError):
            talk(proxy)


@pytest.mark.parametrize("ending", ["close", "reset"])
def test_cut_after_so_many_bytes(proxy: Proxy, ending: str) -> None:
    proxy.cut(after=300, ending=ending)  # type: ignore[arg-type]
    with connected(proxy) as client:
        client.sendall(LINE)
        assert receive(client, 300) == LINE[:300]
        if ending == "reset":
            with pytest.raises(ConnectionResetError):
                client.recv(1)
        else:
            assert client.recv(1) == b""
    talk(proxy)
    assert [fault.times for fault in proxy.struck] == [0]


def test_cut_on_the_way_up(proxy: Proxy) -> None:
    proxy.cut(after=300, way="up", times=2)
    for _ in range(2):
        with pytest.raises(ConnectionResetError):
            talk(proxy)
    assert proxy.passed["up"] == 600


def test_cut_that_stalls_lasts(proxy: Proxy) -> None:
    proxy.cut(after=300, ending="stall")
    with connected(proxy) as client:
        client.sendall(LINE)
        assert receive(client, 300) == LINE[:300]
        proxy.heal()
        client.settimeout(0.1)
        with pytest.raises(TimeoutError):
            client.recv(1)


def test_slow_first_byte(proxy: Proxy) -> None:
    proxy.slow(0.2)
    with connected(proxy) as client:
        assert echoed(client) >= 0.2
        assert echoed(client) < 0.2


def test_healed_proxy_has_no_fault_left(proxy: Proxy) -> None:
    proxy.cut()
    proxy.heal()
    talk(proxy)
    assert proxy.struck == []


def test_waiting_has_an_end(proxy: Proxy) -> None:
    with pytest.raises(AssertionError, match="did not come about"):
        proxy.wait_for(lambda: False, within=0.01)


def test_fast_enough_to_measure_through(proxy: Proxy, client: socket.socket) -> None:
    size = 32 << 20
    sender = threading.Thread(target=client.sendall, args=(bytes(size),))
    began = time.monotonic()
    sender.start()
    rest = memoryview(bytearray(size))
    while rest:
        rest = rest[client.recv_into(rest) :]
    assert time.monotonic() - began < 5
    sender.join()
