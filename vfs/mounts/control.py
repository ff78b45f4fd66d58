"""The control channel of a mount: how another command speaks with the daemon that serves it.

Why a socket. Everything that is not a file operation (what is pending, store it now, forget what you know) goes past
the kernel: a mount that hangs in a storage must still be able to say so, and the mountpoint may be hidden by another
mount, or taken out of the tree. Signals carry no arguments and no answer.

Where. A Unix socket beside the mount's record (vfs.mounts.records), in the user's runtime folder. That folder is 0700,
which is the whole of the access control: who can connect may already do as the user does.

The talk. One connection is one request and one answer, each one line of JSON, which says names of files byte for byte
(JSON's \\udcXX escapes carry what is no UTF-8):

    -> {"command": "refresh", "arguments": {"path": "reports"}}
    <- {"result": {...}}    or    {"error": "what went wrong", "errno": 2}

One command goes on answering, a line each time, until either side hangs up; `follow()` has what it says.

`ask()` returns the result, or raises the error as the OSError that it was. A daemon that hangs cannot hang who asks:
every answer has a deadline, which the one who asks chooses, for an upload may take hours and a status may not.

The daemon's side is a table: command -> function, whose parameters are the arguments. Each request runs in a thread of
its own, so one that waits (a drain) does not keep the others from being answered. A function returns what JSON can
hold; what it raises is answered as an error, and only what nobody expected goes to the log as well.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

logger = logging.getLogger("vfs")

ANSWER_SECONDS = 60.0
"""How long a daemon may take for an answer, unless the one who asks has another idea."""
_LINE_SECONDS = 10.0
"""How long who has connected may take for the request, and for fetching its answer."""
_LONGEST = 1 << 20
"""Bytes of a request, at most."""

Answer = Callable[..., Mapping[str, Any] | Generator[Mapping[str, Any], None, None]]
"""What answers one command: takes its arguments by name, and returns an object for JSON, or goes on with such."""


def ask(path: Path, command: str, /, *, timeout: float | None = ANSWER_SECONDS, **arguments: Any) -> dict[str, Any]:
    """What the daemon that listens at `path` answers to `command`; None waits for as long as it takes.

    OSError as the daemon raised it, and for one that does not answer: ConnectionError, FileNotFoundError, TimeoutError.
    """
    with closing(follow(path, command, timeout=timeout, **arguments)) as answers:
        for answer in answers:
            return answer
    raise ConnectionError("the daemon ended before it had answered")


def follow(
    path: Path, command: str, /, *, timeout: float | None = ANSWER_SECONDS, **arguments: Any
) -> Generator[dict[str, Any], None, None]:
    """All that the daemon goes on to answer, to its end; each within `timeout` seconds. OSError as by `ask()`."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        connection.connect(str(path))
        connection.sendall(_line({"command": command, "arguments": arguments}))
        with connection.makefile("rb") as stream:
            while (words := stream.readline()).endswith(b"\n"):
                yield _result(words)


def is_listening(path: Path) -> bool:
    """Whether a process has this socket, also one that cannot be seen from here."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ANSWER_SECONDS)
        try:
            connection.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except (BlockingIOError, TimeoutError):
            pass  # it is slow to accept
        return True


def _result(words: bytes) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(words)
    if "error" in answer:
        message = f"the daemon answered: {answer['error']}"
        raise OSError(answer["errno"], message) if "errno" in answer else OSError(message)
    result: dict[str, Any] = answer["result"]
    return result


class ControlSocket:
    """A daemon's ear, from its making until `close()`."""

    def __init__(self, path: Path, answers: Mapping[str, Answer]) -> None:
        """Listen at `path`, in place of whoever left a socket there; `answers` has a function for each command."""
        path.unlink(missing_ok=True)
        self._answers = answers
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        path.chmod(0o600)
        self._socket.listen()
        self._thread = threading.Thread(target=self._listen, name="vfs-control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening; requests that are under way are still answered."""
        with contextlib.suppress(OSError):  # not connected, on some systems
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._serve, args=(connection,), name="vfs-answer", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(_LINE_SECONDS)
            try:
                with connection.makefile("rb") as stream:
                    words = stream.readline(_LONGEST)
                with closing(self._answer(words)) as answers:
                    for answer in answers if words else ():
                        connection.sendall(_line(answer))
            except OSError:
                logger.debug("a client of the control socket went away")

    def _answer(self, words: bytes) -> Generator[dict[str, Any], None, None]:
        """What is answered to one request, whatever comes of it."""
        try:
            request = json.loads(words)
            command, arguments = request["command"], request["arguments"]
        except (ValueError, TypeError, KeyError):
            yield {"error": "not a request"}
            return
        function = self._answers.get(command)
        if function is None:
            yield {"error": f"unknown command {command!r}"}
            return
        try:
            result = function(**arguments)
            if isinstance(result, Mapping):
                yield {"result": dict(result)}
                return
            with closing(result):
                for item in result:
                    yield {"result": dict(item)}
        except OSError as error:
            said = error.strerror or str(error)
            message = f"{error.filename!r}: {said}" if error.filename else said
            yield {"error": message, "errno": error.errno} if error.errno else {"error": message}
        except Exception as error:
            logger.exception("the command %r failed", command)
            yield {"error": f"{type(error).__name__}: {error}"}


def _line(message: dict[str, Any]) -> bytes:
    return json.dumps(message, default=os.fspath).encode() + b"\n"
