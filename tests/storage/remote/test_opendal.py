"""OpenDALStorage on an S3 server: requests, keys, directories, files opened for writing, copies, addresses, uploads."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from services.http_proxy import HTTPProxy
from services.s3 import Bucket
from storage import (
    ContentFile,
    DirectoryNotEmptyError,
    Entry,
    File,
    Kind,
    OpenDALStorage,
    Storage,
    SuspiciousFileOperation,
    VersionMismatchError,
    override_settings,
)
from storage.remote.opendal.budget import Budget
from storage.remote.opendal.entries import Entries
from storage.testing.conformance.traits import names, put, read

pytest.importorskip("opendal")

REPOSITORY = Path(__file__).parents[3]
PART = 5 << 20


@pytest.fixture
def storage(s3_bucket: Bucket, proxy: HTTPProxy) -> Iterator[OpenDALStorage]:
    made = OpenDALStorage(**s3_bucket.at(proxy.port).opendal, part_size=PART)
    yield made
    made.close()


@pytest.fixture
def with_directories(s3_bucket: Bucket) -> Iterator[OpenDALStorage]:
    made = OpenDALStorage(**s3_bucket.opendal, directories=True)
    yield made
    made.close()


@pytest.fixture
def piped() -> Iterator[Callable[[bytes], File]]:
    """Makes files that can be read once, of a few bytes each."""
    with contextlib.ExitStack() as opened:

        def make(data: bytes) -> File:
            source, target = os.pipe()
            with open(target, "wb") as writer:
                writer.write(data)
            return File(opened.enter_context(open(source, "rb")), "pipe")

        yield make


def requests_of(proxy: HTTPProxy, call: Callable[[], object]) -> list[str]:
    before = len(proxy.requests)
    call()
    return sorted("LIST" if "list-type" in request.target else request.method for request in proxy.requests[before:])


class TestRequests:
    def test_what_a_lookup_takes(self, storage: OpenDALStorage, s3_bucket: Bucket, proxy: HTTPProxy) -> None:
        s3_bucket.put("dir/f", b"x")
        assert requests_of(proxy, lambda: storage.stat("dir/f")) == ["HEAD"]
        assert requests_of(proxy, lambda: storage.stat("dir")) == ["HEAD", "LIST"]
        assert requests_of(proxy, lambda: storage.exists("dir/none")) == ["HEAD", "LIST"]
        assert requests_of(proxy, lambda: storage.open("dir/f")) == ["HEAD"]

    def test_a_listing_is_a_request_for_a_thousand_entries_and_no_other(
        self, storage: OpenDALStorage, s3_bucket: Bucket, proxy: HTTPProxy
    ) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: s3_bucket.put(f"dir/{number:04}", b"12345"), range(1100)))
        found: list[Entry] = []
        assert requests_of(proxy, lambda: found.extend(storage.scandir("dir"))) == ["LIST", "LIST"]
        assert [entry.name for entry in found] == [f"{number:04}" for number in range(1100)]
        assert found[7] == storage.stat("dir/0007")
        assert (found[7].size, found[7].version) == (5, s3_bucket.etag("dir/0007"))
        assert found[7].mtime_ns

    def test_the_first_stat_of_the_root_asks_whether_it_is_there(
        self, storage: OpenDALStorage, proxy: HTTPProxy
    ) -> None:
        assert requests_of(proxy, lambda: storage.stat("")) == ["LIST"]
        assert requests_of(proxy, lambda: storage.stat("")) == []

    def test_a_long_read_is_fetched_in_parts_at_once(
        self, storage: OpenDALStorage, s3_bucket: Bucket, proxy: HTTPProxy
    ) -> None:
        data = bytes(range(256)) * (3 * PART // 256)
        s3_bucket.put("big", data)
        with storage.open("big") as file:
            file.pread(1, 0)
            content = b""

            def fetch() -> None:
                nonlocal content
                content = file.read()

            assert requests_of(proxy, fetch) == ["GET", "GET", "GET"]
        assert content == data
        assert all(request.headers["if-match"] for request in proxy.requests[-3:])

    def test_an_answer_that_goes_on_is_one_request_for_one_version(
        self, storage: OpenDALStorage, s3_bucket: Bucket, proxy: HTTPProxy
    ) -> None:
        data = bytes(range(251)) * (1 << 13)
        s3_bucket.put("big", data)
        with storage.open("big") as file:
            file.pread(1, 0)
            parts: list[bytes] = []

            def read() -> None:
                answer = file.stream(1000)
                parts.extend(iter(lambda: bytes(answer.read(1 << 20)), b""))
                answer.close()

            assert requests_of(proxy, read) == ["GET"]
            assert b"".join(parts) == data[1000:]
            assert [len(part) for part in parts[:-1]] == [1 << 20]
            s3_bucket.put("big", b"another")
            with pytest.raises(VersionMismatchError):
                file.stream(1000).read(1)


class TestCredentials:
    """What is not among the options is looked for where Amazon's own programs do."""

    @pytest.fixture
    def storage(
        self, s3_bucket: Bucket, proxy: HTTPProxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> Iterator[OpenDALStorage]:
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        options = {name: value for name, value in s3_bucket.at(proxy.port).opendal.items() if "_key" not in name}
        made = OpenDALStorage(**options)
        yield made
        made.close()

    def test_in_the_environment(
        self, storage: OpenDALStorage, proxy: HTTPProxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-the-environment")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        assert not storage.exists("f")
        assert "Credential=of-the-environment/" in proxy.requests[0].headers["authorization"]

    def test_nowhere(self, storage: OpenDALStorage, proxy: HTTPProxy, caplog: pytest.LogCaptureFixture) -> None:
        with pytest.raises(PermissionError, match=r"^.Errno 13. No credentials are found.*: signing http request: f"):
            storage.exists("f")
        assert proxy.requests == []
        assert "s3: No credentials are found" in caplog.text

    def test_in_a_profile(
        self, storage: OpenDALStorage, proxy: HTTPProxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / ".aws").mkdir()
        profile = "[work]\naws_access_key_id = of-the-profile\naws_secret_access_key = secret\n"
        (tmp_path / ".aws/credentials").write_text(profile)
        monkeypatch.setenv("AWS_PROFILE", "work")
        assert not storage.exists("f")
        assert "Credential=of-the-profile/" in proxy.requests[0].headers["authorization"]


class TestKeys:
    def test_keys_that_cannot_be_named_are_left_out_with_one_line_each(
        self, storage: OpenDALStorage, s3_bucket: Bucket, caplog: pytest.LogCaptureFixture
    ) -> None:
        for key in (
            "d/a//b",
            "d//c",
            "d/.",
            "d/..",
            "d/space ",
            "d/dir /f",
            "d/ok",
            "d/",
            "d/sub/",
            " x",
            "d/ y",
            "d/bell\a",
        ):
            s3_bucket.put(key, b"x")
        for _ in range(2):
            assert names(storage) == (["d"], [])
            assert names(storage, "d") == (["a", "sub"], [" y", "ok"])
            assert names(storage, "d/a") == ([], [])
            assert names(storage, "d/sub") == ([], [])
        shown = [record.message for record in caplog.records]
        assert len(shown) == len(set(shown)) == 8
        assert all("cannot be named, and is left out" in line for line in shown)

    def test_a_directory_hides_an_object_of_its_name(
        self, storage: OpenDALStorage, s3_bucket: Bucket, caplog: pytest.LogCaptureFixture
    ) -> None:
        s3_bucket.put("d", b"hidden")
        s3_bucket.put("d-between", b"x")
        s3_bucket.put("d/f", b"x")
        assert names(storage) == (["d"], ["d-between"])
        assert storage.stat("d").is_dir, "as the listing says"
        assert read(storage, "d/f") == b"x"
        assert caplog.text.count("hidden by a directory of the same name") == 1
        storage.unlink("d/f")
        assert read(storage, "d") == b"hidden"

    @pytest.mark.parametrize("name", ["in side", "%41", "a#b?c&d+e=f", "back\\slash", "n" * 255, "%2F", "~"])
    def test_names_are_kept_byte_for_byte(self, storage: OpenDALStorage, s3_bucket: Bucket, name: str) -> None:
        entry = storage.replace(f"d/{name}", ContentFile(b"content"))
        storage.replace(name, ContentFile(b"at the root"))
        assert s3_bucket.keys() == sorted([f"d/{name}", name])
        assert (list(storage.scandir("d")), read(storage, name)) == ([entry], b"at the root")
        storage.rename(name, f"{name[1:]}2")
        storage.unlink(f"d/{name}")
        assert s3_bucket.keys() == [f"{name[1:]}2"]

    @pytest.mark.parametrize(
        "name", [" leading", "\td/f", "trailing ", "d/trailing\n", "no\udcfftext", "\udc80", "d/bell\a"]
    )
    def test_names_that_would_be_changed_are_refused(
        self, storage: OpenDALStorage, s3_bucket: Bucket, name: str
    ) -> None:
        for operation in (storage.stat, storage.unlink, lambda name: storage.replace(name, ContentFile(b"x"))):
            with pytest.raises(SuspiciousFileOperation, match=r"OpenDAL|listings"):
                operation(name)
        with pytest.raises(SuspiciousFileOperation, match=r"OpenDAL|listings"):
            storage.save(name, ContentFile(b"x"))
        assert s3_bucket.keys() == []

    def test_names_of_django_s_surface_are_normalised(self, storage: OpenDALStorage, s3_bucket: Bucket) -> None:
        s3_bucket.put("d/f", b"content")
        assert read(storage, "d//f") == read(storage, "./d/x/../f") == b"content"
        assert names(storage, "d/") == names(storage, "./d") == ([], ["f"])

    def test_the_root_is_there(self, storage: OpenDALStorage, proxy: HTTPProxy) -> None:
        assert storage.exists("")
        assert storage.exists(".")
        assert proxy.requests == []

    def test_a_name_that_is_too_long_for_a_disk_is_cut_to_max_length(self, tmp_path: Path) -> None:
        storage = OpenDALStorage("fs", root=str(tmp_path))
        stored = storage.save(f"{'x' * 300}.txt", ContentFile(b"content"), max_length=100)
        assert (len(stored), read(storage, stored)) == (100, b"content")
        storage.close()

    def test_a_root_is_not_left(self, s3_bucket: Bucket) -> None:
        storage = OpenDALStorage(**s3_bucket.opendal, root="/sub dir")
        put(storage, "f", b"inside")
        s3_bucket.put("outside", b"x")
        assert s3_bucket.keys() == ["outside", "sub dir/f"]
        assert names(storage) == ([], ["f"])
        with pytest.raises(SuspiciousFileOperation):
            storage.open("../outside")
        assert repr(storage).endswith(f": s3 {s3_bucket.name}/sub dir>")
        storage.close()


class TestVersionsOfMetadata:
    class Metadata:
        is_dir = False
        content_length = 5
        last_modified = None
        etag: str | None = None

        def __init__(self, etag: str | None) -> None:
            self.etag = etag

    @pytest.mark.parametrize(
        ("scheme", "etag", "version"),
        [
            ("azblob", "0x8D", '"0x8D"'),
            ("s3", '"abc"', '"abc"'),
            ("webdav", 'W/"abc"', 'W/"abc"'),
            ("gcs", "CN=", "CN="),
        ],
    )
    def test_an_etag_is_the_same_from_a_listing_and_from_a_header(self, scheme: str, etag: str, version: str) -> None:
        assert Entries(scheme).entry("f", self.Metadata(etag)).version == version

    def test_without_etag_and_time_there_is_none(self) -> None:
        assert Entries("memory").entry("f", self.Metadata(None)).version is None


class TestDirectories:
    def test_by_default_a_bucket_has_none_of_its_own(self, storage: OpenDALStorage, s3_bucket: Bucket) -> None:
        assert type(storage).mkdir is Storage.mkdir
        with pytest.raises(NotImplementedError):
            storage.mkdir("d")
        assert s3_bucket.keys() == []

    def test_as_empty_objects_they_stay(self, with_directories: OpenDALStorage, s3_bucket: Bucket) -> None:
        storage = with_directories
        assert isinstance(storage, OpenDALStorage)
        storage.mkdir("d")
        storage.mkdir("d/e")
        assert s3_bucket.keys() == ["d/", "d/e/"]
        put(storage, "d/e/f")
        storage.unlink("d/e/f")
        assert names(storage, "d") == (["e"], [])
        assert storage.stat("d/e") == Entry("e", Kind.DIRECTORY)
        with pytest.raises(FileExistsError):
            storage.mkdir("d")
        with pytest.raises(FileNotFoundError):
            storage.mkdir("missing/d")
        with pytest.raises(DirectoryNotEmptyError):
            storage.rmdir("d")
        put(storage, "file")
        with pytest.raises(NotADirectoryError):
            storage.rmdir("file")
        with pytest.raises(NotADirectoryError):
            storage.mkdir("file/d")
        storage.rmdir("d/e")
        storage.rmdir("d")
        assert s3_bucket.keys() == ["file"]

    @pytest.mark.parametrize("directories", [True, False])
    def test_a_renamed_directory_keeps_its_markers(self, s3_bucket: Bucket, directories: bool) -> None:
        storage = OpenDALStorage(**s3_bucket.opendal, directories=directories)
        for key in ("a/", "a/empty/", "a/f", "a/deep/g"):
            s3_bucket.put(key, key.encode() if key[-1] != "/" else b"")
        storage.rename("a", "b/c")
        assert s3_bucket.keys() == ["b/c/", "b/c/deep/g", "b/c/empty/", "b/c/f"]
        assert s3_bucket.get("b/c/deep/g") == b"a/deep/g"
        storage.close()

    def test_a_directory_is_copied_before_anything_is_deleted(
        self, storage: OpenDALStorage, s3_bucket: Bucket, proxy: HTTPProxy
    ) -> None:
        for key in ("a/f", "a/g", "a/h"):
            s3_bucket.put(key, b"x")
        proxy.answer(403, method="PUT", target="/b/g")
        with pytest.raises(PermissionError):
            storage.rename("a", "b")
        assert s3_bucket.keys() == ["a/f", "a/g", "a/h"]
        before = len(proxy.requests)
        storage.rename("a", "b")
        methods = [request.method for request in proxy.requests[before:] if request.method in ("PUT", "DELETE")]
        assert methods == ["PUT"] * 3 + ["DELETE"] * 3
        assert s3_bucket.keys() == ["b/f", "b/g", "b/h"]


class TestMoving:
    def test_a_copy_is_the_service_s(self, storage: OpenDALStorage, s3_bucket: Bucket, proxy: HTTPProxy) -> None:
        s3_bucket.put("f", b"content")
        assert "GET" not in requests_of(proxy, lambda: storage.copy("f", "dir/g"))
        assert s3_bucket.get("dir/g") == b"content"
        assert proxy.requests[-1].headers["x-amz-copy-source"].endswith("/f")

    def test_a_copy_of_more_than_5_gib_is_made_in_parts(self, storage: OpenDALStorage, proxy: HTTPProxy) -> None:
        proxy.answer(200, method="HEAD", target="/f$", headers={"Content-Length": str(6 << 30), "ETag": '"e"'}, times=2)
        part = b"<CopyPartResult><ETag>&quot;p&quot;</ETag></CopyPartResult>"
        proxy.answer(200, method="PUT", target="partNumber", body=part, times=2)
        done = b"<CompleteMultipartUploadResult><ETag>&quot;g-2&quot;</ETag></CompleteMultipartUploadResult>"
        proxy.answer(200, method="POST", target="uploadId", body=done)
        storage.copy("f", "g")
        ranges = [request.headers.get("x-amz-copy-source-range") for request in proxy.requests]
        assert sorted(filter(None, ranges)) == [f"bytes=0-{(5 << 30) - 1}", f"bytes={5 << 30}-{(6 << 30) - 1}"]

    def test_a_rename_copies_and_then_deletes_what_it_copied(
        self, storage: OpenDALStorage, s3_bucket: Bucket, proxy: HTTPProxy
    ) -> None:
        s3_bucket.put("f", b"content")
        etag = s3_bucket.etag("f")
        before = len(proxy.requests)
        storage.rename("f", "g")
        copied, deleted = (request for request in proxy.requests[before:] if request.method in ("PUT", "DELETE"))
        assert (copied.target, deleted.target) == (f"/{s3_bucket.name}/g", f"/{s3_bucket.name}/f")
        assert deleted.headers["if-match"] == etag
        assert s3_bucket.keys() == ["g"]

    def test_what_came_under_the_old_name_meanwhile_is_not_deleted(
        self, storage: OpenDALStorage, s3_bucket: Bucket, proxy: HTTPProxy
    ) -> None:
        s3_bucket.put("f", b"content")
        proxy.answer(412, method="DELETE")
        with pytest.raises(VersionMismatchError):
            storage.rename("f", "g")
        assert s3_bucket.keys() == ["f", "g"]

    def test_a_deletion_whose_answer_is_lost_has_been_done(
        self, storage: OpenDALStorage, s3_bucket: Bucket, proxy: HTTPProxy
    ) -> None:
        s3_bucket.put("f", b"content")
        proxy.cut(10, method="DELETE")
        storage.rename("f", "g")
        assert proxy.count("DELETE") == 2
        assert s3_bucket.keys() == ["g"]

    def test_a_service_that_deletes_no_single_version_is_asked_for_it_before(
        self, storage: OpenDALStorage, s3_bucket: Bucket, proxy: HTTPProxy
    ) -> None:
        s3_bucket.put("f", b"content")
        proxy.answer(501, method="DELETE", body=b"<Error><Code>NotImplemented</Code></Error>")
        storage.rename("f", "g")
        assert [request.method for request in proxy.requests[-3:]] == ["DELETE", "HEAD", "DELETE"]
        assert s3_bucket.keys() == ["g"]

    def test_a_failed_copy_deletes_nothing(self, storage: OpenDALStorage, s3_bucket: Bucket, proxy: HTTPProxy) -> None:
        s3_bucket.put("f", b"content")
        proxy.answer(403, method="PUT", times=9)
        with pytest.raises(PermissionError):
            storage.rename("f", "g")
        assert s3_bucket.keys() == ["f"]


class TestWriting:
    def test_what_is_written_is_stored_by_close(self, storage: OpenDALStorage, s3_bucket: Bucket) -> None:
        with storage.open("f", "wb") as file:
            file.write(b"one ")
            file.write(b"two")
            assert file.size == 7
            assert s3_bucket.keys() == []
        assert s3_bucket.get("f") == b"one two"
        with storage.open("f", "ab") as file:
            file.write(b" three")
        with storage.open("f", "r+b") as file:
            file.write(b"ONE")
        assert s3_bucket.get("f") == b"ONE two three"

    def test_text(self, storage: OpenDALStorage, s3_bucket: Bucket) -> None:
        with storage.open("t", "w") as file:
            file.write("één\n")
            file.writelines(["twee\n"])
        with storage.open("t", "a") as file:
            file.write("drie\n")
        with storage.open("t", "r") as file:
            assert list(file) == ["één\n", "twee\n", "drie\n"]

    def test_x_only_makes(self, storage: OpenDALStorage, s3_bucket: Bucket) -> None:
        with storage.open("f", "xb") as file:
            s3_bucket.put("f", b"faster")
            file.write(b"x")
            with pytest.raises(FileExistsError):
                file.close()
        with pytest.raises(FileExistsError):
            storage.open("f", "xb")
        assert s3_bucket.get("f") == b"faster"

    def test_what_was_changed_meanwhile_is_not_overwritten(self, storage: OpenDALStorage, s3_bucket: Bucket) -> None:
        s3_bucket.put("f", b"first")
        file = storage.open("f", "r+b")
        file.write(b"F")
        s3_bucket.put("f", b"another's")
        with pytest.raises(VersionMismatchError):
            file.close()
        assert (file.closed, s3_bucket.get("f")) == (True, b"another's")

    def test_nothing_is_stored_where_nothing_was_written(
        self, storage: OpenDALStorage, s3_bucket: Bucket, proxy: HTTPProxy
    ) -> None:
        s3_bucket.put("f", b"content")
        with storage.open("f", "r+b") as file:
            assert file.read() == b"content"
        assert proxy.count("PUT") == 0
        with storage.open("empty", "wb"):
            pass
        assert s3_bucket.get("empty") == b""

    @pytest.mark.parametrize("mode", ["wb", "w", "xb", "ab", "a+"])
    def test_nothing_is_stored_below_an_object(self, storage: OpenDALStorage, s3_bucket: Bucket, mode: str) -> None:
        s3_bucket.put("a", b"content")
        for name in ("a/c", "a/b/c"):
            with pytest.raises(NotADirectoryError):
                storage.open(name, mode)
        with storage.open("a") as file:
            assert file.read() == b"content"
        assert s3_bucket.keys() == ["a"]

    @pytest.mark.parametrize("mode", ["wb", "r+b", "ab"])
    def test_a_block_that_fails_stores_nothing(
        self, storage: OpenDALStorage, s3_bucket: Bucket, proxy: HTTPProxy, mode: str
    ) -> None:
        s3_bucket.put("f", b"first")
        with pytest.raises(ZeroDivisionError), storage.open("f", mode) as file:
            file.writelines(b"half" * (1 // number) for number in (1, 0))
        assert (file.closed, proxy.count("PUT"), s3_bucket.get("f")) == (True, 0, b"first")

    def test_bad_modes(self, storage: OpenDALStorage) -> None:
        with pytest.raises(ValueError, match="invalid mode"):
            storage.open("f", "q")
        with pytest.raises(FileNotFoundError):
            storage.open("missing", "r+b")

    def test_a_subclass_that_changes_content_is_asked_for_it(self, s3_bucket: Bucket) -> None:
        class Shouting(OpenDALStorage):
            def _save(self, name: str, content: File) -> str:
                return super()._save(name, ContentFile(b"".join(content.chunks()).upper()))

        storage = Shouting(**s3_bucket.opendal)
        storage.replace("f", ContentFile(b"quiet"))
        storage.replace("f", ContentFile(b"quieter"))
        assert s3_bucket.get("f") == b"QUIETER"
        storage.close()

    def test_a_closed_file_refuses_and_can_be_opened_again(self, storage: OpenDALStorage, s3_bucket: Bucket) -> None:
        s3_bucket.put("f", b"first")
        file = storage.open("f")
        assert file.read() == b"first"
        file.close()
        for operation in (lambda: file.pread(1, 0), file.stat, file.read):
            with pytest.raises(ValueError, match="closed"):
                operation()
        s3_bucket.put("f", b"second")
        with file.open() as again:
            assert (again.read(), again.size, again.content_fd()) == (b"second", 6, None)
        s3_bucket.delete("f")
        with pytest.raises(ValueError, match="cannot be reopened"):
            file.open()


class TestAddresses:
    def test_a_signed_address_is_fetched_without_credentials(self, storage: OpenDALStorage, s3_bucket: Bucket) -> None:
        s3_bucket.put("dir/a b#c.txt", b"content")
        address = storage.url("dir/a b#c.txt")
        assert "X-Amz-Expires=3600" in address
        with urllib.request.urlopen(address) as answer:
            assert answer.read() == b"content"

    def test_it_can_be_had_where_an_event_loop_runs(self, storage: OpenDALStorage) -> None:
        import asyncio

        async def ask() -> str:
            return storage.url("f")

        assert "X-Amz-Signature" in asyncio.run(ask())

    def test_below_a_base_url(self, s3_bucket: Bucket) -> None:
        storage = OpenDALStorage(**s3_bucket.opendal, base_url="https://cdn.example/media")
        assert storage.url("dir/a b#c.txt") == "https://cdn.example/media/dir/a%20b%23c.txt"
        assert storage.url(None) == "https://cdn.example/media/"

    def test_where_nothing_can_be_signed(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="not accessible via a URL"):
            OpenDALStorage("fs", root=tmp_path).url("f")

    def test_times_follow_the_settings(self, storage: OpenDALStorage, s3_bucket: Bucket) -> None:
        s3_bucket.put("f", b"x")
        aware = storage.get_modified_time("f")
        assert storage.get_created_time("f") == aware
        with override_settings(USE_TZ=False):
            naive = storage.get_modified_time("f")
        assert (naive.tzinfo, naive.astimezone()) == (None, aware)


class TestUploads:
    def test_a_large_object_is_sent_in_parts_from_disk(
        self, storage: OpenDALStorage, s3_bucket: Bucket, proxy: HTTPProxy, tmp_path: Path
    ) -> None:
        data = bytes(range(256)) * (3 * PART // 256) + b"end"
        (tmp_path / "big").write_bytes(data)
        with open(tmp_path / "big", "rb") as file:
            entry = storage.replace("big", File(file))
        assert (entry, entry.size) == (storage.stat("big"), len(data))
        assert proxy.count("PUT", "partNumber") == 4
        assert s3_bucket.get("big") == data

    def test_a_content_that_breaks_off_is_never_completed(self, storage: OpenDALStorage, s3_bucket: Bucket) -> None:
        s3_bucket.put("big", b"old")

        class Broken(File):
            def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
                for _ in range(12):
                    yield bytes(2**20)
                raise ConnectionResetError("the content broke off")

        with pytest.raises(ConnectionResetError):
            storage.replace("big", Broken(None, "big"))
        assert s3_bucket.get("big") == b"old"

    def test_a_pipe_that_is_saved_over_what_is_there_is_all_stored(
        self, s3_bucket: Bucket, piped: Callable[[bytes], File]
    ) -> None:
        class Overwriting(OpenDALStorage):
            def get_available_name(self, name: str, max_length: int | None = None) -> str:
                return name

        storage = Overwriting(**s3_bucket.opendal)
        s3_bucket.put("f", b"first")
        assert storage.save("f", piped(b"second")) == "f"
        assert s3_bucket.get("f") == b"second"
        storage.close()

    def test_a_pipe_whose_name_was_taken_meanwhile_is_all_stored_under_another(
        self, s3_bucket: Bucket, piped: Callable[[bytes], File]
    ) -> None:
        class Overtaken(OpenDALStorage):
            def get_available_name(self, name: str, max_length: int | None = None) -> str:
                free = super().get_available_name(name, max_length)
                if free == "f":
                    s3_bucket.put("f", b"faster")
                return free

        storage = Overtaken(**s3_bucket.opendal)
        stored = storage.save("f", piped(b"content"))
        assert stored != "f"
        assert (s3_bucket.get("f"), s3_bucket.get(stored)) == (b"faster", b"content")
        storage.close()

    def test_what_a_service_cannot_complete_at_once_takes_another_name_first(self, tmp_path: Path) -> None:
        storage = OpenDALStorage("fs", root=tmp_path, part_size=2**20)
        (tmp_path / "big").write_bytes(b"old")

        class Watching(File):
            is_broken = False

            def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
                for _ in range(5):
                    yield bytes(2**20)
                assert (tmp_path / "big").read_bytes() == b"old"
                if self.is_broken:
                    raise ConnectionResetError("the content broke off")

        broken = Watching(None, "big")
        broken.is_broken = True
        with pytest.raises(ConnectionResetError):
            storage.replace("big", broken)
        assert [path.name for path in tmp_path.iterdir()] == ["big"]
        storage.replace("big", Watching(None, "big"))
        assert [(path.name, path.stat().st_size) for path in tmp_path.iterdir()] == [("big", 5 << 20)]

    def test_one_that_is_not_stored_whole_is_an_error(self, storage: OpenDALStorage, proxy: HTTPProxy) -> None:
        proxy.answer(200, method="HEAD", headers={"ETag": '"x"', "Content-Length": "2"}, times=9)
        with pytest.raises(OSError, match="7 bytes were sent, and the service has 2"):
            storage.replace("f", ContentFile(b"content"))

    def test_memory_is_bounded_whatever_is_sent(self, s3_bucket: Bucket, tmp_path: Path) -> None:
        """240 MB by four threads at once, each more than the budget, in a process of its own."""
        with open(tmp_path / "big", "wb") as file:
            file.truncate(60 << 20)
        program = (
            "import resource, sys, threading\n"
            "from storage import File, OpenDALStorage\n"
            f"storage = OpenDALStorage(**{s3_bucket.opendal!r}, upload_memory=32 << 20, part_size=5 << 20)\n"
            "storage.replace('warm', File(open('/dev/null', 'rb')))\n"
            "def rss(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
            "before = rss()\n"
            f"def send(n): storage.replace(f'big{{n}}', File(open({str(tmp_path / 'big')!r}, 'rb')))\n"
            "threads = [threading.Thread(target=send, args=(n,)) for n in range(4)]\n"
            "[t.start() for t in threads]; [t.join() for t in threads]\n"
            "print(rss() - before)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True
        )
        assert int(done.stdout) < 64
        assert len(s3_bucket.keys()) == 5
        for number in range(4):  # moto keeps them in memory
            s3_bucket.delete(f"big{number}")

    def test_a_budget_is_shared(self) -> None:
        budget, order = Budget(10), []

        def take(amount: int) -> None:
            with budget.taken(amount):
                order.append("taken")

        with ThreadPoolExecutor(1) as pool:
            with budget.taken(99):
                waiting = pool.submit(take, 1)
                order.append("given back")
            waiting.result(timeout=5)
        assert order == ["given back", "taken"]

    def test_many_threads_store_and_read_at_once(
        self, storage: OpenDALStorage, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.WARNING)

        def work(number: int) -> bytes:
            name = f"dir{number % 4}/f{number}"
            entry = storage.replace(name, ContentFile(name.encode() * 100), if_absent=True)
            with storage.open_version(name, entry) as file:
                return file.pread(9_999, 0)

        with ThreadPoolExecutor(32) as pool:
            found = list(pool.map(work, range(96)))
        assert found == [f"dir{number % 4}/f{number}".encode() * 100 for number in range(96)]
        assert caplog.text == ""
