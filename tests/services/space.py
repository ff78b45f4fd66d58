"""What a test gets of a server: a place that is empty and its own, and how each kind of backend is told to reach it."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, Self

from services.server import HOST


class Space(Protocol):
    """A bucket, container or folder on a server; the keys are names with `/`, without one at the start."""

    port: int

    def at(self, port: int) -> Self:
        """The same, reached through another port: a proxy's."""

    def put(self, key: str, content: bytes) -> None:
        """Store, past everything that is under test."""

    def get(self, key: str) -> bytes:
        """The content; FileNotFoundError where there is none."""

    def delete(self, key: str) -> None:
        """Take it away; nothing where it is not."""

    def keys(self) -> list[str]:
        """What there is, in order; markers of directories end in `/`."""


@dataclass(frozen=True)
class Folder:
    """A space on a server that shares a folder of this machine, which a test may look into as `path` too."""

    path: Path
    port: int = field(kw_only=True)

    def at(self, port: int) -> Self:
        return replace(self, port=port)

    def put(self, key: str, content: bytes) -> None:
        path = self.path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def get(self, key: str) -> bytes:
        return (self.path / key).read_bytes()

    def delete(self, key: str) -> None:
        (self.path / key).unlink(missing_ok=True)

    def keys(self) -> list[str]:
        return sorted(str(path.relative_to(self.path)) for path in self.path.rglob("*") if path.is_file())


def ask(
    port: int, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> tuple[bytes, http.client.HTTPMessage]:
    """One HTTP request to loopback: the answer's body and headers.

    Raises FileNotFoundError for a 404 and OSError for any other answer that is an error.
    """
    connection = http.client.HTTPConnection(HOST, port, timeout=30)
    try:
        connection.request(method, target, body or None, dict(headers or {}))
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    if answer.status == 404:
        raise FileNotFoundError(f"{method} {target}: {content[:200]!r}")
    if answer.status >= 400:
        raise OSError(f"{method} {target}: {answer.status} {content[:200]!r}")
    return content, answer.headers


Options = dict[str, Any]
