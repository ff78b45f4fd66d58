"""OpenDALStorage: S3 and the many other services that Apache OpenDAL speaks to, as a storage.

    [STORAGES.photos]
    BACKEND = "storage.OpenDALStorage"
    OPTIONS = { scheme = "s3", bucket = "photos", root = "2026", region = "eu-west-1", endpoint = "https://..." }

All options but those of `OpenDALStorage` itself are OpenDAL's own for the scheme. What is left out of them, credentials
above all, is looked for where the service's own tools do: in the environment, in profiles, on the machine.

The theory of it. An object is stored whole and never changed, so each version of it has an etag. Reads ask for the
version that was opened, and stores may ask for the version that they replace; what the service itself checks, no other
writer can slip into. Names are keys: a directory is there as long as a key begins with its name, unless the
service has directories, or `directories` makes empty objects stand for them. Everything is one request where one can
do, and requests that need not wait for each other do not.

What OpenDAL cannot do, so that neither can this: abort an upload in parts (but on S3; else a rule of the bucket's
lifecycle does), send an object in parts to a service such as WebDAV (it is held in memory), keep a name that begins or
ends with white space, change the metadata of an object without its content. Neither does it read or write those of what
stands for a directory; but it signs requests for them, which are made here, on S3. Names with control characters are
refused: most services list in XML, which has no way to write them. OpenDAL's FTP does not store empty files and breaks
off often; `FsspecStorage` is the one for that.

    options      OpenDAL's options as text, and their secrets
    connection   operators with layers, threads
    errors       what OpenDAL raises, as this package would
    entries      metadata as entries, names that OpenDAL keeps
    lookups      stat and listings
    seen         attributes that need not be asked for again
    conditions   which conditions hold, by trying
    reading      ranges of one version, and files made of them
    streams      answers that go on
    pieces       contents in pieces
    budget       memory for them
    uploads      stores, whole and in parts, under conditions
    sending      the bytes of one, watched on their way
    leftovers    uploads in parts that failed, to be aborted
    s3           the requests to S3 for that
    moving       copies and renames
    directories  directories that are kept
    metadata     modes, owners and times in metadata of objects
    attributes   storages that keep those, and symbolic links
    signed       requests that OpenDAL only signs
    markers      attributes of directories
"""

from __future__ import annotations

import errno
import functools
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Self
from urllib.parse import urljoin

from storage.base import Condition, Storage
from storage.entry import Entry, Kind
from storage.exceptions import ImproperlyConfigured, os_error
from storage.files import File
from storage.names import checked_name, filepath_to_uri
from storage.remote.local_copy import repeatable
from storage.remote.opendal.conditions import Conditions
from storage.remote.opendal.connection import Connection, Limits
from storage.remote.opendal.entries import Entries, normalised, storable
from storage.remote.opendal.lookups import Lookups
from storage.remote.opendal.moving import Moving
from storage.remote.opendal.options import Arguments, as_text, keeps_directories
from storage.remote.opendal.reading import Ranges
from storage.remote.opendal.uploads import Uploads, Wish
from storage.remote.ranged_file import RangedFile
from storage.remote.times import moment_of
from storage.remote.whole_file import WholeFile, basis_of

__all__ = ("OpenDALStorage",)

_MEBIBYTE = 2**20
_PLACES = ("bucket", "container", "filesystem", "share_name", "root")
"""Options that say where a storage is, and may be shown."""
_SAVING = ("open", "save", "_open", "_save")


class OpenDALStorage(Moving):
    """A storage over one of OpenDAL's services; safe to use from many threads at once."""

    blocking = True
    takes_looked_up = True
    _constructor_args: Arguments

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Of a class that keeps directories or attributes, where the options ask for it or the service has such."""
        kind: type = _kind(*args, **kwargs) if cls is OpenDALStorage else cls
        storage: Self = object.__new__(kind)
        storage._constructor_args = Arguments(args, kwargs)
        return storage

    def __init__(
        self,
        scheme: str,
        *,
        base_url: str | None = None,
        url_expire: int = 3600,
        directories: bool | None = None,
        attributes: bool = False,
        attributes_up_to: int = 64 * _MEBIBYTE,
        part_size: int = 8 * _MEBIBYTE,
        parts_at_once: int = 4,
        upload_memory: int = 64 * _MEBIBYTE,
        deadline: float = 30.0,
        retries: int = 4,
        max_requests: int = 64,
        **options: Any,
    ) -> None:
        """A storage over the service `scheme`; nothing is connected before it is used.

        Args:
            scheme: OpenDAL's name of the service: "s3", "gcs", "azblob", "webdav", ...
            base_url: where a browser finds the root; without, `url()` signs an address with the credentials.
            url_expire: for how many seconds a signed address is good.
            directories: whether mkdir() makes directories that stay while they are empty: the service's own, or empty
                objects whose names end with '/'. By default where the service has its own.
            attributes: whether modes, owners, times and symbolic links are kept, in the objects' user metadata as s3fs
                does. No listing tells those, so with this one costs a request for each object that is new to it, or was
                changed. Directories have them on S3 where `directories` makes objects for them, for a request each.
            attributes_up_to: bytes of an object whose attributes can be changed later: that fetches it, and stores it
                again.
            part_size: bytes of one part of a large upload, and of a large read.
            parts_at_once: how many parts of one upload are under way at once.
            upload_memory: bytes that all uploads together may hold.
            deadline: seconds in which a service must have answered, all retries together. A large upload may take any
                time, as long as bytes of it move within so many seconds; off Linux, where that cannot be seen, each
                try may take so long, and longer once a service that answers has proved slow.
            retries: how often a request is repeated that failed by an error which may pass.
            max_requests: how many requests are under way at once, and as many uploads.
            options: OpenDAL's own for the scheme.
        """
        if not isinstance(scheme, str) or not scheme:
            raise ImproperlyConfigured("OpenDALStorage needs the option 'scheme', such as 's3', 'gcs' or 'azblob'")
        if attributes and type(self).set_attributes is Storage.set_attributes:
            raise ImproperlyConfigured("A subclass that keeps attributes is to be one of attributes.AttributeStorage")
        self.scheme = scheme
        self.base_url = base_url if base_url is None or base_url.endswith("/") else f"{base_url}/"
        self.url_expire = url_expire
        self.deadline = deadline
        self.directories = directories
        self._attributes = attributes
        self._attributes_up_to = attributes_up_to
        self._part_size = part_size
        text = as_text(options)
        self._place = "/".join(text[option].strip("/") for option in _PLACES if text.get(option))
        self._connection = Connection(scheme, text, Limits(deadline, retries, max_requests), attributes=attributes)
        self._objects = Entries(scheme, attributes=attributes)
        self._lookups = Lookups(self._connection, self._objects)
        self._conditions = Conditions(self._connection, self._objects)
        self._ranges = Ranges(self._connection, self._conditions, self._lookups.stat, part_size)
        self._uploads = Uploads(
            self._connection, self._objects, self._conditions, self._lookups,
            part=part_size, at_once=parts_at_once, memory=upload_memory,
        )  # fmt: skip

    def __repr__(self) -> str:
        """The service and the place, and no secret."""
        return f"<{type(self).__name__}: {self.scheme} {self._place}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Copied and pickled as a storage made with the same options."""
        return _made, (type(self), *self._constructor_args)

    def deconstruct(self) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        """The path of the class, and the arguments that the object was made with, for Django's migrations."""
        cls = type(self)
        own = cls.__module__.startswith(__name__)
        return "storage.OpenDALStorage" if own else f"{cls.__module__}.{cls.__qualname__}", *self._constructor_args

    @property
    def name_forbidden(self) -> str:
        """None: keys hold nearly every character. Django's own `save()` alone takes backslashes for separators."""
        return ""

    def check_name(self, name: str) -> None:
        """SuspiciousFileOperation for white space at an end, control characters, and what is no UTF-8."""
        storable(name)

    def does_itself(self, operation: str) -> bool:
        """As the class has it and the service is able to; a subclass that saves in its own way also replaces so."""
        able = self._connection.capability if operation in ("copy", "rename") else None
        own = self._is_unchanged or operation not in ("replace", "open_version")
        return super().does_itself(operation) and own and (able is None or bool(getattr(able, operation)))

    def holds(self, condition: Condition) -> bool:
        """Found out by trying with an object that is sent whole; see `conditions`."""
        asked = "if_match" if condition == "if_version" else "if_not_exists"
        return self._is_unchanged and self._conditions.holds(asked, in_parts=False)

    def close(self) -> None:
        """End the threads and connections."""
        self._connection.close()

    # Django's surface

    def _open(self, name: str, mode: str = "rb") -> File:
        plain = storable(normalised(name))
        if mode.replace("b", "").replace("t", "") == "r":
            return self._opened(plain, mode)
        basis = basis_of(plain, mode, self._lookups.find, lambda: self._opened(plain, "rb"))
        if basis.before is None:
            self._lookups.require_no_object_above(plain)
        wish = Wish(basis.if_version, basis.if_absent)
        return WholeFile(plain, mode, basis.before, lambda content: self._store(plain, content, wish))

    def _opened(self, name: str, mode: str) -> RangedFile:
        """The object as it is now; IsADirectoryError, OSError (ELOOP) for a symbolic link."""
        return self._file(name, self._look_at_file(name), mode)

    def _file(self, name: str, entry: Entry, mode: str) -> RangedFile:
        fetch = functools.partial(self._ranges.read, name)
        answer = functools.partial(self._ranges.stream, name)
        return RangedFile(name, entry, fetch, lambda: self._look_at_file(name), mode=mode, answer=answer)

    def _look_at_file(self, name: str) -> Entry:
        entry = self._lookups.stat(name)
        if entry.is_dir:
            raise os_error(errno.EISDIR, name)
        if not entry.is_file:
            raise OSError(errno.ELOOP if entry.kind is Kind.SYMLINK else errno.ENXIO, "not a regular file", name)
        return entry

    def _save(self, name: str, content: Any) -> str:
        plain = storable(normalised(name))
        self._lookups.require_no_object_above(plain)
        with repeatable(content) as again:
            while True:
                try:
                    self._uploads.store(plain, again, Wish(if_absent=True))
                except FileExistsError:
                    # Taken since its name was chosen. A subclass that chooses the same name again wants to overwrite.
                    other = storable(normalised(self.get_available_name(plain)))
                    if other == plain:
                        self._uploads.store(plain, again, Wish())
                        return plain
                    plain = other
                else:
                    return plain

    def _store(self, name: str, content: Any, wish: Wish) -> Entry:
        entry = self._uploads.store(name, content, wish)
        self._changed("save", name)
        return entry

    def delete(self, name: str) -> None:
        """Delete the object; nothing happens when there is none, IsADirectoryError for a directory."""
        if not name:
            raise ValueError("The name must be given to delete().")
        plain = normalised(name)
        entry = self._lookups.object(plain) or self._lookups.directory(plain)
        if entry is not None:
            self._delete(plain, entry)

    def exists(self, name: str) -> bool:
        """Whether there is an object or a directory of this name; the root is there."""
        plain = normalised(name)
        try:
            return not plain or self._lookups.find(plain) is not None
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:  # such a name is not taken, as Django asks before it cuts it
                raise
            return False

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        """The names in a directory: those of directories, and those of objects."""
        directories: list[str] = []
        files: list[str] = []
        for entry in self._lookups.glance(normalised(path)):
            (directories if entry.is_dir else files).append(entry.name)
        return directories, files

    def size(self, name: str) -> int:
        """The object's size in bytes; IsADirectoryError."""
        return self._object(name).size

    def get_created_time(self, name: str) -> datetime:
        """When the object was made, which is when its content last changed: objects are never changed, but replaced."""
        return self.get_modified_time(name)

    def get_modified_time(self, name: str) -> datetime:
        """When the content last changed; NotImplementedError where the service does not tell."""
        return moment_of(self._object(name).mtime_ns, "When the content last changed")

    def get_accessed_time(self, name: str) -> datetime:
        """NotImplementedError: services do not keep it."""
        raise self._unsupported("tell times of access")

    def url(self, name: str | None) -> str:
        """The address below `base_url`, else one signed for `url_expire` seconds, which anybody may use so long.

        Whether the object is there is not looked at. ValueError where the service signs no addresses.
        """
        if self.base_url is not None:
            uri = filepath_to_uri(name)
            return urljoin(self.base_url, None if uri is None else uri.lstrip("/"))
        if not name or not self._connection.capability.presign_read:
            raise ValueError("This file is not accessible via a URL.")
        plain = storable(normalised(name))
        with self._connection.errors.translating(plain):
            return self._connection.presigned(plain, self.url_expire)

    def _object(self, name: str) -> Entry:
        plain = normalised(name)
        entry = self._lookups.stat(plain)
        if entry.is_dir:
            raise os_error(errno.EISDIR, name)
        return entry

    # The extended surface

    def stat(self, name: str) -> Entry:
        """What there is under `name`; FileNotFoundError, or NotADirectoryError below an object."""
        return self._lookups.stat(checked_name(name, allow_root=True))

    def scandir(self, path: str = "") -> Iterator[Entry]:
        """The entries of a directory with sizes, times and versions, by one sweep of listing requests."""
        return self._lookups.scandir(checked_name(path, allow_root=True))

    def glance(self, path: str = "") -> Iterator[Entry]:
        """The same, without the requests that `attributes` cost: one for each object that is not as it was."""
        return self._lookups.glance(checked_name(path, allow_root=True))

    def open_version(self, name: str, entry: Entry) -> File:
        """The object that a stat or a listing has shown as `entry`, opened "rb" without a request."""
        if not self._is_unchanged:
            return self.open(name, "rb")
        return self._file(storable(name), entry, "rb")

    def replace(
        self,
        name: str,
        content: Any,
        *,
        if_version: str | None = None,
        if_absent: bool = False,
        looked_up: bool = False,
    ) -> Entry:
        """Store the content under exactly this name, and return the new entry; the old content survives a failure.

        VersionMismatchError and FileExistsError where a condition does not hold, checked by the service itself where
        it can, IsADirectoryError. Whether an object stands above `name` is not looked at, nor whether a directory has
        the name where the caller has `looked_up` that.
        """
        storable(name)
        if not self._is_unchanged:  # a subclass's save() may change the content on its way
            return super().replace(name, content, if_version=if_version, if_absent=if_absent)
        return self._store(name, content, Wish(if_version, if_absent, looked_up))

    def unlink(self, name: str) -> None:
        """Delete the object; FileNotFoundError, IsADirectoryError."""
        self._delete(name, self.stat(checked_name(name)))

    def _delete(self, name: str, entry: Entry) -> None:
        if entry.is_dir:
            raise os_error(errno.EISDIR, name)
        self._remove(name)
        self._changed("delete", name)

    @property
    def _is_unchanged(self) -> bool:
        """Whether no subclass has put anything between a file and its content."""
        return all(getattr(type(self), method) is getattr(OpenDALStorage, method) for method in _SAVING)


def _kind(scheme: str = "", **options: Any) -> type[OpenDALStorage]:
    """The class that keeps what these options ask for."""
    from storage.remote.opendal.attributes import AttributeDirectoryStorage, AttributeStorage
    from storage.remote.opendal.directories import DirectoryStorage

    if keeps_directories(scheme, options.get("directories")):
        return AttributeDirectoryStorage if options.get("attributes") else DirectoryStorage
    return AttributeStorage if options.get("attributes") else OpenDALStorage


def _made(cls: type[OpenDALStorage], args: tuple[Any, ...], kwargs: dict[str, Any]) -> OpenDALStorage:
    return cls(*args, **kwargs)
