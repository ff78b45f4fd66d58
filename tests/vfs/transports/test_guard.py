"""The guard: the one place of a transport where a request runs, and from which nothing but a number comes."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from storage import InMemoryStorage
from vfs.filesystem import FileSystem
from vfs.mounts.options import MountOptions
from vfs.transports.base import Transport


class Bare(Transport):
    """A transport with nothing but what all share."""

    name = "bare"

    def mount(self) -> None: ...

    def serve(self) -> None: ...

    def leave(self) -> None: ...

    @property
    def handles(self) -> int:
        return 0


@pytest.fixture
def transport(tmp_path: Path) -> Transport:
    return Bare(FileSystem(InMemoryStorage()), tmp_path, MountOptions(), "memory")


def answer(transport: Transport, error: BaseException) -> int:
    def request() -> int:
        raise error

    return transport.guard("read", request)


def test_what_the_request_returns_is_the_answer(transport: Transport) -> None:
    assert transport.guard("read", lambda: 17) == 17
    assert (transport.counts, transport.errors) == ({"read": 1}, {})


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (FileNotFoundError(errno.ENOENT, "no"), errno.ENOENT),
        (PermissionError("an error without an errno"), errno.EACCES),
        (OSError(-2, "the resolver's number"), errno.EIO),
        (ValueError("a bug"), errno.EIO),
        (RecursionError(), errno.EIO),
        (SystemExit(), errno.EIO),
        (SystemExit(0), errno.EIO),
        (KeyboardInterrupt(), errno.EIO),
        (GeneratorExit(), errno.EIO),
        (StopIteration(), errno.EIO),
    ],
    ids=repr,
)
def test_whatever_is_raised_is_answered_with_its_errno(transport: Transport, error: BaseException, code: int) -> None:
    assert answer(transport, error) == -code
    assert transport.errors == {errno.errorcode[code]: 1}
    assert transport.requests.errors == {("read", errno.errorcode[code]): 1}


def test_a_failed_request_is_counted_with_the_others(transport: Transport) -> None:
    transport.guard("read", lambda: 0)
    answer(transport, FileNotFoundError("no"))
    assert transport.counts == {"read": 2}


def test_the_next_request_is_answered_after_the_worst(transport: Transport) -> None:
    answer(transport, SystemExit())
    assert transport.guard("read", lambda: 1) == 1
