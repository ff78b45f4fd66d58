from __future__ import annotations

import contextlib
import io
import os
import random
from collections.abc import Callable
from typing import Any

import pytest
from foreign import ForgetfulFile

from storage import File, Kind
from storage.remote.foreign_file import ForeignFile

CONTENT = bytes(range(256)) * 20


class Dribbling(io.BytesIO):
    """Gives a few bytes at a time."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(7 if size is None or size < 0 else min(size, 7))


class EndpointConnectionError(Exception):
    """As botocore calls a connection that breaks."""


def opened(make: Callable[[bytes], Any] = io.BytesIO) -> ForeignFile:
    return ForeignFile(make(CONTENT), "d/a", lambda: make(CONTENT), contextlib.nullcontext())


@pytest.mark.parametrize("make", [io.BytesIO, ForgetfulFile, Dribbling])
@pytest.mark.parametrize("seed", range(5))
def test_any_order_of_reads_gives_what_is_there(make: Callable[[bytes], Any], seed: int) -> None:
    chance = random.Random(seed)
    with opened(make) as file:
        for _ in range(50):
            size, offset = chance.randrange(600), chance.randrange(len(CONTENT) + 100)
            match chance.randrange(4):
                case 0:
                    assert file.pread(size, offset) == CONTENT[offset : offset + size]
                case 1:
                    here = file.tell()
                    data = file.read(size)
                    assert data == CONTENT[here : here + len(data)]
                    assert bool(data) == (size > 0 and here < len(CONTENT))
                case 2:
                    assert file.seek(offset) == file.tell() == offset
                case 3:
                    here = file.tell()
                    assert file.readline() == (CONTENT[here:].split(b"\n")[0] + b"\n")[: max(len(CONTENT) - here, 0)]


def test_reading_in_order_needs_no_copy() -> None:
    reopened = []
    file = ForeignFile(io.BytesIO(CONTENT), "a", lambda: reopened.append(1), contextlib.nullcontext())
    assert b"".join(file.chunks(100)) == CONTENT
    assert reopened == []


def test_the_end_can_be_sought() -> None:
    with opened(ForgetfulFile) as file:
        assert file.seek(-6, os.SEEK_END) == len(CONTENT) - 6
        assert file.read() == CONTENT[-6:]


def test_lines_and_buffers() -> None:
    with opened() as file:
        buffer = bytearray(5)
        assert file.readinto(buffer) == 5
        assert bytes(buffer) == CONTENT[:5]
        assert b"".join(file.readlines()) == CONTENT[5:]
        assert file.tell() == len(CONTENT)
        assert b"".join(file) == CONTENT
    assert io.BufferedReader(opened()).read(9) == CONTENT[:9]  # type: ignore[type-var]


def test_what_is_known_without_reading() -> None:
    class Sized(ForgetfulFile):
        size = 77

    file = opened(Sized)
    entry = file.stat()
    assert (entry.name, entry.kind, entry.size, len(file)) == ("a", Kind.FILE, 77, 77)
    assert file.content_fd() is None


def test_the_size_where_only_reading_tells() -> None:
    assert opened().size == len(CONTENT)


def test_it_is_read_only() -> None:
    with opened() as file:
        assert file.readable()
        assert file.seekable()
        assert not file.writable()
        with pytest.raises(io.UnsupportedOperation):
            file.write(b"x")
        with pytest.raises(io.UnsupportedOperation):
            file.pwrite(b"x", 0)


def test_closing_closes_what_is_behind_once_and_opening_opens_it_again() -> None:
    behind = [ForgetfulFile(CONTENT), ForgetfulFile(CONTENT)]
    made = iter(behind)
    file = ForeignFile(next(made), "a", lambda: next(made), contextlib.nullcontext())
    file.read(3)
    file.close()
    file.close()
    assert file.closed
    assert not file.readable()
    assert behind[0].closed
    assert file.open().read(3) == CONTENT[:3]
    assert not behind[1].closed
    file.close()


def test_nothing_of_the_backend_s_stays_open() -> None:
    behind: list[ForgetfulFile] = []

    def make() -> ForgetfulFile:
        behind.append(ForgetfulFile(CONTENT))
        return behind[-1]

    with ForeignFile(make(), "a", make, contextlib.nullcontext()) as file:
        file.read(10)
        assert file.pread(10, 100) == CONTENT[100:110]
        assert file.read(10) == CONTENT[10:20]
    assert [one.closed for one in behind] == [True, True]


def test_a_closed_file_is_not_fetched_again() -> None:
    file = opened()
    file.close()
    with pytest.raises(ValueError, match="closed file"):
        file.seek(5)


@pytest.mark.parametrize("operation", [lambda f: f.read(1), lambda f: f.seek(5), lambda f: f.pread(1, 1), len])
def test_errors_are_ours(operation: Callable[[File], Any]) -> None:
    class Broken(io.BytesIO):
        @property
        def size(self) -> int:
            raise EndpointConnectionError("Could not connect")

        def read(self, size: int | None = -1, /) -> bytes:
            raise EndpointConnectionError("Could not connect")

    with pytest.raises(ConnectionError) as caught:
        operation(opened(Broken))
    assert isinstance(caught.value.__cause__, EndpointConnectionError)


def test_calls_of_the_backend_are_guarded() -> None:
    entered = []

    class Guard(contextlib.AbstractContextManager[None]):
        def __enter__(self) -> None:
            entered.append(1)

        def __exit__(self, *details: object) -> None:
            entered.append(-1)

    class Guarded(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            assert sum(entered) == 1
            return super().read(size)

    file = ForeignFile(Guarded(CONTENT), "a", lambda: Guarded(CONTENT), Guard())
    file.read(10)
    assert file.pread(10, 100) == CONTENT[100:110]
    file.close()
    assert entered
    assert sum(entered) == 0
