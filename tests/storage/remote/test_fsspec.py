"""FsspecStorage beside the conformance suite: requests, versions, broken connections, protocols that lie, secrets."""

from __future__ import annotations

import errno
import io
import logging
import os
import socketserver
import ssl
import subprocess
import sys
import threading
import uuid
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import on_the_wire
import pytest
from kinds import FSSPEC, each, fsspec_storage, space_of
from on_the_wire import Place

from services.server import HOST, free_port
from storage import (
    RENAME_NOREPLACE,
    ContentFile,
    FsspecStorage,
    ImproperlyConfigured,
    Kind,
    Storage,
    StorageHandler,
    SuspiciousFileOperation,
    VersionMismatchError,
)

fsspec = pytest.importorskip("fsspec")

LISTING = {
    "s3": ["GET"],
    "gcs": ["GET"],
    "azure": ["GET"],
    "ssh": ["sftp"] * 4,  # OPENDIR, READDIR until there is no more, CLOSE
    "paramiko": ["sftp"] * 52,  # fifty READDIR at once, of which two are answered with something
    "ftp": ["TYPE", "PASV", "MLSD"],
    "webdav": ["PROPFIND"],
    "smb": ["smb"] * 4,  # CREATE, QUERY_DIRECTORY until there is no more, CLOSE
}
READ = {"s3": ["GET"], "gcs": ["GET"], "azure": ["GET", "HEAD"], "webdav": ["GET"]}
"""Azure's filesystem cannot ask for a version, so that it is looked at afterwards."""
SESSIONS = ["ssh", "paramiko", "ftp"]
SOON = 10.0


@pytest.fixture
def place(kind: str, request: pytest.FixtureRequest) -> Iterator[Place]:
    space = space_of(FSSPEC[kind], request)
    place = Place(kind, space, fsspec_storage(kind, space))
    yield place
    place.storage.close()


def content(data: bytes) -> ContentFile:
    return ContentFile(data)


@each(FSSPEC)
class TestReading(on_the_wire.Reading):
    LISTING = LISTING


@each(FSSPEC, *READ)
class TestReadingParts(on_the_wire.ReadingParts):
    READ = READ


class TestOnTheWire:
    @each(FSSPEC)
    def test_what_others_do_is_seen_at_once(self, place: Place) -> None:
        assert list(place.storage.scandir()) == []
        place.space.put("f", b"1")
        assert [entry.name for entry in place.storage.scandir()] == ["f"]
        before = place.storage.stat("f")
        place.space.put("f", b"22")
        after = place.storage.stat("f")
        assert (before.size, after.size, before.version == after.version) == (1, 2, False)
        place.space.delete("f")
        with pytest.raises(FileNotFoundError):
            place.storage.stat("f")
        assert list(place.storage.scandir()) == []

    @each(FSSPEC, "s3", "azure", "webdav", "ssh", "paramiko", "ftp")
    def test_a_store_under_a_condition_that_has_failed_meanwhile(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place.space.put("f", b"first")
        old = place.storage.stat("f").version
        place.space.put("f", b"of somebody else")
        monkeypatch.setattr(place.storage, "_check_condition", lambda *args: None)  # looked at before that happened
        with pytest.raises(VersionMismatchError):
            place.storage.replace("f", content(b"x"), if_version=old)
        with pytest.raises(FileExistsError):
            place.storage.replace("f", content(b"x"), if_absent=True)
        assert (place.space.get("f"), place.space.keys()) == (b"of somebody else", ["f"])

    @each(FSSPEC, "ssh", "paramiko")
    def test_a_name_that_is_taken_between_the_look_and_the_rename(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("f", "g"):
            place.space.put(name, name.encode())
        protocol = place.storage._protocol
        looks = iter([lambda *args: None] * 2)  # before what is stored is sent, and after it
        check = protocol.check
        monkeypatch.setattr(protocol, "check", lambda *args: next(looks, check)(*args))
        monkeypatch.setattr(place.storage, "_check_condition", lambda *args: None)
        monkeypatch.setattr(place.storage, "_check_rename", lambda *args: None)
        with pytest.raises(FileExistsError):
            place.storage.replace("g", content(b"x"), if_absent=True)
        with pytest.raises(FileExistsError):
            place.storage.rename("f", "g", RENAME_NOREPLACE)
        assert (place.space.keys(), place.space.get("g")) == (["f", "g"], b"g")

    @pytest.mark.filterwarnings("ignore:Sending a large body")  # aiohttp's advice to gcsfs and adlfs
    @each(FSSPEC, "s3", "gcs", "azure")
    def test_a_large_file_goes_in_parts(self, place: Place) -> None:
        data = os.urandom(2**20) * 17
        entry = place.storage.replace("dir/big", content(data))
        assert (entry.size, place.space.get("dir/big") == data) == (len(data), True)
        with place.storage.open("dir/big") as file:
            assert file.pread(10, 2**24 - 5) == data[2**24 - 5 : 2**24 + 5]

    @each(FSSPEC, "s3", "ftp", "ssh", "paramiko", "webdav")
    def test_an_outage_is_no_absence(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # else the client waits longer each time
        on_the_wire.assert_an_outage_is_no_absence(fsspec_storage(place.kind, place.space.at(free_port())))

    @each(FSSPEC, "s3", "azure")
    def test_a_name_that_would_be_cut_off_is_refused(self, place: Place, caplog: pytest.LogCaptureFixture) -> None:
        """As `report`, of which it would be taken for a version."""
        cut = "report?versionId=1" if place.kind == "s3" else "report?versionid=1"
        for name in ("report", cut, f"{cut}/below", "what?version=1"):
            place.space.put(name, name.encode())
        with caplog.at_level(logging.WARNING):
            assert sorted(entry.name for entry in place.storage.scandir()) == ["report", "what?version=1"]
        assert [record.message.partition(" in the ")[2] for record in caplog.records] == [
            f"listing of {place.storage._root!r} cannot be named as a file, and is left out"
        ] * 2
        for operation in (
            place.storage.check_name,
            place.storage.stat,
            place.storage.open,
            place.storage.unlink,
            lambda name: place.storage.save(name, content(b"x")),
            lambda name: place.storage.replace(name, content(b"x")),
            lambda name: place.storage.copy("what?version=1", name),
        ):
            for name in (cut, f"{cut}/below"):
                with pytest.raises(SuspiciousFileOperation):
                    operation(name)
        assert place.space.get("report") == b"report"

    @each(FSSPEC, "ssh", "paramiko", "ftp", "webdav", "smb")
    def test_no_file_is_taken_for_a_draft(self, place: Place) -> None:
        on_the_wire.assert_no_file_is_taken_for_a_draft(place.storage)

    def test_no_local_file_is_taken_for_a_draft(self, tmp_path: Path) -> None:
        on_the_wire.assert_no_file_is_taken_for_a_draft(FsspecStorage("file", str(tmp_path)))

    @each(FSSPEC, "s3", "gcs", "azure")
    def test_a_container_that_is_missing_is_no_empty_directory(self, place: Place) -> None:
        protocol, options, _ = place.space.fsspec
        storage = FsspecStorage(protocol, "is-not-there", **options)
        with pytest.raises(OSError, match="does not exist"):
            list(storage.scandir())


@each(FSSPEC, *SESSIONS)
class TestConnections:
    def test_a_dead_one_is_replaced(self, place: Place) -> None:
        place.space.put("f", b"content")
        assert place.storage.stat("f").size == 7
        (filesystem,) = place.storage._client._idle
        break_connection(place.kind, filesystem)
        assert [entry.name for entry in place.storage.scandir()] == ["f"]
        assert place.storage._client._idle[0] is not filesystem  # which would be equal

    def test_many_threads_have_a_few(self, place: Place) -> None:
        place.space.put("f", b"0123456789" * 1000)
        failed: list[BaseException] = []

        def work() -> None:
            try:
                with place.storage.open("f") as file:
                    for at in range(5):
                        assert file.pread(10, at * 10) == b"0123456789"
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert 1 <= len(place.storage._client._idle) <= 4

    def test_a_child_process_makes_its_own(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        place.space.put("f", b"content")
        place.storage.stat("f")
        of_parent = place.storage._client._idle[0]
        monkeypatch.setattr("os.getpid", lambda: -1)
        assert place.storage.stat("f").size == 7
        assert place.storage._client._idle[0] is not of_parent

    def test_what_a_cut_off_upload_left_is_hidden_and_no_obstacle(self, place: Place) -> None:
        place.space.put("d/.storage-0123456789abcdef.draft", b"half of it")
        assert list(place.storage.scandir("d")) == []
        place.storage.rmdir("d")
        assert not place.storage.exists("d")


@each(FSSPEC, "paramiko", "ftp")
def test_a_connection_that_fails_keeps_others_from_being_made_for_a_minute(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.space.put("f", b"content")
    now = [1000.0]
    monkeypatch.setattr("storage.remote.fsspec.client.monotonic", lambda: now[0])
    storage, client, failed = place.storage, place.storage._client, threading.Event()

    def refused(options: dict[str, Any]) -> None:
        failed.set()
        raise ConnectionError(errno.ECONNREFUSED, "a short outage")

    def in_background(work: Callable[[], object]) -> threading.Thread:
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        return thread

    def another(filesystem: Any) -> threading.Thread:
        with monkeypatch.context() as broken:
            broken.setattr(storage._protocol, "connect", refused)
            thread = in_background(lambda: sizes.append(storage.stat("f").size))
            assert failed.wait(SOON)
        return thread

    sizes: list[int] = []
    client.call("f", another).join(SOON)
    assert sizes == [7], "it has waited for its turn"
    two: list[bool] = []
    now[0] += 59.0
    waiting = client.call("f", lambda _: in_background(lambda: storage.stat("f")))
    waiting.join(SOON)
    assert len(client._idle) == 1
    now[0] += 1.0
    side_by_side = in_background(
        lambda: two.append(client.call("f", lambda one: client.call("f", lambda other: one is not other)))
    )
    side_by_side.join(SOON)
    assert two == [True]


def break_connection(kind: str, filesystem: Any) -> None:
    match kind:
        case "ftp":
            filesystem.ftp.sock.shutdown(2)
        case "paramiko":
            filesystem.client.get_transport().sock.shutdown(2)
        case "ssh":
            filesystem.client.abort()


class Fake(fsspec.AbstractFileSystem):  # type: ignore[misc, name-defined]
    """A filesystem with the least there can be, in memory, which cannot bear two calls at once."""

    cachable = False
    objects: ClassVar[dict[str, bytes]] = {}
    overlaps = 0

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._busy = threading.Lock()

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> Any:
        if not self._busy.acquire(blocking=False):
            type(self).overlaps += 1
            raise RuntimeError("two calls at once")
        try:
            threading.Event().wait(0.002)
            below = [name for name in self.objects if name.startswith(f"{path}/")]
            return [{"name": name, "size": len(self.objects[name]), "type": "file", "mtime": 1.5} for name in below]
        finally:
            self._busy.release()

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        return io.BytesIO(self.objects[path])


class Liar(Fake):
    """As sshfs: the range is swallowed."""

    def cat_file(self, path: str, **kwargs: Any) -> bytes:
        raise AssertionError("it says that it knows no ranges")


class SecretLiar(Fake):
    """It takes a range, and ignores it."""

    fetched = 0

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        type(self).fetched += 1
        return self.objects[path]


class ChainedAbsence(Fake):
    """As that for HTTP: whatever fails, there is no such file."""

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        try:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        except ConnectionRefusedError as error:
            raise FileNotFoundError(path) from error


class ImpliedAbsence(Fake):
    """The same, without a word of where it came from."""

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        try:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        except ConnectionRefusedError:
            raise FileNotFoundError(path)  # noqa: B904 - as others do


class RetriedAbsence(Fake):
    """It asks again where a connection has died, and then there is an answer."""

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        try:
            raise ConnectionResetError(errno.ECONNRESET, "reset")
        except ConnectionResetError:
            raise FileNotFoundError(errno.ENOENT, "No such file", path)  # noqa: B904 - as others do


class TestProtocolsThatAreNotKnown:
    @pytest.mark.parametrize("kind", [Fake, Liar, SecretLiar])
    def test_ranges_are_right_whatever_the_class_makes_of_them(self, kind: type[Fake]) -> None:
        kind.objects = {"root/f": bytes(range(100))}
        SecretLiar.fetched = 0
        with FsspecStorage(f"{__name__}.{kind.__name__}", "root").open("f") as file:
            for start, size in ((10, 5), (0, 100), (95, 50), (50, 10)):
                assert file.pread(size, start) == bytes(range(100))[start : start + size]
        assert SecretLiar.fetched == (1 if kind is SecretLiar else 0)

    @pytest.mark.parametrize("kind", [ChainedAbsence, ImpliedAbsence])
    def test_an_absence_that_comes_of_an_outage_is_one(self, kind: type[Fake]) -> None:
        storage = FsspecStorage(f"{__name__}.{kind.__name__}", "root")
        for ask in (storage.stat, storage.exists, storage.size, storage.open):
            with pytest.raises(ConnectionError) as caught:
                ask("f")
            assert caught.value.errno == errno.ECONNREFUSED

    def test_an_absence_that_has_a_number_is_one_whatever_was_tried_before(self) -> None:
        assert not FsspecStorage(f"{__name__}.RetriedAbsence", "root").exists("f")

    def test_calls_are_made_one_at_a_time(self) -> None:
        Fake.objects, Fake.overlaps = {"root/f": b"1"}, 0
        storage = FsspecStorage(f"{__name__}.Fake", "root")
        threads = [threading.Thread(target=lambda: list(storage.scandir())) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert Fake.overlaps == 0

    def test_a_zip_file_is_a_read_only_storage(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            archive.writestr("top.txt", "top")
            archive.writestr("dir/below.txt", "0123456789")
        storage = FsspecStorage("zip", fo=str(tmp_path / "a.zip"))
        entries = {entry.name: entry for entry in storage.scandir()}
        assert (entries["dir"].kind, entries["top.txt"].size) == (Kind.DIRECTORY, 3)
        with storage.open("dir/below.txt") as file:
            assert (file.pread(3, 4), file.read()) == (b"456", b"0123456789")
        with pytest.raises((NotImplementedError, OSError, ValueError)):
            storage.save("new", content(b""))
        storage.close()

    def test_local_files_without_a_root_are_those_of_the_current_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        storage = FsspecStorage("file")
        monkeypatch.chdir("/")  # as a daemon does
        storage.mkdir("~root")
        assert storage.listdir("~root") == ([], [])
        assert storage.save("~root/f", content(b"x")) == "~root/f"
        assert (tmp_path / "~root" / "f").read_bytes() == b"x"
        assert storage.listdir("") == (["~root"], [])

    def test_what_breaks_off_is_not_stored(self) -> None:
        storage = FsspecStorage("memory", f"/{uuid.uuid4()}")
        with pytest.raises(ZeroDivisionError), storage.open("f", "wb") as file:
            file.write(b"half" * (1 // 0))
        assert not storage.exists("f")
        with storage.open("f", "w") as file:
            file.write("één\n")
        with storage.open("f", "a") as file:
            file.write("twee\n")
        with storage.open("f", "r") as file:
            assert list(file) == ["één\n", "twee\n"]
        with pytest.raises(FileExistsError):
            storage.open("f", "xb")

    def test_what_was_changed_meanwhile_is_not_overwritten(self) -> None:
        storage = FsspecStorage("memory", f"/{uuid.uuid4()}")
        storage.save("f", content(b"first"))
        for mode in ("r+b", "ab"):
            file = storage.open("f", mode)
            file.write(b"F")
            storage.replace("f", content(b"another's"))
            with pytest.raises(VersionMismatchError):
                file.close()
            assert file.closed
            with storage.open("f") as stored:
                assert stored.read() == b"another's"
        file = storage.open("new", "ab")
        file.write(b"mine")
        storage.save("new", content(b"another's"))
        with pytest.raises(FileExistsError):
            file.close()

    def test_nothing_is_stored_where_nothing_was_written(self) -> None:
        storage = FsspecStorage("memory", f"/{uuid.uuid4()}")
        storage.save("f", content(b"first"))
        before = storage.stat("f").version
        for mode in ("r+b", "ab", "r+"):
            with storage.open("f", mode) as file:
                assert file.size == 5
        assert storage.stat("f").version == before
        with storage.open("f", "r+b") as file:
            file.truncate(2)
        assert (storage.size("f"), storage.stat("f").version == before) == (2, False)
        with pytest.raises(ValueError, match="invalid mode"):
            storage.open("f", "w+r")

    def test_nothing_is_stored_below_a_file(self) -> None:
        storage = FsspecStorage(f"{__name__}.Fake", "root")
        Fake.objects = {"root/a": b"content"}
        with pytest.raises(NotADirectoryError), storage.open("a/c", "wb") as file:
            file.write(b"x")
        assert Fake.objects == {"root/a": b"content"}


class TestHTTP:
    """fsspec's takes all that fails for absence."""

    def test_a_port_where_nobody_listens_is_an_outage(self) -> None:
        pytest.importorskip("aiohttp")
        storage = FsspecStorage("http", f"http://{HOST}:{free_port()}")
        for ask in (storage.stat, storage.exists, lambda name: storage.open(name).read()):
            with pytest.raises(ConnectionError):
                ask("f")

    def test_a_certificate_that_nobody_knows_is_no_outage_that_passes(self, tmp_path: Path) -> None:
        pytest.importorskip("aiohttp")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self_signed(tmp_path / "pem"))
        with socketserver.ThreadingTCPServer((HOST, 0), socketserver.BaseRequestHandler) as server:
            server.socket = context.wrap_socket(server.socket, server_side=True)
            threading.Thread(target=server.serve_forever).start()
            try:
                with pytest.raises(PermissionError, match=r"certificate is not trusted.*CERTIFICATE_VERIFY_FAILED"):
                    FsspecStorage("http", f"https://{HOST}:{server.server_address[1]}").stat("f")
            finally:
                server.shutdown()


def self_signed(path: Path) -> Path:
    """A certificate with its key, in a file."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    path.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + certificate.public_bytes(pem))
    return path


class TestConfiguration:
    def test_by_the_settings(self) -> None:
        options = {"protocol": "memory", "location": f"/{uuid.uuid4()}", "public_url": "https://example.com/media"}
        storage = StorageHandler({"it": {"BACKEND": "storage.FsspecStorage", "OPTIONS": options}})["it"]
        assert isinstance(storage, FsspecStorage)
        assert storage.save("a b", content(b"x")) == "a b"
        assert storage.url("a b") == "https://example.com/media/a%20b"
        assert storage.name_forbidden == ""
        with pytest.raises(NotImplementedError):
            FsspecStorage("memory", "/x").url("a")

    def test_what_is_not_there_is_named(self) -> None:
        with pytest.raises(ImproperlyConfigured, match="knows no protocol 'nonsense'"):
            FsspecStorage("nonsense")
        with pytest.raises(ImproperlyConfigured, match="needs 'no_such_package', which is not installed"):
            FsspecStorage("no_such_package.FileSystem")

    @pytest.mark.parametrize(
        ("protocol", "module", "install"),
        [
            ("fsspec.implementations.sftp.SFTPFileSystem", "paramiko", "'storage-vfs[sftp]'"),
            ("smb", "smbclient", "'storage-vfs[smb]'"),
            ("github", "requests", "requests"),
            ("hdfs", "pyarrow", "pyarrow"),
        ],
    )
    def test_of_a_protocol_whose_package_is_missing_it_says_what_to_install(
        self, protocol: str, module: str, install: str
    ) -> None:
        """Some miss it when their class is imported, and some when they connect."""
        program = (
            f"import sys; sys.modules[{module!r}] = None; import storage\n"
            f"try: list(storage.FsspecStorage({protocol!r}, host='127.0.0.1', org='a', repo='b').scandir())\n"
            "except storage.ImproperlyConfigured as error: print(error)"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert f"needs {module!r}" in done.stdout
        assert done.stdout.strip().endswith(f"To install it: pip install {install}")

    def test_without_fsspec_the_extra_is_named(self) -> None:
        program = (
            "import sys; sys.modules['fsspec'] = None; import storage\n"
            "try: storage.FsspecStorage('memory')\n"
            "except storage.ImproperlyConfigured as error: print(error)"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert done.stdout.strip().endswith("pip install 'storage-vfs[fsspec]'")

    def test_importing_it_imports_no_client(self) -> None:
        program = "import sys, storage; storage.FsspecStorage; print('fsspec' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert done.stdout == "False\n"

    def test_no_secret_is_shown(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        for storage in (
            FsspecStorage("ftp", "/r", host="127.0.0.1", port=free_port(), username="u", password="topsecret"),
            FsspecStorage("ftp", f"ftp://u:topsecret@127.0.0.1:{free_port()}/r"),
        ):
            with pytest.raises(OSError) as caught:
                storage.stat("f")
            assert "topsecret" not in f"{storage!r} {caught.value!r} {caplog.text}"

    def test_no_secret_of_a_url_is_shown(self) -> None:
        pytest.importorskip("aiohttp")
        assert repr(FsspecStorage("https", "https://u:topsecret@host/r")) == "<FsspecStorage https 'https://host/r'>"

    @pytest.mark.parametrize("name", ["nul\0", "a//b", "../a"])
    def test_a_name_is_refused_before_anybody_is_asked(self, name: str) -> None:
        storage: Storage = FsspecStorage("ftp", host="127.0.0.1", port=free_port())
        for operation in (storage.stat, storage.unlink, storage.mkdir, storage.rmdir, storage.readlink):
            with pytest.raises(SuspiciousFileOperation):
                operation(name)


@each(FSSPEC, "ssh", "paramiko")
class TestLinksAndModesOfSFTP:
    def test_a_link_is_shown_as_what_it_is(self, place: Place) -> None:
        place.space.put("dir/f", b"x")
        (place.space.path / "link").symlink_to("dir")
        (place.space.path / "dangling").symlink_to("nowhere")
        entries = {entry.name: entry.kind for entry in place.storage.scandir()}
        assert entries == {"dir": Kind.DIRECTORY, "link": Kind.SYMLINK, "dangling": Kind.SYMLINK}
        assert place.storage.stat("link").kind is Kind.SYMLINK
        assert place.storage.readlink("dangling") == "nowhere"
        place.storage.unlink("link")
        assert place.space.get("dir/f") == b"x"

    def test_a_file_that_is_replaced_keeps_its_mode(self, place: Place) -> None:
        place.space.put("f", b"old")
        (place.space.path / "f").chmod(0o750)
        place.storage.replace("f", content(b"new"))
        assert (place.space.get("f"), (place.space.path / "f").stat().st_mode & 0o777) == (b"new", 0o750)
        place.storage.mkdir("d", mode=0o711)
        assert (place.space.path / "d").stat().st_mode & 0o777 == 0o711

    def test_a_server_with_another_key_than_it_had_is_refused(
        self, kind: str, place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        (tmp_path / ".ssh").mkdir()
        keys = place.space.key.parent
        of_server, another = ((keys / name).read_text() for name in ("host_key.pub", "user_key.pub"))
        options = {"known_hosts": str(tmp_path / ".ssh/known_hosts")} if kind == "ssh" else {}
        for key in (of_server, another):
            (tmp_path / ".ssh/known_hosts").write_text(f"[{HOST}]:{place.space.port} {key}")
            storage = fsspec_storage(kind, place.space, **options)
            if key == of_server:
                assert list(storage.scandir()) == []
            else:
                with pytest.raises(PermissionError, match=r"(?i)host key"):
                    list(storage.scandir())
            storage.close()
