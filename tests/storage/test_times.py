"""Times aware and naive, by USE_TZ and TIME_ZONE, of this package's storages and of others' backends."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from storage import (
    ContentFile,
    DjangoStorage,
    FileSystemStorage,
    ImproperlyConfigured,
    InMemoryStorage,
    Storage,
    override_settings,
)
from storage.times import moment_at, nanoseconds_of, process_zone, shown

TOKYO = ZoneInfo("Asia/Tokyo")
NOW = timedelta(seconds=10)


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Moves the process to a zone."""

    def move(zone: str) -> None:
        monkeypatch.setenv("TZ", zone)
        time.tzset()

    yield move
    monkeypatch.undo()
    time.tzset()


@pytest.fixture(params=["local", "memory", "wrapped"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    local = FileSystemStorage(tmp_path)
    return {"local": local, "memory": InMemoryStorage(), "wrapped": DjangoStorage(local)}[request.param]


def of(storage: Storage, name: str) -> list[datetime]:
    return [storage.get_modified_time(name), storage.get_created_time(name), storage.get_accessed_time(name)]


class TestNaive:
    def test_in_the_zone_that_is_set(self, storage: Storage, moved: Callable[[str], None]) -> None:
        moved("America/New_York")
        with override_settings(USE_TZ=False, TIME_ZONE="Asia/Tokyo"):
            storage.save("f", ContentFile(b""))
            for found in of(storage, "f"):
                assert found.tzinfo is None
                assert abs(datetime.now(TOKYO).replace(tzinfo=None) - found) < NOW

    def test_in_that_of_the_process_where_none_is_set(self, storage: Storage, moved: Callable[[str], None]) -> None:
        moved("Asia/Kolkata")
        with override_settings(USE_TZ=False):
            storage.save("f", ContentFile(b""))
            for found in of(storage, "f"):
                assert found.tzinfo is None
                assert abs(datetime.now() - found) < NOW

    @pytest.mark.parametrize("zone", [{"TIME_ZONE": "Asia/Tokyo"}, {"TIME_ZONE": "Europe/Rome"}, {}])
    def test_both_ways_at_any_time(self, moved: Callable[[str], None], zone: dict[str, str]) -> None:
        moved("Europe/Rome")
        clock_set_back = 1_761_440_400 * 10**9  # 2025-10-26, 03:00 is 02:00 again
        with override_settings(USE_TZ=False, **zone):
            for ns in (0, -1000, clock_set_back - 1_800 * 10**9, clock_set_back + 1_800 * 10**9, 2**61 // 1000 * 1000):
                assert moment_at(ns).tzinfo is None
                assert nanoseconds_of(moment_at(ns)) == ns

    def test_what_a_backend_tells_is_of_the_zone_that_is_set(self, moved: Callable[[str], None]) -> None:
        class Backend(InMemoryStorage):
            stat = Storage.stat

            def get_modified_time(self, name: str) -> datetime:
                return datetime.now(TOKYO).replace(tzinfo=None)

        moved("UTC")
        backend = Backend()
        with override_settings(USE_TZ=False, TIME_ZONE="Asia/Tokyo"):
            backend.save("f", ContentFile(b""))
            assert abs(time.time_ns() - (backend.stat("f").mtime_ns or 0)) < 10 * 10**9

    def test_an_unknown_zone_is_said(self) -> None:
        for unknown in ("Mars/Olympus_Mons", "../etc/passwd", "Europe"):
            with (
                override_settings(USE_TZ=False, TIME_ZONE=unknown),
                pytest.raises(ImproperlyConfigured, match=f"TIME_ZONE is '{unknown}'"),
            ):
                shown(datetime.now(UTC))


def test_aware_they_are_whatever_the_zone_is(storage: Storage) -> None:
    with override_settings(USE_TZ=True, TIME_ZONE="Asia/Tokyo"):
        storage.save("f", ContentFile(b""))
        assert all(abs(datetime.now(UTC) - found) < NOW for found in of(storage, "f"))


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("Asia/Tokyo", "Asia/Tokyo"),
        (":Asia/Tokyo", "Asia/Tokyo"),
        (":/usr/share/zoneinfo/Asia/Tokyo", "Asia/Tokyo"),
        ("EST5EDT,M3.2.0,M11.1.0", "UTC"),
        ("", "UTC"),
    ],
)
def test_the_name_of_the_process_s_zone(moved: Callable[[str], None], told: str, name: str) -> None:
    moved(told)
    assert process_zone() == name


FOREIGN = """
import sys, time
from datetime import UTC, datetime
from storage import ContentFile, DjangoStorage, adapt, settings, storages
from storage.times import zone
options = {"location": sys.argv[1]}
settings.configure(USE_TZ=False, STORAGES={
    "made": {"BACKEND": "backends.MakingNaive", "OPTIONS": options},
    "local": {"BACKEND": "backends.Local", "OPTIONS": options},
    "memory": {"BACKEND": "backends.Memory"},
}, **eval(sys.argv[2]))

def is_now(storage):
    name = storage.save("f", ContentFile(b""))
    return abs(storage.stat(name).mtime_ns - time.time_ns()) < 10 * 10**9

for alias in ("made", "local", "memory"):
    storage = adapt(storages[alias])
    assert type(storage) is DjangoStorage
    assert is_now(storage), alias
    shown = storage.get_modified_time("f")
    assert shown.tzinfo is None and abs((datetime.now(zone()).replace(tzinfo=None) - shown).total_seconds()) < 10, alias
settings.TIME_ZONE = "Pacific/Auckland"
assert is_now(adapt(storages["made"]))
print("right")
"""
BACKENDS = """
from datetime import UTC, datetime
from django.core.files.storage import FileSystemStorage, InMemoryStorage, Storage
from django.utils.timezone import make_naive

class Local(FileSystemStorage):
    pass

class Memory(InMemoryStorage):
    pass

class MakingNaive(Storage):
    def __init__(self, location):
        self.files = FileSystemStorage(location)
    def __getattr__(self, name):
        return getattr(self.files, name)
    def _save(self, name, content):
        return self.files._save(name, content)
    def exists(self, name):
        return self.files.exists(name)
    def listdir(self, path):
        return self.files.listdir(path)
    def size(self, name):
        return self.files.size(name)
    def get_modified_time(self, name):
        return make_naive(datetime.now(UTC))
"""


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/New_York"])
@pytest.mark.parametrize("settings", [{}, {"TIME_ZONE": "Asia/Tokyo"}])
def test_those_of_a_django_that_has_our_settings(tmp_path: Path, settings: dict[str, str], zone: str) -> None:
    pytest.importorskip("django")
    (tmp_path / "backends.py").write_text(BACKENDS)
    (tmp_path / "files").mkdir()
    path = os.pathsep.join((str(Path(__file__).parents[2]), str(tmp_path)))
    environment = {key: value for key, value in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run(
        [sys.executable, "-c", FOREIGN, str(tmp_path / "files"), repr(settings)],
        env={**environment, "TZ": zone, "PYTHONPATH": path},
        cwd=tmp_path,
        text=True,
        capture_output=True,
    )
    assert (done.stdout, done.stderr) == ("right\n", "")
