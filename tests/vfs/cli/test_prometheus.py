"""`vfs status --prometheus`: what Prometheus' own parser reads in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from commands import Project, Vfs
from prometheus_client.parser import text_string_to_metric_families

from vfs.cli.prometheus import text
from vfs.mounts.mounting import Mount
from vfs.watch.status import metrics

Samples = dict[str, list[tuple[dict[str, str], float]]]


def parsed(words: str) -> Samples:
    """The samples by name, each with its labels; the types are as the names say."""
    found: Samples = {}
    for family in text_string_to_metric_families(words):
        assert family.documentation
        for sample in family.samples:
            assert sample.name.endswith("_total") == (family.type == "counter")
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


@pytest.mark.mount
def test_a_mount_in_prometheus_words(project: Project) -> None:
    mnt = project.path / "mnt"
    mnt.mkdir()
    assert project.process("mount", "bucket", "mnt").code == 0
    try:
        (mnt / "file").write_bytes(b"x" * 1000)
        assert not (mnt / "missing").exists()
        result = project.process("status", "mnt", "--prometheus")
    finally:
        assert project.process("unmount", "mnt").code == 0
    assert result.code == 0
    found = parsed(result.out)
    mount = {"alias": "bucket", "mount": str(mnt)}
    assert found["vfs_up"] == [(mount, 1.0)]
    assert found["vfs_written_bytes_total"] == [(mount, 1000.0)]
    assert found["vfs_storage_written_bytes_total"] == [(mount, 1000.0)]
    assert found["vfs_circuit_open"] == [(mount, 0.0)]
    assert found["vfs_events_total"] == [({**mount, "event": "upload", "result": "stored"}, 1.0)]
    assert found["vfs_pending_files"] == [(mount, 0.0)]
    assert found["vfs_spool_bytes"] == [(mount, 0.0)]
    counts = {labels["operation"]: value for labels, value in found["vfs_operation_seconds_count"]}
    assert counts["write"] == counts["create"] == 1.0
    for name in ("vfs_operation_seconds", "vfs_storage_request_seconds"):
        check_histogram(found, name)
    methods = {labels["method"] for labels, _ in found["vfs_storage_request_seconds_count"]}
    assert "save" in methods or "replace" in methods
    assert {labels["cache"] for labels, _ in found["vfs_cache_hits_total"]} == {"names", "listings", "memory"}


def check_histogram(found: Samples, name: str) -> None:
    """Buckets go up, the last is all of them."""
    for labels, count in found[f"{name}_count"]:
        buckets = [(float(own["le"]), value) for own, value in found[f"{name}_bucket"] if labels.items() <= own.items()]
        assert buckets == sorted(buckets)
        assert [value for _, value in buckets] == sorted(value for _, value in buckets)
        assert buckets[-1] == (float("inf"), count)
    assert all(value > 0 for _, value in found[f"{name}_sum"])


def test_names_are_escaped_and_mounts_kept_apart(tmp_path: Path) -> None:
    folder = tmp_path / 'a "quoted"\\path\nof \udcff'
    folder.mkdir()
    from storage import InMemoryStorage

    counted = metrics(Mount(InMemoryStorage(), folder))
    report: dict[str, Any] = {"alias": "memory", "started": 12.5, "memory": 1000, "mountpoint": str(folder)}
    silent = {**report, "mountpoint": "/other", "memory": None, "error": "it does not answer"}
    found = parsed(text([{**report, "metrics": counted}, silent]))
    shown = str(folder).replace("\udcff", "\ufffd")
    assert found["vfs_up"] == [
        ({"alias": "memory", "mount": shown}, 1.0),
        ({"alias": "memory", "mount": "/other"}, 0.0),
    ]
    assert [labels["mount"] for labels, _ in found["vfs_nodes"]] == [shown]
    assert len(found["vfs_resident_memory_bytes"]) == 1


def test_one_form_at_a_time(vfs: Vfs) -> None:
    result = vfs("status", "--json", "--prometheus")
    assert (result.code, result.out) == (2, "")
    assert "ask for one of them" in result.err
