"""Who traces is told of what he wants to see, and whoever does not costs nothing."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from places import Server

from vfs.testing.place import failing, opened, soon
from vfs.watch import tracing
from vfs.watch.tracing import Tracing

Serve = Callable[..., Server]


def operations(batch: dict[str, Any]) -> list[tuple[str, ...]]:
    return [it["paths"] for it in batch["operations"]]


def test_it_is_on_while_anybody_listens() -> None:
    switched: list[bool] = []
    found = Tracing(switched.append)
    one, other = found.follow(), found.follow("a")
    assert switched == []
    for it in (one, other):
        assert next(it) == {"operations": [], "lost": 0}
    assert (found.is_on, switched) == (True, [True])
    one.close()
    assert found.is_on
    other.close()
    assert (found.is_on, switched) == (False, [True, False])


def test_a_path_is_that_and_what_is_below() -> None:
    found = Tracing(lambda on: None)
    everything, some = found.follow(), found.follow("a/b")
    with closing(everything), closing(some):
        next(everything), next(some)
        for paths in (("a/b",), ("a/b/c",), ("a/bc",), ("x", "a/b/d"), ("a",), ()):
            found.tell("read", paths, 12, 1500, errno.EIO)
        assert operations(next(some)) == [("a/b",), ("a/b/c",), ("x", "a/b/d")]
        batch = next(everything)
    assert len(batch["operations"]) == 6
    line = batch["operations"][0]
    assert abs(line.pop("time") - time.time()) < 60
    assert line == {"operation": "read", "paths": ("a/b",), "pid": 12, "seconds": 1.5e-6, "error": "EIO"}


def test_what_is_not_taken_is_counted_and_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "MOST", 10)
    monkeypatch.setattr(tracing, "SECONDS", 0.01)
    found = Tracing(lambda on: None)
    with closing(found.follow()) as all_:
        next(all_)
        for _ in range(15):
            found.tell("read", (), 0, 0, 0)
        batch = next(all_)
        assert (len(batch["operations"]), batch["lost"]) == (10, 5)
        assert next(all_) == {"operations": [], "lost": 0}


class Traced:
    """What is traced of a mount until the block ends."""

    def __init__(self, server: Server, path: str = "") -> None:
        assert server.daemon is not None
        self._batches = server.daemon.follow("trace", path=path)
        self.lines: list[dict[str, Any]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> Traced:
        assert next(self._batches)["operations"] == []
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(20)

    def _read(self) -> None:
        with closing(self._batches):
            for batch in self._batches:
                self.lines += batch["operations"]
                if self._ended.is_set():
                    return

    def has(self, operation: str, *paths: str, error: str | None = None) -> bool:
        wanted = operation, list(paths), error
        return soon(lambda: wanted in [(it["operation"], it["paths"], it["error"]) for it in self.lines])


@pytest.mark.parametrize("kind", ["memory", "objects"])
def test_operations_of_a_mount(serve: Serve, kind: str) -> None:
    server = serve(kind)
    mnt = server.mountpoint
    is_kernel = server.transport == "kernel"
    with Traced(server) as seen:
        os.mkdir(mnt / "d")
        with opened(mnt / "d" / "f\udcff", os.O_RDWR | os.O_CREAT) as fd:
            os.fsync(fd)
        os.rename(mnt / "d" / "f\udcff", mnt / "g")
        with failing(errno.ENOENT):
            os.stat(mnt / "missing")
        os.mkdir(mnt / "d" / "e")
        with failing(errno.ENOTEMPTY):
            os.rmdir(mnt / "d")
        os.listdir(mnt / "d")
        assert seen.has("mkdir", "d")
        assert seen.has("create", "d/f\udcff")
        assert seen.has("fsync", "d/f\udcff")
        assert seen.has("release", "d/f\udcff") or seen.has("release", "g")
        assert seen.has("rename", "d/f\udcff", "g")
        assert seen.has("lookup" if is_kernel else "getattr", "missing", error="ENOENT")
        assert seen.has("rmdir", "d", error="ENOTEMPTY")
        assert seen.has("opendir", "d")
        if kind == "memory":
            os.symlink("target", mnt / "link")
            os.link(mnt / "g", mnt / "hard")
            assert seen.has("symlink", "link")
            assert seen.has("link", "hard")
    made = next(it for it in seen.lines if it["operation"] == "create")
    assert made["pid"] == os.getpid()
    assert 0 < made["seconds"] < 20
    assert abs(made["time"] - time.time()) < 60


def test_what_is_elsewhere_is_not_told(serve: Serve) -> None:
    server = serve("files")
    for name in ("a", "b"):
        os.mkdir(server.mountpoint / name)
    with Traced(server, "a") as seen:
        for name in ("b", "a"):
            (server.mountpoint / name / "file").touch()
        assert seen.has("create", "a/file")
    assert {it["paths"][0].partition("/")[0] for it in seen.lines} == {"a"}


def test_two_trace_and_nobody_keeps_it_on(serve: Serve) -> None:
    server = serve("objects")
    with Traced(server) as one, Traced(server) as other:
        (server.mountpoint / "file").touch()
        assert one.has("create", "file")
        assert other.has("create", "file")
    assert (server.mountpoint / "file").exists()
    server.unmount()
