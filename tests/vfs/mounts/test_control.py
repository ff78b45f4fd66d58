"""The channel between a command and the daemon of a mount."""

from __future__ import annotations

import errno
import itertools
import logging
import os
import socket
import stat
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from vfs.mounts.control import Answer, ControlSocket, ask, follow

Listen = Callable[..., Path]


@pytest.fixture
def listen(tmp_path: Path) -> Iterator[Listen]:
    """`listen(COMMAND=function)` is the path of a socket where these commands are answered."""
    made: list[ControlSocket] = []

    def start(**answers: Answer) -> Path:
        made.append(ControlSocket(tmp_path / "s", answers))
        return tmp_path / "s"

    yield start
    for one in made:
        one.close()


def test_arguments_and_answers_are_what_they_were(listen: Listen) -> None:
    path = listen(echo=lambda **arguments: arguments)
    said: dict[str, Any] = {"path": "", "name": "caf\udce9/\n", "count": 3, "all": None, "names": ["a", "ü"]}
    assert ask(path, "echo", **said) == said


def test_the_socket_is_the_users_alone_and_takes_the_place_of_a_dead_one(listen: Listen) -> None:
    old = listen()
    path = listen(echo=dict)
    assert path == old
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ask(path, "echo") == {}


def test_an_error_keeps_its_errno_and_its_words(listen: Listen) -> None:
    def missing() -> dict[str, Any]:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "reports")

    path = listen(missing=missing)
    with pytest.raises(FileNotFoundError, match="'reports': No such file"):
        ask(path, "missing")


def test_what_nobody_expected_is_told_and_logged(listen: Listen, caplog: pytest.LogCaptureFixture) -> None:
    path = listen(divide=lambda number: {"result": 1 // number})
    with caplog.at_level(logging.ERROR, "vfs"):
        with pytest.raises(OSError, match="ZeroDivisionError"):
            ask(path, "divide", number=0)
        with pytest.raises(OSError, match="TypeError"):
            ask(path, "divide", wrong=0)
    assert "the command 'divide' failed" in caplog.text
    with pytest.raises(OSError, match="unknown command 'explode'"):
        ask(path, "explode")


def test_what_is_no_request_is_answered_all_the_same(listen: Listen) -> None:
    path = listen(echo=dict)
    for words in (b"status\n", b"[]\n", b'{"command": "echo"}\n', b"\xff\n"):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            connection.sendall(words)
            assert connection.recv(1000) == b'{"error": "not a request"}\n'
    assert ask(path, "echo") == {}


def test_one_that_waits_does_not_keep_the_others(listen: Listen) -> None:
    release = threading.Event()
    path = listen(wait=lambda: {"done": release.wait(10)}, echo=lambda: {"here": True})
    with pytest.raises(TimeoutError):
        ask(path, "wait", timeout=0.05)
    answers: list[dict[str, Any]] = []
    waiter = threading.Thread(target=lambda: answers.append(ask(path, "wait", timeout=None)))
    waiter.start()
    assert ask(path, "echo") == {"here": True}
    release.set()
    waiter.join(10)
    assert answers == [{"done": True}]


def test_one_command_goes_on_until_who_listens_hangs_up(listen: Listen) -> None:
    ended = threading.Event()

    def count(start: int) -> Generator[dict[str, Any], None, None]:
        try:
            for number in itertools.count(start):
                yield {"number": number}
        finally:
            ended.set()

    path = listen(count=count)
    with closing(follow(path, "count", start=3)) as answers:
        assert [next(answers)["number"] for _ in range(1000)] == list(range(3, 1003))
        assert not ended.is_set()
    assert ended.wait(20)


def test_one_that_goes_on_may_fail(listen: Listen) -> None:
    def fail() -> Generator[dict[str, Any], None, None]:
        yield {"number": 1}
        raise PermissionError(errno.EACCES, "no more")

    answers = follow(listen(fail=fail), "fail")
    assert next(answers) == {"number": 1}
    with pytest.raises(PermissionError, match="no more"):
        next(answers)


def test_nobody_answers(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ask(tmp_path / "none", "status")
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(tmp_path / "s"))
        deaf.listen()

        def hang_up() -> None:
            connection, _ = deaf.accept()
            with connection:
                connection.recv(1000)

        ends = threading.Thread(target=hang_up)
        ends.start()
        with pytest.raises(ConnectionError):
            ask(tmp_path / "s", "status")
        ends.join(10)
