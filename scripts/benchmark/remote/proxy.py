"""The proxy before the server: `python -m benchmark.remote.proxy PORT [SECONDS]`.

It says its port, and for each line that it is sent, what has passed until then. It has a process of its own, for its
threads would not survive the forks of the benchmark.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from typing import Self
from urllib.parse import urlsplit

from benchmark.places import REPOSITORY
from services.faults import Request
from services.http_proxy import HTTPProxy

KINDS = ("LIST", "HEAD", "GET", "PUT", "COPY", "POST", "DELETE")
FETCHED, SENT = "bytes fetched", "bytes sent"


def kind(request: Request) -> str:
    """What a request is to S3: one of `KINDS`, or its method."""
    if request.method == "GET" and "/" not in urlsplit(request.target).path.strip("/"):
        return "LIST"
    if request.method == "PUT" and "x-amz-copy-source" in request.headers:
        return "COPY"
    return request.method


class CountingProxy(HTTPProxy):
    """Counts requests instead of keeping them."""

    def __init__(self, server_port: int) -> None:
        """As `HTTPProxy`."""
        super().__init__(server_port)
        self.counts: Counter[str] = Counter()

    def note(self, request: Request) -> None:
        """Count it."""
        self.counts[kind(request)] += 1


class ProxyProcess:
    """A `CountingProxy` in a process of its own, from `with` to its end."""

    def __init__(self, server_port: int, delay: float) -> None:
        """Before that port, with answers that are late by so many seconds."""
        paths = os.pathsep.join(str(REPOSITORY / folder) for folder in ("scripts", "tests"))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmark.remote.proxy", str(server_port), str(delay)],
            env={**os.environ, "PYTHONPATH": paths},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            start_new_session=True,  # a Ctrl-C is for the benchmark, which unmounts first
        )
        self.port = int(self._line())

    def __enter__(self) -> Self:
        """It runs already."""
        return self

    def __exit__(self, *exception: object) -> None:
        """End it."""
        self._process.communicate()

    def counts(self) -> Mapping[str, int]:
        """The requests by kinds, and the bytes, that have passed."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        counts: dict[str, int] = json.loads(self._line())
        return counts

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


def main(server_port: int, delay: float = 0.0) -> None:
    """Serve until the end of the input."""
    with CountingProxy(server_port) as proxy:
        proxy.delay(down=delay)
        print(proxy.port, flush=True)
        for _ in sys.stdin:
            passed = {FETCHED: proxy.passed["down"], SENT: proxy.passed["up"]}
            print(json.dumps({**proxy.counts, **passed}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), *map(float, sys.argv[2:]))
