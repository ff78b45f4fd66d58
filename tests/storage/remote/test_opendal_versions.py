"""Reads and stores of one version: what the service checks, what is compared by stat, and answers that were lost."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from services.azurite import Container
from services.faults import Answer, Request
from services.gcs import GCSBucket
from services.http_proxy import HTTPProxy
from services.s3 import Bucket
from storage import ContentFile, File, OpenDALStorage, VersionMismatchError
from storage.remote.opendal.conditions import ABANDONED, PROBE_PREFIX

pytest.importorskip("opendal")

PART = 5 << 20
LARGE = PART + 2**20 + 1
"""Bytes that are sent in parts."""
PROBES = "vfs-probe"
OBJECT = "/f$"


@pytest.fixture
def storage(s3_bucket: Bucket, proxy: HTTPProxy) -> Iterator[OpenDALStorage]:
    made = OpenDALStorage(**s3_bucket.at(proxy.port).opendal, part_size=PART, deadline=20, retries=2)
    yield made
    made.close()


def content(data: bytes = b"new") -> ContentFile:
    return ContentFile(data)


def large(letter: bytes = b"x") -> ContentFile:
    return ContentFile(letter * LARGE)


class RefuseConditions(Answer):
    """Puts under a condition are something that the service does not have."""

    def is_for(self, request: Request | None) -> bool:
        conditions = {"if-match", "if-none-match"}
        return request is not None and request.method == "PUT" and not conditions.isdisjoint(request.headers)


class TestPins:
    def test_a_read_is_one_request_for_the_version_that_was_opened(
        self, storage: OpenDALStorage, s3_bucket: Bucket, proxy: HTTPProxy
    ) -> None:
        s3_bucket.put("f", b"0123456789")
        (entry,) = storage.scandir()
        with storage.open_version("f", entry) as file:
            assert (file.ranged, file.stat(), file.pread(3, 2)) == (True, entry, b"234")
            before = len(proxy.requests)
            assert (file.pread(99, 8), file.pread(1, 10), file.pread(1, 99)) == (b"89", b"", b"")
            (request,) = proxy.requests[before:]
        assert (request.method, request.headers["range"]) == ("GET", "bytes=8-9")
        assert request.headers["if-match"] == s3_bucket.etag("f") == entry.version
        assert proxy.count("HEAD") == 0

    def test_a_changed_object_is_not_read(self, storage: OpenDALStorage, s3_bucket: Bucket) -> None:
        s3_bucket.put("f", b"first")
        with storage.open("f") as file:
            assert file.pread(2, 0) == b"fi"
            s3_bucket.put("f", b"other")
            with pytest.raises(VersionMismatchError):
                file.pread(2, 2)
            s3_bucket.put("f", b"")
            with pytest.raises(VersionMismatchError):
                file.pread(2, 2)
            s3_bucket.delete("f")
            with pytest.raises(FileNotFoundError):
                file.pread(2, 2)
            s3_bucket.put("f", b"first")
            assert file.pread(9, 2) == b"rst", "it is the same version again"

    def test_where_the_service_heeds_no_pin_a_stat_is_compared(
        self, storage: OpenDALStorage, s3_bucket: Bucket, proxy: HTTPProxy, caplog: pytest.LogCaptureFixture
    ) -> None:
        s3_bucket.put("f", b"first")
        with storage.open("f") as file:
            proxy.answer(206, body=b"f", headers={"Content-Range": "bytes 0-0/5"}, method="GET")
            assert file.pread(2, 0) == b"fi"
            s3_bucket.put("f", b"other")
            with pytest.raises(VersionMismatchError):
                file.pread(2, 2)
        assert all("if-match" not in request.headers for request in proxy.requests[-3:])
        assert caplog.text.count("does not heed reads of one version") == 1

    def test_what_is_read_whole_is_compared_by_its_sum(
        self, storage: OpenDALStorage, s3_bucket: Bucket, proxy: HTTPProxy
    ) -> None:
        s3_bucket.put("f", b"first")
        with storage.open("f") as file:
            proxy.answer(206, body=b"f", headers={"Content-Range": "bytes 0-0/5"}, method="GET")
            before = proxy.count("HEAD")
            assert file.pread(5, 0) == b"first"
            assert proxy.count("HEAD") == before
            s3_bucket.put("f", b"other")
            with pytest.raises(VersionMismatchError):
                file.pread(5, 0)

    def test_a_pin_that_is_refused_although_it_is_right_is_not_used_again(
        self, storage: OpenDALStorage, s3_bucket: Bucket, proxy: HTTPProxy
    ) -> None:
        s3_bucket.put("f", b"first")
        with storage.open("f") as file:
            proxy.answer(412, method="GET", times=2)
            assert file.pread(2, 0) == b"fi"
            assert file.pread(2, 1) == b"ir"
        assert "if-match" not in proxy.requests[-2].headers

    def test_files_have_a_version_also_where_there_is_no_etag(self, tmp_path: Any) -> None:
        storage = OpenDALStorage("fs", root=tmp_path)
        storage.save("f", content(b"first"))
        with storage.open("f") as file:
            assert file.pread(2, 0) == b"fi"
            (tmp_path / "f").write_bytes(b"longer than that")
            with pytest.raises(VersionMismatchError):
                file.pread(2, 0)


class TestConditions:
    def test_a_new_object_takes_two_requests(self, storage: OpenDALStorage, proxy: HTTPProxy) -> None:
        storage.replace("warm", content(), if_absent=True)
        before = len(proxy.requests)
        storage.replace("dir/f", content(), if_absent=True)
        made = sorted((request.method, request.headers.get("if-none-match")) for request in proxy.requests[before:])
        assert made == [("GET", None), ("PUT", "*")]

    def test_and_one_where_no_directory_is_looked_for(self, storage: OpenDALStorage, proxy: HTTPProxy) -> None:
        storage.replace("warm", content(), if_absent=True)
        before = len(proxy.requests)
        entry = storage.replace("dir/f", content(b"content"), if_absent=True, looked_up=True)
        assert [request.method for request in proxy.requests[before:]] == ["PUT"]
        assert entry.version == storage.stat("dir/f").version == next(storage.scandir("dir")).version
        storage.replace("dir/f", content(b"next"), if_version=entry.version)

    def test_etags_that_are_no_sums_are_asked_for(self, storage: OpenDALStorage, proxy: HTTPProxy) -> None:
        proxy.answer(200, method="HEAD", target=OBJECT, headers={"ETag": '"encrypted"', "Content-Length": "5"})
        storage.replace("f", content(b"first"))
        before = len(proxy.requests)
        storage.replace("g", content())
        assert "HEAD" in [request.method for request in proxy.requests[before:]]

    def test_another_version_takes_one(self, storage: OpenDALStorage, proxy: HTTPProxy) -> None:
        first = storage.replace("f", content(b"1"))
        storage.replace("f", content(b"2"), if_version=first.version)
        before = len(proxy.requests)
        storage.replace("f", content(b"3"), if_version=storage.stat("f").version)
        assert [request.method for request in proxy.requests[before:]] == ["HEAD", "PUT"]
        assert proxy.requests[before + 1].headers["if-match"]

    @pytest.mark.parametrize("data", [b"small", b"x" * LARGE])
    def test_the_later_of_two_writers_loses(self, storage: OpenDALStorage, s3_bucket: Bucket, data: bytes) -> None:
        first = storage.replace("f", content(b"first"), if_absent=True)
        s3_bucket.put("f", b"another's")
        with pytest.raises(VersionMismatchError):
            storage.replace("f", content(data), if_version=first.version)
        with pytest.raises(FileExistsError):
            storage.replace("f", content(data), if_absent=True)
        assert s3_bucket.get("f") == b"another's"

    def test_the_service_refuses_who_comes_between_the_stat_and_the_put(
        self, storage: OpenDALStorage, s3_bucket: Bucket, proxy: HTTPProxy
    ) -> None:
        """An answer that there is nothing lets a store begin; then only the service can know better."""
        storage.replace("other", large(), if_absent=True)
        s3_bucket.put("f", b"another's")
        proxy.answer(404, method="HEAD", target=OBJECT)
        with pytest.raises(FileExistsError):
            storage.replace("f", large(), if_absent=True)
        assert s3_bucket.get("f") == b"another's"

    def test_they_are_tried_once_and_leave_nothing(
        self, storage: OpenDALStorage, s3_bucket: Bucket, proxy: HTTPProxy
    ) -> None:
        for number in range(3):
            storage.replace(f"f{number}", content(), if_absent=True)
        assert proxy.count("PUT", PROBES) == 2
        assert s3_bucket.keys() == ["f0", "f1", "f2"]
        assert PROBE_PREFIX in proxy.requests[0].target

    def test_what_was_left_of_trying_is_taken_away_when_nobody_can_be_at_it(
        self, storage: OpenDALStorage, s3_bucket: Bucket, proxy: HTTPProxy
    ) -> None:
        old, new, others = (f"{PROBE_PREFIX}{end}" for end in ("a" * 12, "b" * 12, "of-somebody"))
        for name in (old, new, others):
            s3_bucket.put(name, b"1")
        now = datetime.now(UTC)
        times = {old: now - ABANDONED * 1.1, new: now - ABANDONED * 0.9, others: now - ABANDONED * 9}
        listed = (
            f"<Contents><Key>{key}</Key><LastModified>{at:%Y-%m-%dT%H:%M:%SZ}</LastModified><Size>1</Size>"
            f"<ETag>e</ETag></Contents>"
            for key, at in times.items()
        )
        page = f"<ListBucketResult><IsTruncated>false</IsTruncated>{''.join(listed)}</ListBucketResult>"
        proxy.answer(200, body=page.encode(), method="GET", target=f"prefix={PROBE_PREFIX}")
        storage.replace("f", content(), if_absent=True)
        assert s3_bucket.keys() == [new, others, "f"]

    def test_what_was_left_a_moment_ago_may_be_anothers(self, storage: OpenDALStorage, s3_bucket: Bucket) -> None:
        name = f"{PROBE_PREFIX}{'a' * 12}"
        s3_bucket.put(name, b"1")
        storage.replace("f", content(), if_absent=True)
        assert s3_bucket.keys() == [name, "f"]

    def test_of_objects_in_parts_moto_heeds_one_and_not_the_other(
        self, storage: OpenDALStorage, s3_bucket: Bucket, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.WARNING)
        entry = storage.replace("f", large(), if_absent=True)
        assert caplog.text == ""
        entry = storage.replace("f", large(b"y"), if_version=entry.version)
        entry = storage.replace("f", large(b"z"), if_version=entry.version)
        assert caplog.text.count("does not heed conditional puts (if_match) of objects sent in parts") == 1
        assert storage.stat("f") == entry
        assert s3_bucket.keys() == ["f"]

    def test_where_they_do_not_hold_a_stat_is_compared_just_before(
        self, storage: OpenDALStorage, s3_bucket: Bucket, proxy: HTTPProxy
    ) -> None:
        first = storage.replace("f", large(), if_absent=True)

        class Slow(File):
            """Content that is overtaken by another writer while it is sent."""

            def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
                yield bytes(LARGE)
                s3_bucket.put("f", b"another's")

        with pytest.raises(VersionMismatchError):
            storage.replace("f", Slow(None, "f"), if_version=first.version)
        assert s3_bucket.get("f") == b"another's"

    def test_without_leave_to_try_they_are_not_trusted_until_there_is_leave(
        self,
        storage: OpenDALStorage,
        proxy: HTTPProxy,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Credentials that have expired are denied all, and may be renewed."""
        monkeypatch.setattr("storage.remote.opendal.conditions._DENIED_SECONDS", 0.0)
        proxy.answer(403, method="PUT", target=PROBES, times=9)
        storage.replace("f", content(), if_absent=True)
        with pytest.raises(FileExistsError):
            storage.replace("f", content(), if_absent=True)
        assert caplog.text.count("Conditional puts cannot be tried") == 1
        assert "does not heed" not in caplog.text
        proxy.heal()
        storage.replace("g", content(), if_absent=True)
        (put,) = [request for request in proxy.requests if request.method == "PUT" and request.target.endswith("/g")]
        assert put.headers["if-none-match"] == "*"

    def test_a_service_that_refuses_conditions_does_not_have_them(
        self, storage: OpenDALStorage, s3_bucket: Bucket, proxy: HTTPProxy
    ) -> None:
        not_implemented = b"<Error><Code>NotImplemented</Code></Error>"
        proxy.arm(RefuseConditions(status=501, body=not_implemented, headers={}, times=99))
        proxy.answer(501, method="GET", body=not_implemented)
        s3_bucket.put("f", b"first")
        with storage.open("f") as file:
            assert file.read() == b"first"
            storage.replace("f", content(b"second"), if_version=file.stat().version)
        assert s3_bucket.get("f") == b"second"

    def test_an_outage_proves_nothing(self, storage: OpenDALStorage, proxy: HTTPProxy) -> None:
        proxy.answer(503, method="PUT", target=PROBES, times=99)
        with pytest.raises(ConnectionError):
            storage.replace("f", content(), if_absent=True)
        proxy.heal()
        storage.replace("f", content(), if_absent=True)
        assert proxy.requests[-1].method == "HEAD"
        assert proxy.count("PUT", OBJECT) == 1

    def test_azure_heeds_all(self, azure_container: Container, caplog: pytest.LogCaptureFixture) -> None:
        storage = OpenDALStorage(**azure_container.opendal, part_size=PART)
        for make in (content, large):
            first = storage.replace("f", make())
            second = storage.replace("f", make(), if_version=first.version)
            with pytest.raises(VersionMismatchError):
                storage.replace("f", make(), if_version=first.version)
            with pytest.raises(FileExistsError):
                storage.replace("f", make(), if_absent=True)
            assert storage.stat("f") == second
            with storage.open_version("f", first) as file, pytest.raises(VersionMismatchError):
                file.pread(1, 0)
        storage.close()

    def test_where_gcs_heeds_nothing_it_is_said(self, gcs_bucket: GCSBucket, caplog: pytest.LogCaptureFixture) -> None:
        storage = OpenDALStorage(**gcs_bucket.opendal)
        first = storage.replace("f", content(b"1"), if_absent=True)
        storage.replace("f", content(b"2"), if_version=first.version)
        with pytest.raises(VersionMismatchError):
            storage.replace("f", content(b"3"), if_version=first.version)
        assert caplog.text.count("does not heed") == 2, "one line for each condition"
        storage.close()


class TestLostAnswers:
    """A put has succeeded, and nobody hears of it."""

    @pytest.mark.parametrize("make", [content, large])
    def test_a_second_try_does_not_take_the_first_for_another_s(
        self, storage: OpenDALStorage, s3_bucket: Bucket, proxy: HTTPProxy, make: Callable[[], ContentFile]
    ) -> None:
        storage.replace("other", make(), if_absent=True)
        method = "PUT" if make is content else "POST"
        target = OBJECT if make is content else r"/f\?uploadId"
        proxy.cut(10, method=method, target=target)
        entry = storage.replace("f", make(), if_absent=True)
        assert proxy.count(method, target) == 2
        stored = storage.stat("f")
        assert (entry.size, entry.version) == (stored.size, stored.version), "the time may be by the clock of here"
        assert s3_bucket.get("f") == make().read()

    def test_what_was_never_answered_is_not_in_its_own_way(
        self, storage: OpenDALStorage, s3_bucket: Bucket, proxy: HTTPProxy
    ) -> None:
        first = storage.replace("f", content(b"first"), if_absent=True)
        storage.replace("warm", content(), if_version=storage.replace("warm", content()).version)
        proxy.cut(10, method="PUT", target=OBJECT, times=9)
        with pytest.raises(ConnectionError):
            storage.replace("f", content(b"second"), if_version=first.version)
        assert s3_bucket.get("f") == b"second"
        proxy.heal()
        storage.replace("f", content(b"second, and more"), if_version=first.version)
        assert s3_bucket.get("f") == b"second, and more"
        with pytest.raises(VersionMismatchError):
            storage.replace("f", content(b"once only"), if_version=first.version)

    def test_what_is_sent_anew_over_what_was_never_answered_may_be_a_pipe(
        self, storage: OpenDALStorage, s3_bucket: Bucket, proxy: HTTPProxy
    ) -> None:
        first = storage.replace("f", content(b"first"), if_absent=True)
        storage.replace("warm", content(), if_version=storage.replace("warm", content()).version)
        proxy.cut(10, method="PUT", target=OBJECT, times=9)
        with pytest.raises(ConnectionError):
            storage.replace("f", content(b"second"), if_version=first.version)
        proxy.heal()
        source, target = os.pipe()
        with open(target, "wb") as writer:
            writer.write(b"third")
        with open(source, "rb") as reader:
            storage.replace("f", File(reader), if_version=first.version)
        assert s3_bucket.get("f") == b"third"

    def test_a_stat_that_fails_does_not_undo_a_store(
        self, storage: OpenDALStorage, s3_bucket: Bucket, proxy: HTTPProxy
    ) -> None:
        storage.replace("other", content(), if_absent=True)
        storage._uploads._etags_are_sums = False  # so that there is a stat
        proxy.answer(503, method="HEAD", target=OBJECT, times=9)
        entry = storage.replace("f", content(b"first"), if_absent=True)
        assert (entry.name, entry.size) == ("f", 5)
        proxy.heal()
        assert entry.version != storage.stat("f").version
        storage.replace("f", content(b"second"), if_version=entry.version)
        assert s3_bucket.get("f") == b"second"
        with pytest.raises(VersionMismatchError):
            storage.replace("f", content(b"third"), if_version=entry.version)

    def test_another_s_version_is_not_taken_for_ours(
        self, storage: OpenDALStorage, s3_bucket: Bucket, proxy: HTTPProxy
    ) -> None:
        """Between a put and the stat behind it another writer, who has seen our version, is through."""
        storage.replace("warm", content(), if_absent=True)
        storage._uploads._etags_are_sums = False  # so that there is a stat
        theirs = {"ETag": '"theirs"', "Content-Length": "6", "x-amz-meta-vfswrite": "theirs"}
        proxy.answer(200, method="HEAD", target=OBJECT, headers=theirs)
        entry = storage.replace("f", content(b"ours"), if_absent=True)
        assert (entry.size, entry.version == '"theirs"') == (4, False)
        s3_bucket.put("f", b"theirs")
        with pytest.raises(VersionMismatchError):
            storage.replace("f", content(b"lost update"), if_version=entry.version)
        assert s3_bucket.get("f") == b"theirs"
