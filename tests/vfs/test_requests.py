"""What a mount asks of a bucket: nothing that it knows already, as it has just made it, changed it or listed it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator

import pytest
from kernel import Verbs

from services.http_proxy import HTTPProxy
from services.s3 import Bucket
from storage import Kind, OpenDALStorage
from vfs.filesystem import FileSystem
from vfs.testing.place import soon

NEW = os.O_CREAT | os.O_WRONLY | os.O_EXCL


class Asked:
    """The verbs of a mount, and what it asks of its bucket meanwhile."""

    def __init__(self, verbs: Verbs, proxy: HTTPProxy) -> None:
        self.verbs = verbs
        self._proxy = proxy

    def by(self, work: Callable[[], object]) -> list[str]:
        """The methods of the requests that `work` makes, GET being a listing here."""
        self._proxy.requests.clear()
        work()
        return sorted(request.method for request in self._proxy.requests)

    def create(self, name: str) -> None:
        fd = self.verbs.open(name, NEW)
        self.verbs.write(fd, b"content", 0)
        self.verbs.close(fd)


@pytest.fixture(params=[False, True], ids=["prefixes", "markers"])
def asked(request: pytest.FixtureRequest, s3_bucket: Bucket) -> Iterator[Asked]:
    """A mount whose directories are the beginnings of names, or objects of their own; d/ and d/first are made by it."""
    with HTTPProxy(s3_bucket.port) as proxy:
        storage = OpenDALStorage(**s3_bucket.at(proxy.port).opendal, directories=request.param)
        filesystem = FileSystem(storage, cache_seconds=60)
        asked = Asked(Verbs(filesystem), proxy)
        asked.verbs.mkdir("d")
        asked.create("d/first")  # the first of all tries whether conditions hold
        yield asked
        asked.verbs.close_all()
        filesystem.close()


@pytest.fixture
def listed(s3_bucket: Bucket) -> Iterator[Asked]:
    """A mount that keeps attributes, of a bucket in which others have put d/0 to d/9, and which has listed d."""
    for number in range(10):
        s3_bucket.put(f"d/{number}", b"content")
    with HTTPProxy(s3_bucket.port) as proxy:
        storage = OpenDALStorage(**s3_bucket.at(proxy.port).opendal, attributes=True)
        filesystem = FileSystem(storage, cache_seconds=60)
        asked = Asked(Verbs(filesystem), proxy)
        assert soon(lambda: asked.by(lambda: list(storage.scandir("d"))) == ["GET"]), "they are older than a second"
        asked.verbs.listdir("d")
        yield asked
        asked.verbs.close_all()
        filesystem.close()


def age(asked: Asked) -> None:
    """What was listed in d, and looked at, is as old as it may become."""
    with asked.verbs.at("d") as node:
        node.listing_expires = 0.0
        for child in node.children.values():
            child.expires = 0.0


def sizes(asked: Asked) -> list[int]:
    """The sizes of d/0 to d/9."""
    return [asked.verbs.stat(f"d/{number}").size for number in range(10)]


def test_with_attributes_a_listing_answers_for_what_is_as_it_was(listed: Asked, s3_bucket: Bucket) -> None:
    age(listed)
    assert listed.by(lambda: sizes(listed)) == ["GET", "HEAD", "HEAD", "HEAD"], "three, and then it is listed again"
    age(listed)
    s3_bucket.put("d/8", b"changed it")
    assert listed.by(lambda: sizes(listed)) == ["GET", "HEAD", "HEAD", "HEAD", "HEAD"]
    assert sizes(listed)[7:] == [7, 10, 7]


def test_with_attributes_a_listing_says_what_is_absent(listed: Asked) -> None:
    age(listed)

    def look_for_others() -> None:
        for number in range(10):
            with pytest.raises(FileNotFoundError):
                listed.verbs.stat(f"d/missing {number}")

    first = listed.by(look_for_others)
    assert listed.by(look_for_others) == []
    assert (first.count("HEAD"), first.count("GET")) == (6, 4), "three are asked for until it is listed again"


def test_with_attributes_who_lists_sees_all_after_a_glance(listed: Asked, s3_bucket: Bucket) -> None:
    age(listed)
    s3_bucket.ask("PUT", "d/0", b"target", {"x-amz-meta-mode": str(stat.S_IFLNK | 0o777)})
    for number in range(5):
        listed.verbs.stat(f"d/{number + 1}")
    with listed.verbs.at("d") as node:
        assert {line.name for line in listed.verbs.filesystem.readdir(node) if line.kind is Kind.SYMLINK} == {"0"}


def test_a_new_directory_is_known_to_be_empty(asked: Asked) -> None:
    def look() -> None:
        with pytest.raises(FileNotFoundError):
            asked.verbs.stat("d/missing")

    assert asked.by(look) == []
    assert asked.by(lambda: asked.verbs.listdir("d")) == []
    assert asked.verbs.listdir("d") == ["first"]


def test_a_new_file_is_one_request(asked: Asked) -> None:
    assert asked.by(lambda: asked.create("d/file")) == ["PUT"]
    assert asked.by(lambda: asked.verbs.stat("d/file")) == []
    assert asked.by(lambda: asked.verbs.stat("d")) == []


def test_what_the_mount_keeps_by_itself_is_no_request(asked: Asked) -> None:
    attributes = {"mode": 0o600, "mtime_ns": 10**18}
    for name in ("d", "d/first"):
        with asked.verbs.at(name) as node:
            assert asked.by(lambda node=node: asked.verbs.filesystem.setattr(node, **attributes)) == []  # type: ignore[misc]
    assert asked.by(lambda: asked.create("d/file")) == ["PUT"]


def test_a_name_that_goes_leaves_the_others_known(asked: Asked) -> None:
    asked.create("d/other")
    assert asked.by(lambda: asked.verbs.unlink("d/first")) == ["DELETE", "HEAD"]
    assert asked.by(lambda: asked.verbs.listdir("d")) == []
    assert asked.verbs.listdir("d") == ["other"]
    assert asked.by(lambda: asked.verbs.stat("d/other")) == []
    assert asked.by(lambda: asked.create("d/first")) == ["PUT"]


def test_a_rename_is_a_copy_and_a_deletion(asked: Asked) -> None:
    asked.create("d/other")
    copy = ["HEAD", "PUT"]  # OpenDAL looks how large the original is
    assert asked.by(lambda: asked.verbs.rename("d/first", "d/second")) == ["DELETE", *copy]
    assert asked.by(lambda: asked.verbs.stat("d/second")) == []
    assert asked.by(lambda: asked.verbs.rename("d/second", "d/other")) == ["DELETE", *copy]
    assert asked.by(lambda: asked.verbs.listdir("d")) == []
    assert asked.verbs.listdir("d") == ["other"]
    assert asked.verbs.get("d/other") == b"content"


def test_a_rename_of_what_others_have_changed_since_renames_that(asked: Asked, s3_bucket: Bucket) -> None:
    s3_bucket.put("d/first", b"newer")
    asked.verbs.rename("d/first", "d/second")
    assert (s3_bucket.get("d/second"), set(s3_bucket.keys()) - {"d/"}) == (b"newer", {"d/second"})
    age(asked)
    assert asked.verbs.get("d/second") == b"newer"


def test_a_rename_of_what_others_have_deleted_since_fails(asked: Asked, s3_bucket: Bucket) -> None:
    s3_bucket.delete("d/first")
    with pytest.raises(FileNotFoundError):
        asked.verbs.rename("d/first", "d/second")


@pytest.mark.parametrize("asked", [False], indirect=True, ids=["prefixes"])
def test_a_directory_that_no_object_shows_is_looked_for_once(asked: Asked) -> None:
    asked.verbs.unlink("d/first")
    assert asked.by(lambda: asked.verbs.rmdir("d")) == ["GET", "GET", "HEAD"]


@pytest.mark.parametrize("asked", [True], indirect=True, ids=["markers"])
def test_a_directory_is_one_request_where_it_stays_while_it_is_empty(asked: Asked, s3_bucket: Bucket) -> None:
    assert asked.by(lambda: asked.verbs.mkdir("d/new")) == ["PUT"]
    assert asked.by(lambda: asked.verbs.stat("d/new")) == []
    assert s3_bucket.etag("d/new/")


@pytest.mark.parametrize("asked", [True], indirect=True, ids=["markers"])
def test_of_two_who_make_a_directory_one_does(asked: Asked, s3_bucket: Bucket) -> None:
    with asked.verbs.at("d") as node:
        assert asked.verbs.filesystem.names.is_known_absent(node, "lock")
        s3_bucket.put("d/lock/", b"")  # by another mount, since this one has looked
        with pytest.raises(FileExistsError):
            asked.verbs.filesystem.mkdir(node, "lock", 0o755, asked.verbs.caller)
