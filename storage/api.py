"""Django 6.0's surface of a storage: what every backend has, and what `save()` does about names."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from storage.changes import Observed
from storage.exceptions import SuspiciousFileOperation
from storage.files import File
from storage.names import get_random_string, get_valid_filename, validate_file_name

_RANDOM_LENGTH = 7


@runtime_checkable
class Content(Protocol):
    """What `_save()` is given: a file that can be read from the beginning in chunks, like `File`."""

    def chunks(self, chunk_size: int | None = None) -> Iterable[Any]:
        """The content, in pieces."""


class DjangoAPI(Observed):
    """Django's methods. A backend must provide `_open`, `_save`, `delete`, `exists`, `listdir` and `size`."""

    def open(self, name: str, mode: str = "rb") -> File:
        """Open the file; FileNotFoundError when there is none and `mode` only reads."""
        return self._open(name, mode)

    def save(self, name: str | None, content: Any, max_length: int | None = None) -> str:
        """Store the content under `name`, or an alternative if that is taken, and return the name that it got.

        `content` is a `File`, or any file-like object at its beginning; None as the name means the content's own.
        SuspiciousFileOperation for a name that leaves the storage, or when none of `max_length` characters is free.
        """
        if name is None:
            name = content.name
        if not isinstance(content, Content):
            content = File(content, name)
        # Each step may be a subclass's own, so each answer is checked.
        validate_file_name(name, allow_relative_path=True)
        name = self.get_available_name(name, max_length=max_length)
        validate_file_name(name, allow_relative_path=True)
        name = self._save(name, content)
        validate_file_name(name, allow_relative_path=True)
        self._changed("save", name)
        return name

    def _open(self, name: str, mode: str = "rb") -> File:
        """Open the file: the part of `open()` that a backend provides."""
        raise _not_provided("_open")

    def _save(self, name: str, content: Any) -> str:
        """Store a `Content` under this name or a free one, and return that: a backend's part of `save()`."""
        raise _not_provided("_save")

    def is_name_available(self, name: str, max_length: int | None = None) -> bool:
        """Whether a new file can be called so."""
        too_long = bool(max_length) and len(name) > (max_length or 0)
        return not self.exists(name) and not too_long

    def get_valid_name(self, name: str) -> str:
        """A file name like `name` that suits the storage."""
        return get_valid_filename(name)

    def get_alternative_name(self, file_root: str, file_ext: str) -> str:
        """Another name for a file whose name is taken: an underscore and seven random characters go between."""
        return f"{file_root}_{get_random_string(_RANDOM_LENGTH)}{file_ext}"

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        """A free name like `name`; the part before the extensions is cut where `max_length` asks for it.

        SuspiciousFileOperation when nothing would be left of that part, or when the name leaves the storage.
        """
        name = str(name).replace("\\", "/")
        directory, file_name = _split_checked(name)
        validate_file_name(file_name)
        extension = "".join(pathlib.PurePath(file_name).suffixes)
        root = file_name.removesuffix(extension)
        while not self.is_name_available(name, max_length=max_length):
            name = os.path.join(directory, self.get_alternative_name(root, extension))
            excess = len(name) - max_length if max_length is not None else 0
            if excess > 0:
                root = root[:-excess]
                if not root:
                    raise SuspiciousFileOperation(
                        f'Storage can not find an available filename for "{name}". Please make sure that the '
                        'corresponding file field allows sufficient "max_length".'
                    )
                name = os.path.join(directory, self.get_alternative_name(root, extension))
        return name

    def generate_filename(self, filename: str) -> str:
        """A valid name for `save()`, in the same directory; SuspiciousFileOperation when it leaves the storage."""
        directory, file_name = _split_checked(str(filename).replace("\\", "/"))
        return os.path.normpath(os.path.join(directory, self.get_valid_name(file_name)))

    def path(self, name: str) -> str:
        """The local path of the file, for the builtin open(); NotImplementedError where files have none."""
        raise NotImplementedError("This backend doesn't support absolute paths.")

    def delete(self, name: str) -> None:
        """Delete the file; nothing happens when there is none."""
        raise _not_provided("delete")

    def exists(self, name: str) -> bool:
        """Whether the name is taken."""
        raise _not_provided("exists")

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        """The names in a directory: those of directories, and those of files."""
        raise _not_provided("listdir")

    def size(self, name: str) -> int:
        """The file's size in bytes."""
        raise _not_provided("size")

    def url(self, name: str | None) -> str:
        """The URL where a browser finds the file."""
        raise _not_provided("url")

    def get_accessed_time(self, name: str) -> datetime:
        """When the file was last read; aware if USE_TZ is on, else naive, in the zone of TIME_ZONE."""
        raise _not_provided("get_accessed_time")

    def get_created_time(self, name: str) -> datetime:
        """When the file was made; aware if USE_TZ is on, else naive, in the zone of TIME_ZONE."""
        raise _not_provided("get_created_time")

    def get_modified_time(self, name: str) -> datetime:
        """When the content last changed; aware if USE_TZ is on, else naive, in the zone of TIME_ZONE."""
        raise _not_provided("get_modified_time")


def _split_checked(name: str) -> tuple[str, str]:
    """Split off the directory, which must not climb."""
    directory, file_name = os.path.split(name)
    if os.pardir in pathlib.PurePath(directory).parts:
        raise SuspiciousFileOperation(f"Detected path traversal attempt in '{directory}'")
    return directory, file_name


def _not_provided(method: str) -> NotImplementedError:
    article = "an" if method[0] in "aeiou" else "a"
    return NotImplementedError(f"subclasses of Storage must provide {article} {method}() method")
