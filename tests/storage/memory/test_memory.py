"""InMemoryStorage: Django's surface beyond the conformance suite, subclasses, copies and threads."""

from __future__ import annotations

import copy
import errno
import gc
import pickle
import stat
import sys
import threading

import pytest

from storage import (
    ContentFile,
    File,
    InMemoryStorage,
)

_MIB = 1024**2


@pytest.fixture
def storage() -> InMemoryStorage:
    return InMemoryStorage()


class TestSubclasses:
    def test_a_subclass_that_puts_something_in_between_is_not_written_in_place(self) -> None:
        class Upper(InMemoryStorage):
            def _save(self, name: str, content: File) -> str:
                return super()._save(name, ContentFile(content.read().upper()))

        storage = Upper()
        assert not storage.in_place
        storage.replace("f", ContentFile(b"text"))
        assert storage.open("f").read() == b"TEXT"

    def test_a_subclass_whose_names_are_never_taken_overwrites(self) -> None:
        class Overwriting(InMemoryStorage):
            def get_available_name(self, name: str, max_length: int | None = None) -> str:
                return name

        storage = Overwriting()
        assert storage.in_place
        storage.save("f", ContentFile(b"old"))
        storage.set_attributes("f", mode=0o600)
        reader = storage.open("f")
        assert storage.save("f", ContentFile(b"new")) == "f"
        assert (storage.open("f").read(), reader.read()) == (b"new", b"old")
        assert storage.stat("f").mode == 0o600


class TestDjango:
    def test_names_are_normalised_and_may_be_absolute(self) -> None:
        storage = InMemoryStorage(location="/media", base_url="/m")
        storage.save("dir/f", ContentFile(b"x"))
        for name in ("./dir/./f", "dir//f", "/media/dir/f", "dir/../dir/f"):
            assert storage.exists(name)
        assert storage.path("dir/f") == "/media/dir/f"
        assert storage.url("dir/f") == "/m/dir/f"
        assert storage.listdir("/media") == (["dir"], [])

    def test_modes_of_what_is_saved(self) -> None:
        storage = InMemoryStorage(file_permissions_mode=0o640, directory_permissions_mode=0o710)
        storage.save("dir/f", ContentFile(b"x"))
        assert (storage.stat("dir").mode, storage.stat("dir/f").mode) == (0o710, 0o640)
        assert InMemoryStorage().stat("").mode == 0o755

    def test_a_file_in_the_way_is_both_errors(self, storage: InMemoryStorage) -> None:
        storage.save("f", ContentFile(b"x"))
        for operation in (lambda: storage.open("f/g"), lambda: storage.open("f/g", "w"), lambda: storage.listdir("f")):
            with pytest.raises(FileExistsError, match="f exists and is not a directory") as caught:
                operation()
            assert isinstance(caught.value, NotADirectoryError)
            assert caught.value.errno == errno.ENOTDIR

    def test_delete_takes_a_directory_with_all_in_it(self, storage: InMemoryStorage) -> None:
        storage.save("dir/sub/f", ContentFile(b"x"))
        storage.save("kept", ContentFile(b"x"))
        storage.delete("dir")
        assert storage.listdir("") == ([], ["kept"])
        assert storage.usage().used == 1

    @pytest.mark.parametrize("mode", ["", "z", "rw", "bb", "r+w", "br"])
    def test_modes_that_are_none(self, storage: InMemoryStorage, mode: str) -> None:
        with pytest.raises(ValueError, match="invalid mode"):
            storage.open("f", mode)

    def test_a_dangling_link_is_opened_where_it_leads(self, storage: InMemoryStorage) -> None:
        storage.symlink("target", "link")
        with pytest.raises(FileExistsError):
            storage.open("link", "xb")
        with storage.open("link", "wb") as file:
            file.write(b"x")
        assert storage.stat("target").size == 1

    @pytest.mark.parametrize("twin_of", [copy.deepcopy, lambda storage: pickle.loads(pickle.dumps(storage))])
    def test_a_copy_is_independent(self, storage: InMemoryStorage, twin_of: object) -> None:
        storage.capacity = 10 * _MIB
        storage.save("dir/small", ContentFile(b"small"))
        storage.save("big", ContentFile(b"b" * _MIB))
        storage.link("big", "dir/link")
        storage.mknod("pipe", stat.S_IFIFO)
        storage.subscribe(print)
        with storage.open("big"):
            twin = twin_of(storage)  # type: ignore[operator]
        assert list(twin.scandir()) == list(storage.scandir())
        assert twin.usage() == storage.usage()
        storage.delete("dir")
        assert twin.open("dir/small").read() == b"small"
        twin.unlink("big")
        twin.unlink("dir/link")
        assert twin.usage().used == 5
        twin.save("new", ContentFile(b""))
        assert storage.listdir("") == ([], ["big", "pipe"])

    def test_importing_it_is_light(self) -> None:
        import subprocess

        heavy = ["fuse", "click", "rich", "psutil", "django"]
        program = f"import sys, storage.memory; sys.exit(str([m for m in {heavy} if m in sys.modules] or ''))"
        assert subprocess.run([sys.executable, "-c", program], check=False, capture_output=True).stderr.strip() == b""


class TestThreads:
    def test_everybody_at_once(self, storage: InMemoryStorage) -> None:
        storage.mkdir("d")
        failures: list[BaseException] = []

        def work(number: int) -> None:
            try:
                for step in range(150):
                    name = f"d/{number}-{step}"
                    with storage.create(name) as file:
                        file.pwrite(bytes([number]) * 3000, 0)
                        storage.rename(name, f"{name}x")
                        list(storage.scandir("d"))
                        storage.replace("d/shared", ContentFile(bytes([number]) * 1000))
                        storage.unlink(f"{name}x")
                        assert file.pread(5000, 0) == bytes([number]) * 3000
                    shared = storage.open("d/shared").read()
                    assert shared == shared[:1] * 1000
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        gc.collect()
        assert [entry.name for entry in storage.scandir("d")] == ["shared"]
        assert storage.usage().used == 1000
