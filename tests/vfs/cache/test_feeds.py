"""Feeds: answers that go on, from a source that the test lets come, be late, break or end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from counted_bucket import Blob, Bucket
from gates import SOON

from storage.files import File
from vfs.cache import BlockCache, CachedFile, feeds
from vfs.cache.content import FED

MIB = 1 << 20
CONTENT = bytes(number * 7 % 251 for number in range(1 << 16)) * 16 * 24


class Answer:
    """A source over `CONTENT`, which counts what is read of it."""

    def __init__(self, start: int, *, breaks_after: int | None = None) -> None:
        self.at = start
        self.left = breaks_after
        self.is_closed = threading.Event()

    def read(self, size: int) -> bytes:
        if self.left is not None and size > self.left:
            raise ConnectionResetError("cut")
        if self.left is not None:
            self.left -= size
        data = CONTENT[self.at : self.at + size]
        self.at += size
        return data

    def close(self) -> None:
        self.is_closed.set()


class Fed(File):
    """A ranged file over an object of the counting bucket, with answers that go on."""

    ranged = True

    def __init__(self, bucket: Bucket, answers: list[Answer], make: Callable[[int], Answer | None]) -> None:
        super().__init__(bucket.open("object"), "object")
        self._answers = answers
        self._make = make

    def pread(self, size: int, offset: int) -> bytes:
        return self.file.pread(size, offset)

    def stream(self, offset: int) -> Answer | None:
        answer = self._make(offset)
        if answer is not None:
            self._answers.append(answer)
        return answer


@pytest.fixture
def bucket() -> Bucket:
    bucket = Bucket()
    bucket.put("object", Blob(CONTENT))
    return bucket


@pytest.fixture
def answers() -> list[Answer]:
    return []


@pytest.fixture
def cache() -> Iterator[BlockCache]:
    cache = BlockCache()
    yield cache
    cache.close()


Opener = Callable[..., CachedFile]


@pytest.fixture
def opened(bucket: Bucket, cache: BlockCache, answers: list[Answer]) -> Opener:
    def open_one(make: Callable[[int], Answer | None] = Answer) -> CachedFile:
        return cache.open(Fed(bucket, answers, make), "object", bucket.stat("object"))

    return open_one


def read_all(file: CachedFile, end: int = len(CONTENT)) -> None:
    """Read in order, and compare."""
    for at in range(0, end, MIB):
        assert file.pread(MIB, at) == CONTENT[at : at + MIB]


def test_who_reads_in_order_is_fed_by_one_answer(bucket: Bucket, opened: Opener, answers: list[Answer]) -> None:
    file = opened()
    read_all(file)
    assert len(answers) == 1
    assert len(bucket.requests) < 2 * FED // (256 << 10), "what was read before the feed began"
    file.close()
    assert answers[0].is_closed.wait(SOON)


def test_random_reads_and_short_ones_have_none(opened: Opener, answers: list[Answer]) -> None:
    file = opened()
    read_all(file, MIB)
    for at in (9, 3, 15, 7, 12):
        assert file.pread(MIB, at * MIB) == CONTENT[at * MIB : (at + 1) * MIB]
    file.close()
    assert answers == []


def test_what_a_broken_answer_does_not_bring_is_fetched(opened: Opener, answers: list[Answer]) -> None:
    file = opened(lambda start: Answer(start, breaks_after=3 * MIB))
    read_all(file)
    assert len(answers) == 1, "the next has to wait"
    assert answers[0].is_closed.wait(SOON)
    file.close()


def test_an_answer_that_ends_early_is_as_a_broken_one(opened: Opener, answers: list[Answer]) -> None:
    class Short(Answer):
        def read(self, size: int) -> bytes:
            return super().read(size)[:-1]

    file = opened(Short)
    read_all(file)
    assert len(answers) == 1
    file.close()


def test_a_storage_without_such_answers_is_asked_for_blocks(opened: Opener) -> None:
    file = opened(lambda start: None)
    read_all(file)
    file.close()


@pytest.mark.parametrize("is_quick", [True, False])
def test_a_far_server_is_asked_for_blocks_unless_one_answer_brings_more(
    is_quick: bool, opened: Opener, answers: list[Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "NEAR", -1.0)
    monkeypatch.setattr(feeds, "WORTH", 0 if is_quick else 1 << 60)
    file = opened()
    read_all(file)
    assert (answers[0].at == len(CONTENT)) is is_quick
    again = opened()
    read_all(again)
    assert len(answers) == 1, "all is in the memory, or it did not pay a moment ago"
    file.close()
    again.close()


def test_few_feeds_go_to_those_who_read_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "PATIENCE", 0.0)
    lock = threading.Lock()
    with ThreadPoolExecutor() as pool:
        found = feeds.Feeds(lock, pool.submit)
        made = {key: Answer(0) for key in range(feeds.MOST + 1)}
        for key, answer in made.items():
            come = threading.Event()
            with lock:
                assert found.takes(key, 0)
                piece = feeds.Piece(None, 0, MIB, is_ahead=True)  # type: ignore[arg-type]
                assert found.want(key, [piece], lambda _, answer=answer: answer, lambda *_, come=come: come.set())
            assert come.wait(SOON)
            deadline = time.monotonic() + SOON
            while found._feeds[key].is_running:  # until its thread has seen that there is no more
                assert time.monotonic() < deadline
        assert made[0].is_closed.wait(SOON)
        assert not any(answer.is_closed.is_set() for key, answer in made.items() if key)
