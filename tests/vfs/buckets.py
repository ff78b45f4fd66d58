"""A mount of a bucket that counts, and the bucket behind it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from counted_bucket import FolderBucket
from places import Server


class BucketServer(Server):
    """A mount of a `FolderBucket`, and the bucket behind it."""

    def __init__(self, folder: Path, *options: str, transport: str) -> None:
        super().__init__("bucket", folder, *options, transport=transport)
        self.bucket = FolderBucket(str(folder / "bucket"))

    def fetched(self) -> int:
        """How many bytes were fetched since anything was counted last."""
        return sum(int(request[3]) for request in self.bucket.counted() if request[0] == "get")

    def counts(self) -> dict[str, int]:
        """How often what was asked for since then."""
        requests = [request[0] for request in self.bucket.counted()]
        return {kind: requests.count(kind) for kind in ("get", "head", "list")}


ServeBucket = Callable[..., BucketServer]
