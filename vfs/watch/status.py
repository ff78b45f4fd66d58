"""What a mount says of itself: `status` in full, and `metrics`, which are had often and cost little.

Both are what JSON can hold. Of the metrics what is counted goes on from the mount's beginning: rates, and latencies
of a while, are the difference of two of them.
"""

from __future__ import annotations

import time
from typing import Any

from vfs.filesystem import FileSystem
from vfs.guard import GuardedStorage
from vfs.mounts.mounting import Mount
from vfs.spool import pending
from vfs.watch.metrics import BOUNDS


def status(mount: Mount) -> dict[str, Any]:
    """All that `vfs status` shows, each file that is pending by its name."""
    filesystem, transport = mount.filesystem, mount.transport
    uploads = filesystem.contents.uploads
    return {
        "ending": mount.is_ending,
        "outage": _outage(filesystem),
        "pending": uploads.report(),
        "moves": uploads.moves.report(),
        "conflicts": list(uploads.conflicts),
        "left": [
            {"name": it.name, "bytes": it.size, "path": str(it.path), "why": it.why} for it in mount.recovery.left
        ],
        "open_files": filesystem.open_files(),
        "nodes": len(filesystem.tree),
        "cache": {} if filesystem.contents.in_place else filesystem.contents.sources.status(),
        "operations": dict(transport.counts),
        "errors": dict(transport.errors),
        "metrics": metrics(mount),
    }


def metrics(mount: Mount) -> dict[str, Any]:
    """What is counted, and how much there is of what. Times are seconds, sizes bytes.

    "operations" are the kernel's, "requests" of "storage" those to a storage that waits for a network: see
    `Requests.report`, "bounds" being those of the buckets; "events" are rare, and told by what came of them.
    """
    filesystem, under_way = mount.filesystem, mount.transport.under_way
    spooled = not filesystem.contents.in_place
    return {
        "bounds": BOUNDS,
        "operations": mount.transport.requests.report(),
        "under_way": {"count": len(under_way), "oldest": round(max(under_way, default=0.0), 6)},
        "traffic": filesystem.traffic.report(),
        "handles": mount.transport.handles,
        "nodes": len(filesystem.tree),
        "storage": _storage(filesystem),
        "caches": _caches(filesystem),
        "spool": filesystem.contents.spool.status() if spooled else None,
        "pending": _pending(filesystem),
        "conflicts": len(filesystem.contents.uploads.conflicts),
        "events": filesystem.contents.uploads.events.report() | _recovered(mount) | mount.events.report(),
    }


def _outage(filesystem: FileSystem) -> dict[str, Any] | None:
    """For how long a storage has not answered, and the last error."""
    storage = filesystem.storage
    outage = storage.guard.circuit.outage if isinstance(storage, GuardedStorage) else None
    return None if outage is None else {"seconds": round(outage[0], 3), "error": pending.describe(outage[1])}


def _storage(filesystem: FileSystem) -> dict[str, Any] | None:
    storage = filesystem.storage
    if not isinstance(storage, GuardedStorage):
        return None
    return {
        "requests": storage.guard.requests.report(),
        "traffic": storage.guard.traffic.report(),
        "hanging": storage.guard.calls.hanging,
        "outage": _outage(filesystem),
    }


def _caches(filesystem: FileSystem) -> dict[str, dict[str, int]]:
    """Of what is kept for a while: names with their attributes, listings, and contents in memory and on disk."""
    names = filesystem.names
    found: dict[str, dict[str, int]] = {}
    if names.cache_seconds:
        found |= {"names": names.hits.report(), "listings": names.listings.hits.report()}
    if not filesystem.contents.in_place:
        room = filesystem.contents.sources.status()
        for kind, hits in filesystem.contents.sources.hits().items():
            sizes = {"bytes": room[kind], "limit": room[f"{kind}_limit"]}
            found[kind] = hits.report(sized=True) | sizes
    return found


def _recovered(mount: Mount) -> dict[str, dict[str, int]]:
    """What another mount had left, and what became of it when this one began; nothing where there was none."""
    found = mount.recovery
    counts = {"taken up": len(found.taken), "stored already": len(found.stored), "left": len(found.left)}
    return (
        {"recovered file": {result: count for result, count in counts.items() if count}} if any(counts.values()) else {}
    )


def _pending(filesystem: FileSystem) -> dict[str, Any]:
    """How many files the storage lacks, how many of them could not be stored, and since when the oldest does."""
    fates = [file.fate for file in filesystem.contents.uploads.pending.files()]
    return {
        "files": len(fates),
        "failed": sum(1 for fate in fates if fate.error),
        "oldest": round(max(0.0, time.time() - min(fate.since for fate in fates)), 3) if fates else 0.0,
    }
