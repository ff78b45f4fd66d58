"""How many requests a block of a test makes, counted where each kind of client sends them."""

from __future__ import annotations

import ftplib
import http.client
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def requests_made() -> Iterator[list[str]]:
    """What is sent meanwhile, a word for each: "GET", "MLSD", "sftp"."""
    made: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        _count(patch, http.client.HTTPConnection, "putrequest", made, lambda args: str(args[1]))
        _count(patch, ftplib.FTP, "putcmd", made, lambda args: str(args[1]).partition(" ")[0])
        _count_others(patch, made)
        yield made


def _count_others(patch: pytest.MonkeyPatch, made: list[str]) -> None:
    """Of the clients that are loaded: the others send nothing."""
    for module, cls, method, word in (
        ("paramiko", "SFTPClient", "_async_request", lambda args: "sftp"),
        ("asyncssh.sftp", "SFTPClientHandler", "_make_request", lambda args: "sftp"),
        ("smbprotocol.connection", "Connection", "_send", lambda args: "smb"),
        ("httpx", "Client", "send", lambda args: str(args[1].method)),
        ("aiohttp", "ClientSession", "_request", lambda args: str(args[1])),
    ):
        if module in sys.modules:
            _count(patch, getattr(sys.modules[module], cls), method, made, word)


def _count(
    patch: pytest.MonkeyPatch, cls: Any, method: str, made: list[str], word: Callable[[tuple[Any, ...]], str]
) -> None:
    original = getattr(cls, method)

    def counted(*args: Any, **kwargs: Any) -> Any:
        made.append(word(args))
        return original(*args, **kwargs)

    patch.setattr(cls, method, counted)
