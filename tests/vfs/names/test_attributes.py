"""From an entry to what stat(2) shows: the storage's word, the mount's, and the options'."""

from __future__ import annotations

import stat

import pytest

from storage.entry import Entry, Kind
from vfs.names.attributes import Kept, Policy

POLICY = Policy(owner=1000, group=100, mounted_ns=5_000_000_000)
FULL = Entry("f", Kind.FILE, 700, 30, 20, 40, 10, mode=0o640, uid=7, gid=8, nlink=3, rdev=0, blocks=16)


def test_what_the_storage_knows_is_shown() -> None:
    assert POLICY.attributes(FULL, 99) == (99, stat.S_IFREG | 0o640, 3, 7, 8, 0, 700, 16, 20, 30, 40, 10)


@pytest.mark.parametrize("kind", Kind)
def test_the_type_bits_are_those_of_the_kind(kind: Kind) -> None:
    mode = POLICY.attributes(Entry("x", kind, mode=0o7777), 1).mode
    assert (stat.S_IFMT(mode), stat.S_IMODE(mode)) == (kind.value, 0o7777)


@pytest.mark.parametrize(
    ("kind", "mode", "nlink"), [(Kind.FILE, 0o644, 1), (Kind.DIRECTORY, 0o755, 2), (Kind.SYMLINK, 0o644, 1)]
)
def test_what_nobody_knows_is_made_up(kind: Kind, mode: int, nlink: int) -> None:
    shown = POLICY.attributes(Entry("x", kind), 1)
    assert (stat.S_IMODE(shown.mode), shown.nlink, shown.uid, shown.gid) == (mode, nlink, 1000, 100)
    assert (shown.atime_ns, shown.mtime_ns, shown.ctime_ns) == (5_000_000_000,) * 3


def test_a_link_count_of_zero_is_shown() -> None:
    assert POLICY.attributes(FULL._replace(nlink=0), 1).nlink == 0


def test_times_that_are_unknown_are_that_of_the_last_change() -> None:
    shown = POLICY.attributes(Entry("x", Kind.FILE, mtime_ns=11), 1)
    assert (shown.atime_ns, shown.mtime_ns, shown.ctime_ns) == (11, 11, 11)


@pytest.mark.parametrize(("size", "blocks"), [(0, 0), (1, 1), (512, 1), (513, 2), (1 << 40, 1 << 31)])
def test_blocks_are_counted_where_the_storage_does_not(size: int, blocks: int) -> None:
    assert POLICY.attributes(Entry("x", Kind.FILE, size), 1).blocks == blocks


def test_a_sparse_file_shows_the_blocks_it_has() -> None:
    assert POLICY.attributes(Entry("x", Kind.FILE, 1 << 30, blocks=0), 1).blocks == 0


def test_what_the_mount_keeps_goes_before_what_the_storage_says() -> None:
    kept = Kept(mode=0o700, uid=0, gid=0, atime_ns=1, mtime_ns=2, ctime_ns=3)
    shown = POLICY.attributes(FULL, 1, kept)
    assert (stat.S_IMODE(shown.mode), shown.uid, shown.gid) == (0o700, 0, 0)
    assert (shown.atime_ns, shown.mtime_ns, shown.ctime_ns) == (1, 2, 3)


def test_what_the_mount_does_not_keep_is_the_storages() -> None:
    assert POLICY.attributes(FULL, 1, Kept()) == POLICY.attributes(FULL, 1)


def test_the_options_go_before_all() -> None:
    policy = Policy(uid=0, gid=0, umask=0o027, owner=1000, group=100)
    shown = policy.attributes(FULL._replace(mode=0o777), 1, Kept(uid=9, gid=9))
    assert (stat.S_IMODE(shown.mode), shown.uid, shown.gid) == (0o750, 0, 0)
