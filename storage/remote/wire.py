"""Whether the connections of this process get ahead, as the kernel counts it.

Libraries take a large piece of a content at once, and say nothing until the server has answered. Meanwhile the kernel
knows of each TCP connection which bytes were received and which are acknowledged by the other side (`TCP_INFO`, on
Linux alone). It does not know for whom they are, so who waits for something asks about all connections to a service:

- While bytes come, or are acknowledged, there is progress: also on a line that takes an hour for a megabyte.
- A connection with bytes on their way of which none arrives is broken, whatever the others do: whoever waits for long
  may be waiting for that one.
- A connection on which nothing comes after a question may have to do with a server that thinks: `THINKING` seconds are
  granted for that while others get ahead, and none where nothing else moves.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

THINKING = 300.0
"""Seconds that a server may take for one answer while it gives others."""
COPIED_A_SECOND = 10 * 2**20
"""Bytes; how slow a server may be that copies an object by itself, of which most say nothing until it is done."""
_FRESH = 0.05
"""Seconds for which what was seen is good enough."""

_ESTABLISHED, _LISTENING = 1, 10
_INFO = struct.Struct("=B23xI16xI4xI64xQQ8xI")
"""Of `struct tcp_info`: state, unacked, last_data_sent, last_data_recv, bytes_acked, bytes_received, notsent_bytes."""
_ADDRESS = struct.Struct("!2xH")
"""Of `struct sockaddr_in` and `sockaddr_in6`: the port."""
_ADDRESS_SIZE = 128

_libc = ctypes.CDLL(None)


class _Counts(NamedTuple):
    """What the kernel says of one connection."""

    moved: tuple[int, int]
    """Bytes that the other side has acknowledged, and that have come from there."""
    is_sending: bool
    """Whether bytes are on their way, or wait to be."""
    is_asking: bool
    """Whether the last bytes went there, so that an answer is due."""


class _Seen(NamedTuple):
    counts: _Counts
    at: float
    """When it was first seen so (time.monotonic seconds)."""


class Wire:
    """The connections that this process has made; safe to use from many threads."""

    def __init__(self, ports: Collection[int] = ()) -> None:
        """To one of these ports, or to any."""
        self._ports = frozenset(ports)
        self._lock = threading.Lock()
        self._seen: dict[bytes, _Seen] = {}
        self._looked_at = 0.0
        self.shows = False
        """Whether there was anything to see yet."""

    def progressed_at(self) -> float:
        """When there was progress last, as far as that has been looked at (time.monotonic seconds); 0.0 for never."""
        with self._lock:
            if time.monotonic() - self._looked_at >= _FRESH:
                self._look()
            return min([max((seen.at for seen in self._seen.values()), default=0.0), *map(_limit, self._seen.values())])

    def _look(self) -> None:
        now, before = time.monotonic(), self._seen
        self._seen = {}
        for key, counts in _connections(self._ports):
            known = before.get(key)
            at = known.at if known is not None and known.counts.moved == counts.moved else now
            self._seen[key] = _Seen(counts, at)
        self._looked_at = now
        self.shows = self.shows or bool(self._seen)


def is_visible() -> bool:
    """Whether this system tells anything of its connections."""
    return sys.platform == "linux"


def _limit(seen: _Seen) -> float:
    """When progress ended at the latest, by this connection."""
    if seen.counts.is_sending:
        return seen.at
    return seen.at + THINKING if seen.counts.is_asking else float("inf")


def _connections(ports: frozenset[int]) -> Iterator[tuple[bytes, _Counts]]:
    """The addresses of both ends of each connection that was made to one of the ports, or to any, and its counts."""
    if not is_visible():
        return
    found, listening = [], set()
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        info = _info(fd)
        if info is None:
            continue
        here = _address(_libc.getsockname, fd)
        if info[0] == _LISTENING:
            listening.add(_port(here))
        elif info[0] == _ESTABLISHED:
            found.append((here, _address(_libc.getpeername, fd), info))
    for here, there, (_, unacknowledged, sent_ago, received_ago, acknowledged, received, unsent) in found:
        if _port(here) not in listening and (not ports or _port(there) in ports):
            is_asking = sent_ago < received_ago or not received
            yield here + there, _Counts((acknowledged, received), bool(unacknowledged or unsent), is_asking)


def _info(fd: int) -> tuple[int, ...] | None:
    """The fields of `_INFO`; None for what is no TCP connection, or is closed by now.

    Not by a socket object: that would be one more owner, and might change how the socket blocks.
    """
    buffer = ctypes.create_string_buffer(_INFO.size)
    size = ctypes.c_uint32(_INFO.size)
    failed = _libc.getsockopt(fd, socket.IPPROTO_TCP, socket.TCP_INFO, buffer, ctypes.byref(size))
    return None if failed or size.value < _INFO.size else _INFO.unpack(buffer.raw)


def _address(call: Any, fd: int) -> bytes:
    """One end of a connection; nothing where it is closed by now."""
    buffer = ctypes.create_string_buffer(_ADDRESS_SIZE)
    size = ctypes.c_uint32(_ADDRESS_SIZE)
    return b"" if call(fd, buffer, ctypes.byref(size)) else buffer.raw[: size.value]


def _port(address: bytes) -> int:
    return int(_ADDRESS.unpack_from(address)[0]) if len(address) >= _ADDRESS.size else 0
