from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import threading
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from storage.conf import Settings, override_settings, setting_changed, settings
from storage.exceptions import ImproperlyConfigured

CONFIGURED = '[STORAGES.media]\nBACKEND = "storage.InMemoryStorage"\n'


@pytest.fixture
def own(bare_machine: Path) -> Settings:
    """Settings of our own, in here/ of a machine without configuration."""
    return Settings()


@pytest.fixture
def heard() -> Iterator[list[tuple[str, Any, bool]]]:
    """What `setting_changed` told: setting, value, enter."""
    changes: list[tuple[str, Any, bool]] = []

    def hear(*, setting: str, value: Any, enter: bool, **_: Any) -> None:
        changes.append((setting, value, enter))

    setting_changed.connect(hear)
    yield changes
    setting_changed.disconnect(hear)


def test_the_defaults_are_djangos(own: Settings) -> None:
    assert own.STORAGES == {
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
    assert own.MEDIA_ROOT == ""
    assert own.STATIC_ROOT is None
    assert own.STATIC_URL is None
    assert own.FILE_UPLOAD_PERMISSIONS == 0o644
    assert own.FILE_UPLOAD_DIRECTORY_PERMISSIONS is None
    assert own.FILE_UPLOAD_TEMP_DIR is None
    assert own.USE_TZ is True
    assert own.TIME_ZONE == "America/Chicago"
    assert own.explain("MEDIA_ROOT") == "Django's default"


@pytest.mark.parametrize("name", ["MEDIA_URL", "STATIC_URL"])
@pytest.mark.parametrize(
    ("value", "seen"),
    [("", "/"), ("m/", "/m/"), ("/m/", "/m/"), ("http://x/", "http://x/"), ("https://x/", "https://x/"), (None, None)],
)
def test_a_relative_url_begins_at_the_root_as_in_django(
    name: str, value: str | None, seen: str | None, own: Settings
) -> None:
    setattr(own, name, value)
    assert getattr(own, name) == seen


def test_a_changed_default_is_not_that_of_other_settings(own: Settings) -> None:
    own.STORAGES["more"] = {}
    assert "more" in own.STORAGES
    assert "more" not in Settings().STORAGES


class TestCode:
    def test_wins_over_files(self, own: Settings) -> None:
        Path("vfs.toml").write_text('MEDIA_ROOT = "/file"')
        own.MEDIA_ROOT = "/code"
        assert own.MEDIA_ROOT == "/code"
        assert own.explain("MEDIA_ROOT") == "set in code"
        del own.MEDIA_ROOT
        assert own.MEDIA_ROOT == "/file"

    def test_tells_of_changes(self, own: Settings, heard: list[tuple[str, Any, bool]]) -> None:
        own.MEDIA_URL = "m/"
        del own.MEDIA_URL
        assert heard == [("MEDIA_URL", "/m/", True), ("MEDIA_URL", "/", False)]

    def test_needs_no_source_for_what_it_sets(self, own: Settings) -> None:
        Path("vfs.toml").write_text("broken")
        own.MEDIA_ROOT = "/code"
        assert own.MEDIA_ROOT == "/code"
        with pytest.raises(ImproperlyConfigured):
            _ = own.MEDIA_URL

    def test_may_set_names_of_its_own(self, own: Settings) -> None:
        own.MY_BUCKET = "b"
        assert own.MY_BUCKET == "b"
        assert "MY_BUCKET" in dir(own)

    def test_cannot_set_lower_case(self, own: Settings) -> None:
        with pytest.raises(TypeError, match=r"Setting 'media_root' must be uppercase\."):
            own.media_root = "/"
        with pytest.raises(TypeError, match=r"Setting 'media_root' must be uppercase\."):
            own.configure(media_root="/")

    def test_cannot_forget_what_it_did_not_set(self, own: Settings) -> None:
        with pytest.raises(AttributeError, match="'MEDIA_ROOT' is not set in code"):
            del own.MEDIA_ROOT

    def test_values_are_in_no_repr(self, own: Settings) -> None:
        own.MY_KEY = "secret"
        assert repr(own) == "<Settings>"


def test_an_unknown_name_is_an_attribute_error(own: Settings) -> None:
    with pytest.raises(AttributeError, match=r"no setting 'MEDIA_ROT' \(did you mean MEDIA_ROOT\?\)"):
        _ = own.MEDIA_ROT
    assert not hasattr(own, "shape")
    assert getattr(own, "MISSING", 1) == 1


class TestSources:
    def test_the_first_that_defines_a_setting_wins_whole(self, own: Settings, bare_machine: Path) -> None:
        Path("vfs.toml").write_text(CONFIGURED)
        user = bare_machine / "etc/vfs/vfs.toml"
        user.parent.mkdir()
        user.write_text('MEDIA_URL = "/etc/"\n[STORAGES.other]\nBACKEND = "x"')
        assert own.STORAGES == {"media": {"BACKEND": "storage.InMemoryStorage"}}
        assert own.explain("STORAGES") == str(bare_machine / "here/vfs.toml")
        assert own.folder_of("STORAGES") == bare_machine / "here"
        assert own.MEDIA_URL == "/etc/"
        assert own.explain("MEDIA_URL") == str(user)
        assert own.folder_of("MEDIA_URL") == user.parent
        assert own.folder_of("USE_TZ") is None
        assert own.explain("USE_TZ") == "Django's default"

    def test_are_read_once(self, own: Settings) -> None:
        assert own.MEDIA_URL == "/"
        Path("vfs.toml").write_text('MEDIA_URL = "/m/"')
        assert own.MEDIA_URL == "/"
        own.reload()
        assert own.MEDIA_URL == "/m/"

    def test_are_read_again_after_a_mistake(self, own: Settings) -> None:
        Path("vfs.toml").write_text("MEDIA_URL =")
        with pytest.raises(ImproperlyConfigured):
            _ = own.MEDIA_URL
        Path("vfs.toml").write_text('MEDIA_URL = "/m/"')
        assert own.MEDIA_URL == "/m/"

    def test_what_is_left_out_is_said_once(self, own: Settings, caplog: pytest.LogCaptureFixture) -> None:
        Path("vfs.toml").write_text(CONFIGURED)
        Path("vfs.toml").chmod(0o666)
        assert "media" not in own.STORAGES
        assert own.MEDIA_ROOT == ""
        (sentence,) = own.left_out()
        assert "vfs.toml was left out" in sentence
        assert caplog.record_tuples == [("storage", logging.WARNING, sentence)]

    def test_several_threads_read_them_once(self, own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        Path("vfs.toml").write_text(CONFIGURED)
        seen: list[object] = []
        barrier = threading.Barrier(8)

        def read() -> None:
            barrier.wait()
            seen.append(own.STORAGES)

        threads = [threading.Thread(target=read) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(seen) == 8
        assert all(value is seen[0] for value in seen)

    def test_check_reads_every_setting(self, own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        Path("vfs.toml").write_text('TIME_ZONE = "${UNSET_HERE}"')
        monkeypatch.delenv("UNSET_HERE", raising=False)
        assert own.USE_TZ is True
        with pytest.raises(ImproperlyConfigured, match="UNSET_HERE"):
            own.check()


class TestReload:
    def test_tells_of_what_changed(self, own: Settings, heard: list[tuple[str, Any, bool]]) -> None:
        Path("vfs.toml").write_text('MEDIA_URL = "/1/"\nTIME_ZONE = "UTC"\nSTATIC_URL = "/s/"')
        own.check()
        own.STATIC_URL = "/code/"
        heard.clear()
        Path("vfs.toml").write_text(f'MEDIA_URL = "/2/"\nTIME_ZONE = "UTC"\nSTATIC_URL = "/t/"\n{CONFIGURED}')
        own.reload()
        media = {"media": {"BACKEND": "storage.InMemoryStorage"}}
        assert heard == [("STORAGES", media, True), ("MEDIA_URL", "/2/", True)]
        assert own.STATIC_URL == "/code/"
        heard.clear()
        Path("vfs.toml").unlink()
        own.reload()
        assert [name for name, _, _ in heard] == ["STORAGES", "MEDIA_URL", "TIME_ZONE"]

    @pytest.mark.parametrize("mistake", ["MEDIA_URL =", 'MEDIA_URL = "${UNSET_HERE}"'])
    def test_changes_nothing_for_a_mistake(
        self, own: Settings, heard: list[tuple[str, Any, bool]], mistake: str
    ) -> None:
        Path("vfs.toml").write_text('MEDIA_URL = "/1/"')
        own.check()
        Path("vfs.toml").write_text(mistake)
        with pytest.raises(ImproperlyConfigured):
            own.reload()
        assert own.MEDIA_URL == "/1/"
        assert heard == []

    def test_goes_from_a_value_that_could_not_be_told(
        self, own: Settings, heard: list[tuple[str, Any, bool]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Path("vfs.toml").write_text('MEDIA_URL = "${UNSET_HERE}"')
        monkeypatch.delenv("UNSET_HERE", raising=False)
        with pytest.raises(ImproperlyConfigured):
            _ = own.MEDIA_URL
        Path("vfs.toml").write_text('MEDIA_URL = "/late/"')
        own.reload()
        assert heard == [("MEDIA_URL", "/late/", True)]

    def test_stays_in_the_folder_of_the_first_reading(self, own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        Path("vfs.toml").write_text('MEDIA_URL = "/m/"')
        own.check()
        monkeypatch.chdir("/")
        own.reload()
        assert own.MEDIA_URL == "/m/"

    def test_reads_nothing_before_the_first_access(self, own: Settings) -> None:
        Path("vfs.toml").write_text("MEDIA_URL =")
        own.reload()


class TestConfigure:
    def test_names_a_file_relative_to_the_current_folder(self, own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        Path("mine.toml").write_text('MEDIA_URL = "/mine/"')
        Path("vfs.toml").write_text('MEDIA_URL = "/local/"\nTIME_ZONE = "UTC"')
        own.configure(config="mine.toml", STATIC_URL="/code/")
        monkeypatch.chdir("/")
        assert (own.MEDIA_URL, own.TIME_ZONE, own.STATIC_URL) == ("/mine/", "UTC", "/code/")

    def test_is_lazy(self, own: Settings) -> None:
        own.configure(config="missing.toml")
        with pytest.raises(ImproperlyConfigured, match=r"There is no configuration file .*/here/missing\.toml"):
            _ = own.MEDIA_URL

    def test_tells_of_what_it_changes_later(self, own: Settings, heard: list[tuple[str, Any, bool]]) -> None:
        own.check()
        Path("mine.toml").write_text('MEDIA_URL = "/mine/"\nSTATIC_URL = "/mine/"')
        own.configure(config="mine.toml", STATIC_URL="/code/")
        assert heard == [("MEDIA_URL", "/mine/", True), ("STATIC_URL", "/code/", True)]

    def test_that_fails_changes_nothing(self, own: Settings) -> None:
        Path("mine.toml").write_text('MEDIA_URL = "/mine/"')
        own.configure(config="mine.toml")
        own.check()
        with pytest.raises(ImproperlyConfigured):
            own.configure(config="missing.toml", MEDIA_URL="/code/")
        own.reload()
        assert own.MEDIA_URL == "/mine/"


class TestOverride:
    def test_around_a_block(self, heard: list[tuple[str, Any, bool]]) -> None:
        outside = settings.MEDIA_ROOT
        with override_settings(MEDIA_ROOT="/1"):
            with override_settings(MEDIA_ROOT="/2"):
                assert settings.MEDIA_ROOT == "/2"
            assert settings.MEDIA_ROOT == "/1"
        assert settings.MEDIA_ROOT is outside
        assert heard == [
            ("MEDIA_ROOT", "/1", True),
            ("MEDIA_ROOT", "/2", True),
            ("MEDIA_ROOT", "/1", False),
            ("MEDIA_ROOT", outside, False),
        ]

    def test_of_an_unknown_name_ends_with_none(self, heard: list[tuple[str, Any, bool]]) -> None:
        with override_settings(MY_OWN=1):
            assert settings.MY_OWN == 1
        assert not hasattr(settings, "MY_OWN")
        assert heard == [("MY_OWN", 1, True), ("MY_OWN", None, False)]

    def test_undoes_and_tells_what_was_assigned_inside(self, heard: list[tuple[str, Any, bool]]) -> None:
        with override_settings(TIME_ZONE="UTC"):
            settings.MY_OWN = 1
        assert not hasattr(settings, "MY_OWN")
        assert heard[-1] == ("MY_OWN", None, False)

    def test_around_a_function(self) -> None:
        @override_settings(MEDIA_ROOT="/f")
        def function(more: str) -> str:
            return f"{settings.MEDIA_ROOT}{more}"

        assert function("/x") == "/f/x"
        assert settings.MEDIA_ROOT != "/f"
        assert function.__name__ == "function"

    def test_around_a_coroutine(self) -> None:
        @override_settings(MEDIA_ROOT="/f")
        async def function() -> object:
            await asyncio.sleep(0)
            return settings.MEDIA_ROOT

        assert asyncio.run(function()) == "/f"

    def test_ends_with_an_exception(self) -> None:
        with pytest.raises(KeyError), override_settings(MEDIA_ROOT="/f"):
            raise KeyError
        assert settings.MEDIA_ROOT != "/f"

    def test_one_object_may_be_entered_again_within_itself(self) -> None:
        override = override_settings(MEDIA_ROOT="/f")
        with override:
            with override:
                pass
            assert settings.MEDIA_ROOT == "/f"
        assert settings.MEDIA_ROOT != "/f"

    def test_is_undone_where_a_receiver_fails(self) -> None:
        def fail(*, enter: bool, **_: Any) -> None:
            if enter:
                raise ValueError("no")

        setting_changed.connect(fail)
        try:
            with pytest.raises(ValueError, match="no"):
                override_settings(MEDIA_ROOT="/f").enable()
        finally:
            setting_changed.disconnect(fail)
        assert settings.MEDIA_ROOT != "/f"

    def test_tells_every_receiver_of_its_end_before_it_raises(self, heard: list[tuple[str, Any, bool]]) -> None:
        def fail(*, enter: bool, **_: Any) -> None:
            if not enter:
                raise ValueError("no")

        override = override_settings(MEDIA_ROOT="/f", TIME_ZONE="UTC")
        override.enable()
        setting_changed.connect(fail)
        try:
            with pytest.raises(ValueError, match="no"):
                override.disable()
        finally:
            setting_changed.disconnect(fail)
        assert [(name, enter) for name, _, enter in heard[2:]] == [("MEDIA_ROOT", False), ("TIME_ZONE", False)]

    def test_around_a_test_case_and_its_subclasses(self) -> None:
        seen: list[tuple[object, object]] = []

        @override_settings(MEDIA_ROOT="/parent", TIME_ZONE="UTC")
        class Parent(unittest.TestCase):
            @classmethod
            def setUpClass(cls) -> None:
                super().setUpClass()
                seen.append((settings.MEDIA_ROOT, settings.TIME_ZONE))

            def test(self) -> None:
                seen.append((settings.MEDIA_ROOT, settings.TIME_ZONE))

            @classmethod
            def tearDownClass(cls) -> None:
                seen.append((settings.MEDIA_ROOT, settings.TIME_ZONE))

        @override_settings(MEDIA_ROOT="/child")
        class Child(Parent):
            pass

        for case, expected in ((Parent, "/parent"), (Child, "/child"), (Parent, "/parent")):
            suite = unittest.defaultTestLoader.loadTestsFromTestCase(case)
            assert suite.run(unittest.TestResult()).wasSuccessful()
            assert seen == [(expected, "UTC")] * 3
            assert settings.MEDIA_ROOT not in ("/parent", "/child")
            seen.clear()

    def test_refuses_other_classes(self) -> None:
        with pytest.raises(TypeError, match=r"Only subclasses of unittest\.TestCase"):
            override_settings(MEDIA_ROOT="/f")(type("Other", (), {}))


def test_importing_reads_nothing(bare_machine: Path) -> None:
    """A broken file in the current folder, a project that is not there: an import is not the place to say so."""
    Path("vfs.toml").write_text("broken")
    code = (
        "import sys, storage.conf; print([m for m in ('django', 'tomllib', 'unittest', 'difflib') if m in sys.modules])"
    )
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "missing",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
