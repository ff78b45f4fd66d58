"""What can befall an exchange between client and server, and the exchanges that it is for."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Literal, Self

Way = Literal["up", "down"]
"""To the server, or to the client."""

Ending = Literal["close", "reset", "stall"]
"""An orderly end (FIN), a torn one (RST), or none: the connection stays, and nothing moves on it any more."""


@dataclass(frozen=True)
class Request:
    """What a client asked for over HTTP."""

    method: str
    target: str
    headers: dict[str, str] = field(repr=False)
    """By their names in lower case."""

    @classmethod
    def parse(cls, head: bytes) -> Self:
        """From the lines up to the empty one."""
        first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        method, target, _ = first.split(" ", 2)
        pairs = (line.partition(":") for line in lines)
        return cls(method, target, {name.lower(): value.strip() for name, _, value in pairs})

    def matches(self, method: str, target: str) -> bool:
        """True if both fit: the method's name, and a regular expression found in the target; "" fits all."""
        return method in {"", self.method} and re.search(target, self.target) is not None


@dataclass(kw_only=True)
class Fault:
    """Strikes the next `times` exchanges that it is for: of HTTP by method and target, else every connection."""

    times: int = 1
    method: str = ""
    target: str = ""

    def is_for(self, request: Request | None) -> bool:
        """True if it has not struck often enough yet, and the exchange is one that it is for."""
        return self.times > 0 and (request is None or request.matches(self.method, self.target))


@dataclass(kw_only=True)
class Cut(Fault):
    """The connection ends after so many bytes that went one way in this exchange."""

    after: int
    way: Way
    ending: Ending


@dataclass(kw_only=True)
class Slow(Fault):
    """The first byte of the answer comes later."""

    seconds: float


@dataclass(kw_only=True)
class Answer(Fault):
    """The proxy answers itself, and the server never hears of the request."""

    status: int
    body: bytes
    headers: dict[str, str]

    def encode(self, request: Request) -> bytes:
        """What is sent, before the connection is closed; without a body where HTTP has none."""
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}"]
        headers = {"Content-Length": str(len(self.body)), "Connection": "close", **self.headers}
        lines += [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        return head if request.method == "HEAD" else head + self.body
