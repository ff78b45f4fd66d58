"""The app for Django projects, in a real one: an upload is in the mount, what is written there is in the project."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.project
REPOSITORY = Path(__file__).parents[3]
MODELS = """
from django.db import models

class Report(models.Model):
    file = models.FileField(upload_to="reports")
"""
SETTINGS = """
INSTALLED_APPS += ["vfs.contrib.django", "reports"]
STORAGES = {
    "default": {"BACKEND": "reports.storages.Shouting", "OPTIONS": {"location": BASE_DIR / "files"}},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
"""
STORAGES = """
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage

class Shouting(FileSystemStorage):
    def _save(self, name, content):
        return super()._save(name, ContentFile(content.read().upper()))
"""
UPLOAD = """
from django.core.files.base import ContentFile
from reports.models import Report
report = Report()
report.file.save("may.txt", ContentFile(b"42 visitors"))
print(Report.objects.get().file.name)
"""


class Project:
    """A folder with a `manage.py`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("DJANGO_", "VFS_"))},
            "PYTHONPATH": str(REPOSITORY),
            "XDG_STATE_HOME": str(folder.parent / "state"),
        }
        self.run("-m", "django", "startproject", "mysite", ".")
        self.run("manage.py", "startapp", "reports")
        for name, text in (
            ("mysite/settings.py", SETTINGS),
            ("reports/models.py", MODELS),
            ("reports/storages.py", STORAGES),
        ):
            with (folder / name).open("a") as file:
                file.write(text)
        # A configuration that the commands of the project must not fall for.
        (folder / "vfs.toml").write_text('[STORAGES.default]\nBACKEND = "storage.InMemoryStorage"\n')

    def run(self, *words: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Python with these words, in the project."""
        done = subprocess.run(
            [sys.executable, *words], cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0 or not check, done.stderr
        return done

    def manage(self, *words: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("manage.py", *words, check=check)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("django") / "site")


@pytest.mark.skipif(not os.environ.get("CI"), reason="elsewhere it may be another Django")
def test_each_python_has_the_django_that_it_is_to_be_tried_with(project: Project) -> None:
    wanted = "5.2." if sys.version_info < (3, 12) else "6.0."
    assert project.run("-m", "django", "--version").stdout.startswith(wanted)


@pytest.fixture(scope="module")
def migrated(project: Project) -> Project:
    """The project with a database."""
    project.manage("makemigrations", "reports")
    project.manage("migrate")
    return project


def test_the_storages_of_the_project_are_worked_with(project: Project) -> None:
    source = project.folder / "hello.txt"
    source.write_text("hello")
    project.manage("storage", "cp", source, "default:greetings/hello.txt")
    assert (project.folder / "files/greetings/hello.txt").read_text() == "HELLO", "its own class has stored it"
    assert project.manage("storage", "ls", "default:greetings").stdout == "hello.txt\n"
    shown = project.manage("storage", "cat", "default:greetings/hello.txt", "--settings=mysite.settings")
    assert shown.stdout == "HELLO"
    assert "default" in project.manage("storage", "storages").stdout


def test_errors_and_help_are_those_of_vfs(project: Project) -> None:
    missing = project.manage("storage", "cat", "default:none", check=False)
    assert missing.returncode == 1
    assert "none" in missing.stderr
    assert project.manage("storage", "lss", check=False).returncode == 2
    assert project.manage("mount", "--help").stdout.startswith("Usage: manage.py mount [OPTIONS] ALIAS MOUNTPOINT")
    assert project.manage("storage", "ls", "--help").stdout.startswith("Usage: manage.py storage ls")
    assert "mount" in project.manage("help").stdout


def test_programs_call_the_commands(project: Project) -> None:
    (project.folder / "called.txt").write_text("called")
    program = """
from django.core.management import CommandError, call_command
call_command("storage", "cp", "called.txt", "default:called.txt")
try:
    call_command("storage", "cat", "default:none")
except CommandError as error:
    print(error.returncode)
"""
    done = project.manage("shell", "-c", program)
    assert done.stdout.splitlines()[-1] == "1"
    assert (project.folder / "files/called.txt").read_text() == "CALLED"


@pytest.mark.mount
def test_an_upload_is_in_the_mount_and_what_is_written_there_in_the_project(migrated: Project) -> None:
    mountpoint = migrated.folder / "media"
    mountpoint.mkdir()
    migrated.manage("mount", "default", mountpoint)
    try:
        assert migrated.manage("shell", "-c", UPLOAD).stdout.splitlines()[-1] == "reports/may.txt"
        assert (mountpoint / "reports/may.txt").read_text() == "42 VISITORS"
        (mountpoint / "reports/june.txt").write_text("43 visitors")
    finally:
        migrated.manage("storage", "unmount", mountpoint)
    read = "from django.core.files.storage import default_storage as s; print(s.open('reports/june.txt').read())"
    assert migrated.manage("shell", "-c", read).stdout.splitlines()[-1] == "b'43 VISITORS'"


SIGNALLED = """
import subprocess
from django.dispatch import receiver
from reports.models import Report
from vfs.contrib.django.signals import content_deleted, content_renamed, content_saved, mount

told = []

@receiver(content_saved)
def saved(sender, alias, name, **kwargs):
    Report.objects.create(file=name)
    told.append(("saved", sender.__name__, alias, name))

@receiver(content_renamed)
def renamed(sender, alias, name, old_name, **kwargs):
    Report.objects.filter(file=old_name).update(file=name)
    told.append(("renamed", alias, old_name, name))

@receiver(content_deleted)
def deleted(sender, alias, name, **kwargs):
    told.append(("deleted", alias, name))
    raise RuntimeError("a receiver that fails")

running = mount("default", "PLACE")
try:
    script = "cd $0; mkdir -p new; echo july > new/july.txt; mv new/july.txt new/jul.txt; touch x; rm x"
    subprocess.run(["sh", "-ec", script, running.mountpoint], check=True)
finally:
    running.unmount()
for line in told:
    print(*line)
print(*Report.objects.values_list("file", flat=True).order_by("file"))
"""


@pytest.mark.mount
def test_what_others_change_in_the_folder_is_a_signal_of_the_project(migrated: Project) -> None:
    mountpoint = migrated.folder / "signalled"
    mountpoint.mkdir()
    done = migrated.manage(
        "shell", "-c", f"exec(compile({SIGNALLED.replace('PLACE', str(mountpoint))!r}, 's', 'exec'), {{}})"
    )
    assert "a receiver that fails" in done.stderr, "it is logged"
    *told, rows = done.stdout.splitlines()[-5:]
    assert told == [
        "saved Shouting default new/july.txt",
        "renamed default new/july.txt new/jul.txt",
        "saved Shouting default x",
        "deleted default x",
    ]
    assert {"new/jul.txt", "x"} <= set(rows.split()), "receivers use the database"


LISTENING = """
from django.apps import AppConfig

class Listening(AppConfig):
    name = "listening"

    def ready(self):
        from vfs.contrib.django.signals import content_saved
        content_saved.connect(record)

def record(sender, alias, name, **kwargs):
    from reports.models import Report
    Report.objects.create(file=f"{alias}:{name}")
"""


@pytest.mark.mount
def test_the_daemon_of_manage_py_sends_them_to_the_receivers_of_apps(migrated: Project) -> None:
    (migrated.folder / "listening").mkdir()
    (migrated.folder / "listening/apps.py").write_text(LISTENING)
    (migrated.folder / "listening/__init__.py").touch()
    settings = "from mysite.settings import *\nINSTALLED_APPS += ['listening']\n"
    (migrated.folder / "mysite/listening.py").write_text(settings)
    mountpoint = migrated.folder / "listened"
    mountpoint.mkdir()
    migrated.manage("mount", "--settings=mysite.listening", "default", mountpoint)
    try:
        (mountpoint / "heard.txt").write_text("by the project")
    finally:
        migrated.manage("storage", "unmount", mountpoint)
    rows = "from reports.models import Report; print(*Report.objects.values_list('file', flat=True))"
    assert "default:heard.txt" in migrated.manage("shell", "-c", rows).stdout.split()
