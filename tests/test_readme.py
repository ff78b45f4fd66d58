"""What the README shows is done as it stands there, but for what would be installed, and for whose bucket it is."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from newcomer import README, ROOT, SESSIONS, Newcomer, session
from services.s3 import Bucket
from services.sftp import SFTPFolder
from vfs.cli import SECTIONS

PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
(CONFIGURATION,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)


RUN_HERE = ("note.txt", "DJANGO_SETTINGS_MODULE", "storage.OpenDALStorage", "S3Storage", "storage.FsspecStorage")
RUN_HERE += ("vfs doctor", "--prometheus")
RUN_ELSEWHERE = ("scripts/test", "systemctl", "docker")  # test_debian.py, test_service.py, test_containers.py
"""A word of each session."""


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Newcomer]:
    newcomer = Newcomer(tmp_path)
    yield newcomer
    for name in ("mnt", "media", "photos", "backup"):
        if (tmp_path / name).is_mount():
            newcomer.run("vfs", "unmount", tmp_path / name)


@pytest.mark.mount
def test_the_first_session(newcomer: Newcomer) -> None:
    project = newcomer.folder / "home" / "project"
    project.mkdir()
    newcomer.run("git", "init", "-q", project)
    (project / "new.py").touch()
    printed = newcomer.sh(session("note.txt").replace("vfs status", "vfs status || true"))  # others may be dead
    assert "?? new.py" in printed
    assert "6" in printed
    assert "note.txt" in printed
    assert "memory" in printed
    assert os.listdir(newcomer.folder / "mnt") == []


@pytest.mark.parametrize("shown", SESSIONS, ids=range(len(SESSIONS)))
def test_a_session_is_run_by_a_test(shown: str) -> None:
    assert len([word for word in (*RUN_HERE, *RUN_ELSEWHERE) if word in shown]) == 1


def test_the_two_commands_are_there() -> None:
    names = re.findall(r"^(scripts/\w+)", session("scripts/demo", "scripts/test"), re.MULTILINE)
    assert names == ["scripts/demo", "scripts/test"]
    assert all(os.access(ROOT / name, os.X_OK) for name in names)


@pytest.mark.mount
def test_a_django_project(newcomer: Newcomer) -> None:
    pytest.importorskip("django")
    newcomer.run(sys.executable, "-m", "django", "startproject", "mysite", ".")
    (newcomer.folder / "files" / "avatars").mkdir(parents=True)
    (newcomer.folder / "files" / "avatars" / "me.png").write_bytes(b"picture")
    with (newcomer.folder / "mysite" / "settings.py").open("a") as settings:
        settings.write('MEDIA_ROOT = BASE_DIR / "files"\n')
    newcomer.environment["PYTHONPATH"] = str(ROOT)  # but for the reader's folder
    printed = newcomer.sh(session("DJANGO_SETTINGS_MODULE").replace("PYTHONPATH=.", f"PYTHONPATH=.:{ROOT}"))
    assert "default" in printed
    assert "me.png" in printed
    assert (newcomer.folder / "media" / "avatars" / "me.png").read_bytes() == b"picture"


@pytest.mark.mount
def test_metrics_for_prometheus(newcomer: Newcomer) -> None:
    (newcomer.folder / "mnt").mkdir()
    newcomer.run("vfs", "mount", "memory", "mnt")
    newcomer.sh(session("--prometheus").replace("/var/lib/node_exporter", str(newcomer.folder)))
    wanted = f'vfs_up{{alias="memory",mount="{newcomer.folder}/mnt"}} 1'
    assert wanted in (newcomer.folder / "vfs.prom").read_text().splitlines()


def own(script: str, bucket: Bucket, options: str) -> str:
    """The session with a bucket of ours in the place of the reader's."""
    options += f' = "{bucket.opendal["endpoint"]}"'
    script = re.sub(r'(bucket\w* = )"photos"', rf'\1"{bucket.name}", {options}', script)
    script = script.replace("AWS_ACCESS_KEY_ID=...", f"AWS_ACCESS_KEY_ID={bucket.opendal['access_key_id']}")
    return script.replace("SECRET_ACCESS_KEY=...", f"SECRET_ACCESS_KEY={bucket.opendal['secret_access_key']}")


@pytest.mark.mount
def test_a_bucket(newcomer: Newcomer, s3_bucket: Bucket) -> None:
    script = own(session("storage.OpenDALStorage"), s3_bucket, "endpoint")
    newcomer.sh(script.replace("/var/cache/photos", str(newcomer.folder / "cache")))
    shutil.copy(ROOT / "README.md", newcomer.folder / "photos")
    assert s3_bucket.get("README.md").decode() == README


@pytest.mark.mount
def test_an_sftp_server(newcomer: Newcomer, sftp_folder: SFTPFolder) -> None:
    _, options, root = sftp_folder.paramiko
    of_ours = {"protocol": "fsspec.implementations.sftp.SFTPFileSystem", **options, "root": root}  # sshfs may be "sftp"
    written = ", ".join(f"{name} = {json.dumps(value)}" for name, value in of_ours.items())
    newcomer.sh(re.sub(r'protocol = "sftp".*"/srv/backup"', written, session("storage.FsspecStorage")))
    shutil.copy(ROOT / "README.md", newcomer.folder / "backup")
    assert (sftp_folder.path / "README.md").read_text() == README


@pytest.mark.mount
def test_the_doctor(newcomer: Newcomer, s3_bucket: Bucket) -> None:
    options = ", ".join(f'{name} = "{value}"' for name, value in s3_bucket.opendal.items())
    definition = f'[STORAGES.photos]\nBACKEND = "storage.OpenDALStorage"\nOPTIONS = {{ {options} }}\n'
    (newcomer.folder / "vfs.toml").write_text(definition)
    printed = newcomer.sh(session("vfs doctor").replace("/var/cache/photos", str(newcomer.folder / "cache")))
    shown = README.partition("$ vfs doctor photos")[2].partition("\n...\n")[2].partition("```")[0]
    for line in shown.splitlines():
        words = re.sub(r" +[\d.]+$", "", line)  # but for the time that it takes
        assert " ".join(words.split()) in " ".join(printed.split())
    assert s3_bucket.keys() == []


@pytest.mark.mount
def test_a_bucket_through_django_storages(newcomer: Newcomer, s3_bucket: Bucket) -> None:
    pytest.importorskip("storages")
    (newcomer.folder / "holiday").mkdir()
    (newcomer.folder / "holiday" / "beach.jpg").write_bytes(b"picture")
    printed = newcomer.sh(own(session("S3Storage"), s3_bucket, "endpoint_url"))
    assert "holiday" in printed
    assert (newcomer.folder / "photos/2026/holiday/beach.jpg").read_bytes() == b"picture"


@pytest.mark.mount
@pytest.mark.parametrize("program", PROGRAMS, ids=range(len(PROGRAMS)))
def test_from_python(newcomer: Newcomer, program: str) -> None:
    (newcomer.folder / "files" / "raw").mkdir(parents=True)
    (newcomer.folder / "files" / "raw" / "cat.mov").write_bytes(b"video")
    backend = f'BACKEND = "storage.FileSystemStorage"\nOPTIONS = {{ location = "{newcomer.folder}/files" }}\n'
    (newcomer.folder / "vfs.toml").write_text(f"[STORAGES.videos]\n{backend}")
    newcomer.run(sys.executable, "-c", program.replace('["ffmpeg", "-i", ', '["cp", '))
    assert ("videos" in program) == (newcomer.folder / "files" / "cat.mp4").exists()


def test_the_configuration(newcomer: Newcomer) -> None:
    (newcomer.folder / "vfs.toml").write_text(CONFIGURATION)
    newcomer.environment["BACKUP_PASSWORD"] = "secret"
    printed = newcomer.run("vfs", "storages")
    assert all(alias in printed for alias in ("media", "backup", "memory"))
    assert "secret" not in printed


def test_each_command_is_named() -> None:
    table = README.partition("## From the command line")[2].partition("\n## ")[0]
    named = set(re.findall(r"`(?:vfs )?([a-z-]+)", table))
    assert [name for names in SECTIONS.values() for name in names if name not in named] == []


def test_a_bucket_takes_the_rule_of_its_lifecycle(s3_bucket: Bucket) -> None:
    boto3 = pytest.importorskip("boto3")
    (rule,) = re.findall(r"```json\n(.*?)```", README, re.DOTALL)
    keys = {"aws_access_key_id": s3_bucket.opendal["access_key_id"], "region_name": "us-east-1"}
    keys["aws_secret_access_key"] = s3_bucket.opendal["secret_access_key"]
    client = boto3.client("s3", endpoint_url=s3_bucket.opendal["endpoint"], **keys)
    client.put_bucket_lifecycle_configuration(Bucket=s3_bucket.name, LifecycleConfiguration=json.loads(rule))
    (kept,) = client.get_bucket_lifecycle_configuration(Bucket=s3_bucket.name)["Rules"]
    assert kept["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 2}
