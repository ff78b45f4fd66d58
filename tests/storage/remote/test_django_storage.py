from __future__ import annotations

import importlib.util
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from foreign import AzureLike, Foreign, Overwriting, SFTPStorage, Tree

from storage import (
    Change,
    ContentFile,
    DjangoStorage,
    File,
    FileSystemStorage,
    InMemoryStorage,
    Kind,
    StorageHandler,
    SuspiciousFileOperation,
    adapt,
    default_storage,
    override_settings,
)

NO_NAMES = ["/a", "a//b", "a/", "..", "a/../b", ".", "a\0b", "a\\b"]


class TestAdapting:
    def test_ours_stay_as_they_are(self, tmp_path: Path) -> None:
        for storage in (InMemoryStorage(), FileSystemStorage(tmp_path), DjangoStorage(Foreign())):
            assert adapt(storage) is storage

    def test_a_lazy_one_of_ours_is_looked_up(self) -> None:
        with override_settings(STORAGES={"default": {"BACKEND": "storage.InMemoryStorage"}}):
            assert type(adapt(default_storage)) is InMemoryStorage

    def test_others_are_wrapped(self) -> None:
        foreign = Foreign()
        wrapper = adapt(foreign)
        assert isinstance(wrapper, DjangoStorage)
        assert wrapper.wrapped is foreign
        assert wrapper.blocking
        assert not wrapper.in_place
        assert repr(wrapper) == "<DjangoStorage of Foreign>"

    @pytest.mark.parametrize("thing", [object(), Foreign, StorageHandler({}), "default", None])
    def test_what_is_no_storage_is_refused(self, thing: Any) -> None:
        with pytest.raises(TypeError, match="is not a storage"):
            adapt(thing)


class TestNames:
    @pytest.mark.parametrize("name", NO_NAMES)
    def test_the_backend_sees_plain_names_only(self, name: str) -> None:
        foreign = Foreign(a=b"")
        wrapper = DjangoStorage(foreign)
        for operation in (
            wrapper.open,
            lambda n: wrapper.save(n, ContentFile(b"")),
            lambda n: wrapper.replace(n, ContentFile(b"")),
            wrapper.delete,
            wrapper.unlink,
            wrapper.exists,
            wrapper.stat,
            wrapper.size,
            wrapper.listdir,
            wrapper.scandir,
            wrapper.path,
            wrapper.get_modified_time,
        ):
            with pytest.raises(SuspiciousFileOperation):
                operation(name)
        assert foreign.calls == []

    def test_paths_are_taken_for_names(self) -> None:
        wrapper = DjangoStorage(Foreign())
        assert wrapper.save(Path("a") / "b", ContentFile(b"1")) == "a/b"  # type: ignore[arg-type]
        assert wrapper.size(Path("a/b")) == 1  # type: ignore[arg-type]


class TestDjangosMethods:
    def test_saving_and_reading(self) -> None:
        wrapper = DjangoStorage(Foreign())
        assert wrapper.save("a", io.BytesIO(b"one")) == "a"
        assert wrapper.save(None, ContentFile(b"two", name="a")) == "a_"
        with wrapper.open("a_") as file:
            assert file.name == "a_"
            assert file.read() == b"two"

    def test_a_backend_that_knows_no_max_length(self) -> None:
        class Old(Foreign):
            def save(self, name: str, content: Any) -> str:  # type: ignore[override]
                return super().save(name, content)

        assert DjangoStorage(Old()).save("a", ContentFile(b"")) == "a"

    def test_the_backend_s_own_arguments_of_url(self) -> None:
        assert DjangoStorage(Foreign()).url("a", expire=5) == "https://example.com/a?expire=5"

    def test_what_the_backend_does_not_have(self) -> None:
        wrapper = DjangoStorage(Foreign(a=b""))
        with pytest.raises(NotImplementedError, match=r"Foreign has no get_accessed_time\(\)"):
            wrapper.get_accessed_time("a")
        with pytest.raises(NotImplementedError, match=r"Foreign has no path\(\)"):
            wrapper.path("a")
        with pytest.raises(NotImplementedError, match="DjangoStorage cannot mkdir"):
            wrapper.mkdir("d")

    def test_closing_closes_what_can_be_closed(self) -> None:
        storage = DjangoStorage(SFTPStorage())
        storage.close()
        DjangoStorage(Foreign()).close()
        assert storage.wrapped.disconnected

    def test_changes_are_told(self) -> None:
        wrapper = DjangoStorage(Foreign(old=b""))
        told: list[Change] = []
        wrapper.subscribe(told.append)
        wrapper.save("old", ContentFile(b""))
        wrapper.delete("old")
        wrapper.delete("old")
        assert told == [Change("save", "old_"), Change("delete", "old")]


class TestDeleting:
    def test_what_is_missing_is_deleted_in_silence(self) -> None:
        foreign = Foreign(a=b"")
        DjangoStorage(foreign).delete("b")
        assert foreign.objects == {"a": b""}

    def test_no_name(self) -> None:
        with pytest.raises(ValueError, match=r"The name must be given to delete\(\)\."):
            DjangoStorage(Foreign()).delete("")

    @pytest.mark.parametrize("operation", ["delete", "unlink"])
    def test_a_directory_s_tree_survives(self, operation: str) -> None:
        tree = Tree(**{"d/a": b"", "d/b/c": b""})
        with pytest.raises(IsADirectoryError):
            getattr(DjangoStorage(tree), operation)("d")
        assert len(tree.objects) == 2

    def test_unlink_of_what_is_missing(self) -> None:
        with pytest.raises(FileNotFoundError):
            DjangoStorage(Foreign()).unlink("a")

    def test_a_delete_that_did_nothing_is_not_a_success(self) -> None:
        sftp = SFTPStorage(a=b"")
        sftp.read_only = True
        with pytest.raises(PermissionError, match="did not delete"):
            DjangoStorage(sftp).unlink("a")
        sftp.read_only = False
        DjangoStorage(sftp).unlink("a")
        assert sftp.objects == {}


class TestReplacing:
    @pytest.mark.parametrize("kind", [Foreign, Overwriting, AzureLike])
    def test_exactly_this_name_and_nothing_beside_it(self, kind: type[Foreign]) -> None:
        foreign = kind(**{"d/a": b"old", "b": b"other"})
        entry = DjangoStorage(foreign).replace("d/a", ContentFile(b"newer"))
        assert (entry.name, entry.size) == ("a", 5)
        assert foreign.objects == {"d/a": b"newer", "b": b"other"}

    def test_what_cannot_be_saved_twice_because_the_backend_is_down_stays_as_the_alternative(self) -> None:
        class Dying(Foreign):
            def save(self, name: str, content: Any, max_length: int | None = None) -> str:
                if self.calls.count(("save", name)) == 1:
                    raise ConnectionError("down")
                return super().save(name, content, max_length)

        foreign = Dying(a=b"old")
        with pytest.raises(ConnectionError) as caught:
            DjangoStorage(foreign).replace("a", ContentFile(b"new"))
        assert foreign.objects == {"a_": b"new"}
        assert "is kept as 'a_'" in caught.value.__notes__[0]

    def test_the_old_content_survives_where_the_first_save_fails(self) -> None:
        class Full(Foreign):
            def save(self, name: str, content: Any, max_length: int | None = None) -> str:
                raise OSError(28, "No space left on device")

        foreign = Full(a=b"old")
        with pytest.raises(OSError, match="No space left"):
            DjangoStorage(foreign).replace("a", ContentFile(b"new"))
        assert foreign.objects == {"a": b"old"}

    def test_the_content_may_come_from_the_same_backend(self) -> None:
        sftp = SFTPStorage(a=b"content", b=b"old")
        DjangoStorage(sftp).copy("a", "b")
        assert sftp.objects == {"a": b"content", "b": b"content"}


class TestListing:
    def test_names_that_are_full_and_recursive(self) -> None:
        wrapper = DjangoStorage(AzureLike(**{"a": b"1", "d/b": b"22", "d/e/c": b"333", "media/x": b""}))
        assert sorted((e.name, e.kind) for e in wrapper.scandir() if e.is_file) == [("a", Kind.FILE)]
        assert {e.name for e in wrapper.scandir() if e.is_dir} == {"d", "media"}
        assert [path for path, _, _ in wrapper.walk()] == ["", "d", "d/e", "media"]
        assert wrapper.stat("d/e/c").size == 3

    def test_a_file_is_no_directory_also_where_django_says_file_exists(self) -> None:
        class LikeDjangosMemory(Foreign):
            def listdir(self, path: str) -> tuple[list[str], list[str]]:
                if path in self.objects:
                    raise FileExistsError(f"/{path} exists and is not a directory.")
                return super().listdir(path)

        wrapper = DjangoStorage(LikeDjangosMemory(a=b""))
        with pytest.raises(NotADirectoryError):
            wrapper.scandir("a")
        with pytest.raises(NotADirectoryError):
            wrapper.stat("a/b")

    def test_names_that_cannot_be_used_do_not_fail_the_listing(self, caplog: pytest.LogCaptureFixture) -> None:
        class Refusing(Foreign):
            def size(self, name: str) -> int:
                if name == "refused":
                    raise SuspiciousFileOperation("Attempted access to 'refused' denied.")
                return super().size(name)

        wrapper = DjangoStorage(Refusing(**{"a": b"", "b\\c": b"", "d\\e/f": b"", "refused": b""}))
        assert [entry.name for entry in wrapper.scandir()] == ["a"]
        assert len(caplog.records) == 3

    def test_a_connection_that_serves_one_call_at_a_time_gets_one_at_a_time(self) -> None:
        sftp = SFTPStorage(**{f"f{number}": b"" for number in range(16)})
        assert len(list(DjangoStorage(sftp).scandir())) == 16


class TestOpening:
    def test_reading_in_order_opens_once(self) -> None:
        sftp = SFTPStorage(a=b"0123456789")
        with DjangoStorage(sftp).open("a") as file:
            assert [file.read(4), file.read(4), file.read(), file.read()] == [b"0123", b"4567", b"89", b""]
        assert sftp.calls == [("open", "a")]

    def test_positional_reads_are_right_where_the_backend_forgets_a_seek(self) -> None:
        with DjangoStorage(SFTPStorage(a=b"0123456789")).open("a") as file:
            assert file.pread(3, 5) == b"567"
            assert file.read(2) == b"01"
            assert file.pread(100, 8) == b"89"
            assert file.read(2) == b"23"

    def test_a_local_file_of_the_backend_s_is_used_as_it_is(self, tmp_path: Path) -> None:
        class Local(Foreign):
            def open(self, name: str, mode: str = "rb") -> Any:
                return File((tmp_path / name).open(mode))

        (tmp_path / "a").write_bytes(b"content")
        with DjangoStorage(Local()).open("a") as file:
            assert file.content_fd() is not None
            assert file.pread(4, 3) == b"tent"


DJANGO = """
import sys, tempfile, os
from django.conf import settings
settings.configure(USE_TZ=True)
from django.core.files import storage as theirs
from django.core.files.base import ContentFile
from storage import DjangoStorage, FileSystemStorage, Kind, SuspiciousFileOperation, adapt

folder = tempfile.mkdtemp(dir=sys.argv[1])
native = adapt(theirs.FileSystemStorage(folder, file_permissions_mode=0o600))
assert type(native) is FileSystemStorage and native.location == folder, native
native.save("a", ContentFile(b"x"))
assert os.stat(os.path.join(folder, "a")).st_mode & 0o777 == 0o600

class Encrypting(theirs.FileSystemStorage):
    pass

for foreign in (Encrypting(folder), theirs.InMemoryStorage()):
    wrapper = adapt(foreign)
    assert type(wrapper) is DjangoStorage
    wrapper.replace("d/one", ContentFile(b"1"))
    entry = wrapper.replace("d/one", ContentFile(b"22"))
    assert (entry.size, wrapper.stat("d").kind) == (2, Kind.DIRECTORY), entry
    assert foreign.listdir("d") == ([], ["one"])
    with wrapper.open("d/one") as file:
        assert file.pread(1, 1) == b"2"
    for call in (lambda: wrapper.stat("d/one/x"), lambda: wrapper.scandir("d/one")):
        try:
            call()
        except NotADirectoryError:
            pass
        else:
            raise AssertionError("below a file")
    wrapper.rename("d/one", "two")
    assert wrapper.open("two").read() == b"22"
    wrapper.unlink("two")
    try:
        wrapper.open("two").read()
    except FileNotFoundError:
        pass
    else:
        raise AssertionError("it should be gone")
    try:
        wrapper._call("save", "../x", ContentFile(b""))
    except SuspiciousFileOperation:
        pass

lazy = theirs.default_storage
assert type(adapt(lazy)) is FileSystemStorage
print("done")
"""

UNCONFIGURED = """
import sys
from storage import adapt, settings, storages
settings.STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "static": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
settings.STATIC_ROOT, settings.STATIC_URL = sys.argv[1], "/static/"
assert type(storages["default"]).__module__ == "storage.filesystem"
static = storages["static"]
assert static.location == sys.argv[1], static.location
assert static.url("a.css") == "/static/a.css"
settings.STATIC_URL = "/other/"
from django.conf import settings as theirs
assert theirs.STATIC_URL == "/other/"
assert theirs.DEBUG is False
again = storages.create_storage({"BACKEND": "django.core.files.storage.FileSystemStorage"})
assert type(again) is type(storages["default"]), "it depends on what else was made before"
storages.create_storage({"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"})
print("done")
"""


@pytest.mark.skipif(importlib.util.find_spec("django") is None, reason="Django is not installed")
@pytest.mark.parametrize("program", [DJANGO, UNCONFIGURED], ids=["with Django's backends", "without its settings"])
def test_together_with_django(program: str, bare_machine: Path) -> None:
    (bare_machine / "here" / "files").mkdir()
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, str(bare_machine / "here" / "files")],
        env={"PYTHONPATH": str(Path(__file__).parents[3]), "HOME": str(bare_machine / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.stdout, run.returncode) == ("done\n", 0), run.stderr
