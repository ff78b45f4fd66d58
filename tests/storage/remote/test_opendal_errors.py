"""What goes wrong on the way to a service, as the storage tells it; and no secret in any of it."""

from __future__ import annotations

import errno
import logging
import os
import pickle
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from services.faults import Way
from services.http_proxy import HTTPProxy
from services.s3 import Bucket
from services.server import HOST
from storage import ContentFile, ImproperlyConfigured, InvalidStorageError, NameTooLongError, OpenDALStorage
from storage.remote.secrets import without_secrets

pytest.importorskip("opendal")

REPOSITORY = Path(__file__).parents[3]
KEY, SECRET = "AKIA-the-key", "a+very/secret=word"
DENIED = ["ExpiredToken", "InvalidAccessKeyId", "SignatureDoesNotMatch", "RequestTimeTooSkewed"]

Operation = Callable[[OpenDALStorage], object]
OPERATIONS: dict[str, Operation] = {
    "stat": lambda storage: storage.stat("f"),
    "stat of a directory": lambda storage: storage.stat("dir"),
    "listing": lambda storage: list(storage.scandir("dir")),
    "exists": lambda storage: storage.exists("f"),
    "open": lambda storage: storage.open("f").read(),
    "save": lambda storage: storage.save("g", ContentFile(b"x")),
    "replace": lambda storage: storage.replace("f", ContentFile(b"x")),
    "copy": lambda storage: storage.copy("f", "h"),
    "rename": lambda storage: storage.rename("f", "h"),
    "delete": lambda storage: storage.delete("f"),
    "unlink": lambda storage: storage.unlink("f"),
}


@pytest.fixture
def proxy(s3_bucket: Bucket, proxy: HTTPProxy) -> HTTPProxy:
    """With files in the bucket."""
    s3_bucket.put("f", b"content")
    s3_bucket.put("dir/f", b"content")
    return proxy


@pytest.fixture
def storage(s3_bucket: Bucket, proxy: HTTPProxy) -> Iterator[OpenDALStorage]:
    options = s3_bucket.at(proxy.port).opendal | {"access_key_id": KEY, "secret_access_key": SECRET}
    made = OpenDALStorage(**options, deadline=1.5, retries=1)
    yield made
    made.close()


@pytest.fixture
def watched(s3_bucket: Bucket, proxy: HTTPProxy, request: pytest.FixtureRequest) -> Iterator[OpenDALStorage]:
    """With a deadline of 1 s, or what the test says."""
    made = OpenDALStorage(**s3_bucket.at(proxy.port).opendal, deadline=getattr(request, "param", 1), retries=1)
    made.replace("known", ContentFile(b"x" * (9 << 20)), if_absent=True)  # which finds out what conditions hold
    yield made
    proxy.heal()
    made.close()


def connections_to(port: int) -> int:
    """How many connections to a port of loopback are open at the side that made them."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(1 for line in lines if line.split()[2].endswith(f":{port:04X}") and line.split()[3] == "01")


def soon(condition: Callable[[], bool]) -> bool:
    """Whether it comes true within seconds; a moment later the abort of an upload may have its own connection."""
    deadline = time.monotonic() + 5
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def xml(code: str) -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code} of {KEY}</Message></Error>".encode()


def run(program: str) -> str:
    """What a program says, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
class TestOfEachOperation:
    def test_a_missing_bucket_is_not_a_missing_file(
        self, s3_bucket: Bucket, operation: Operation, caplog: pytest.LogCaptureFixture
    ) -> None:
        storage = OpenDALStorage(**s3_bucket.opendal | {"bucket": "no-such-bucket"}, retries=0)
        with pytest.raises(OSError, match="bucket") as caught:
            operation(storage)
        assert (caught.value.errno, isinstance(caught.value, FileNotFoundError)) == (errno.EIO, False)
        storage.close()

    def test_a_burst_of_errors_is_waited_for(
        self, storage: OpenDALStorage, proxy: HTTPProxy, operation: Operation
    ) -> None:
        proxy.answer(503, body=xml("SlowDown"))
        operation(storage)
        assert [fault.times for fault in proxy.struck] == [0]

    def test_a_service_that_stays_away_is_a_connection_error(
        self, storage: OpenDALStorage, proxy: HTTPProxy, operation: Operation
    ) -> None:
        proxy.answer(503, body=xml("SlowDown"), times=99)
        with pytest.raises(ConnectionError):
            operation(storage)
        proxy.heal()
        operation(storage)

    def test_a_refused_connection_is_a_connection_error(
        self, storage: OpenDALStorage, proxy: HTTPProxy, operation: Operation
    ) -> None:
        proxy.refuse()
        with pytest.raises(ConnectionError):
            operation(storage)

    def test_credentials_that_are_refused(
        self, storage: OpenDALStorage, proxy: HTTPProxy, operation: Operation, caplog: pytest.LogCaptureFixture
    ) -> None:
        proxy.answer(403, body=xml("AccessDenied"), times=99)
        with pytest.raises(PermissionError) as caught:
            operation(storage)
        assert caught.value.errno == errno.EACCES
        assert caplog.text.count("refuses the credentials") == 1
        told = "".join(traceback.format_exception(caught.value)) + caplog.text
        assert KEY not in told
        assert SECRET not in told


class TestSlowness:
    @pytest.mark.parametrize("operation", ["stat", "listing", "open", "replace"])
    def test_silence_ends_at_the_deadline(self, storage: OpenDALStorage, proxy: HTTPProxy, operation: str) -> None:
        storage.stat("")
        proxy.stall()
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            OPERATIONS[operation](storage)
        assert time.monotonic() - began < 5
        proxy.heal()
        OPERATIONS[operation](storage)

    def test_a_body_that_breaks_off_is_fetched_again(
        self, storage: OpenDALStorage, s3_bucket: Bucket, proxy: HTTPProxy
    ) -> None:
        s3_bucket.put("big", bytes(range(256)) * 10_000)
        with storage.open("big") as file:
            assert file.pread(1, 0) == b"\0"
            proxy.cut(100_000, method="GET", target="/big")
            assert file.pread(2_560_000, 0) == bytes(range(256)) * 10_000

    def test_an_upload_that_breaks_off_is_sent_again(
        self, storage: OpenDALStorage, s3_bucket: Bucket, proxy: HTTPProxy
    ) -> None:
        proxy.cut(100_000, way="up", method="PUT", target="/big")
        storage.replace("big", ContentFile(b"x" * 500_000))
        assert s3_bucket.get("big") == b"x" * 500_000

    def test_what_comes_slowly_is_waited_for(
        self, storage: OpenDALStorage, s3_bucket: Bucket, proxy: HTTPProxy
    ) -> None:
        s3_bucket.put("big", bytes(range(256)) * 4_000)
        with storage.open("big") as file:
            assert file.pread(1, 0) == b"\0"
            proxy.rate(down=300_000)
            assert len(file.pread(1_000_000, 0)) == 1_000_000
        assert proxy.count("GET", "/big") == 3, "the pin was tried"

    @pytest.mark.parametrize("watched", [3], indirect=True, ids=[""])  # a busy server may not answer for a second
    @pytest.mark.parametrize("size", [4_000_000, 9 << 20], ids=["whole", "in parts"])
    def test_an_upload_goes_on_as_long_as_bytes_move(
        self, watched: OpenDALStorage, proxy: HTTPProxy, size: int
    ) -> None:
        proxy.rate(up=size / 8)
        content = os.urandom(size)
        began = time.monotonic()
        watched.replace("big", ContentFile(content))
        assert time.monotonic() - began > 6, "twice the deadline"
        with watched.open("big") as file:
            assert file.read() == content

    @pytest.mark.parametrize(
        ("after", "way", "method", "target"),
        [(2 << 20, "up", "PUT", "partNumber=2"), (0, "down", "PUT", "partNumber=2"), (0, "down", "POST", "uploadId=")],
        ids=["a part", "its answer", "the answer to the whole"],
    )
    def test_an_upload_ends_when_no_byte_moves(
        self, watched: OpenDALStorage, proxy: HTTPProxy, after: int, way: Way, method: str, target: str
    ) -> None:
        content = os.urandom(12 << 20)
        proxy.cut(after, way=way, ending="stall", method=method, target=target, times=99)
        began = time.monotonic()
        with pytest.raises(TimeoutError, match="no byte has moved"):
            watched.replace("big", ContentFile(content))
        assert time.monotonic() - began < 4
        assert soon(lambda: not connections_to(proxy.port)), "what hung is still open"
        proxy.heal()
        watched.replace("big", ContentFile(content))
        with watched.open("big") as file:
            assert file.read() == content

    def test_an_upload_that_is_stuck_ends_though_others_go_on(self, watched: OpenDALStorage, proxy: HTTPProxy) -> None:
        proxy.rate(up=10_000_000)
        proxy.cut(1 << 20, way="up", ending="stall", target="/big", times=99)
        with ThreadPoolExecutor(1) as pool:
            upload = pool.submit(watched.replace, "big", ContentFile(bytes(12 << 20)))
            began = time.monotonic()
            while not upload.done():
                assert watched.stat("f").size == 7
                assert time.monotonic() - began < 5
        with pytest.raises(TimeoutError, match="no byte has moved"):
            upload.result()

    def test_small_uploads_are_given_more_time_where_the_service_is_there_and_slow(
        self, storage: OpenDALStorage, s3_bucket: Bucket, proxy: HTTPProxy, caplog: pytest.LogCaptureFixture
    ) -> None:
        proxy.rate(up=40_000)
        content = ContentFile(b"x" * 60_000)
        with pytest.raises(TimeoutError):
            storage.replace("small", content)
        assert "a try may take 1.3 s from now on" in caplog.text
        with suppress(TimeoutError):
            storage.replace("small", content)
        storage.replace("small", content)
        assert s3_bucket.get("small") == b"x" * 60_000

    def test_a_service_that_is_gone_is_asked_once_more_and_uploads_get_no_more_time(
        self, storage: OpenDALStorage, proxy: HTTPProxy, caplog: pytest.LogCaptureFixture
    ) -> None:
        storage.stat("f")
        proxy.stall("up")
        before = proxy.count("HEAD")
        with pytest.raises(TimeoutError):
            storage.replace("big", ContentFile(b"x" * 1000))
        assert proxy.count("HEAD") - before == 1
        assert "from now on" not in caplog.text

    def test_a_listing_holds_no_other_thread_up(self, storage: OpenDALStorage, proxy: HTTPProxy) -> None:
        """The proxy is a thread of this process, so that it could not answer."""
        assert {entry.name for entry in storage.scandir()} == {"dir", "f"}


class TestOfTheAnswers:
    @pytest.mark.parametrize("status", [400, 403])
    @pytest.mark.parametrize("code", DENIED)
    def test_codes_of_credentials(
        self, storage: OpenDALStorage, proxy: HTTPProxy, status: int, code: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        proxy.answer(status, body=xml(code), times=9)
        with pytest.raises(PermissionError, match=code):
            list(storage.scandir())
        assert code in caplog.text

    @pytest.mark.parametrize("status", [429, 500, 502, 504])
    def test_errors_that_pass(self, storage: OpenDALStorage, proxy: HTTPProxy, status: int) -> None:
        proxy.answer(status, body=xml("InternalError"))
        assert storage.stat("f").size == 7
        proxy.answer(status, body=xml("InternalError"), times=9)
        with pytest.raises((ConnectionError, TimeoutError)):
            storage.stat("f")

    def test_a_key_that_is_too_long(self, storage: OpenDALStorage, proxy: HTTPProxy) -> None:
        proxy.answer(400, body=xml("KeyTooLongError"), method="PUT", times=9)
        with pytest.raises(NameTooLongError):
            storage.replace("g", ContentFile(b"x"))

    def test_what_is_no_answer_of_the_service_says_nothing_of_the_object(
        self, storage: OpenDALStorage, proxy: HTTPProxy
    ) -> None:
        proxy.answer(404, body=b"<html>Not Found</html>", method="GET", times=9)
        with storage.open("f") as file, pytest.raises(OSError, match="not s3 has answered") as caught:
            file.read()
        assert caught.value.errno == errno.EIO

    def test_what_the_credentials_are_decides_nothing(self, s3_bucket: Bucket, proxy: HTTPProxy) -> None:
        """They are words of the answer, which are not to be seen."""
        options = s3_bucket.at(proxy.port).opendal | {"access_key_id": "bucket", "secret_access_key": "Such"}
        storage = OpenDALStorage(**options, deadline=1.5, retries=0)
        proxy.answer(404, body=xml("NoSuchBucket"), method="GET", times=9)
        with storage.open("f") as file, pytest.raises(OSError, match="does not exist") as caught:
            file.read()
        assert caught.value.errno == errno.EIO
        assert "NoSuch" not in str(caught.value.__cause__)

    def test_what_an_object_is_called_decides_nothing(self, storage: OpenDALStorage) -> None:
        for name in ("NoSuchBucket", "timeout reached", "AccessDenied", "status: 403"):
            with pytest.raises(FileNotFoundError):
                storage.stat(name)

    def test_an_error_of_the_content_is_passed_on(self, storage: OpenDALStorage) -> None:
        class Broken(ContentFile):
            def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
                raise OSError(errno.EIO, "the disk is broken")

        with pytest.raises(OSError, match="the disk is broken"):
            storage.replace("g", Broken(b""))


class TestSecrets:
    def test_they_are_in_no_text_of_the_storage(self, storage: OpenDALStorage) -> None:
        for text in (repr(storage), str(storage), repr(vars(storage)), repr(storage._connection)):
            assert KEY not in text
            assert SECRET not in text

    def test_they_are_taken_out_of_addresses(self) -> None:
        text = "GET https://user:pass@host/x?sig=abc%2F&se=1&X-Amz-Signature=f00&token=t1 with word"
        assert without_secrets(text, ["word"]) == (
            "GET https://...@host/x?sig=...&se=1&X-Amz-Signature=...&token=... with ..."
        )

    def test_they_are_taken_out_of_the_original_error_too(self, proxy: HTTPProxy) -> None:
        storage = OpenDALStorage(
            "azblob", container="c", account_name="a", sas_token="sv=1&sig=hidden-signature",
            endpoint=f"http://{HOST}:{proxy.port}/a", deadline=1, retries=0,
        )  # fmt: skip
        proxy.answer(500, times=9)
        with pytest.raises(ConnectionError) as caught:
            storage.stat("f")
        assert caught.value.__cause__ is not None
        assert "hidden-signature" in proxy.requests[0].target
        assert "hidden-signature" not in "".join(traceback.format_exception(caught.value))


class TestOptions:
    def test_a_scheme_is_needed(self) -> None:
        with pytest.raises(ImproperlyConfigured, match="'scheme'"):
            OpenDALStorage("")

    def test_an_unknown_scheme_is_refused(self) -> None:
        with pytest.raises(InvalidStorageError, match="scheme is not registered"):
            OpenDALStorage("s4", secret_access_key=SECRET).stat("f")

    def test_a_missing_option_is_told(self) -> None:
        with pytest.raises(ImproperlyConfigured, match="bucket is misconfigured") as caught:
            OpenDALStorage("s3", region="x", secret_access_key=SECRET).stat("f")
        assert SECRET not in "".join(traceback.format_exception(caught.value))

    def test_an_unknown_option_is_warned_of(self, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
        OpenDALStorage("fs", root=tmp_path, rooot=SECRET).stat("")
        assert "no option 'rooot', and ignores it; is 'root' meant?" in caplog.text
        assert SECRET not in caplog.text

    def test_options_need_not_be_text(self, s3_bucket: Bucket) -> None:
        storage = OpenDALStorage(**s3_bucket.opendal, enable_virtual_host_style=False, default_acl=None)
        assert list(storage.scandir()) == []
        storage.close()

    def test_without_the_library_it_is_said_what_to_install(self, tmp_path: Path) -> None:
        missing = "raise ModuleNotFoundError(\"No module named 'opendal'\", name='opendal')"
        (tmp_path / "opendal.py").write_text(missing)
        program = "from storage import OpenDALStorage; s = OpenDALStorage('memory'); print(s); s.stat('f')"
        environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{REPOSITORY}"}
        done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
        assert done.stdout == "<OpenDALStorage: memory >\n"
        assert "ImproperlyConfigured" in done.stderr
        assert "pip install 'storage-vfs[opendal]'" in done.stderr

    def test_it_is_not_loaded_before_it_is_used(self) -> None:
        program = "import sys, storage; storage.OpenDALStorage('memory'); print('opendal' in sys.modules)"
        assert run(program) == "False\n"


class TestProcesses:
    def test_a_copy_is_a_storage_of_its_own(self, tmp_path: Path) -> None:
        storage = OpenDALStorage("fs", root=tmp_path, directories=False)
        storage.save("f", ContentFile(b"content"))
        other = pickle.loads(pickle.dumps(storage))
        assert (type(other), other.open("f").read()) == (OpenDALStorage, b"content")
        assert storage.deconstruct() == ("storage.OpenDALStorage", ("fs",), {"root": tmp_path, "directories": False})

    def test_a_child_of_a_process_that_has_used_it_is_told(self) -> None:
        """OpenDAL's threads are not there, and each call would wait for them for ever."""
        program = (
            "import os, storage\n"
            "s = storage.OpenDALStorage('memory')\n"
            "s.save('f', storage.ContentFile(b'content')); s.listdir('')\n"
            "if os.fork() == 0:\n"
            " for operation in (s.open, s.exists, s.listdir, s.stat, s.delete):\n"
            "  try: operation('f')\n"
            "  except RuntimeError as error: print(error, flush=True)\n"
            " os._exit(0)\n"
            "os.wait()\n"
        )
        assert run(program).count("used before this process was forked") == 5

    def test_a_storage_that_was_not_used_may_be_forked(self) -> None:
        program = (
            "import os, storage\n"
            "s = storage.OpenDALStorage('memory')\n"
            "if os.fork() == 0:\n"
            " s.save('f', storage.ContentFile(b'content')); print(s.open('f').read(), flush=True); os._exit(0)\n"
            "os.wait()\n"
        )
        assert run(program) == "b'content'\n"


def test_an_address_where_nobody_listens(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    caplog.set_level(logging.INFO)
    storage = OpenDALStorage(**Bucket("b", port=port).opendal, deadline=1, retries=1)
    with pytest.raises(ConnectionError, match="send http request"):
        storage.stat("f")
    storage.close()
