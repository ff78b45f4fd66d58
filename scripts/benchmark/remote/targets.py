"""What the mount of a bucket must reach, as data: ratios of medians of one run, and limits."""

from __future__ import annotations

import math
from collections.abc import Iterator

from benchmark.remote.proxy import FETCHED
from benchmark.samples import Sample, Samples
from benchmark.targets import Limit, Target

PLACE = "s3/kernel"
PAGE = 1000
"""Entries of one answer to a listing request."""
MEMORY = 200
"""MiB."""

TARGETS = (
    Target(PLACE, "remote-read", "rclone", 1.5),
    Target(PLACE, "remote-read", "opendal", 0.8),
    Target(PLACE, "remote-ls", "rclone", 3.0),
    Target(PLACE, "remote-copy-in", "rclone", 2.0),
    Target(PLACE, "remote-copy-in", "s3fs", 2.0),
    Target(PLACE, "remote-copy-out", "rclone", 2.0),
    Target(PLACE, "remote-copy-out", "s3fs", 2.0),
    Target(PLACE, "remote-random", "rclone", 2.0),
    Target(PLACE, "remote-write", "opendal", 0.8),
)


def limits(timed: Samples, counted: Samples) -> Iterator[Limit]:
    """Those that something was measured for: requests and bytes of the counting round, and memory of all rounds."""
    listing, random = _last(counted, "remote-ls"), _last(counted, "remote-random")
    if listing is not None:
        pages = math.ceil(listing.amount / PAGE)
        yield Limit("LIST requests of ls -l", listing.requests.get("LIST", 0), pages, "")
        yield Limit("HEAD requests of ls -l", listing.requests.get("HEAD", 0), 0, "")
    if random is not None:
        yield Limit("bytes fetched for each that was read", random.requests.get(FETCHED, 0) / random.amount, 1.3, "")
    memory = max((found for samples in (timed, counted) if (found := samples.memory(PLACE))), default=None)
    if memory is not None:
        yield Limit("memory of the daemon at most", memory / 2**20, MEMORY, "MiB")


def _last(counted: Samples, work: str) -> Sample | None:
    found = [sample for sample in counted.samples if (sample.place, sample.work) == (PLACE, work)]
    return found[-1] if found else None
