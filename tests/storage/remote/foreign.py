"""Backends as others write them for Django, with the manners that real ones have; none knows this package."""

from __future__ import annotations

import io
import threading
from datetime import UTC, datetime
from typing import Any


class Foreign:
    """The common part: contents in a dictionary, and a record of the calls."""

    def __init__(self, **objects: bytes) -> None:
        self.objects = dict(objects)
        self.calls: list[tuple[str, str]] = []

    def open(self, name: str, mode: str = "rb") -> Any:
        self.calls.append(("open", name))
        if name not in self.objects:
            raise FileNotFoundError(f"File does not exist: {name}")
        return io.BytesIO(self.objects[name])

    def save(self, name: str, content: Any, max_length: int | None = None) -> str:
        self.calls.append(("save", name))
        name = self.get_available_name(name, max_length)
        self.objects[name] = b"".join(content.chunks())
        return name

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        while name in self.objects:
            name += "_"
        return name

    def delete(self, name: str) -> None:
        self.calls.append(("delete", name))
        self.objects.pop(name, None)

    def exists(self, name: str) -> bool:
        return name in self.objects

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        self.calls.append(("listdir", path))
        prefix = f"{path}/" if path else ""
        below = [name.removeprefix(prefix) for name in self.objects if name.startswith(prefix)]
        directories = {name.partition("/")[0] for name in below if "/" in name}
        return sorted(directories), sorted(name for name in below if "/" not in name)

    def size(self, name: str) -> int:
        return len(self.objects[name])

    def get_modified_time(self, name: str) -> datetime:
        return datetime(2024, 5, 1, tzinfo=UTC)

    def url(self, name: str, expire: int | None = None) -> str:
        return f"https://example.com/{name}?expire={expire}"


class Overwriting(Foreign):
    """As S3 by default: a save replaces."""

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        return name


class Tree(Foreign):
    """As Dropbox: deleting a directory deletes all below it."""

    def delete(self, name: str) -> None:
        self.calls.append(("delete", name))
        self.objects = {key: value for key, value in self.objects.items() if not f"{key}/".startswith(f"{name}/")}


class AzureLike(Overwriting):
    """Lists everything below, in full from the container's root, and no directories."""

    location = "media"

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        prefix = f"{path}/" if path else ""
        return [], [f"media/{name}" for name in self.objects if name.startswith(prefix)]


class ForgetfulFile:
    """As django-storages opens over SFTP and FTP: the first read fetches, and forgets a seek that came before."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.file = io.BytesIO()
        self.fetched = False
        self.closed = False

    def read(self, size: int | None = None) -> bytes:
        if not self.fetched:
            self.file, self.fetched = io.BytesIO(self.content), True
        return self.file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()

    def close(self) -> None:
        self.closed = True


class SFTPStorage(Foreign):
    """Swallows the errors of a delete, serves one call at a time, and opens forgetful files."""

    def __init__(self, **objects: bytes) -> None:
        super().__init__(**objects)
        self.busy = threading.Lock()
        self.read_only = False
        self.disconnected = False

    def delete(self, name: str) -> None:
        if not self.read_only:
            super().delete(name)

    def size(self, name: str) -> int:
        assert self.busy.acquire(blocking=False), "two calls at once"
        try:
            threading.Event().wait(0.001)
            return super().size(name)
        finally:
            self.busy.release()

    def open(self, name: str, mode: str = "rb") -> Any:
        self.calls.append(("open", name))
        return ForgetfulFile(self.objects[name])

    def close(self) -> None:
        self.disconnected = True
