"""django-storages' S3Storage, by boto3."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from storage.entry import Entry, Kind
from storage.listing import nanoseconds
from storage.names import split_name
from storage.remote.adapters.adapted import Adapted

_OF_DOWNLOADS = ("SSECustomerAlgorithm", "SSECustomerKey", "SSECustomerKeyMD5", "RequestPayer", "ExpectedBucketOwner")


class S3Adapter(Adapted):
    """A listing tells size, time and etag of a thousand objects; every read and conditional store names an etag."""

    CONTENT: ClassVar = (*Adapted.CONTENT, "_get_write_parameters")
    reads_ranges = True
    stores = True

    def list_entries(self, path: str) -> Iterator[Entry]:
        """ListObjectsV2 with a delimiter."""
        prefix = self._prefix(path)
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self.wrapped.bucket_name, Delimiter="/", Prefix=prefix
        )
        for page in pages:
            for found in page.get("CommonPrefixes", ()):
                yield Entry(found["Prefix"][len(prefix) : -1], Kind.DIRECTORY)
            for found in page.get("Contents", ()):
                if found["Key"] != prefix:  # the directory's own marker
                    yield _entry(found["Key"][len(prefix) :], found, found["Size"])

    def look(self, name: str) -> Entry:
        """HEAD, and, where no object is, a listing of one key below."""
        where = {"Bucket": self.wrapped.bucket_name}
        try:
            found = self._client.head_object(**where, Key=self._key(name), **self._parameters(name))
        except self._client.exceptions.ClientError as error:
            below = {"Prefix": self._prefix(name), "MaxKeys": 1}
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise
            if not self._client.list_objects_v2(**where, **below).get("Contents"):
                raise
            return Entry(split_name(name)[1], Kind.DIRECTORY)
        return _entry(split_name(name)[1], found, found["ContentLength"])

    def fetch(self, name: str, entry: Entry, start: int, end: int) -> bytes:
        """GET with Range and If-Match."""
        answer = self._client.get_object(
            Bucket=self.wrapped.bucket_name,
            Key=self._key(name),
            Range=f"bytes={start}-{end - 1}",
            IfMatch=f'"{entry.version}"',
            **self._parameters(name),
        )
        with answer["Body"] as body:
            data: bytes = body.read()
        return data

    def put(self, name: str, source: str, if_version: str | None, if_absent: bool) -> None:
        """A conditional store is one PUT, up to S3's 5 GiB, for not every server holds conditions of several parts."""
        with open(source, "rb") as content:
            parameters = self.wrapped._get_write_parameters(name, content)
            if if_version is None and not if_absent:
                where = self.wrapped.bucket.Object(self._key(name))
                where.upload_fileobj(content, ExtraArgs=parameters, Config=self.wrapped.transfer_config)
                return
            condition = {"IfNoneMatch": "*"} if if_absent else {"IfMatch": f'"{if_version}"'}
            self._client.put_object(
                Bucket=self.wrapped.bucket_name, Key=self._key(name), Body=content, **parameters, **condition
            )

    @property
    def _client(self) -> Any:
        """The thread's own."""
        return self.wrapped.connection.meta.client

    def _key(self, name: str) -> str:
        key: str = self.wrapped._normalize_name(name)
        return key

    def _prefix(self, path: str) -> str:
        key = self._key(path).rstrip("/")
        return f"{key}/" if key else ""

    def _parameters(self, name: str) -> dict[str, Any]:
        """Those of the backend's parameters that an object cannot be read without."""
        parameters = self.wrapped.get_object_parameters(name)
        return {key: parameters[key] for key in _OF_DOWNLOADS if key in parameters}


def _entry(name: str, found: dict[str, Any], size: int) -> Entry:
    return Entry(
        name,
        Kind.FILE,
        size=size,
        mtime_ns=nanoseconds(found["LastModified"]),
        version=found["ETag"].strip('"'),
    )
