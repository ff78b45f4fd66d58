"""Reading objects: ranges of one version, and answers that go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from storage.entry import Entry
from storage.exceptions import VersionMismatchError
from storage.remote.opendal.conditions import Conditions
from storage.remote.opendal.connection import Connection
from storage.remote.opendal.entries import is_etag, sum_of
from storage.remote.opendal.streams import Stream, Streams


class Ranges:
    """Reads parts of objects, each by one request (large ones by several at once), all of one version."""

    def __init__(self, connection: Connection, conditions: Conditions, look: Callable[[str], Entry], part: int) -> None:
        """`look` is a stat; what is longer than `part` bytes is fetched by several requests at once."""
        self._connection = connection
        self._conditions = conditions
        self._look = look
        self._part = part
        self._streams = Streams(connection)

    def read(self, name: str, entry: Entry, start: int, end: int) -> bytes:
        """The bytes from `start` to `end`, all inside the object as `entry` describes it.

        VersionMismatchError when the object is another by now, FileNotFoundError when it is gone.
        """
        pinned = is_etag(entry.version) and self._conditions.pins_hold(name)
        pin = {"if_match": entry.version} if pinned else {}
        try:
            data = self._read(name, start, end, pin)
        except (VersionMismatchError, OSError) as error:
            self._explain(name, entry, error, pinned)
            return self.read(name, entry, start, end)
        if not pinned and not (len(data) == entry.size and sum_of(data) == entry.version):
            self._require_unchanged(name, entry)
        return data

    def stream(self, name: str, entry: Entry, offset: int) -> Stream | None:
        """What is from `offset` on, as one answer; None where it cannot be known to be of one version."""
        if not is_etag(entry.version):
            return None
        return self._streams.open(name, entry, offset, pinned=self._conditions.pins_hold(name))

    def _read(self, name: str, start: int, end: int, pin: dict[str, Any]) -> bytes:
        """The bytes, in parts at once where there are several.

        OpenDAL could do that too, but then a part that comes slowly would look like one that does not come.
        """

        def part(offset: int) -> bytes:
            size = min(self._part, end - offset)
            with self._connection.errors.translating(name):
                data: bytes = self._connection.operator.read(name, offset=offset, size=size, **pin)
            return data

        if end - start <= self._part:
            return part(start)
        return b"".join(self._connection.pool.map(part, range(start, end, self._part)))

    def _explain(self, name: str, entry: Entry, error: OSError, pinned: bool) -> None:
        """Raise what a failed read comes of; return where it is to be tried again without a pin."""
        if isinstance(error, (FileNotFoundError, PermissionError, ConnectionError, TimeoutError)):
            raise error
        self._require_unchanged(name, entry)
        if not pinned or not isinstance(error, VersionMismatchError):
            raise error
        self._conditions.distrust_pins()

    def _require_unchanged(self, name: str, entry: Entry) -> None:
        """VersionMismatchError where the object is not, or no longer, what `entry` describes."""
        now = self._look(name)
        if (now.version, now.size) != (entry.version, entry.size):
            raise VersionMismatchError(name)
