"""What is left of uploads in parts that failed, and costs until somebody ends it.

OpenDAL neither aborts an upload nor tells its id. So the uploads of the object are listed, and ours is known by what
has come of its first parts, whose etags are their MD5 with most servers: the upload of somebody else must not be ended.
Where that cannot be told, there are more of such uploads than have failed here, or S3 cannot be asked, the rule of the
bucket's lifecycle ends them, which must end those of a process that was killed anyhow.

It is done by a thread of its own, which nobody waits for but the next upload of the same name, and again after the next
one that ends: what broke an upload mostly breaks its end as well, or its parts are still on their way.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from storage.remote.opendal.s3 import S3

_PATIENCE = 5.0
"""Seconds for which the end of an old upload is waited for, by a new one and by the end of the storage."""
_MOST = 1000
"""How many objects are remembered."""
_LOOKS = 4
"""How often an upload is looked for that may never have begun."""
_logger = logging.getLogger(__name__)

Digests = Callable[[], tuple[str, ...]]
"""What tells the MD5 of the first parts, in hexadecimal and in order; none where they are not known."""
_Which = tuple[str, tuple[str, ...] | None]
"""A name, and the digests of the first parts; None where all uploads of the name are ours."""


class Leftovers:
    """The uploads of one storage that failed; safe to use from many threads."""

    def __init__(self, s3: S3 | None) -> None:
        """Of which `s3` is asked; None where it cannot be."""
        self._s3 = s3
        self._told = threading.Condition()
        self._left: dict[_Which, _Left] = {}
        self._unknown: Counter[str] = Counter()
        """How many there are of each name whose content could not be read again; its next upload may have the same."""
        self._active: Counter[str] = Counter()
        """Names that are being uploaded here, of which none is to be ended."""
        self._ending = ""
        """The name whose uploads are being ended."""
        self._thread: threading.Thread | None = None

    @contextmanager
    def upload(self, name: str, digests: Digests | None) -> Iterator[None]:
        """A block that uploads `name` in parts, of which nothing is to be left if it fails.

        `digests` are those of the first parts; without them nobody else uses the name.
        """
        with self._told:
            self._told.wait_for(lambda: self._ending != name, _PATIENCE)
            self._active[name] += 1
        failed = 1
        try:
            yield
            failed = 0
        finally:
            with self._told:
                self._active -= Counter((name,))
                count = failed + self._unknown.pop(name, 0)
            if count:
                self._remember(name, count, None if digests is None else digests())
            self._begin()

    def close(self) -> None:
        """Wait a moment for what is under way; the rest stays."""
        with self._told:
            self._told.wait_for(lambda: self._thread is None, _PATIENCE)
            left = {*self._unknown, *(name for name, _ in self._left)}
        for name in left:
            _tell(name)

    def _remember(self, name: str, count: int, digests: tuple[str, ...] | None) -> None:
        if self._s3 is None or len(self._left) + len(self._unknown) >= _MOST:
            _tell(name)
            return
        with self._told:
            if digests == ():
                self._unknown[name] += count
            else:
                left = self._left.setdefault((name, digests), _Left())
                left.count, left.looks = left.count + count, _LOOKS

    def _begin(self) -> None:
        """End in the background what is left, if anything is."""
        with self._told:
            if self._left and self._thread is None and self._s3 is not None:
                self._thread = threading.Thread(target=self._end_all, args=(self._s3,), daemon=True)
                self._thread.start()

    def _end_all(self, s3: S3) -> None:
        tried: set[_Which] = set()
        try:
            while (which := self._next(tried)) is not None:
                self._end(s3, *which)
                tried.add(which)
        except OSError as error:
            _logger.debug("Uploads that failed are ended later: %s", error)
        finally:
            with self._told:
                self._thread, self._ending = None, ""
                self._told.notify_all()

    def _next(self, tried: set[_Which]) -> _Which | None:
        """What is to be ended now, and has not been `tried`; nobody uploads it from now on."""
        with self._told:
            for which in self._left:
                if which not in tried and not self._active[which[0]]:
                    self._ending = which[0]
                    self._told.notify_all()
                    return which
        return None

    def _end(self, s3: S3, name: str, digests: tuple[str, ...] | None) -> None:
        """End the uploads of `name` that are ours, if there are no more than have failed; OSError."""
        left = self._left[name, digests]
        ours = [upload for upload in s3.uploads(name) if digests is None or _is_of(digests, s3, name, upload)]
        is_certain = digests is None or len(ours) <= left.count
        for upload in ours if is_certain else ():
            s3.abort(name, upload)
            left.count -= 1
        left.looks -= 1
        if not is_certain:
            _tell(name)
        with self._told:
            if left.count <= 0 or not left.looks or not is_certain:
                del self._left[name, digests]


def _is_of(digests: tuple[str, ...], s3: S3, name: str, upload: str) -> bool:
    """Whether all that has come of the first parts of an upload has these digests, and some has."""
    found = s3.parts(name, upload, len(digests))
    return bool(found) and all(digests[number - 1] == etag for number, etag in found.items())


@dataclass
class _Left:
    """How many uploads there are, and how often they are looked for yet."""

    count: int = 0
    looks: int = 0


def _tell(name: str) -> None:
    _logger.warning("The upload of %r failed; parts of it stay until the bucket's lifecycle ends them", name)
