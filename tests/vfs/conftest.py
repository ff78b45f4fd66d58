"""Mounts for tests: `place` gives a test a fresh directory on each kind of storage, and on a plain folder.

Tests that use one are marked `mount` here. A test for some kinds only says so with `@on("memory", "files")`; one that
needs a mount of its own, with options or to be killed, takes `serve`. Both run over each `transport`.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from inprocess import script as script
from kernel import KINDS, Verbs, filesystem_of
from places import TRANSPORTS, Place, Server, Where, everywhere
from programs import sources as sources
from rescue import Rescue

_MOUNTS = frozenset({"servers", "serve", "rescue"})
_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that mount."""
    for item in items:
        where = item.callspec.params.get("place") if hasattr(item, "callspec") else None
        if (isinstance(where, Where) and where.transport) or not _MOUNTS.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.mount)


@pytest.fixture(scope="session")
def mounts_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What all mounts of the session lie below."""
    folder = tmp_path_factory.mktemp("mounts")
    folder.chmod(0o755)
    depth = 3 if "PYTEST_XDIST_WORKER" in os.environ else 2
    for above in list(folder.parents)[:depth]:  # other users go through to the mounts
        above.chmod(above.stat().st_mode | 0o011)
    return folder


@pytest.fixture(scope="session")
def rescuer(mounts_folder: Path) -> Iterator[Rescue]:
    """The process that ends hung mounts."""
    with Rescue(mounts_folder) as rescue:
        yield rescue


@pytest.fixture
def rescue(rescuer: Rescue, request: pytest.FixtureRequest) -> Iterator[None]:
    """The mounts below `mounts_folder` are aborted if the test takes too long."""
    rescuer.wait_for(request.node.nodeid)
    yield
    rescuer.wait_for("")


@pytest.fixture(scope="session")
def servers(mounts_folder: Path, rescuer: Rescue) -> Iterator[Callable[[Where], Server]]:
    """One mount for each kind of place, made when it is first asked for, and checked at the end of the session."""
    running: dict[Where, Server] = {}

    def server(where: Where) -> Server:
        if where not in running:
            made = Server(where.kind, mounts_folder / str(where), transport=where.transport)
            running[where] = made.mount()
        return running[where]

    yield server
    with ExitStack() as stack:
        for one in running.values():
            stack.callback(_end, one)
        rescuer.wait_for("the end of the session")


def _end(server: Server) -> None:
    try:
        server.unmount()
        logged = server.logged()
        assert "Traceback" not in logged, logged
    finally:
        server.end()


@pytest.fixture(params=everywhere(), ids=str)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A fresh directory on a plain folder (the oracle), and on a mount of each kind of storage."""
    where: Where = request.param
    if not where.transport:
        (tmp_path / "plain").mkdir()
        return Place(tmp_path / "plain", where.abilities)
    request.getfixturevalue("rescue")
    server: Server = request.getfixturevalue("servers")(where)
    path = server.mountpoint / f"{next(_numbers)}"
    path.mkdir()
    return Place(path, where.abilities, server)


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    """What the mounts that a test makes for itself speak to the kernel with."""
    name: str = request.param
    return name


@pytest.fixture
def serve(mounts_folder: Path, rescue: None, transport: str) -> Iterator[Callable[..., Server]]:
    """Mounts for one test: `serve(KIND, *OPTIONS)` is a mounted `Server`; whatever the test did to it, it ends."""
    made: list[Server] = []

    def server(kind: str, *options: str) -> Server:
        made.append(Server(kind, mounts_folder / f"own-{next(_numbers)}", *options, transport=transport))
        return made[-1].mount()

    yield server
    for one in made:
        one.end()


@pytest.fixture(params=KINDS)
def verbs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Verbs]:
    """The verbs of a filesystem without a mount, over each kind of storage."""
    caller = Verbs(filesystem_of(request.param, tmp_path))
    yield caller
    caller.close_all()
    caller.filesystem.close()
