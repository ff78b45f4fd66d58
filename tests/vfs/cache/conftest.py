"""Mounts of a remote storage that counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from buckets import BucketServer, ServeBucket


@pytest.fixture
def serve_bucket(tmp_path: Path, rescue: None, mounts_folder: Path, transport: str) -> Iterator[ServeBucket]:
    """`serve_bucket(*OPTIONS)` is a mount of a bucket, which is empty and at the same place each time."""
    made: list[BucketServer] = []
    folder = mounts_folder / f"bucket-{tmp_path.name}"

    def serve(*options: str) -> BucketServer:
        made.append(BucketServer(folder, *options, transport=transport))
        made[-1].mount()
        made[-1].bucket.counted()
        return made[-1]

    yield serve
    for one in made:
        one.end()
