"""Many at once: processes that write, rename and delete through a mount, and threads that do so by the verbs.

What they do is in crew.py. `VFS_TEST_STRESS` says for how many seconds (30 for a thorough run), `VFS_TEST_SEED` repeats
what was done, if not its order.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import crew
import psutil
import pytest
from kernel import Mounted, Verbs, files_here, nodes_of
from places import Server, above_transports, everywhere

from vfs.names import tree as tree_module

SECONDS = float(os.environ.get("VFS_TEST_STRESS") or 3)
SEED = int(os.environ.get("VFS_TEST_SEED") or random.SystemRandom().randrange(1 << 32))
GROWTH = 3 << 20
"""Bytes that the daemon may be larger after the second round of work than after the first.

All files are deleted between the rounds, so nothing may be left of them: neither their nodes nor their contents, which
were several MB at a time. The first round has filled what a process keeps for reuse (the allocator's arenas, a thread's
buffers); how full they are differs a little from round to round. A leak of one content in a hundred would be more, and
in the 30 seconds of a thorough run one of 100 bytes a step.
"""
pytestmark = pytest.mark.timeout(120 + 4 * SECONDS)


def test_threads_by_the_verbs(verbs: Verbs, monkeypatch: pytest.MonkeyPatch) -> None:
    """With so few idle nodes that they come and go all the time."""
    monkeypatch.setattr(tree_module, "IDLE_LIMIT", 10)
    print(f"VFS_TEST_SEED={SEED}")
    crew.prepare(verbs)
    until = time.monotonic() + SECONDS / 2
    workers = [crew.Worker(Verbs(verbs.filesystem), number, SEED) for number in range(crew.CREW)]
    with ThreadPoolExecutor(crew.CREW) as pool:
        for done in [pool.submit(worker.run, until) for worker in workers]:
            done.result(timeout=60 + SECONDS)
    crew.clean(verbs)
    filesystem = verbs.filesystem
    nodes = nodes_of(filesystem.tree)
    assert (files_here(filesystem), filesystem.pending(), filesystem.tree.queue) == (0, [], [])
    assert not filesystem.tree.leases
    assert not any(node.writer for node in nodes)
    assert [node for node in nodes if node.lookups and node is not filesystem.root] == []
    assert list(filesystem.storage.scandir("")) == []


@pytest.fixture
def server(serve: Callable[..., Server], request: pytest.FixtureRequest) -> Iterator[Server]:
    """A mount of its own, whose daemon is alive at the end and has logged no error."""
    one = serve(request.param)
    yield one
    assert one.daemon is not None
    assert one.daemon.is_alive()
    assert "Traceback" not in one.logged()
    assert " ERROR " not in one.logged()


def work(server: Server, seconds: float) -> None:
    """Let the processes work for so long, and remove what they leave."""
    mounted = Mounted(server.mountpoint)
    crew.prepare(mounted)
    command = [sys.executable, crew.__file__, str(server.mountpoint), str(seconds), str(SEED)]
    done = subprocess.run(command, env=server.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"VFS_TEST_SEED={SEED}\n{done.stderr}"
    assert int(done.stdout) >= crew.LEAST * crew.CREW
    crew.clean(mounted)


@above_transports
@pytest.mark.parametrize("server", ["scanned", "objects"], indirect=True)
def test_processes_through_a_mount(server: Server) -> None:
    work(server, SECONDS)


@pytest.mark.parametrize(
    ("server", "transport"), [tuple(where) for where in everywhere("memory", "files")], indirect=["server"]
)
def test_processes_through_a_mount_and_its_memory_afterwards(server: Server) -> None:
    assert server.daemon is not None
    process = psutil.Process(server.daemon.pid)
    work(server, SECONDS / 2)
    before = process.memory_info().rss
    work(server, SECONDS)
    assert process.memory_info().rss - before < GROWTH
    assert server.daemon.ask("status")["nodes"] <= 1 + len(crew.DIRECTORIES), "the nodes of deleted files are gone"
