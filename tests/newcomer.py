"""Somebody who types what the documents show.

session, examples, in_passing   what is typed: of the README, and of the help of each command
Newcomer                        a folder, `vfs` on the PATH, and commands that run there
Machine                         the same at the terminal of a machine of one's own, of which nothing stays
"""

from __future__ import annotations

import inspect
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import click

from namespaces import UNMOUNT_OTHERS
from vfs.cli import SECTIONS, cli

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SESSIONS = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
SHELLS = ("bash", "zsh", "fish")

_OWN_NAMESPACES = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
OWN_SYSTEM = f"""
{UNMOUNT_OTHERS}
mount -t tmpfs tmpfs "$OWN"
for folder in etc run srv usr var; do
  mkdir "$OWN/$folder" "$OWN/.$folder"
  mount -t overlay -o "lowerdir=/$folder,upperdir=$OWN/$folder,workdir=$OWN/.$folder" overlay "/$folder"
done
rm -rf /run/vfs
sudo() {{ "$@"; }}
"""
"""What is written to the system is in memory, at $OWN; nothing of vfs is mounted, and who types is root already."""
BEGINS = "--- what is shown ---"


def session(*words: str) -> str:
    """The commands of the one session of the README that has all these words, but for those that install something."""
    (found,) = [text for text in SESSIONS if all(word in text for word in words)]
    commands = [line[2:] for line in found.splitlines() if line.startswith("$ ") and not line.startswith("$ pip ")]
    return "\n".join(commands)


class Example(NamedTuple):
    """An example in the help of a command."""

    command: str
    """Of vfs; "" for vfs itself."""
    typed: tuple[str, ...]
    """What is entered, line by line."""
    shell: str = "bash"

    def __str__(self) -> str:
        return "; ".join(self.typed)


def examples() -> list[Example]:
    """All that the commands have now."""
    context = click.Context(cli)
    commands = [("", cli), *((name, cli.get_command(context, name)) for names in SECTIONS.values() for name in names)]
    return [found for name, command in commands if command is not None for found in _examples(name, command)]


def in_passing() -> list[Example]:
    """The commands with a storage that the prose of the README has."""
    prose = re.sub("```.*?```", "", README, flags=re.DOTALL)
    return [Example("", (typed,)) for typed in re.findall(r"`(vfs [^`]*\b[a-z]+:[^`]*)`", prose)]


def _examples(name: str, command: click.Command) -> Iterator[Example]:
    inside = False
    for line in inspect.cleandoc((command.epilog or "").replace("\b\n", "")).splitlines():
        if not line.startswith(" "):
            inside = re.fullmatch("Examples?:|To .*:", line) is not None
        elif inside and not line.startswith("   "):  # what goes on further to the right is a remark
            first, *more = re.split(r"\s{2,}", line.strip())
            if first in SHELLS:
                yield Example(name, (more[0],), first)
            else:
                then = (word.removeprefix("then: ") for word in more if word.startswith("then: "))
                yield Example(name, (first, *then))


class Newcomer:
    """Somebody with `vfs` on the PATH, and a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir()
        (folder / "bin" / "vfs").write_text(f'#!/bin/sh\nexec {sys.executable} -m vfs "$@"\n')
        (folder / "bin" / "vfs").chmod(0o755)
        names = ("DJANGO_", "VFS_", "AWS_", "XDG_")
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(names)} | {
            "PATH": f"{folder}/bin:{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)]),
            "HOME": str(folder / "home"),
            "XDG_STATE_HOME": str(folder / "state"),
        }
        (folder / "home").mkdir()

    def run(self, *command: str | Path) -> str:
        """What the command prints; AssertionError where it fails."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def sh(self, script: str) -> str:
        return self.run("bash", "-e", "-c", script)


class Machine(Newcomer):
    """Where root types: what is mounted, and what is written outside of the folder, goes with the last command."""

    def type(self, before: str, typed: str, after: str = ":", *, until_shown: bool = False) -> str:
        """What the terminal shows of `typed`, between two scripts; AssertionError where anything of it fails.

        With `until_shown` Ctrl-C is pressed when there is something to see.
        """
        script = f"set -eo pipefail\n{OWN_SYSTEM}\n{before}\necho '{BEGINS}'\n{typed}\n{after}\n"
        (self.folder / "own").mkdir()
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            ["setsid", "--ctty", *_OWN_NAMESPACES, "bash", "-c", script],
            cwd=self.folder, env={**self.environment, "OWN": str(self.folder / "own"), "TERM": "xterm"},
            stdin=theirs, stdout=theirs, stderr=theirs,
        )  # fmt: skip
        os.close(theirs)
        try:
            shown = _all_shown(ours, b"\x03" if until_shown else b"")
            code = process.wait(30)
        finally:
            process.kill()
            process.wait()
            os.close(ours)
        allowed = {0, 130} if until_shown and "|" in typed else {0}  # what is no vfs has its own idea of Ctrl-C
        assert code in allowed, shown
        return shown.partition(BEGINS)[2]


def _all_shown(terminal: int, key: bytes) -> str:
    """What comes until nobody has the terminal any more; the key is pressed at the first of it."""
    shown = ""
    with suppress(OSError):  # EIO: they have gone
        while data := os.read(terminal, 65536):
            shown += data.decode(errors="replace")
            if key and shown.partition(BEGINS)[2].strip():
                os.write(terminal, key)
                key = b""
    return shown
