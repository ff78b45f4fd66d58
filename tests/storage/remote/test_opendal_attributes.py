"""OpenDALStorage with `attributes`: what is kept in the objects' metadata, in what form, and by how many requests."""

from __future__ import annotations

import asyncio
import copy
import errno
import os
import pickle
import stat
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, strategies as st

from services.http_proxy import HTTPProxy
from services.s3 import Bucket
from storage import ContentFile, Entry, ImproperlyConfigured, Kind, OpenDALStorage, VersionMismatchError
from storage.remote.opendal import moving
from storage.remote.opendal.attributes import AttributeStorage
from storage.remote.opendal.metadata import described, metadata_of
from storage.testing.conformance import Traits, posix
from storage.testing.conformance.traits import put, read
from vfs.testing.place import soon

pytest.importorskip("opendal")

SPACES = {"s3": "s3_bucket", "azblob": "azure_container", "gcs": "gcs_bucket"}
PART = 5 << 20
GIVEN = {"mode": 0o4751, "uid": 1234, "gid": 65_533, "atime_ns": 1, "mtime_ns": 1_600_000_000_123_456_789}


@pytest.fixture(params=[pytest.param(kind, marks=pytest.mark.services) for kind in SPACES])
def storage(request: pytest.FixtureRequest) -> Iterator[OpenDALStorage]:
    """One on each kind of server."""
    made = OpenDALStorage(**request.getfixturevalue(SPACES[request.param]).opendal, attributes=True)
    yield made
    made.close()


@pytest.fixture
def on_s3(s3_bucket: Bucket, proxy: HTTPProxy) -> Iterator[OpenDALStorage]:
    made = OpenDALStorage(**s3_bucket.at(proxy.port).opendal, attributes=True, part_size=PART)
    yield made
    made.close()


def requests_of(proxy: HTTPProxy, call: Callable[[], object]) -> list[str]:
    before = len(proxy.requests)
    call()
    return ["LIST" if "list-type" in request.target else request.method for request in proxy.requests[before:]]


def attributes_of(entry: Entry) -> dict[str, int | None]:
    return {name: getattr(entry, name) for name in GIVEN}


def metadata_in(bucket: Bucket, key: str) -> dict[str, str]:
    """The user metadata of an object without those that are this package's own."""
    headers = bucket.ask("HEAD", key)[1]
    prefix = "x-amz-meta-"
    found = {name.lower().removeprefix(prefix): value for name, value in headers.items() if prefix in name.lower()}
    found.pop("vfswrite", None)
    return found


class TestKeeping:
    def test_with_the_content(self, storage: OpenDALStorage) -> None:
        assert storage.stores_attributes
        stored = storage.replace("dir/f", ContentFile(b"content"), attributes=GIVEN)  # type: ignore[call-arg]
        assert attributes_of(stored) == GIVEN
        assert storage.stat("dir/f") == stored
        assert list(storage.scandir("dir")) == [stored]
        assert read(storage, "dir/f") == b"content"

    def test_later(self, storage: OpenDALStorage) -> None:
        put(storage, "f", b"content")
        plain = storage.stat("f")
        assert (plain.mode, plain.uid, plain.atime_ns, plain.ctime_ns) == (None, None, None, plain.mtime_ns)
        storage.set_attributes("f", mode=0o600)
        assert attributes_of(storage.stat("f")) == {**attributes_of(plain), "mode": 0o600, "mtime_ns": pytest.approx(
            plain.mtime_ns, abs=5 * 10**9
        )}  # fmt: skip
        storage.set_attributes("f", **{name: value for name, value in GIVEN.items() if name != "mode"})
        assert attributes_of(storage.stat("f")) == {**GIVEN, "mode": 0o600}
        assert read(storage, "f") == b"content"

    def test_of_an_empty_object(self, storage: OpenDALStorage) -> None:
        put(storage, "f", b"")
        storage.set_attributes("f", mode=0o640)
        assert (storage.stat("f").mode, storage.stat("f").size) == (0o640, 0)

    def test_as_on_a_disk(self, storage: OpenDALStorage) -> None:
        suite, native = posix.TestAttributesOfEntries(), Traits(native=True)
        suite.test_set_attributes(storage, native)
        storage.delete("f")
        put(storage, "f", b"old")
        storage.set_attributes("f", mode=0o750, uid=7, gid=8)
        new = storage.replace("f", ContentFile(b"new"))
        with storage.open("f", "ab") as file:
            file.write(b"er")
        for entry in (new, storage.stat("f")):
            assert (entry.mode, entry.uid, entry.gid) == (0o750, 7, 8)
        posix.TestLinksAndSpecialFiles().test_a_symbolic_link_is_kept_as_it_is(storage, native)

    def test_a_symbolic_link(self, storage: OpenDALStorage) -> None:
        target = "../a place/Ünï \udcff\n"
        storage.symlink(target, "dir/link", uid=7, gid=8)
        found = storage.stat("dir/link")
        assert (found.kind, found.mode, found.uid, found.gid) == (Kind.SYMLINK, 0o777, 7, 8)
        assert found.size == len(os.fsencode(target))
        assert storage.readlink("dir/link") == target
        assert [entry.kind for entry in storage.scandir("dir")] == [Kind.SYMLINK]
        storage.set_attributes("dir/link", uid=9, mtime_ns=5)
        assert (storage.stat("dir/link").kind, storage.stat("dir/link").uid) == (Kind.SYMLINK, 9)
        assert storage.readlink("dir/link") == target
        with pytest.raises(FileExistsError):
            storage.symlink("elsewhere", "dir/link")
        with pytest.raises(OSError) as caught:
            storage.open("dir/link")
        assert caught.value.errno == errno.ELOOP

    def test_what_is_no_link_has_no_target(self, storage: OpenDALStorage) -> None:
        put(storage, "f", b"elsewhere")
        with pytest.raises(OSError) as caught:
            storage.readlink("f")
        assert caught.value.errno == errno.EINVAL

    def test_copies_and_renames_have_them(self, storage: OpenDALStorage) -> None:
        storage.replace("dir/f", ContentFile(b"1"), attributes=GIVEN)  # type: ignore[call-arg]
        storage.symlink("f", "dir/link")
        storage.copy("dir/f", "copy")
        storage.rename("dir", "other")
        assert attributes_of(storage.stat("copy")) == attributes_of(storage.stat("other/f")) == GIVEN
        assert storage.readlink("other/link") == "f"

    def test_changes_are_told(self, storage: OpenDALStorage) -> None:
        put(storage, "f", b"1")
        told: list[tuple[str, str]] = []
        storage.subscribe(lambda change: told.append((change.action, change.name)))
        storage.set_attributes("f", mode=0o600)
        storage.set_attributes("f", mode=0o600)
        storage.symlink("f", "link")
        assert told == [("attributes", "f"), ("save", "link")]


class TestOnS3:
    def test_they_go_with_the_one_put(self, on_s3: OpenDALStorage, proxy: HTTPProxy) -> None:
        content = ContentFile(b"content")
        made = requests_of(proxy, lambda: on_s3.replace("f", content, attributes=GIVEN))  # type: ignore[call-arg]
        assert made.count("PUT") == 1
        assert not {"GET", "POST"} & set(made)

    def test_they_go_with_an_upload_in_parts(self, on_s3: OpenDALStorage, s3_bucket: Bucket) -> None:
        stored = on_s3.replace("f", ContentFile(bytes(PART + 1)), attributes=GIVEN)  # type: ignore[call-arg]
        assert attributes_of(stored) == attributes_of(on_s3.stat("f")) == GIVEN
        assert metadata_in(s3_bucket, "f")["mode"] == str(0o104751)

    def test_a_listing_asks_for_each_object(self, on_s3: OpenDALStorage, proxy: HTTPProxy) -> None:
        for number in range(20):
            put(on_s3, f"dir/{number}", b"1")
        assert sorted(requests_of(proxy, lambda: list(on_s3.scandir("dir")))) == ["HEAD"] * 20 + ["LIST"]
        assert requests_of(proxy, lambda: on_s3.listdir("dir")) == ["LIST"]

    def test_what_is_as_it_was_is_not_asked_for_again(
        self, on_s3: OpenDALStorage, s3_bucket: Bucket, proxy: HTTPProxy
    ) -> None:
        for number in range(5):
            on_s3.replace(f"dir/{number}", ContentFile(b"1"), attributes=GIVEN)  # type: ignore[call-arg]
        wanted = sorted(on_s3.scandir("dir"))
        scan = lambda: list(on_s3.scandir("dir"))  # noqa: E731
        assert soon(lambda: requests_of(proxy, scan) == ["LIST"]), "once the second in which they were stored is over"
        assert sorted(on_s3.scandir("dir")) == sorted(on_s3.glance("dir")) == wanted
        headers = {"x-amz-copy-source": f"{s3_bucket.name}/dir/1", "x-amz-metadata-directive": "REPLACE"}
        s3_bucket.ask("PUT", "dir/1", headers={**headers, "x-amz-meta-mode": "33152"})  # the etag stays
        s3_bucket.put("dir/2", b"2")
        assert {entry.name for entry in on_s3.glance("dir") if entry.partial} == {"1", "2"}
        assert sorted(requests_of(proxy, scan)) == ["HEAD", "HEAD", "LIST"]
        assert {entry.name: entry.mode for entry in on_s3.scandir("dir") if entry.name < "3"} == {
            "0": 0o4751, "1": 0o600, "2": None,
        }  # fmt: skip

    def test_what_may_have_changed_in_the_second_it_was_stored_in_is_asked_for(
        self, on_s3: OpenDALStorage, proxy: HTTPProxy
    ) -> None:
        put(on_s3, "dir/old", b"1")
        assert soon(lambda: on_s3.stat("dir/old") and not next(iter(on_s3.glance("dir"))).partial)
        put(on_s3, "dir/new", b"1")
        on_s3.stat("dir/new")
        assert {entry.name: entry.partial for entry in on_s3.glance("dir")} == {"old": False, "new": True}

    def test_a_glance_is_one_request(self, on_s3: OpenDALStorage, proxy: HTTPProxy) -> None:
        put(on_s3, "dir/below/f", b"1")
        on_s3.symlink("f", "dir/link")
        assert requests_of(proxy, lambda: list(on_s3.glance("dir"))) == ["LIST"]
        assert {(entry.name, entry.kind, entry.partial) for entry in on_s3.glance("dir")} == {
            ("below", Kind.DIRECTORY, False),
            ("link", Kind.FILE, True),
        }
        with pytest.raises(FileNotFoundError):
            list(on_s3.glance("missing"))
        with pytest.raises(NotADirectoryError):
            list(on_s3.glance("dir/below/f"))

    def test_a_change_costs_as_much_as_storing_again(self, on_s3: OpenDALStorage, proxy: HTTPProxy) -> None:
        put(on_s3, "f", b"1")
        on_s3.set_attributes("f", mode=0o600)  # which tries what the server holds
        made = requests_of(proxy, lambda: on_s3.set_attributes("f", mode=0o640, uid=5, mtime_ns=6))
        assert (made[:3], set(made[3:]) <= {"HEAD"}) == (["HEAD", "GET", "PUT"], True)
        assert "if-match" in next(it for it in reversed(proxy.requests) if it.method == "PUT").headers
        assert requests_of(proxy, lambda: on_s3.set_attributes("f", mode=0o640)) == ["HEAD"]

    def test_what_else_an_object_has_stays(self, on_s3: OpenDALStorage, s3_bucket: Bucket) -> None:
        headers = {"Content-Type": "text/html", "Content-Encoding": "gzip", "x-amz-meta-color": "red"}
        s3_bucket.ask("PUT", "page", b"<p>", headers)
        on_s3.set_attributes("page", mode=0o600)
        found = s3_bucket.ask("HEAD", "page")[1]
        assert {name: found[name] for name in headers} == headers
        assert metadata_in(s3_bucket, "page") == {"color": "red", "mode": str(0o100600)}

    def test_an_object_of_several_parts_is_stored_again_in_parts(
        self, on_s3: OpenDALStorage, s3_bucket: Bucket, proxy: HTTPProxy
    ) -> None:
        content = os.urandom(2 * PART + 1)
        put(on_s3, "f", content)
        on_s3.set_attributes("f", mode=0o600)  # which tries what the server holds
        made = requests_of(proxy, lambda: on_s3.set_attributes("f", **GIVEN))
        assert made.count("POST") == 2, "an upload is begun and completed"
        assert (attributes_of(on_s3.stat("f")), s3_bucket.get("f")) == (GIVEN, content)

    def test_who_stores_several_parts_meanwhile_is_not_overwritten(
        self, on_s3: OpenDALStorage, s3_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(on_s3, "f", bytes(PART + 1))
        store, others = on_s3._uploads.store, [b"new"]

        def store_late(name: str, *words: Any) -> Entry:
            if others:
                s3_bucket.put(name, others.pop())
            return store(name, *words)

        monkeypatch.setattr(on_s3._uploads, "store", store_late)
        on_s3.set_attributes("f", mode=0o600)
        assert (s3_bucket.get("f"), on_s3.stat("f").mode) == (b"new", 0o600)

    def test_a_larger_object_is_not_stored_again(self, s3_bucket: Bucket, proxy: HTTPProxy) -> None:
        options = s3_bucket.at(proxy.port).opendal
        on_s3 = OpenDALStorage(**options, attributes=True, part_size=PART, attributes_up_to=PART)
        put(on_s3, "f", bytes(PART + 1))
        with pytest.raises(NotImplementedError, match=r"more than 5242880 bytes \(its option attributes_up_to\)"):
            on_s3.set_attributes("f", mode=0o600)
        assert proxy.requests[-1].method == "HEAD"
        on_s3.close()

    def test_who_stores_meanwhile_is_not_overwritten(
        self, on_s3: OpenDALStorage, s3_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(on_s3, "f", b"old")
        fetch = on_s3._content  # type: ignore[attr-defined]
        others = [b"new", b"newer"]

        def fetch_slowly(name: str, entry: Entry) -> bytes:
            content: bytes = fetch(name, entry)
            if others:
                s3_bucket.put(name, others.pop(0))
            return content

        monkeypatch.setattr(on_s3, "_content", fetch_slowly)
        on_s3.set_attributes("f", mode=0o600)
        assert (s3_bucket.get("f"), on_s3.stat("f").mode) == (b"newer", 0o600)
        others += [b"1", b"2", b"3"]
        with pytest.raises(VersionMismatchError):
            on_s3.set_attributes("f", mode=0o640)
        assert s3_bucket.get("f") == b"3"

    def test_a_copy_that_would_be_made_in_parts_has_them(
        self, on_s3: OpenDALStorage, s3_bucket: Bucket, proxy: HTTPProxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(moving, "COPIED_WHOLE", PART)
        content = os.urandom(PART + 1)
        on_s3.replace("f", ContentFile(content), attributes=GIVEN)  # type: ignore[call-arg]
        on_s3.copy("f", "copy")
        assert not any("x-amz-copy-source" in request.headers for request in proxy.requests)
        assert attributes_of(on_s3.stat("copy")) == GIVEN
        assert s3_bucket.get("copy") == content

    def test_directories_without_markers_have_none(self, on_s3: OpenDALStorage) -> None:
        put(on_s3, "d/f", b"1")
        assert on_s3.stat("d") == Entry("d", Kind.DIRECTORY)
        for name in ("d", ""):
            with pytest.raises(NotImplementedError):
                on_s3.set_attributes(name, mode=0o700)
        with pytest.raises(FileNotFoundError):
            on_s3.set_attributes("missing", mode=0o700)


@pytest.fixture
def marked(s3_bucket: Bucket, proxy: HTTPProxy) -> Iterator[OpenDALStorage]:
    """One whose directories are objects."""
    made = OpenDALStorage(**s3_bucket.at(proxy.port).opendal, attributes=True, directories=True)
    yield made
    made.close()


class TestDirectories:
    def test_they_have_what_they_are_made_with(self, marked: OpenDALStorage, s3_bucket: Bucket) -> None:
        marked.mkdir("d", mode=0o2750, uid=7, gid=8)
        found = marked.stat("d")
        assert (found.kind, found.mode, found.uid, found.gid) == (Kind.DIRECTORY, 0o2750, 7, 8)
        assert metadata_in(s3_bucket, "d/").keys() == {"mode", "uid", "gid", "mtime"}
        assert metadata_in(s3_bucket, "d/")["mode"] == str(stat.S_IFDIR | 0o2750)
        assert s3_bucket.ask("HEAD", "d/")[1]["Content-Type"] == "application/x-directory"
        with pytest.raises(FileExistsError):
            marked.mkdir("d")
        with pytest.raises(FileNotFoundError):
            marked.mkdir("missing/d")

    def test_later(self, marked: OpenDALStorage, s3_bucket: Bucket, proxy: HTTPProxy) -> None:
        s3_bucket.ask("PUT", "d/", headers={"x-amz-meta-color": "red"})
        marked.set_attributes("d", mode=0o700)
        marked.set_attributes("d", **{name: value for name, value in GIVEN.items() if name != "mode"})
        assert attributes_of(marked.stat("d")) == {**GIVEN, "mode": 0o700}
        assert metadata_in(s3_bucket, "d/")["color"] == "red"
        assert [entry for entry in marked.scandir("") if entry.is_dir] == [marked.stat("d")]
        assert requests_of(proxy, lambda: marked.set_attributes("d", mode=0o700)) == ["HEAD", "HEAD"]
        with pytest.raises(FileNotFoundError):
            marked.set_attributes("missing", mode=0o700)
        with pytest.raises(NotImplementedError):
            marked.set_attributes("", mode=0o700)

    def test_one_that_was_listed_or_made_is_one_request(
        self, marked: OpenDALStorage, s3_bucket: Bucket, proxy: HTTPProxy
    ) -> None:
        marked.mkdir("made")
        s3_bucket.put("listed/", b"")
        list(marked.glance(""))
        for name in ("made", "listed"):
            assert requests_of(proxy, lambda name=name: marked.stat(name)) == ["HEAD"]  # type: ignore[misc]
        marked.rmdir("made")
        s3_bucket.put("made", b"1")
        assert marked.stat("made").is_file

    def test_one_whose_answer_is_lost_is_made(self, marked: OpenDALStorage, proxy: HTTPProxy) -> None:
        marked.mkdir("other")  # which tries what the server holds
        proxy.cut(0, way="down", method="PUT", target="/d/")
        marked.mkdir("d", mode=0o700)
        assert proxy.count("PUT", "/d/") == 2
        assert marked.stat("d").mode == 0o700

    def test_many_are_listed_at_once(self, marked: OpenDALStorage, s3_bucket: Bucket) -> None:
        for number in range(40):  # more than there are threads for requests
            s3_bucket.ask("PUT", f"d/{number}/", headers={"x-amz-meta-mode": str(stat.S_IFDIR | 0o700)})
        assert [entry.mode for entry in marked.scandir("d")] == [0o700] * 40

    def test_in_an_event_loop(self, marked: OpenDALStorage) -> None:
        async def make() -> Entry:
            marked.mkdir("d", mode=0o700)
            return marked.stat("d")

        assert asyncio.run(make()).mode == 0o700

    def test_one_that_only_its_objects_show_gets_a_marker(self, marked: OpenDALStorage, s3_bucket: Bucket) -> None:
        s3_bucket.put("d/f", b"1")
        assert marked.stat("d").mode is None
        assert [entry.mode for entry in marked.scandir("")] == [None]
        marked.set_attributes("d", mode=0o700)
        assert (marked.stat("d").mode, s3_bucket.keys()) == (0o700, ["d/", "d/f"])

    def test_a_name_of_all_kinds(self, marked: OpenDALStorage) -> None:
        name = "Ünï %41+ &?#=;:@!$'()*,~ \\ d"
        marked.mkdir(name, mode=0o700)
        assert (marked.stat(name).mode, [entry.name for entry in marked.scandir("")]) == (0o700, [name])

    def test_a_renamed_one_has_them(self, marked: OpenDALStorage) -> None:
        marked.mkdir("d", mode=0o700)
        marked.mkdir("d/below", mode=0o711)
        marked.rename("d", "e")
        assert (marked.stat("e").mode, marked.stat("e/below").mode) == (0o700, 0o711)

    def test_what_it_says_of_itself_does_not_make_it_something_else(
        self, marked: OpenDALStorage, s3_bucket: Bucket
    ) -> None:
        s3_bucket.ask("PUT", "d/", headers={"x-amz-meta-mode": str(stat.S_IFLNK | 0o777)})
        assert marked.stat("d").kind is Kind.DIRECTORY

    def test_an_outage_is_not_absence(self, marked: OpenDALStorage, proxy: HTTPProxy) -> None:
        marked.mkdir("d", mode=0o700)
        proxy.answer(503, method="HEAD", target="/d/")
        assert marked.stat("d").mode == 0o700, "it was tried again"
        proxy.answer(403, method="HEAD", target="/d/")
        with pytest.raises(PermissionError) as caught:
            marked.stat("d")
        assert "Signature" not in str(caught.value)
        assert caught.value.__suppress_context__


class TestWithout:
    def test_metadata_are_not_looked_at(self, s3_bucket: Bucket) -> None:
        plain = OpenDALStorage(**s3_bucket.opendal)
        s3_bucket.ask("PUT", "link", b"target", {"x-amz-meta-mode": str(stat.S_IFLNK | 0o777)})
        assert (plain.stat("link").kind, plain.stat("link").mode) == (Kind.FILE, None)
        assert not plain.stores_attributes
        with pytest.raises(NotImplementedError):
            plain.set_attributes("link", mode=0o600)
        plain.close()


@pytest.mark.parametrize("scheme", ["memory", "ftp"])
def test_a_service_without_metadata_is_refused(scheme: str) -> None:
    storage = OpenDALStorage(scheme, attributes=True, **({"endpoint": "127.0.0.1:1"} if scheme == "ftp" else {}))
    with pytest.raises(ImproperlyConfigured, match=f"option 'attributes' on '{scheme}'"):
        storage.stat("")


def test_a_subclass_says_that_it_keeps_them() -> None:
    class Plain(OpenDALStorage):
        pass

    class Keeping(AttributeStorage):
        pass

    with pytest.raises(ImproperlyConfigured, match="AttributeStorage"):
        Plain("s3", bucket="b", attributes=True)
    assert Keeping("s3", bucket="b").stores_attributes


def test_a_copy_of_the_storage_keeps_them_too() -> None:
    storage = OpenDALStorage("s3", bucket="b", attributes=True)
    for other in (copy.copy(storage), pickle.loads(pickle.dumps(storage))):
        assert type(other) is AttributeStorage
    assert storage.deconstruct()[0] == "storage.OpenDALStorage"


class TestForm:
    """What stands in the metadata."""

    ENTRY = Entry("f", Kind.FILE, 1, 99)

    @pytest.mark.parametrize(
        ("mode", "kind", "bits"),
        [
            ("33188", Kind.FILE, 0o644),  # s3fs
            ("420", Kind.FILE, 0o644),  # an old s3fs, without a type
            ("41471", Kind.SYMLINK, 0o777),
            ("4480", Kind.FIFO, 0o600),
            ("8576", Kind.FILE, 0o600),  # a device, of which nobody says which
            ("100644", Kind.FILE, 0o644),  # rclone
            ("120777", Kind.SYMLINK, 0o777),
            ("-1", Kind.FILE, None),
            ("", Kind.FILE, None),
            ("rwx", Kind.FILE, None),
            ("99999999999999999999", Kind.FILE, None),
        ],
    )
    def test_modes(self, mode: str, kind: Kind, bits: int | None) -> None:
        found = described(self.ENTRY, {"mode": mode})
        assert (found.kind, found.mode) == (kind, bits)

    @pytest.mark.parametrize(
        ("time", "ns"),
        [
            ("1600000000", 1_600_000_000 * 10**9),
            ("1600000000.5", 1_600_000_000_500_000_000),
            ("1600000000.000000001", 1_600_000_000_000_000_001),
            ("-2.500000000", -1_500_000_000),
            ("2020-09-13T12:26:40.5Z", 1_600_000_000_500_000_000),  # rclone on Azure
            ("2020-09-13T12:26:40.500000000Z", 1_600_000_000_500_000_000),
            ("2020-09-13T12:26:40", 99),
            ("tomorrow", 99),
            ("", 99),
        ],
    )
    def test_times(self, time: str, ns: int) -> None:
        assert described(self.ENTRY, {"mtime": time}).mtime_ns == ns

    def test_owners_that_nobody_can_be(self) -> None:
        found = described(self.ENTRY, {"uid": "-1", "gid": "4294967295"})
        assert (found.uid, found.gid) == (None, None)

    def test_a_change_leaves_the_rest_and_the_type(self) -> None:
        before = {"mode": str(stat.S_IFIFO | 0o600), "uid": "5", "ctime": "1", "color": "red"}
        assert metadata_of({"mode": 0o640, "mtime_ns": 5 * 10**9, "uid": None}, before) == {
            "mode": str(stat.S_IFIFO | 0o640), "uid": "5", "mtime": "5.000000000", "color": "red",
        }  # fmt: skip

    @given(
        st.fixed_dictionaries(
            {},
            optional={
                "mode": st.integers(0, 0o7777),
                "uid": st.integers(0, 2**32 - 2),
                "gid": st.integers(0, 2**32 - 2),
                "atime_ns": st.integers(-(2**63), 2**63 - 1),
                "mtime_ns": st.integers(-(2**63), 2**63 - 1),
            },
        ),
        st.sampled_from([Kind.FILE, Kind.SYMLINK]),
    )
    def test_what_is_written_is_read(self, changes: dict[str, Any], kind: Kind) -> None:
        found = described(self.ENTRY, metadata_of(changes, kind=kind))
        wanted = {"mode": None, "uid": None, "gid": None, "atime_ns": None, "mtime_ns": 99, **changes}
        assert {name: getattr(found, name) for name in wanted} == wanted
        assert found.kind is (kind if "mode" in changes else Kind.FILE)
        assert found.ctime_ns == 99
