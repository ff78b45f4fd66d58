"""Stores under a condition that somebody else comes before, or at the same time: does the backend notice?

One that looks before it stores, however shortly, does not notice who comes in between. There are two ways to be that
one. The content that is to be stored does the other's store itself, when it is first read: what was looked at before is
no longer so. And several stores begin at once, of which one may succeed; that tells of those who look later, though by
luck alone: so it can show that a backend does not hold a condition, and never that it does.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from storage.base import Storage
from storage.exceptions import VersionMismatchError
from storage.files import ContentFile, File

_AT_ONCE = 4
_OURS, _THEIRS = b"ours", b"of another writer"


def are_noticed(storage: Storage, name: str, *, if_version: str | None = None) -> bool:
    """Whether rivals keep a `replace()` of `name` from being done: over that version, else where nothing is."""
    if not _is_overtaking_noticed(storage, name, if_version):
        return False
    if if_version is None:
        return _is_one_alone(storage, f"{name}-at-once", None)
    return _is_one_alone(storage, name, storage.stat(name).version)


def _is_overtaking_noticed(storage: Storage, name: str, if_version: str | None) -> bool:
    content = File(_Overtaken(_OURS, lambda: storage.replace(name, ContentFile(_THEIRS))), name)
    try:
        storage.replace(name, content, if_version=if_version, if_absent=if_version is None)
    except (FileExistsError, VersionMismatchError):
        return True
    return False


def _is_one_alone(storage: Storage, name: str, if_version: str | None) -> bool:
    """Whether of several stores that begin at once no more than one is done."""
    begin = threading.Barrier(_AT_ONCE)

    def is_done(number: int) -> bool:
        content = ContentFile(_OURS * (number + 1))
        begin.wait()
        try:
            storage.replace(name, content, if_version=if_version, if_absent=if_version is None)
        except Exception:  # noqa: BLE001 - a server that is asked so much at once may refuse in other words
            return False
        return True

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="vfs-doctor") as pool:
        return sum(pool.map(is_done, range(_AT_ONCE))) <= 1


class _Overtaken(io.BytesIO):
    """Bytes; somebody else does something when they are first read."""

    def __init__(self, data: bytes, other: Callable[[], object]) -> None:
        super().__init__(data)
        self._other: Callable[[], object] | None = other

    def read(self, size: int | None = -1, /) -> bytes:
        other, self._other = self._other, None
        if other is not None:
            other()
        return super().read(size)
