"""The object stores, as s3fs, gcsfs and adlfs reach them: what is stored is there at once, or not at all."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

from storage.entry import Entry
from storage.exceptions import VersionMismatchError, os_error
from storage.remote.fsspec.entries import Info
from storage.remote.fsspec.protocol import Condition, Protocol

_PART = 8 * 2**20
_AT_ONCE = 4


class ObjectStore(Protocol):
    """One whose paths begin with a bucket or container."""

    shared = True

    def container(self, path: str) -> str:
        """The bucket: without it there is no empty directory, but a wrong configuration."""
        return path.strip("/").partition("/")[0]


class S3(ObjectStore):
    """Conditions hold for what is sent in one request; of what is sent in parts, only that nothing is there."""

    pinned = True
    held = ("if_absent", "if_version")
    cut_at = "?versionId="  # also where versions are not asked for

    def fetch(self, fs: Any, path: str, entry: Entry, start: int, end: int) -> bytes:
        """One GET with If-Match."""
        file = fs.open(path, "rb", cache_type="none", size=entry.size)
        file.details = {"name": path, "size": entry.size, "type": "file"}  # else it asks for them
        file.read_kw = {**file.read_kw, "IfMatch": f'"{entry.version}"'}
        data: bytes = file._fetch_range(start, end)
        return data

    def put(self, fs: Any, source: str, path: str, condition: Condition) -> None:
        """One PUT up to 16 MiB, else parts of 8 MiB, of which four are in memory."""
        match: dict[str, Any] = {"mode": "create"} if condition.absent else {}
        if condition.version is not None:
            self.check(fs, path, condition)
            match = {"IfMatch": f'"{condition.version}"'}
        fs.put_file(source, path, chunksize=_PART, max_concurrency=_AT_ONCE, **match)


class GCS(ObjectStore):
    """The version is the generation, which a GET can name."""

    pinned = True
    held = ("if_absent",)
    forbidden = "\r\n"  # Google's own rule

    def fetch(self, fs: Any, path: str, entry: Entry, start: int, end: int) -> bytes:
        """One GET of this generation; when that is gone, another may be there."""
        try:
            data: bytes = fs.cat_file(path, start=start, end=end, generation=entry.version)
        except FileNotFoundError:
            if self.entry(fs, path).version != entry.version:
                raise VersionMismatchError(path) from None
            raise
        return data

    def put(self, fs: Any, source: str, path: str, condition: Condition) -> None:
        """Up to 5 MiB in one request, else in parts of 8 MiB."""
        self.check(fs, path, condition)
        fs.put_file(source, path, chunksize=_PART, mode="create" if condition.absent else "overwrite")


class Azure(ObjectStore):
    """Every condition is Azure's to hold, for what is sent in parts as well."""

    held = ("if_absent", "if_version")
    forbidden = "".join(map(chr, range(1, 32))) + "\x7f"  # they get lost on the way, and the rest is another name
    cut_at = "?versionid="

    def list(self, fs: Any, path: str) -> list[Info]:
        """What is below "path/": the class asks for "path" first, and then for what is below that."""
        from fsspec.asyn import sync

        container, _, prefix = path.strip("/").partition("/")

        async def walk() -> list[Info]:
            async with fs.service_client.get_container_client(container=container) as client:
                below = client.walk_blobs(name_starts_with=f"{prefix}/" if prefix else None, include=["metadata"])
                return [_info(container, blob) async for blob in below]

        listed = sync(fs.loop, walk)
        if prefix and not listed:
            raise os_error(errno.ENOENT, path)
        return list(listed)

    def put(self, fs: Any, source: str, path: str, condition: Condition) -> None:
        """In blocks, which are committed under the condition."""
        from azure.core import MatchConditions

        match: dict[str, Any] = {}
        if condition.version is not None:
            match = {"etag": f'"{condition.version}"', "match_condition": MatchConditions.IfNotModified}
        with Path(source).open("rb") as content:
            fs.pipe_file(path, content, overwrite=not condition.absent, max_concurrency=_AT_ONCE, **match)


def _info(container: str, blob: Any) -> Info:
    """As the class has it; a directory is a prefix, or a blob that says so."""
    name = f"{container}/{blob.name}"
    if not blob.name.endswith("/"):
        marks = {key.lower(): value for key, value in (blob.metadata or {}).items()}
        if "true" not in (marks.get("is_directory"), marks.get("hdi_isfolder")):
            told = {key: getattr(blob, key) for key in ("size", "etag", "last_modified", "creation_time")}
            return {**told, "name": name, "type": "file"}
    return {"name": name.rstrip("/"), "type": "directory"}
