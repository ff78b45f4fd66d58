"""What adapters do on the wire: few requests, only the bytes asked for, and conditions that the server holds."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import on_the_wire
import pytest
from counting import requests_made
from foreign import Foreign
from kinds import DJANGO, each, space_of
from on_the_wire import Place

from services.server import free_port
from storage import (
    ContentFile,
    DjangoStorage,
    Entry,
    Kind,
    Storage,
    StorageHandler,
    SuspiciousFileOperation,
    VersionMismatchError,
    adapt,
)
from storage.remote import adapters
from storage.remote.adapters.adapted import Adapted

pytest.importorskip("storages")

pytestmark = pytest.mark.usefixtures("django_is_left_as_it_was")

OBJECT_STORES = ["s3", "gcs", "azure"]
LISTING = {
    "s3": ["GET"],
    "gcs": ["GET"],
    "azure": ["GET"],
    "sftp": ["sftp"] * 4,  # OPENDIR, READDIR until there is no more, CLOSE
    "ftp": ["PWD", "TYPE", "PASV", "MLSD"],
}
READ = {kind: ["GET"] for kind in OBJECT_STORES}
LOOK = {"s3": ["HEAD"], "gcs": ["GET"], "azure": ["HEAD"], "sftp": ["sftp"], "ftp": ["PWD", "MLST"]}


def made(definition: dict[str, Any]) -> Storage:
    return adapt(StorageHandler({"it": definition})["it"])


@pytest.fixture
def place(kind: str, request: pytest.FixtureRequest) -> Iterator[Place]:
    space = space_of(DJANGO[kind], request)
    place = Place(kind, space, made(space.django))
    yield place
    place.storage.close()


def content(data: bytes) -> ContentFile:
    return ContentFile(data)


@each(DJANGO)
class TestReading(on_the_wire.Reading):
    LISTING = LISTING


@each(DJANGO, *OBJECT_STORES)
class TestReadingParts(on_the_wire.ReadingParts):
    READ = READ


class TestOnTheWire:
    @each(DJANGO)
    def test_a_look_at_a_file_is_one_request(self, place: Place) -> None:
        place.space.put("f", b"12345")
        place.storage.exists("warm/up")
        with requests_made() as made:
            assert place.storage.stat("f").size == 5
        assert made == LOOK[place.kind]

    @each(DJANGO, *OBJECT_STORES)
    @pytest.mark.parametrize("size", [10, 9 * 2**20])
    def test_the_server_holds_the_conditions(self, place: Place, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
        if place.kind == "gcs" and size > 2**20:
            pytest.skip("the emulator forgets the condition of an upload in parts")
        place.space.put("f", b"first")
        old = place.storage.stat("f").version
        place.space.put("f", b"of somebody else")
        monkeypatch.setattr(place.storage, "_check_condition", lambda *args: None)  # looked at before that happened
        with pytest.raises(VersionMismatchError):
            place.storage.replace("f", content(b"x" * size), if_version=old)
        with pytest.raises(FileExistsError):
            place.storage.replace("f", content(b"x" * size), if_absent=True)
        assert place.space.get("f") == b"of somebody else"
        entry = place.storage.replace("f", content(b"y" * size), if_version=place.storage.stat("f").version)
        assert (entry.size, place.space.get("f")) == (size, b"y" * size)

    @each(DJANGO, "s3", "ftp", "sftp")
    def test_an_outage_is_no_absence(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # else the client waits longer each time
        on_the_wire.assert_an_outage_is_no_absence(made(place.space.at(free_port()).django))

    @each(DJANGO, "sftp", "ftp")
    def test_no_file_is_taken_for_a_draft(self, place: Place) -> None:
        on_the_wire.assert_no_file_is_taken_for_a_draft(place.storage)

    @each(DJANGO, "s3", "gcs", "azure")
    def test_a_container_that_is_missing_is_no_empty_directory(self, place: Place) -> None:
        definition = place.space.django
        for option in ("bucket_name", "azure_container"):
            if option in definition["OPTIONS"]:
                definition["OPTIONS"][option] = "is-not-there"
        with pytest.raises(OSError, match="does not exist"):
            list(made(definition).scandir())


@each(DJANGO, "azure")
def test_a_name_that_azure_s_backend_would_change_is_refused(place: Place) -> None:
    for operation in (place.storage.stat, lambda name: place.storage.save(name, content(b""))):
        with pytest.raises(SuspiciousFileOperation):
            operation(".profile")  # type: ignore[operator]
    assert place.space.keys() == []


class TestWhatIsAdapted:
    @each(DJANGO, "s3")
    def test_a_class_with_contents_of_its_own_keeps_them(self, place: Place) -> None:
        kind = type(place.storage.wrapped)  # type: ignore[attr-defined]

        class Encrypted(kind):  # type: ignore[misc, valid-type]
            def _save(self, name: str, content: Any) -> Any:
                return super()._save(name, ContentFile(content.read()[::-1]))

        storage = adapt(Encrypted(**place.space.django["OPTIONS"]))
        assert isinstance(storage, Adapted)
        entry = storage.replace("f", content(b"abc"), if_absent=True)
        assert (place.space.get("f"), entry.size) == (b"cba", 3)
        assert not storage.open("f").ranged

    @each(DJANGO, "s3")
    def test_one_with_a_listing_of_its_own_keeps_that(self, place: Place) -> None:
        kind = type(place.storage.wrapped)  # type: ignore[attr-defined]

        class Listing(kind):  # type: ignore[misc, valid-type]
            def listdir(self, name: str) -> Any:
                return ["d"], []

        storage = adapt(Listing(**place.space.django["OPTIONS"]))
        assert type(storage) is DjangoStorage
        assert list(storage.scandir()) == [Entry("d", Kind.DIRECTORY)]

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the backend forgets a file
    @each(DJANGO, "s3")
    def test_one_that_compresses_is_read_by_the_backend(self, place: Place) -> None:
        definition = place.space.django
        definition["OPTIONS"]["gzip"] = True
        storage = made(definition)
        storage.save("t.css", content(b"a" * 10_000))
        with storage.open("t.css") as file:
            assert not file.ranged
            assert file.read() == b"a" * 10_000

    def test_any_class_can_be_registered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(adapters, "_ADAPTERS", dict(adapters._ADAPTERS))
        adapters.register(f"{Foreign.__module__}.Foreign", f"{__name__}.OfForeign")
        storage = adapt(Foreign(a=b"12"))
        assert list(storage.scandir()) == [Entry("a", Kind.FILE, size=2)]

    def test_no_client_is_imported_to_find_one(self) -> None:
        program = (
            "import sys; from storage.remote.adapters import adapter_of; assert adapter_of(object()) is None;"
            "print([name for name in ('storages', 'boto3', 'django', 'azure', 'google.cloud') if name in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"


class OfForeign(Adapted):
    LISTING = ()

    def list_entries(self, path: str) -> Iterator[Entry]:
        for name, data in self.wrapped.objects.items():
            yield Entry(name, Kind.FILE, size=len(data))


class DropboxClient:
    """As Dropbox' own, of two pages."""

    def __init__(self) -> None:
        files = pytest.importorskip("dropbox").files
        stamp = datetime(2024, 5, 1)  # Dropbox tells UTC without saying so
        self.file = files.FileMetadata(name="f", size=3, rev="a1c10ce0dd78", server_modified=stamp)
        self.pages = [
            files.ListFolderResult(entries=[files.FolderMetadata(name="d")], cursor="next", has_more=True),
            files.ListFolderResult(entries=[self.file], cursor="end", has_more=False),
        ]
        self.asked: list[str] = []

    def files_list_folder(self, path: str) -> Any:
        self.asked.append(path)
        return self.pages[0]

    def files_list_folder_continue(self, cursor: str) -> Any:
        self.asked.append(cursor)
        return self.pages[1]

    def files_get_metadata(self, path: str) -> Any:
        self.asked.append(path)
        if path == "/f":
            return self.file
        raise ConnectionResetError("gone")


def test_dropbox_tells_all_its_pages() -> None:
    pytest.importorskip("dropbox")
    definition = {
        "BACKEND": "storages.backends.dropbox.DropboxStorage",
        "OPTIONS": {"oauth2_access_token": "secret", "root_path": "/"},
    }
    storage = made(definition)
    client = storage.wrapped.client = DropboxClient()  # type: ignore[attr-defined]
    file = Entry("f", Kind.FILE, size=3, mtime_ns=1_714_521_600 * 10**9, version="a1c10ce0dd78")
    assert list(storage.scandir()) == [Entry("d", Kind.DIRECTORY), file]
    assert storage.stat("f") == file
    with pytest.raises(ConnectionError):
        storage.exists("other")
    assert client.asked == ["", "next", "/f", "/other"]


@pytest.mark.parametrize("kind", ["sftp", "ftp"])
def test_the_program_may_use_a_backend_of_one_connection_meanwhile(kind: str, request: pytest.FixtureRequest) -> None:
    """Two threads on one such connection take each other's answers, and one waits for ever."""
    backend = StorageHandler({"it": space_of(DJANGO[kind], request).django})["it"]
    with ThreadPoolExecutor(2) as pool, contextlib.ExitStack() as stack:
        storage = stack.enter_context(contextlib.closing(adapt(backend)))
        stack.callback(getattr(backend, "close", None) or backend.disconnect)

        def use(one: Any, name: str) -> None:
            for _ in range(30):
                one.save(name, ContentFile(name.encode()))
                assert one.listdir("")[1]
                one.delete(name)

        for use_ended in [pool.submit(use, backend, "of the program"), pool.submit(use, storage, "of the mount")]:
            use_ended.result(60)
