"""What FTP can say and do that its users in other libraries don't ask of it, on a connection of ftplib."""

from __future__ import annotations

import contextlib
import ftplib
from collections.abc import Iterator
from typing import Any

_UNKNOWN = ("500", "502", "504")
_BLOCK = 2**18
_DIRECTORIES = frozenset({"dir", "cdir", "pdir"})

Facts = dict[str, Any]
"""What the server tells of a name: "type" ("file" or "directory"), "size", "modify", and what else it likes."""


class UnknownCommandError(Exception):
    """The server is one that has not heard of RFC 3659."""


def list_facts(ftp: Any, path: str) -> list[tuple[str, Facts]]:
    """The names in a directory with the facts of each, by MLSD; UnknownCommandError, or what ftplib raises."""
    with _rfc3659():
        return [(name, _brought(facts)) for name, facts in ftp.mlsd(path) if facts.get("type") not in ("cdir", "pdir")]


def facts_of(ftp: Any, path: str) -> Facts:
    """The facts of one name, by MLST; UnknownCommandError, or what ftplib raises."""
    with _rfc3659():
        line = ftp.sendcmd(f"MLST {path}").splitlines()[1].lstrip()
    pairs = (fact.partition("=") for fact in line.partition(" ")[0].split(";") if "=" in fact)
    return _brought({key.lower(): value for key, _, value in pairs})


def read_range(ftp: Any, path: str, start: int, end: int) -> bytes:
    """The bytes from `start` to `end`, or to the end of the file, by a transfer that is cut off when they are here."""
    ftp.voidcmd("TYPE I")
    data = bytearray()
    with ftp.transfercmd(f"RETR {path}", rest=start or None) as connection:
        while len(data) < end - start and (part := connection.recv(min(_BLOCK, end - start - len(data)))):
            data += part
    with contextlib.suppress(ftplib.error_temp):  # 426 or 451: that it was cut off
        ftp.voidresp()
    return bytes(data)


@contextlib.contextmanager
def _rfc3659() -> Iterator[None]:
    try:
        yield
    except ftplib.error_perm as error:
        if str(error).startswith(_UNKNOWN):
            raise UnknownCommandError(str(error)) from error
        raise


def _brought(facts: Facts) -> Facts:
    kind = "directory" if str(facts.get("type", "")).lower() in _DIRECTORIES else "file"
    return {**facts, "type": kind, "size": int(facts.get("size") or 0)}
