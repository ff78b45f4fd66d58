"""Each test is a program of its own: Django is configured once in a process, and a settings module imported once."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

needs_django = pytest.mark.skipif(importlib.util.find_spec("django") is None, reason="Django is not installed")

WITHOUT_DJANGO = "import sys; sys.modules['django'] = None\n"
PROLOGUE = """
import os, sys
from storage.conf import override_settings, setting_changed, settings
from storage.exceptions import ImproperlyConfigured

def said(name):
    try:
        return getattr(settings, name)
    except ImproperlyConfigured as error:
        return str(error)

heard = []
def hear(*, setting, value, enter, **_):
    heard.append((setting, value, enter))
setting_changed.connect(hear)
"""


@pytest.fixture
def project(bare_machine: Path) -> Path:
    """The folder of a Django project `mysite`, which is the current one."""
    package = bare_machine / "here/mysite"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "settings.py").write_text(
        'MEDIA_ROOT = "/srv/media"\nMEDIA_URL = "media/"\nAWS_REGION = "eu"\n'
        'STORAGES = {"default": {"BACKEND": "django.core.files.storage.InMemoryStorage"}}\n'
    )
    (package / "broken.py").write_text("import os\nos.missing\n")
    (package / "needy.py").write_text("import not_installed_here\n")
    return package.parent


def run(program: str, folder: Path, *, module: str | None = "mysite.settings", path: bool = True) -> list[str]:
    """The lines that a program prints that begins with PROLOGUE, in a process where warnings are errors."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([*([str(folder)] if path else []), *filter(None, sys.path)]),
    }
    if module is not None:
        environment["DJANGO_SETTINGS_MODULE"] = module
    # -P: the current folder is no place to import from, as for a console script.
    command = [sys.executable, "-P", "-W", "error", "-c", program]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@needs_django
class TestProject:
    def test_answers_for_everything(self, project: Path) -> None:
        program = """
print('django' in sys.modules)
for name in ("MEDIA_ROOT", "MEDIA_URL", "AWS_REGION", "DEFAULT_CHARSET", "FILE_UPLOAD_PERMISSIONS", "STORAGES"):
    print(name, getattr(settings, name))
for name in ("MEDIA_ROOT", "AWS_REGION", "USE_TZ"):
    print(settings.explain(name))
print(hasattr(settings, "MISSING"))
"""
        assert run(PROLOGUE + program, project) == [
            "False",
            "MEDIA_ROOT /srv/media",
            "MEDIA_URL /media/",
            "AWS_REGION eu",
            "DEFAULT_CHARSET utf-8",
            "FILE_UPLOAD_PERMISSIONS 420",
            "STORAGES {'default': {'BACKEND': 'django.core.files.storage.InMemoryStorage'}}",
            "the Django project mysite.settings ($DJANGO_SETTINGS_MODULE)",
            "the Django project mysite.settings ($DJANGO_SETTINGS_MODULE)",
            "Django's default",
            "False",
        ]

    def test_comes_after_code_and_files(self, project: Path) -> None:
        (project / "vfs.toml").write_text('MEDIA_ROOT = "/file"\nTIME_ZONE = "UTC"')
        program = """
settings.TIME_ZONE = "Europe/Rome"
print(settings.TIME_ZONE, settings.MEDIA_ROOT, "django" in sys.modules)
print(settings.MEDIA_URL, "django" in sys.modules)
"""
        assert run(PROLOGUE + program, project) == ["Europe/Rome /file False", "/media/ True"]

    def test_is_chosen_by_name_and_found_in_the_current_folder(self, project: Path) -> None:
        program = """
settings.configure(django_settings="mysite.settings")
print(settings.MEDIA_ROOT, settings.explain("MEDIA_ROOT"), os.environ["DJANGO_SETTINGS_MODULE"])
"""
        expected = ["/srv/media the Django project mysite.settings mysite.settings"]
        assert run(PROLOGUE + program, project, module=None, path=False) == expected
        assert run(PROLOGUE + program, project, module="other.settings", path=False) == expected

    def test_chosen_late_it_is_a_change_of_what_it_answers(self, project: Path) -> None:
        (project / "vfs.toml").write_text('TIME_ZONE = "UTC"')
        program = """
settings.check()
settings.configure(django_settings="mysite.settings", MEDIA_URL="/code/")
print(("MEDIA_ROOT", "/srv/media", True) in heard, [value for name, value, _ in heard if name == "MEDIA_URL"])
print("TIME_ZONE" in [name for name, _, _ in heard])
"""
        assert run(PROLOGUE + program, project, module=None, path=False) == ["True ['/code/']", "False"]

    def test_changes_are_passed_on(self, project: Path) -> None:
        (project / "vfs.toml").write_text('TIME_ZONE = "UTC"')
        program = """
from django.test import override_settings as django_override_settings
settings.check()
settings.configure(django_settings="mysite.settings", STATIC_URL="/code/")
settings.check()
heard.clear()
with django_override_settings(MEDIA_ROOT="/other", STATIC_URL="/no/", TIME_ZONE="Europe/Rome"):
    print(settings.MEDIA_ROOT, settings.STATIC_URL, settings.TIME_ZONE)
print(settings.MEDIA_ROOT)
print(heard)
"""
        assert run(PROLOGUE + program, project) == [
            "/other /code/ UTC",
            "/srv/media",
            "[('MEDIA_ROOT', '/other', True), ('MEDIA_ROOT', '/srv/media', False)]",
        ]

    def test_what_is_assigned_to_django_is_seen(self, project: Path) -> None:
        program = """
from django.conf import settings as django_settings
print(settings.MEDIA_ROOT)
django_settings.MEDIA_ROOT = "/other"
print(settings.MEDIA_ROOT)
"""
        assert run(PROLOGUE + program, project) == ["/srv/media", "/other"]

    @pytest.mark.parametrize(
        ("module", "problem"),
        [
            ("mysite.missing", "there is no module mysite.missing; is the project's folder on PYTHONPATH?"),
            ("nosite.settings", "there is no module nosite; is the project's folder on PYTHONPATH?"),
            ("mysite.broken", "AttributeError: module 'os' has no attribute 'missing'"),
            ("mysite.needy", "ModuleNotFoundError: No module named 'not_installed_here'"),
        ],
    )
    def test_that_cannot_be_loaded_is_said(self, project: Path, module: str, problem: str) -> None:
        origin = f"the Django project {module} ($DJANGO_SETTINGS_MODULE)"
        assert run(PROLOGUE + 'print(said("MEDIA_ROOT"))', project, module=module) == [
            f"Cannot load the settings of {origin}: {problem}"
        ]

    def test_another_than_django_already_has_is_refused(self, project: Path) -> None:
        program = """
from django.conf import settings as django_settings
django_settings.USE_TZ
settings.configure(django_settings="mysite.broken")
print(said("MEDIA_ROOT"))
"""
        assert run(PROLOGUE + program, project) == [
            "Django already uses the settings mysite.settings, and cannot use mysite.broken"
        ]


@needs_django
class TestConfiguredByTheProgram:
    def test_what_it_gave_to_django_counts(self, project: Path) -> None:
        program = """
from django.conf import settings as django_settings
print(settings.MEDIA_ROOT == "", settings.explain("MEDIA_ROOT"))
django_settings.configure(MEDIA_ROOT="/given")
print(settings.MEDIA_ROOT, settings.explain("MEDIA_ROOT"))
print(settings.USE_TZ, settings.explain("USE_TZ"), hasattr(settings, "DEBUG"))
"""
        assert run(PROLOGUE + program, project, module=None) == [
            "True Django's default",
            "/given django.conf.settings",
            "True Django's default False",
        ]

    def test_a_django_that_asks_us_is_not_asked_back(self, project: Path) -> None:
        program = """
from django.conf import global_settings, settings as django_settings
class OursFirst:
    def __getattr__(self, name):
        return getattr(settings, name) if hasattr(settings, name) else getattr(global_settings, name)
settings.FILE_UPLOAD_PERMISSIONS = 0o600
django_settings.configure(default_settings=OursFirst())
print(django_settings.USE_TZ, django_settings.FILE_UPLOAD_PERMISSIONS)
"""
        assert run(PROLOGUE + program, project, module=None) == ["True 384"]


class TestWithoutDjango:
    MISSING = (
        "The settings are those of the Django project mysite.settings ($DJANGO_SETTINGS_MODULE), but Django is not "
        "installed: pip install 'storage-vfs[django]', or unset DJANGO_SETTINGS_MODULE"
    )

    def test_a_named_project_is_an_error(self, project: Path) -> None:
        program = 'print(said("MEDIA_ROOT"))\nprint(said("USE_TZ"))'
        assert run(WITHOUT_DJANGO + PROLOGUE + program, project) == [self.MISSING] * 2

    def test_what_is_defined_before_does_not_miss_it(self, project: Path) -> None:
        (project / "vfs.toml").write_text('MEDIA_ROOT = "/file"')
        program = 'settings.USE_TZ = False\nprint(said("MEDIA_ROOT"), said("USE_TZ"))\nprint(said("MEDIA_URL"))'
        assert run(WITHOUT_DJANGO + PROLOGUE + program, project) == ["/file False", self.MISSING]

    def test_no_project_is_no_error(self, project: Path) -> None:
        program = 'print(repr(settings.MEDIA_ROOT), settings.explain("MEDIA_ROOT"))'
        assert run(WITHOUT_DJANGO + PROLOGUE + program, project, module=None) == ["'' Django's default"]
