"""Names that are asked for one after the other, and the directory that is listed instead."""

from __future__ import annotations

import pytest
from counted_bucket import Bucket
from gates import SOON, Gate, start

from storage.entry import Kind
from vfs.names.namespace import Namespace


class CountedBucket(Bucket):
    """One that knows how many requests of each kind were made."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds: list[object] = []

    def count(self, *request: object) -> None:
        self.kinds.append(request[0])

    def asked(self) -> dict[object, int]:
        return {kind: self.kinds.count(kind) for kind in sorted(set(self.kinds), key=str)}


@pytest.fixture
def bucket() -> CountedBucket:
    return CountedBucket()


@pytest.fixture
def names(bucket: CountedBucket) -> Namespace:
    return Namespace(bucket, 60.0)


def test_what_was_listed_is_listed_again_after_a_few_names(bucket: CountedBucket, names: Namespace) -> None:
    for number in range(50):
        bucket.put(f"{number}", b"x" * number)
    names.listings.of(names.tree.root)
    names.tree.root.listing_expires = 0.0
    for number in range(50):
        assert names.look_up(names.tree.root, str(number))[1].size == number  # type: ignore[union-attr]
    for _ in range(10):
        with pytest.raises(FileNotFoundError):
            names.find(names.tree.root, "missing")
    assert bucket.asked() == {"head": 4, "list": 2}  # the root is asked for, too


def test_a_large_directory_after_as_many_as_its_listing_costs(bucket: CountedBucket, names: Namespace) -> None:
    for number in range(2500):
        bucket.put(f"{number}", b"")
    names.listings.of(names.tree.root)
    names.tree.root.listing_expires = 0.0
    for number in range(20):
        names.find(names.tree.root, str(number))
    assert bucket.asked() == {"head": 1 + 3 + 2, "list": 2}


def test_one_that_was_never_listed_is_not(bucket: CountedBucket, names: Namespace) -> None:
    for number in range(20):
        bucket.put(f"{number}", b"")
        names.find(names.tree.root, str(number))
    assert bucket.asked() == {"head": 21}


def test_what_the_mount_changes_meanwhile_is_not_hidden(bucket: CountedBucket, names: Namespace) -> None:
    for number in range(10):
        bucket.put(f"{number}", b"")
    names.listings.of(names.tree.root)
    names.tree.root.listing_expires = 0.0
    for number in range(5):
        names.find(names.tree.root, str(number))
    bucket.put("new", b"")
    names.made(names.tree.root, "new", bucket.stat("new"))
    assert names.find(names.tree.root, "new").name == "new"


def test_a_name_that_was_just_missing_is_not_asked_for_again(bucket: CountedBucket, names: Namespace) -> None:
    root = names.tree.root
    for _ in range(2):
        assert names.find_or_none(root, "new") is None
    assert bucket.asked() == {"head": 2}, "the root is asked for, too"
    bucket.put("new", b"")
    names.touch(root)
    assert names.find(root, "new").name == "new", "the mount has changed something in the directory"


def test_a_missing_name_is_believed_no_longer_than_others(bucket: CountedBucket) -> None:
    names = Namespace(bucket, 1e-9)
    assert names.find_or_none(names.tree.root, "new") is None
    bucket.put("new", b"")
    assert names.find(names.tree.root, "new").name == "new"


def test_a_missing_name_is_forgotten_by_a_refresh(bucket: CountedBucket, names: Namespace) -> None:
    assert names.find_or_none(names.tree.root, "new") is None
    bucket.put("new", b"")
    names.doubt("")
    assert names.find(names.tree.root, "new").name == "new"


def test_a_directory_that_the_mount_fills_is_not_asked_for_each_name(bucket: CountedBucket, names: Namespace) -> None:
    folder = names.add_virtual(names.tree.root, "folder", Kind.DIRECTORY, {})
    for number in range(20):
        before = len(bucket.kinds)
        node = names.add_virtual(folder, str(number), Kind.FILE, {})
        assert len(bucket.kinds) == before
        bucket.put(f"folder/{number}", b"x")
        names.stored(node, bucket.stat(f"folder/{number}"))
    before = len(bucket.kinds)
    assert set(names.listings.of(folder)) == {str(number) for number in range(20)}
    assert len(bucket.kinds) == before


def test_what_the_mount_takes_from_a_listed_directory_is_gone(bucket: CountedBucket, names: Namespace) -> None:
    root = names.tree.root
    bucket.put("file", b"")
    assert set(names.listings.of(root)) == {"file"}
    names.add_virtual(root, "other", Kind.FILE, {})
    bucket.delete("file")
    names.removed(root, "file")
    assert set(names.listings.of(root)) == set()


def test_what_the_mount_stores_meanwhile_is_in_the_listing(
    bucket: CountedBucket, names: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = names.tree.root
    bucket.put("old", b"")
    gate = Gate.at(monkeypatch, bucket, "scandir", after=True)
    listing = start(names.listings.of, root)
    gate.wait()
    node = names.add_virtual(root, "new", Kind.FILE, {})
    bucket.put("new", b"x")
    names.stored(node, bucket.stat("new"))
    gate.open()
    assert set(listing.result(SOON)) == {"old", "new"}
    assert set(names.listings.fresh(root) or ()) == {"old", "new"}


def test_what_the_mount_takes_meanwhile_makes_it_one_that_is_not_believed(
    bucket: CountedBucket, names: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = names.tree.root
    bucket.put("old", b"")
    names.find(root, "old")
    gate = Gate.at(monkeypatch, bucket, "scandir", after=True)
    listing = start(names.listings.of, root)
    gate.wait()
    bucket.delete("old")
    names.removed(root, "old")
    gate.open()
    listing.result(SOON)
    assert names.listings.fresh(root) is None


def test_who_asks_while_it_is_listed_waits_for_that(
    bucket: CountedBucket, names: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = names.tree.root
    for number in range(10):
        bucket.put(f"{number}", b"")
    names.listings.of(root)
    root.listing_expires = 0.0
    for number in range(3):
        names.find(root, f"{number}")
    before = bucket.asked()
    gate = Gate.at(monkeypatch, bucket, "scandir", after=True)
    first = start(names.find, root, "3")
    gate.wait()
    others = [start(names.find, root, f"{number}") for number in range(4, 10)]
    gate.open()
    assert [one.result(SOON).name for one in (first, *others)] == [f"{number}" for number in range(3, 10)]
    assert bucket.asked() == {**before, "list": 2}
