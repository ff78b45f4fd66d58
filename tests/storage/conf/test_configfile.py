from __future__ import annotations

import re
from pathlib import Path

import pytest

from storage.conf.configfile import ConfigFile
from storage.exceptions import ImproperlyConfigured

PATH = Path("/srv/site/vfs.toml")


def read(text: str, path: Path = PATH) -> ConfigFile:
    return ConfigFile(path, text.encode())


def message(text: str, path: Path = PATH) -> str:
    """What is said of a file with a mistake."""
    with pytest.raises(ImproperlyConfigured) as caught:
        read(text, path)
    return str(caught.value)


def unresolved(text: str, name: str) -> str:
    """What is said of a setting whose value cannot be told."""
    file = read(text)
    with pytest.raises(ImproperlyConfigured) as caught:
        file.value(name)
    return str(caught.value)


class TestNames:
    def test_are_djangos_verbatim(self) -> None:
        file = read("""
            MEDIA_URL = "/media/"
            FILE_UPLOAD_PERMISSIONS = 0o640
            USE_TZ = false
            [STORAGES.media]
            BACKEND = "storage.InMemoryStorage"
            [STORAGES.media.OPTIONS]
            base_url = "/m/"
            sizes = [1, 2.5]
        """)
        assert file.value("MEDIA_URL") == "/media/"
        assert file.value("FILE_UPLOAD_PERMISSIONS") == 0o640
        assert file.value("USE_TZ") is False
        assert file.value("STORAGES") == {
            "media": {"BACKEND": "storage.InMemoryStorage", "OPTIONS": {"base_url": "/m/", "sizes": [1, 2.5]}}
        }
        assert not file.defines("MEDIA_ROOT")
        assert file.origin_of("MEDIA_URL") == str(PATH)

    def test_below_tool_vfs_in_a_pyproject(self) -> None:
        path = Path("/srv/site/pyproject.toml")
        file = read('[tool.vfs]\nMEDIA_URL = "/m/"\n[tool.other]\nMEDIA_ROOT = 1', path)
        assert file.value("MEDIA_URL") == "/m/"
        assert not file.defines("MEDIA_ROOT")
        assert file.origin_of("MEDIA_URL") == "[tool.vfs] of /srv/site/pyproject.toml"
        assert message("[tool.vfs]\nUSE_TZ = 1", path).startswith(f"{path}: tool.vfs.USE_TZ must be true or false")
        assert message("[tool]\nvfs = 1", path) == f"{path}: tool.vfs must be a table, not an integer"
        assert not read("tool = 1", path).defines("MEDIA_URL")

    def test_false_is_none_where_django_has_none(self) -> None:
        file = read("FILE_UPLOAD_PERMISSIONS = false\nMEDIA_URL = false")
        assert file.value("FILE_UPLOAD_PERMISSIONS") is None
        assert file.value("MEDIA_URL") is None
        assert "must be a string, not true or false" in message("MEDIA_ROOT = false")

    @pytest.mark.parametrize(
        ("written", "nearest"),
        [("MEDIA_ROT", "MEDIA_ROOT"), ("media_root", "MEDIA_ROOT"), ("STORAGE", "STORAGES"), ("USETZ", "USE_TZ")],
    )
    def test_unknown_is_answered_by_the_nearest(self, written: str, nearest: str) -> None:
        text = message(f"{written} = 1")
        assert text.startswith(f"{PATH}: {written} is not a valid key; valid, nearest first: {nearest}, ")
        assert "FILE_UPLOAD_TEMP_DIR" in text

    def test_unknown_in_an_alias(self) -> None:
        assert message('[STORAGES.media]\nBACKND = "a"') == (
            f"{PATH}: STORAGES.media.BACKND is not a valid key; valid, nearest first: BACKEND, OPTIONS; "
            "what the backend takes goes below [STORAGES.media.OPTIONS]"
        )

    def test_are_escaped_in_messages(self) -> None:
        assert "\x1b" not in message('"\\u001b[2J" = 1')
        assert "\x1b" not in message("a = 1", Path("/srv/\x1b[2J/vfs.toml"))


class TestTypes:
    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("MEDIA_ROOT = 1", "MEDIA_ROOT must be a string, not an integer"),
            ("USE_TZ = 1", "USE_TZ must be true or false, not an integer"),
            ("MEDIA_URL = true", "MEDIA_URL must be a string, or false for None, not true or false"),
            (
                'FILE_UPLOAD_PERMISSIONS = "644"',
                "FILE_UPLOAD_PERMISSIONS must be an integer such as 0o644, or false for None, not a string",
            ),
            ("FILE_UPLOAD_PERMISSIONS = 100644", "FILE_UPLOAD_PERMISSIONS must be permission bits, from 0 to 0o7777"),
            ("TIME_ZONE = 2024-01-01", "TIME_ZONE must be a string, not a date or time"),
            ("STORAGES = []", "STORAGES must be a table, not an array"),
            ('STORAGES = {a = "b"}', "STORAGES.a must be a table with BACKEND and OPTIONS, not a string"),
            ("[STORAGES.a]\nBACKEND = 1.5", "STORAGES.a.BACKEND must be a string, not a number"),
            ('[STORAGES.a]\nBACKEND = "b"\nOPTIONS = 1', "STORAGES.a.OPTIONS must be a table, not an integer"),
            (
                "[STORAGES.a.OPTIONS]",
                'STORAGES.a lacks BACKEND, the dotted path of a class such as "storage.FileSystemStorage"',
            ),
        ],
    )
    def test_wrong_is_said_with_file_and_key(self, text: str, problem: str) -> None:
        assert message(text) == f"{PATH}: {problem}"


class TestSyntax:
    @pytest.mark.parametrize(
        ("text", "place"),
        [
            ('MEDIA_URL = "/m/"\nMEDIA_ROOT = \n', "line 2, column 14"),
            ('MEDIA_URL = "/m/"\nMEDIA_ROOT', "line 2, column 11"),
            ("[STORAGES.a]\n[STORAGES.a]\n", "line 2, column 12"),
        ],
    )
    def test_errors_have_file_line_and_column(self, text: str, place: str) -> None:
        assert message(text).startswith(f"{PATH}, {place}: ")

    def test_bytes_that_are_not_utf8_have_a_place(self) -> None:
        with pytest.raises(ImproperlyConfigured, match=re.escape(f"{PATH}, line 2, column 3: not UTF-8")):
            ConfigFile(PATH, b"\n# \xff")

    def test_an_absurd_file_is_an_error_like_others(self) -> None:
        assert message("a = " + "[" * 100_000).startswith(f"{PATH} cannot be parsed: ")
        assert message("a = " + "1" * 10_000).startswith(f"{PATH} cannot be parsed: ")

    def test_a_byte_order_mark_is_skipped(self) -> None:
        assert read('\ufeffMEDIA_URL = "/m/"').value("MEDIA_URL") == "/m/"


class TestVariables:
    @pytest.fixture(autouse=True)
    def _environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SET", "value")
        monkeypatch.setenv("EMPTY", "")
        monkeypatch.setenv("NESTED", "${SET}")
        monkeypatch.delenv("UNSET", raising=False)

    @pytest.mark.parametrize(
        ("written", "value"),
        [
            ("${SET}", "value"),
            ("a${SET}b${SET}c", "avaluebvaluec"),
            ("${EMPTY}", ""),
            ("${UNSET:-default}", "default"),
            ("${EMPTY:-default}", "default"),
            ("${SET:-default}", "value"),
            ("${UNSET:-}", ""),
            ("$${SET}", "${SET}"),
            ("pa$$word$", "pa$$word$"),
            ("$SET", "$SET"),
            ("${NESTED}", "${SET}"),
        ],
    )
    def test_are_replaced(self, written: str, value: str) -> None:
        assert read(f'TIME_ZONE = "{written}"').value("TIME_ZONE") == value

    def test_at_any_depth_and_in_strings_alone(self) -> None:
        file = read("""
            [STORAGES.a]
            BACKEND = "my.${SET}"
            OPTIONS = { "${SET}" = 1, deep = { list = ["x", { key = "${SET}" }] } }
        """)
        assert file.value("STORAGES") == {
            "a": {"BACKEND": "my.value", "OPTIONS": {"${SET}": 1, "deep": {"list": ["x", {"key": "value"}]}}}
        }

    def test_an_unset_one_is_said_with_file_and_key(self) -> None:
        text = '[STORAGES.s3]\nBACKEND = "b"\nOPTIONS = { keys = ["secret-1", "secret-2 ${UNSET}"] }'
        said = unresolved(text, "STORAGES")
        assert said == (
            f"{PATH}: STORAGES.s3.OPTIONS.keys[1] needs the environment variable UNSET, which is not set "
            "(${NAME:-default} has a default)"
        )

    def test_an_unset_one_concerns_its_own_setting_only(self) -> None:
        assert read('MEDIA_URL = "${UNSET}"\nTIME_ZONE = "UTC"').value("TIME_ZONE") == "UTC"

    @pytest.mark.parametrize("written", ["${", "${a-b}", "${SET", "${}", "${SET:=x}"])
    def test_malformed_ones_are_said(self, written: str) -> None:
        assert unresolved(f'MEDIA_URL = "secret {written}"', "MEDIA_URL").startswith(f"{PATH}: MEDIA_URL holds a '${{'")


class TestPaths:
    @pytest.mark.parametrize(
        ("written", "path"),
        [
            ("media", "/srv/site/media"),
            ("../media/./x", "/srv/media/x"),
            (".", "/srv/site"),
            ("/abs", "/abs"),
            ("~/media", "/home/me/media"),
            ("", ""),
        ],
    )
    def test_are_relative_to_the_folder_of_the_file(
        self, written: str, path: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", "/home/me")
        assert read(f'MEDIA_ROOT = "{written}"').value("MEDIA_ROOT") == path
        assert read(f'STATIC_ROOT = "{written}"').value("STATIC_ROOT") == path

    @pytest.mark.parametrize(
        ("backend", "location"),
        [
            ("storage.FileSystemStorage", "/srv/site/media"),
            ("django.core.files.storage.FileSystemStorage", "/srv/site/media"),
            ("storages.backends.s3.S3Storage", "media"),
        ],
    )
    def test_a_location_is_one_for_the_file_systems_backends_only(self, backend: str, location: str) -> None:
        file = read(f'STORAGES.a = {{ BACKEND = "{backend}", OPTIONS = {{ location = "media" }} }}')
        assert file.value("STORAGES")["a"]["OPTIONS"]["location"] == location


def test_a_value_is_resolved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SET", "1")
    file = read('[STORAGES.a]\nBACKEND = "${SET}"')
    first = file.value("STORAGES")
    monkeypatch.setenv("SET", "2")
    assert file.value("STORAGES") is first
