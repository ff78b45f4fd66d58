"""The examples in the help of all commands, and those in passing in the README: each works, as it stands."""

from __future__ import annotations

import gzip
import os
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from newcomer import README, SHELLS, Example, Machine, examples, in_passing
from services.s3 import Bucket
from vfs.cli import SECTIONS, cli

EXAMPLES = examples()
ON_LOCAL_FILES = """
[STORAGES.{alias}]
BACKEND = "storage.FileSystemStorage"
OPTIONS = {{ location = "{folder}/stored/{alias}", base_url = "https://example.org/{alias}/" }}
"""
IN_A_BUCKET = """
[STORAGES.photos]
BACKEND = "storage.OpenDALStorage"
OPTIONS = {{ {options} }}
"""
OF_WHOLE_OBJECTS = """
[STORAGES.media]
BACKEND = "storage.FsspecStorage"
OPTIONS = {{ protocol = "file", root = "{folder}/stored/media" }}
"""
"""A storage whose mount has a spool."""
STORED = ("draft.txt", "a.txt", "b.txt", "notes.txt", "old/a", "2024/a", "avatars/a")
STORED += ("reports/may.pdf", "reports/2026/june.pdf")

MOUNTED = "mkdir mnt; vfs mount media ./mnt"
BUSY = "while sleep 0.05; do touch mnt/reports/2026/$RANDOM; cat mnt/none-$RANDOM || :; done >/dev/null 2>&1 &"
KILLED = f"""
mkdir mnt
vfs mount media ./mnt --write-back 3600
echo kept >mnt/closed.txt
{sys.executable} -c "import time; file = open('mnt/open.txt', 'wb', 0); file.write(b'lost'); time.sleep(60)" &
until test -s mnt/open.txt; do :; done
kill -KILL "$(vfs status --json ./mnt | jq '.[0].pid')"
umount --lazy mnt
"""
HAS_A_MOUNT = ("status", "top", "trace", "log", "flush", "refresh", "reload")
BEFORE = {
    "mount": "mkdir -p mnt /srv/media",
    "unmount": f"{MOUNTED}; vfs mount --all /srv/storages",
    **dict.fromkeys(HAS_A_MOUNT, f"{MOUNTED}; mkdir -p /var/lib/node_exporter"),
    "trace": f"{MOUNTED}; {BUSY}",
    "recover": KILLED,
    "mkdir": "rm -r stored/media/reports",
    "install-helper": "mkdir -p /etc/vfs /srv/photos; cp vfs.toml /etc/vfs/; vfs install-helper",
}
"""What is there before an example of a command of vfs is typed."""
AFTER = {
    "mount": "grep -q ' fuse.vfs ' /proc/mounts",
    "recover": "grep kept stored/media/closed.txt; ! test -e stored/media/open.txt",
    "mkdir": "test -d stored/media/reports",
}
"""What is so when it has been done."""
LASTS = re.compile("vfs (top(?!.*--once)|trace|mount -f)")
"""Ends with Ctrl-C."""

INTERACTIVE = {
    "bash": ("", "bash --rcfile ~/.bashrc -ic 'complete -p vfs'"),
    "zsh": ("echo 'autoload -U compinit && compinit -D -u' >~/.zshrc", "zsh -ic 'test $_comps[vfs] = _vfs_completion'"),
    "fish": ("mkdir -p ~/.config/fish/completions", "fish -c 'complete -C \"vfs comp\"' | grep completion"),
}
"""What a shell has before, and how it shows that it completes."""

pytestmark = [
    pytest.mark.mount,
    pytest.mark.slow,
    pytest.mark.skipif(
        os.geteuid() != 0 or not shutil.which("setsid"), reason="root has machines of his own, on Linux"
    ),
]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """With all that the examples speak of: storages with files, local files, and another program."""
    machine = Machine(tmp_path)
    aliases = ("media", "archive", "backup", "logs")
    for alias in aliases:
        (tmp_path / "stored" / alias).mkdir(parents=True)
    configuration = "".join(ON_LOCAL_FILES.format(alias=alias, folder=tmp_path) for alias in aliases)
    for name in ("vfs.toml", "prod.toml"):
        (tmp_path / name).write_text(configuration)
    for name in [*(f"stored/media/{name}" for name in STORED), "site/index.html", "upload/a", "report.pdf"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "backup").mkdir()
    (tmp_path / "stored/logs/2024").mkdir()
    for month in ("may", "june"):
        (tmp_path / f"stored/logs/2024/{month}.gz").write_bytes(gzip.compress(month.encode()))
    (tmp_path / "bin/pg_dump").write_text('#!/bin/sh\necho "CREATE DATABASE $1"\n')
    (tmp_path / "bin/pg_dump").chmod(0o755)
    return machine


def command_of(typed: str) -> str:
    """The command of vfs that is called; "" if none is."""
    found = re.search(r"\bvfs (?:--\w+ \S+ )*([a-z-]+)", typed)
    return found[1] if found else ""


def add(machine: Machine, definition: str, **values: Any) -> None:
    with (machine.folder / "vfs.toml").open("a") as file:
        file.write(definition.format(folder=machine.folder, **values))


def photos(machine: Machine, bucket: Bucket) -> None:
    """Configure the alias of the examples that is a bucket."""
    options = ", ".join(f'{name} = "{value}"' for name, value in bucket.opendal.items())
    add(machine, IN_A_BUCKET, options=options)


PARAMETERS = [
    pytest.param(example, "s3_bucket" if "photos" in str(example) else "", id=f"{example}")
    for example in [*EXAMPLES, *in_passing()]
    if example.shell == "bash" and "systemctl" not in str(example)
]


@pytest.mark.parametrize(("example", "space"), PARAMETERS)
def test_an_example(machine: Machine, example: Example, space: str, request: pytest.FixtureRequest) -> None:
    called = command_of(example.typed[0])
    if called == "recover":
        (machine.folder / "vfs.toml").write_text("")
        add(machine, OF_WHOLE_OBJECTS)
    if space:
        photos(machine, request.getfixturevalue(space))
    lasts = LASTS.search(str(example)) is not None
    after = ":" if lasts else AFTER.get(called, ":")
    shown = machine.type(BEFORE.get(called, ":"), "\n".join(example.typed), after, until_shown=lasts)
    assert "Traceback" not in shown


@pytest.mark.parametrize("example", [example for example in EXAMPLES if example.command == "completion"], ids=str)
def test_a_shell_completes(machine: Machine, example: Example) -> None:
    if not shutil.which(example.shell):
        pytest.skip(f"{example.shell} is not installed")
    before, after = INTERACTIVE[example.shell]
    machine.type(before, f"{example.shell} -c {shlex.quote(example.typed[0])}", after)


def test_a_line_of_fstab(machine: Machine, s3_bucket: Bucket) -> None:
    """The README and the help have the same."""
    helper = cli.get_command(click.Context(cli), "install-helper")
    assert helper is not None
    lines = re.findall(r"^ *(photos .* fuse\.vfs .*)$", f"{README}\n{helper.epilog}", re.MULTILINE)
    assert len(lines) == 2
    assert len(set(lines)) == 1
    photos(machine, s3_bucket)
    typed = (
        f"echo '{lines[0]}' >>/etc/fstab; mount /srv/photos; grep photos.*allow_other /proc/mounts; umount /srv/photos"
    )
    machine.type(BEFORE["install-helper"], typed, "! grep photos /proc/mounts")


def test_each_command_has_an_example() -> None:
    named = {example.command for example in EXAMPLES}
    assert named == {"", *(name for names in SECTIONS.values() for name in names)}
    assert {example.shell for example in EXAMPLES} == set(SHELLS)
