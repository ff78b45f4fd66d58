"""The cache over a storage that counts: what is fetched, how often, and how much is held."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator

import pytest
from counted_bucket import Blob, Bucket, Pages
from gates import SOON, start
from hypothesis import given, settings, strategies as st

from storage.exceptions import VersionMismatchError
from vfs.cache import BlockCache, CachedFile
from vfs.cache.content import SMALL

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
BUDGET = 8 * MIB


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


@pytest.fixture
def cache() -> Iterator[BlockCache]:
    cache = BlockCache(BUDGET)
    yield cache
    cache.close()


Opener = Callable[[str], CachedFile]


@pytest.fixture
def opened(bucket: Bucket, cache: BlockCache) -> Iterator[Opener]:
    """`opened(NAME)` is the object, opened through the cache."""
    files: list[CachedFile] = []

    def open_one(name: str) -> CachedFile:
        files.append(cache.open(bucket.open(name), name, bucket.stat(name)))
        return files[-1]

    yield open_one
    for file in files:
        file.close()


def settle(cache: BlockCache) -> None:
    """Until nothing is fetched ahead any more."""
    cache._pool.shutdown(wait=True)


def test_what_is_at_hand_needs_no_waiting(bucket: Bucket, cache: BlockCache, opened: Opener) -> None:
    content = random.Random(1).randbytes(MIB)
    bucket.put("object", content)
    file = opened("object")
    assert file.at_hand(4 * KIB, 0) is None, "nothing is here"
    file.pread(8 * KIB, 0)
    file.pread(8 * KIB, 16 * KIB)
    asked = len(bucket.requests)
    for size, offset in ((8 * KIB, 0), (100, 50), (8 * KIB, 16 * KIB), (1, 24 * KIB - 1)):
        found = file.at_hand(size, offset)
        assert found is not None
        assert bytes(found) == content[offset : offset + size]
    assert file.at_hand(24 * KIB, 0) is None, "there is a gap"
    assert file.at_hand(100, MIB) is None, "it is the end, which pread() tells"
    assert len(bucket.requests) == asked
    hits = cache.hits()["memory"]
    assert (hits.hits, hits.hit_bytes) == (4, 16 * KIB + 101)
    file.close()
    assert file.at_hand(100, 50) is None


def test_reads_at_hand_that_follow_each_other_have_more_fetched_ahead(bucket: Bucket, opened: Opener) -> None:
    content = random.Random(1).randbytes(4 * MIB)
    bucket.put("object", content)
    file, at = opened("object"), 0
    while at < len(content):
        found = file.at_hand(128 * KIB, at)
        assert (found or file.pread(128 * KIB, at)) == content[at : at + 128 * KIB]
        at += 128 * KIB
    assert len(bucket.requests) < 20


class TestWhatIsFetched:
    def test_the_ends_of_a_huge_object_cost_a_page(self, bucket: Bucket, opened: Opener) -> None:
        pages = Pages(GIB + 5)
        bucket.put("huge", pages)
        file = opened("huge")
        assert file.pread(10, 0) == pages.read(10, 0)
        assert file.pread(100, GIB - 5) == pages.read(10, GIB - 5)
        assert bucket.fetched <= 3 * 4096
        assert file.pread(1, GIB + 5) == b""

    def test_random_reads_cost_little_more_than_they_bring(self, bucket: Bucket, opened: Opener) -> None:
        pages, chance = Pages(5 * GIB), random.Random(0)
        bucket.put("huge", pages)
        file, asked = opened("huge"), 0
        for _ in range(500):
            offset = chance.randrange(5 * GIB - 64 * KIB)
            assert file.pread(64 * KIB, offset) == pages.read(64 * KIB, offset)
            asked += 64 * KIB
        assert asked <= bucket.fetched <= 1.3 * asked

    def test_a_small_object_is_fetched_whole_and_once(self, bucket: Bucket, opened: Opener) -> None:
        bucket.put("small", bytes(range(256)) * 1024)
        assert bucket.objects["small"][1].size == SMALL
        assert opened("small").pread(3, 1000) == bytes([232, 233, 234])
        assert opened("small").pread(SMALL, 0) == bytes(range(256)) * 1024
        assert bucket.requests == [(0, SMALL)]

    def test_a_sequential_read_is_fetched_once_in_large_requests_several_at_once(self, bucket: Bucket) -> None:
        pages, cache = Pages(128 * MIB), BlockCache()
        bucket.put("big", pages)
        bucket.latency = 0.002
        file = cache.open(bucket.open("big"), "big", bucket.stat("big"))
        for offset in range(0, 128 * MIB, MIB):
            assert file.pread(MIB, offset) == pages.read(MIB, offset)
        assert bucket.fetched == 128 * MIB
        assert len(bucket.requests) < 40
        assert bucket.most_under_way > 1
        file.close()
        cache.close()

    def test_what_is_read_in_the_midst_is_not_fetched_again(self, bucket: Bucket, opened: Opener) -> None:
        bucket.put("f", Pages(MIB))
        file = opened("f")
        file.pread(8 * KIB, 100 * KIB)
        file.pread(8 * KIB, 116 * KIB)
        assert file.pread(64 * KIB, 80 * KIB) == Pages(MIB).read(64 * KIB, 80 * KIB)
        assert sorted(bucket.requests[2:]) == [
            (80 * KIB, 20 * KIB), (108 * KIB, 8 * KIB), (124 * KIB, 20 * KIB),
        ]  # fmt: skip

    def test_what_is_under_way_is_waited_for(self, bucket: Bucket, opened: Opener) -> None:
        bucket.put("f", Pages(GIB))
        file, gate = opened("f"), threading.Event()
        bucket.before = lambda *_: gate.wait(SOON) and None
        readers = [start(file.pread, 64 * KIB, MIB + 16 * KIB * number) for number in range(3)]
        while bucket.under_way < 3:
            pass
        gate.set()
        for number, reader in enumerate(readers):
            assert reader.result(SOON) == Pages(GIB).read(64 * KIB, MIB + 16 * KIB * number)
        assert bucket.fetched == 96 * KIB

    def test_no_more_is_fetched_ahead_for_who_has_closed(
        self, bucket: Bucket, cache: BlockCache, opened: Opener
    ) -> None:
        bucket.put("f", Pages(GIB))
        file, gate = opened("f"), threading.Event()
        for offset in range(0, 2 * MIB, 64 * KIB):
            file.pread(64 * KIB, offset)
        settled = bucket.fetched
        bucket.before = lambda *_: gate.wait(SOON) and None
        reading = start(file.pread, 2 * MIB, 2 * MIB)
        file.close()
        gate.set()
        reading.result(SOON)
        settle(cache)
        assert bucket.fetched <= settled + 6 * MIB
        assert bucket.under_way == 0


class TestWhatIsHeld:
    def test_a_huge_object_stays_within_the_budget(self, bucket: Bucket, cache: BlockCache, opened: Opener) -> None:
        bucket.put("huge", Pages(GIB))
        file = opened("huge")
        for offset in range(0, GIB, 2 * MIB):
            file.pread(2 * MIB, offset)
            assert cache.status()["memory"] <= BUDGET
        assert bucket.fetched == GIB

    def test_readers_that_need_more_than_there_is_wait_for_each_other(
        self, bucket: Bucket, cache: BlockCache, opened: Opener
    ) -> None:
        bucket.put("huge", Pages(GIB))
        bucket.latency = 0.002

        def work(number: int) -> None:
            file = opened("huge")
            for step in range(8):
                offset = number * 32 * MIB + step * 2 * MIB + 1
                assert file.pread(2 * MIB, offset) == Pages(GIB).read(2 * MIB, offset)
                assert cache.status()["memory"] <= BUDGET

        for worker in [start(work, number) for number in range(16)]:
            worker.result(60)
        settle(cache)
        assert cache.status()["memory"] <= BUDGET

    def test_what_was_not_used_for_longest_goes_first(self, bucket: Bucket, opened: Opener) -> None:
        for name in ("a", "b"):
            bucket.put(name, Pages(SMALL))
        a, b = opened("a"), opened("b")
        a.pread(1, 0)
        b.pread(1, 0)
        bucket.put("big", Pages(GIB))
        big = opened("big")
        for step in range(12):
            big.pread(MIB - 4 * KIB, step * 3 * MIB)
            a.pread(1, 0)
        bucket.requests.clear()
        a.pread(1, 0)
        assert bucket.requests == []
        b.pread(1, 0)
        assert bucket.requests == [(0, SMALL)]

    def test_it_outlives_the_close_if_the_version_is_known(
        self, bucket: Bucket, cache: BlockCache, opened: Opener
    ) -> None:
        bucket.put("f", b"content")
        opened("f").close()
        file = opened("f")
        file.pread(7, 0)
        file.close()
        assert opened("f").pread(7, 0) == b"content"
        assert len(bucket.requests) == 1

    def test_without_a_version_nothing_outlives_the_close(self, bucket: Bucket, cache: BlockCache) -> None:
        bucket.put("f", b"content")
        file = cache.open(bucket.open("f"), "f", bucket.stat("f")._replace(version=None))
        assert (file.pread(7, 0), cache.status()["memory"]) == (b"content", 7)
        file.close()
        assert cache.status()["memory"] == 0


class TestWhatHasChanged:
    def test_another_version_is_another_content(self, bucket: Bucket, opened: Opener) -> None:
        bucket.put("f", b"old")
        assert opened("f").pread(9, 0) == b"old"
        bucket.put("f", b"newer")
        assert opened("f").pread(9, 0) == b"newer"

    def test_one_that_changes_under_an_open_file_is_stale(self, bucket: Bucket, opened: Opener) -> None:
        pages = Pages(GIB)
        bucket.put("f", pages)
        file = opened("f")
        before = file.pread(4096, 0)
        bucket.put("f", Pages(GIB))
        assert file.pread(4096, 0) == before
        with pytest.raises(VersionMismatchError):
            file.pread(4096, MIB)
        del bucket.objects["f"]
        with pytest.raises(VersionMismatchError):
            file.pread(4096, MIB)

    def test_one_that_is_shorter_than_it_said_is_stale(self, bucket: Bucket, opened: Opener) -> None:
        bucket.put("f", Blob(b"content"))
        file = opened("f")
        bucket.objects["f"][1].data = b"con"
        with pytest.raises(VersionMismatchError):
            file.pread(7, 0)


class TestFailing:
    def test_the_reader_gets_the_error_and_the_next_one_tries_again(self, bucket: Bucket, opened: Opener) -> None:
        bucket.put("f", b"content")
        file = opened("f")

        def fail(*_: int) -> None:
            raise TimeoutError("the storage is down")

        bucket.before = fail
        for _ in range(2):
            with pytest.raises(TimeoutError):
                file.pread(7, 0)
        bucket.before = lambda *_: None
        assert file.pread(7, 0) == b"content"

    def test_what_failed_ahead_is_fetched_by_who_needs_it(self, bucket: Bucket, opened: Opener) -> None:
        pages = Pages(16 * MIB)
        bucket.put("f", pages)
        file, main = opened("f"), threading.current_thread()

        def fail_in_the_pool(*_: int) -> None:
            if threading.current_thread() is not main:
                raise ConnectionResetError

        bucket.before = fail_in_the_pool
        for offset in range(0, 16 * MIB, MIB):
            assert file.pread(MIB, offset) == pages.read(MIB, offset)

    def test_a_closed_cache_still_reads_for_who_has_it_open(
        self, bucket: Bucket, cache: BlockCache, opened: Opener
    ) -> None:
        bucket.put("f", Pages(16 * MIB))
        file = opened("f")
        file.pread(4096, 8192)
        cache.close()
        assert file.pread(2 * MIB, 0) + file.pread(2 * MIB, 2 * MIB) == Pages(16 * MIB).read(4 * MIB, 0)

    def test_a_closed_file_reads_nothing(self, bucket: Bucket, opened: Opener) -> None:
        bucket.put("f", b"content")
        file = opened("f")
        assert not file.closed
        file.close()
        file.close()
        assert file.closed
        with pytest.raises(ValueError, match="closed"):
            file.pread(7, 0)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 600 * KIB), st.integers(0, 300 * KIB)), min_size=1, max_size=30),
    st.integers(SMALL, 600 * KIB),
)
def test_it_reads_what_is_there(reads: list[tuple[int, int]], size: int) -> None:
    bucket, cache = Bucket(), BlockCache(BUDGET)
    data = random.Random(size).randbytes(size)
    bucket.put("f", data)
    file = cache.open(bucket.open("f"), "f", bucket.stat("f"))
    for offset, length in reads:
        assert file.pread(length, offset) == data[offset : offset + length]
        assert file.pread(4 * KIB, offset + length) == data[offset + length : offset + length + 4 * KIB]
    settle(cache)
    file.close()
    cache.close()
    assert bucket.fetched <= size + 4 * KIB
