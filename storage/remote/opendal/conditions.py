"""Whether conditional puts hold on a service, found out by trying.

OpenDAL's capabilities say what a protocol has, but servers that speak S3 ignore conditions without a word, or heed
them for an object sent whole and not for one sent in parts. So a condition is trusted only after an object made for
the purpose has been defended by it. Where it was not, the caller compares by stat before it stores, which another
writer can slip in between; that is said in the log, once.

An object that was sent in parts costs 5 MiB to try, and what a server rightly refuses stays behind as the parts of an
upload that nobody finishes, and are to be removed (`leftovers`). So this is tried when such an object is stored for
the first time under a condition, and never before.

Who is killed meanwhile leaves the object that he tried with. The next one to try takes it away, if it is so much older
than his own, by the clock of the service, that nobody can be at work on it: others may try at the same time.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from storage.exceptions import VersionMismatchError
from storage.names import get_random_string
from storage.remote.opendal.connection import Connection
from storage.remote.opendal.entries import Entries

PROBE_PREFIX = ".vfs-probe-"
_LETTERS = 12
_PROBE = re.compile(rf"{re.escape(PROBE_PREFIX)}\w{{{_LETTERS}}}")
ABANDONED = timedelta(hours=1)
"""How much older an object is with which somebody has tried something who does not go on."""
_DENIED_SECONDS = 60.0
"""How long nothing is tried after that was denied: credentials may have expired, and be renewed."""
_WRONG = '"00000000000000000000000000000000"'
_logger = logging.getLogger(__name__)


class Conditions:
    """Which conditions hold, asked for by `holds()`; each is tried once."""

    def __init__(self, connection: Connection, entries: Entries) -> None:
        """Nothing is tried yet."""
        self._connection = connection
        self._entries = entries
        self._guard = threading.Lock()
        self._known: dict[tuple[str, bool], bool] = {}
        self._is_clean = False
        """Whether what others have left is taken away, or will not be."""
        self._denied_until = 0.0
        """When to try again what was denied (time.monotonic seconds)."""

    def holds(self, condition: str, *, in_parts: bool) -> bool:
        """Whether a put with `condition`, "if_match" or "if_not_exists", is refused where it must be.

        No for as long as that cannot be tried, because it is denied.
        """
        key = condition, in_parts
        if key not in self._known and time.monotonic() < self._denied_until:
            return False
        try:
            return self._tried(key, lambda: self._find_out(condition, in_parts))
        except PermissionError as error:
            if not self._denied_until:
                words = "cannot be tried, and are not relied on for now: a stat is compared before each"
                _logger.warning("Conditional puts %s: %s", words, error.strerror)
            self._denied_until = time.monotonic() + _DENIED_SECONDS
            return False

    def pins_hold(self, name: str) -> bool:
        """Whether a read for a version that `name`, an object with content, never had is refused."""
        able = self._connection.capability.read_with_if_match
        return self._tried(("read", False), lambda: bool(able) and self._refuses_read(name))

    def distrust_pins(self) -> None:
        """Reads for a version are refused though that is the one that is there."""
        with self._guard:
            self._known["read", False] = False
        self._tell_of_pins()

    def _tried(self, key: tuple[str, bool], find_out: Callable[[], bool]) -> bool:
        """What is known; found out by one thread where nothing is, while the others wait."""
        known = self._known.get(key)
        if known is None:
            with self._guard:
                known = self._known.get(key)
                if known is None:
                    known = self._known[key] = find_out()
        return known

    def _find_out(self, condition: str, in_parts: bool) -> bool:
        capability = self._connection.capability
        able = bool(getattr(capability, f"write_with_{condition}"))
        if able and in_parts:
            able = bool(capability.write_can_multi)
        held = able and self._probe(condition, in_parts)
        if not held:
            _logger.warning(
                "%s does not heed conditional puts (%s) of objects sent %s: a stat is compared before each, and who "
                "writes in between is not noticed",
                self._connection.scheme, condition, "in parts" if in_parts else "whole",
            )  # fmt: skip
        return held

    def _tell_of_pins(self) -> None:
        scheme = self._connection.scheme
        _logger.warning("%s does not heed reads of one version only: a stat follows each read, to compare", scheme)

    def _probe(self, condition: str, in_parts: bool) -> bool:
        name = f"{PROBE_PREFIX}{get_random_string(_LETTERS)}"
        connection = self._connection
        try:
            with connection.errors.translating(name):
                connection.uploader.write(name, b"1")
            try:
                self._clean(name)
                return self._is_refused(name, condition, in_parts) and self._is_granted(name, condition)
            finally:
                with connection.errors.translating(name):
                    connection.operator.delete(name)
        except NotImplementedError as error:
            _logger.warning("Conditional puts could not be tried: %s", error)
            return False

    def _clean(self, own: str) -> None:
        """Take away what was left by others who were killed; `own` was made just now."""
        if self._is_clean:
            return
        self._is_clean = True
        try:
            with self._connection.errors.translating(own):
                now = self._connection.operator.stat(own).last_modified
                for path, made in self._connection.listed(PROBE_PREFIX, _probed):
                    if made is not None and now is not None and now - made > ABANDONED:
                        self._connection.operator.delete(path)
        except (OSError, NotImplementedError) as error:
            _logger.debug("What others may have left that tried conditional puts was not taken away: %s", error)

    def _is_refused(self, name: str, condition: str, in_parts: bool) -> bool:
        arguments: dict[str, Any] = {"if_match": _WRONG} if condition == "if_match" else {"if_not_exists": True}
        try:
            with self._connection.errors.translating(name):
                self._put(name, in_parts, arguments)
        except VersionMismatchError:
            return True
        return False

    def _is_granted(self, name: str, condition: str) -> bool:
        """Whether the version that a stat tells is the one that a condition is to name."""
        if condition != "if_match":
            return True
        connection = self._connection
        with contextlib.suppress(VersionMismatchError), connection.errors.translating(name):
            version = self._entries.entry(name, connection.operator.stat(name)).version
            connection.uploader.write(name, b"22", if_match=version)
            return True
        return False

    def _put(self, name: str, in_parts: bool, arguments: dict[str, Any]) -> None:
        if not in_parts:
            self._connection.uploader.write(name, b"2", **arguments)
            return
        part = self._connection.capability.write_multi_min_size or 5 * 2**20
        with self._connection.leftovers.upload(name, None):
            file = self._connection.uploads.open(name, chunk=part, **arguments)
            file.write(bytes(part))
            file.write(b"2")
            file.close()

    def _refuses_read(self, name: str) -> bool:
        try:
            with self._connection.errors.translating(name):
                self._connection.operator.read(name, offset=0, size=1, if_match=_WRONG)
        except VersionMismatchError:
            return True
        except NotImplementedError:
            pass
        self._tell_of_pins()
        return False


def _probed(found: Any) -> tuple[str, datetime | None] | None:
    """Path and time of an object that something was tried with; None for what is called like one."""
    return (found.path, found.metadata.last_modified) if _PROBE.fullmatch(found.path) else None
