"""Whether a storage can be had: it is made, it answers, and its clock is ours."""

from __future__ import annotations

import errno
import time
from typing import TYPE_CHECKING, Any

from vfs.doctor.checks import Check, Words, failure, ok, warning
from vfs.doctor.scratch import Scratch
from vfs.guard import is_outage

if TYPE_CHECKING:
    from storage.base import Storage

_SECOND = 10**9
_MUCH = 5
"""Seconds by which clocks may differ."""
_COARSE = 60 * _SECOND
"""Of servers that tell whole minutes."""
_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


def definition_of(alias: str) -> tuple[str, Any]:
    """The dotted path of an alias's backend, as it is configured, and its OPTIONS; "" and none where it is not."""
    from storage import storages

    found = storages.backends.get(alias, {})
    return str(found.get("BACKEND", "storage.InMemoryStorage" if alias in storages else "")), found.get("OPTIONS", {})


def made(alias: str, words: Words) -> tuple[Storage | None, Check]:
    """The storage of an alias; None where it cannot be made."""
    from storage import adapt, storages
    from storage.backends import path_of

    try:
        storage = adapt(storages[alias])
    except Exception as error:  # noqa: BLE001 - a backend may raise anything
        return None, failure("storage", words.of(error), "mend its definition; `vfs storages` says where it is")
    return storage, ok("storage", f"it is made, as {path_of(storage)}")


def answers(storage: Storage, words: Words) -> Check:
    """Whether the root can be listed."""
    name = "access"
    begin = time.perf_counter()
    try:
        next(iter(storage.scandir("")), None)
    except Exception as error:  # noqa: BLE001 - a backend may raise anything
        return failure(name, *_why_not(error, words))
    return ok(name, f"its root is listed, in {(time.perf_counter() - begin) * 1000:.1f} ms")


def _why_not(error: Exception, words: Words) -> tuple[str, str]:
    """What is wrong, and what to do."""
    said = words.of(error)
    if isinstance(error, PermissionError):
        return f"it denies access: {said}", "give it credentials that may list: OPTIONS, or the environment's"
    if is_outage(error):
        return f"it cannot be reached: {said}", "look at the endpoint in its OPTIONS, the network and the proxy"
    if isinstance(error, FileNotFoundError):
        return f"its root is not there: {said}", "make it, or mend the place in its OPTIONS"
    return f"its root cannot be listed: {said}", "mend its OPTIONS"


def stores(scratch: Scratch, words: Words) -> tuple[bool, list[Check]]:
    """Whether a file can be stored, which is `scratch.shared` then, and by its time whether the clocks agree."""
    name = "store"
    before = time.time_ns()
    try:
        scratch.save(scratch.shared)
        after = time.time_ns()
        scratch.expect(scratch.shared)
        told = scratch.storage.stat(scratch.shared).mtime_ns
    except Exception as error:  # noqa: BLE001 - a backend may raise anything
        said = f"nothing can be stored: {words.of(error)}"
        if isinstance(error, NotImplementedError) or getattr(error, "errno", None) in _DENIED:
            return False, [warning(name, said, "mount it with -o ro")]
        return False, [failure(name, said, "mend that, and its operations are tried")]
    checks = [ok(name, "what is stored comes back")]
    if scratch.storage.blocking:
        checks.append(_clock(told, before, after))
    return True, checks


def _clock(told: int | None, before: int, after: int) -> Check:
    """What the time of an object says that was stored between these two, of this machine (ns)."""
    name = "clock"
    if told is None:
        return ok(name, "the storage tells no times to compare")
    coarse = _COARSE if told % _COARSE == 0 else _SECOND
    ahead, behind = (told - after) / _SECOND, (before - told - coarse) / _SECOND
    if max(ahead, behind) <= _MUCH:
        return ok(name, "the server and this machine have the same time, as far as can be seen")
    how = f"{ahead:.0f} s ahead of" if ahead > 0 else f"{behind:.0f} s behind"
    return warning(name, f"the server's clock is {how} this machine's", "set the wrong one: timedatectl set-ntp true")
