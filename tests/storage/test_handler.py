from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import storage
from storage import (
    ContentFile,
    DefaultStorage,
    FileSystemStorage,
    ImproperlyConfigured,
    InMemoryStorage,
    InvalidStorageError,
    Storage,
    StorageHandler,
    default_storage,
    override_settings,
    storages,
)

pytestmark = pytest.mark.usefixtures("bare_machine")

MEMORY = {"BACKEND": "storage.InMemoryStorage"}


class Picky:
    """A backend with one option that it needs."""

    def __init__(self, bucket: str, *, region: str = "eu") -> None:
        if bucket == "broken":
            raise TypeError("unsupported operand")
        self.bucket = bucket


class Misconfigured:
    def __init__(self) -> None:
        raise type("ImproperlyConfigured", (Exception,), {})("Invalid setting 'bukcet' for S3Storage")


class Failing:
    def __init__(self) -> None:
        raise ConnectionError("down")


def handler(**aliases: Any) -> StorageHandler:
    """A registry with these definitions; those of this module by their class names."""
    return StorageHandler({alias: {"BACKEND": f"{__name__}.Picky"} | params for alias, params in aliases.items()})


def test_an_alias_is_one_object() -> None:
    registry = handler(m=MEMORY, n=MEMORY)
    assert registry["m"] is registry["m"]
    assert registry["m"] is not registry["n"]


def test_it_is_made_once_by_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = handler(m=MEMORY)
    together = threading.Barrier(8)
    seen = []

    def look() -> None:
        together.wait()
        seen.append(registry["m"])

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert len(set(map(id, seen))) == 1


def test_what_is_not_asked_for_is_not_made() -> None:
    registry = handler(m=MEMORY, broken={"BACKEND": "no.such.Backend"})
    assert list(registry) == ["m", "broken"]
    assert "broken" in registry
    assert "x" not in registry
    assert isinstance(registry["m"], InMemoryStorage)


def test_options_reach_the_constructor(tmp_path: Path) -> None:
    options = {"location": tmp_path, "allow_overwrite": True}
    made = StorageHandler().create_storage({"BACKEND": "storage.FileSystemStorage", "OPTIONS": options})
    assert isinstance(made, FileSystemStorage)
    assert made.location == str(tmp_path)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("storage.FileSystemStorage", FileSystemStorage),
        ("storage.filesystem.FileSystemStorage", FileSystemStorage),
        ("django.core.files.storage.FileSystemStorage", FileSystemStorage),
        ("django.core.files.storage.filesystem.FileSystemStorage", FileSystemStorage),
        ("django.core.files.storage.InMemoryStorage", InMemoryStorage),
        ("django.core.files.storage.memory.InMemoryStorage", InMemoryStorage),
    ],
)
def test_paths_of_django_are_ours_where_django_is_not_set_up(path: str, expected: type) -> None:
    assert type(StorageHandler().create_storage({"BACKEND": path})) is expected


def test_django_s_default_settings() -> None:
    assert StorageHandler().backends == {
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }


class TestMemory:
    def test_it_is_built_in(self) -> None:
        assert "memory" in storages
        assert list(storages) == ["default", "staticfiles", "memory"]
        assert "memory" not in storages.backends
        assert isinstance(storages["memory"], InMemoryStorage)

    def test_the_settings_may_use_the_name(self, tmp_path: Path) -> None:
        local = {"BACKEND": "storage.FileSystemStorage", "OPTIONS": {"location": str(tmp_path)}}
        with override_settings(STORAGES={"memory": local}):
            assert isinstance(storages["memory"], FileSystemStorage)
            assert list(storages) == ["memory"]

    def test_definitions_of_its_own_are_all_that_a_registry_has(self) -> None:
        assert "memory" not in StorageHandler({})


def test_the_storages_follow_the_setting() -> None:
    with override_settings(STORAGES={"one": MEMORY}):
        first = storages["one"]
        with override_settings(STORAGES={"one": MEMORY, "two": MEMORY}):
            assert storages["one"] is not first
            assert "two" in storages
        assert "two" not in storages
        with override_settings(MEDIA_URL="/elsewhere/"):
            assert storages["one"] is storages["one"]
    with pytest.raises(InvalidStorageError):
        storages["one"]


def test_the_setting_itself_is_not_changed_by_who_changes_the_backends() -> None:
    definitions = {"one": MEMORY}
    with override_settings(STORAGES=definitions):
        storages.backends["two"] = MEMORY
        assert definitions == {"one": MEMORY}


class TestErrors:
    def test_an_unknown_alias_names_the_nearest(self) -> None:
        with pytest.raises(InvalidStorageError) as caught:
            handler(media=MEMORY, medias=MEMORY, other=MEMORY)["meda"]
        assert str(caught.value) == (
            "Could not find config for 'meda' in settings.STORAGES. Did you mean 'media' or 'medias'?"
        )

    def test_or_all_there_are(self) -> None:
        with pytest.raises(InvalidStorageError, match=r"in settings\.STORAGES\. There are 'a', 'b'\.$"):
            handler(a=MEMORY, b=MEMORY)["nonexistent"]
        with pytest.raises(InvalidStorageError, match=r"in settings\.STORAGES\.$"):
            handler()["nonexistent"]

    def test_a_missing_module(self) -> None:
        with pytest.raises(InvalidStorageError) as caught:
            handler(a={"BACKEND": "no_such_package.Backend"})["a"]
        assert str(caught.value) == (
            "Could not find backend 'no_such_package.Backend': No module named 'no_such_package' (in STORAGES['a'])"
        )

    def test_a_missing_class(self) -> None:
        with pytest.raises(InvalidStorageError, match='Module "storage" does not define a "S3Storage" attribute/class'):
            handler(a={"BACKEND": "storage.S3Storage"})["a"]

    def test_a_name_that_no_package_has_published(self) -> None:
        with pytest.raises(
            InvalidStorageError, match=r"'S3': give the dotted path .* \(there are .*\) \(in STORAGES\['a'"
        ):
            handler(a={"BACKEND": "S3"})["a"]

    @pytest.mark.parametrize(
        ("backend", "package"),
        [
            ("storages.backends.s3.S3Storage", "django-storages"),
            ("opendal.Operator", "opendal"),
            ("fsspec.Storage", "'storage-vfs[fsspec]'"),
            ("django.contrib.staticfiles.storage.StaticFilesStorage", "'storage-vfs[django]'"),
        ],
    )
    def test_the_package_to_install(self, backend: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
        absent = backend.partition(".")[0]
        for name in [name for name in sys.modules if name.partition(".")[0] == absent]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, absent, None)  # as if it was not installed
        with pytest.raises(InvalidStorageError) as caught:
            handler(a={"BACKEND": backend})["a"]
        assert str(caught.value).startswith(f"Could not find backend {backend!r}: ")
        assert str(caught.value).endswith(f". To install it: pip install {package} (in STORAGES['a'])")

    def test_the_package_behind_an_error_of_the_backend_s_own(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "hiding_backend.py").write_text(
            "class ImproperlyConfigured(Exception): pass\n"
            "try:\n    import dropbox\n"
            "except ImportError as e:\n    raise ImproperlyConfigured(f'Could not load: {e}')\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setitem(sys.modules, "dropbox", None)
        with pytest.raises(InvalidStorageError, match=r"Could not load: .*'django-storages\[dropbox\]'"):
            handler(a={"BACKEND": "hiding_backend.Storage"})["a"]

    def test_a_missing_option(self) -> None:
        with pytest.raises(InvalidStorageError) as caught:
            handler(a={})["a"]
        assert "missing a required argument: 'bucket' (it takes 'bucket', 'region')" in str(caught.value)
        assert "STORAGES['a']" in str(caught.value)

    def test_a_wrong_option_is_named_and_no_value_is_told(self) -> None:
        with pytest.raises(InvalidStorageError) as caught:
            handler(a={"OPTIONS": {"bucket": "b", "secret": "hunter2"}})["a"]
        assert "got an unexpected keyword argument 'secret' (it takes 'bucket', 'region')" in str(caught.value)
        assert "hunter2" not in str(caught.value)

    def test_a_type_error_from_within_the_constructor(self) -> None:
        with pytest.raises(InvalidStorageError, match="unsupported operand") as caught:
            handler(a={"OPTIONS": {"bucket": "broken"}})["a"]
        assert isinstance(caught.value.__cause__, InvalidStorageError)

    def test_what_a_backend_finds_improper(self) -> None:
        with pytest.raises(ImproperlyConfigured, match="Invalid setting 'bukcet' for S3Storage"):
            handler(a={"BACKEND": f"{__name__}.Misconfigured"})["a"]

    def test_other_errors_pass_and_are_tried_again(self) -> None:
        registry = handler(a={"BACKEND": f"{__name__}.Failing"})
        for _ in range(2):
            with pytest.raises(ConnectionError, match="down"):
                registry["a"]

    @pytest.mark.parametrize("definition", [{}, {"BACKEND": InMemoryStorage}, MEMORY | {"OPTIONS": ["location"]}])
    def test_a_definition_of_another_form(self, definition: Any) -> None:
        with pytest.raises(InvalidStorageError, match=r"STORAGES\['a'\]"):
            StorageHandler({"a": definition})["a"]


class TestDefaultStorage:
    def test_it_is_the_storage_called_default_and_follows_the_settings(self) -> None:
        with override_settings(STORAGES={"default": MEMORY}):
            first = storages["default"]
            assert default_storage == first
            assert isinstance(default_storage, InMemoryStorage)
            assert isinstance(default_storage, Storage)
            assert hash(default_storage) == hash(first)
            assert repr(default_storage) == repr(first)
            assert bool(default_storage)
            with override_settings(STORAGES={"default": MEMORY}):
                assert default_storage != first

    def test_it_is_lazy(self) -> None:
        with override_settings(STORAGES={"default": {"BACKEND": "no.such.Backend"}}):
            lazy = DefaultStorage()
            with pytest.raises(InvalidStorageError):
                lazy.exists("a")

    def test_what_is_done_to_it_is_done_to_the_storage(self) -> None:
        with override_settings(STORAGES={"default": MEMORY}):
            default_storage.save("a", ContentFile(b"content"))
            assert storages["default"].exists("a")
            default_storage.mark = 1
            assert storages["default"].mark == 1
            del default_storage.mark
            assert not hasattr(storages["default"], "mark")
            assert "save" in dir(default_storage)

    def test_copies_are_of_the_storage(self, tmp_path: Path) -> None:
        local = {"BACKEND": "storage.FileSystemStorage", "OPTIONS": {"location": str(tmp_path)}}
        with override_settings(STORAGES={"default": local}):
            for made in (
                copy.copy(default_storage),
                copy.deepcopy(default_storage),
                pickle.loads(pickle.dumps(default_storage)),
            ):
                assert type(made) is FileSystemStorage
                assert made.location == str(tmp_path)


class TestPublicNames:
    def test_all_can_be_imported(self) -> None:
        assert set(storage.__all__) <= set(dir(storage))
        for name in storage.__all__:
            assert getattr(storage, name) is not None

    def test_a_name_that_is_not_there(self) -> None:
        with pytest.raises(AttributeError, match="module 'storage' has no attribute 'Storages'"):
            storage.Storages  # noqa: B018

    def test_the_package_says_what_it_is(self) -> None:
        assert storage.__distribution__ == "storage-vfs"

    def test_importing_it_loads_no_backend_and_nothing_heavy(self) -> None:
        program = "import sys, storage; print(*sorted(name.partition('.')[0] for name in sys.modules))"
        loaded = subprocess.check_output([sys.executable, "-c", program], cwd=Path(__file__).parents[2], text=True)
        assert not {"django", "fuse", "click", "rich", "psutil", "logging", "tomllib"} & set(loaded.split())
