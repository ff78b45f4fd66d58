"""django-storages' LibCloudStorage, by Apache Libcloud.

The backend lists the whole container for each directory, and shows of what lies deeper only some. Libcloud knows no
delimiters either, but prefixes: a listing tells all that is below a directory, with the size of each object.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar

from storage.entry import Entry, Kind
from storage.exceptions import VersionMismatchError
from storage.listing import nanoseconds
from storage.names import split_name
from storage.remote.adapters.adapted import Adapted


class LibCloudAdapter(Adapted):
    """The version is the object's hash; drivers that have none tell size and time."""

    LISTING: ClassVar = ("listdir", "exists", "size", "_get_object", "_get_bucket")
    CONTENT: ClassVar = (*Adapted.CONTENT, "_read")
    reads_ranges = True

    def list_entries(self, path: str) -> Iterator[Entry]:
        """What is below the prefix, of which this directory shows the first component."""
        prefix = f"{path}/" if path else ""
        directories: set[str] = set()
        for found in self._below(prefix):
            first, slash, _ = found.name[len(prefix) :].partition("/")
            if not slash and first:
                yield _entry(first, found)
            elif first and first not in directories:
                directories.add(first)
                yield Entry(first, Kind.DIRECTORY)

    def look(self, name: str) -> Entry:
        """The object, and, where there is none, whatever is below first."""
        last = split_name(name)[1]
        try:
            return _entry(last, self._object(name))
        except Exception as error:
            if not _is_missing(error) or not any(True for _ in self._below(f"{name}/")):
                raise
        return Entry(last, Kind.DIRECTORY)

    def fetch(self, name: str, entry: Entry, start: int, end: int) -> bytes:
        """One download of a range, of what has the entry's version before."""
        found = self._object(name)
        if _entry(entry.name, found).version != entry.version:
            raise VersionMismatchError(name)
        return b"".join(self.wrapped.driver.download_object_range_as_stream(found, start, end))

    def _object(self, name: str) -> Any:
        return self.wrapped._get_object(name)

    def _below(self, prefix: str) -> Iterator[Any]:
        driver = self.wrapped.driver
        # The drivers that fetch all and filter it themselves warn of that each time.
        filters = type(driver).__name__ != "LocalStorageDriver"
        found: Iterator[Any] = driver.iterate_container_objects(
            self.wrapped._get_bucket(), prefix=prefix if filters and prefix else None
        )
        return (one for one in found if one.name.startswith(prefix) and one.name != prefix)


def _is_missing(error: Exception) -> bool:
    """Whether it is about an object; of a directory the driver for local files says something of its own."""
    return any(cls.__name__ == "ObjectError" for cls in type(error).__mro__)


def _entry(name: str, found: Any) -> Entry:
    mtime_ns = _time(found.extra.get("last_modified") or found.extra.get("modify_time"))
    version = found.hash or (None if mtime_ns is None else f"{mtime_ns:x}-{found.size:x}")
    return Entry(name, Kind.FILE, size=found.size, mtime_ns=mtime_ns, version=version)


def _time(told: Any) -> int | None:
    """Drivers tell the time in the words of the service."""
    match told:
        case datetime():
            return nanoseconds(told if told.tzinfo else told.replace(tzinfo=UTC))
        case int() | float():
            return int(told * 10**6) * 1000
        case str():
            for parse in (datetime.fromisoformat, parsedate_to_datetime):
                try:
                    moment = parse(told)
                except ValueError:
                    continue
                return nanoseconds(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    return None
