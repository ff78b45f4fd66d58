"""A bare Debian for one test: made with debootstrap in memory, and gone with who made it, even if that is killed.

It gets what this machine knows of its mirrors: apt's sources and how to reach them, pip's settings, certificates, and
the folders and files that these name.
"""

from __future__ import annotations

import ast
import configparser
import io
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
"""Where this machine does not say another."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CARRIED = re.compile(r"PIP_.*|(https?|ftp|no|all)_proxy|REQUESTS_CA_BUNDLE|SSL_CERT_FILE|CURL_CA_BUNDLE", re.IGNORECASE)
"""Variables that say how registries are reached."""
_HOLD = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", "echo ready; exec cat")
"""Namespaces that live until the pipe from us is closed."""
_NAME_SERVICE = ("/etc/resolv.conf", "/etc/hosts")
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


class Debian:
    """The root of a system below `folder`, which only what runs in its namespaces sees."""

    def __init__(self, folder: Path, main: int) -> None:
        self.root = folder
        self._main = main
        self.environment = {name: value for name, value in os.environ.items() if CARRIED.fullmatch(name)}

    def outside(self, *words: str | Path, seconds: float = 300) -> subprocess.CompletedProcess[str]:
        """A command of this machine that sees the root."""
        command = ["nsenter", "--target", str(self._main), "--mount", "--pid", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False, cwd="/")

    def set_up(self, *words: str | Path) -> None:
        """The same; AssertionError where it fails."""
        done = self.outside(*words)
        assert done.returncode == 0, f"{words}: {done.stdout[-3000:]}{done.stderr[-3000:]}"

    def sh(self, script: str, seconds: float = 300) -> str:
        """What a script of root prints there; AssertionError where it fails."""
        own = {"PATH": PATH, "HOME": "/root", "TERM": "dumb", **self.environment}
        variables = [f"{name}={value}" for name, value in own.items()]
        words = ("chroot", self.root, "env", "-i", *variables, "sh", "-ec", script)
        done = self.outside(*words, seconds=seconds)
        assert done.returncode == 0, f"{script}\n{done.stdout[-8000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def write(self, path: str, text: str) -> None:
        """Make a file there."""
        quoted = f"mkdir -p {self.root}{os.path.dirname(path)} && cat >{self.root}{path}"
        command = ["nsenter", "--target", str(self._main), "--mount", "sh", "-c", quoted]
        subprocess.run(command, input=text, text=True, check=True)

    def bring(self, path: str) -> None:
        """A file as a copy, a folder as it is, to be read; nothing where there is none."""
        place = f"{self.root}{path}"
        if os.path.isfile(path):
            self.set_up("mkdir", "-p", os.path.dirname(place))
            self.set_up("cp", path, place)
        elif os.path.isdir(path) and path != "/":
            self.set_up("mkdir", "-p", place)
            self.set_up("mount", "--bind", path, place)
            self.set_up("mount", "-o", "remount,bind,ro", place)

    def bring_named_in(self, text: str) -> None:
        """The files and folders whose absolute paths, or file: addresses, are in settings."""
        for word in re.split(r"[\s'\"]+", text):
            if word.startswith("file://"):  # an index, whose files are beside it
                self.bring(str(Path(urllib.parse.unquote(word.removeprefix("file://"))).parent))
            elif word.startswith("/"):
                self.bring(word)


@contextmanager
def bare_debian(folder: Path) -> Iterator[Debian]:
    """A new one, with what a network installation has; skips where that cannot be had."""
    _skip_where_there_can_be_none()
    with subprocess.Popen(_HOLD, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "ready\n"
            children = Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text().split()
            debian = Debian(folder, int(children[0]))
            _install(debian)
            yield debian
        finally:
            holder.kill()


def _skip_where_there_can_be_none() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root installs a Debian")
    for program in ("debootstrap", "nsenter", "unshare"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")


def _install(debian: Debian) -> None:
    mirror = _mirror()
    _skip_where_out_of_reach(f"{mirror}/dists/{SUITE}/InRelease", debian.root)
    debian.set_up("mount", "-t", "tmpfs", "tmpfs", debian.root)
    words = ("--variant=minbase", "--include=ca-certificates", SUITE, debian.root, mirror)
    debian.set_up("env", *_proxy(), "debootstrap", *words)
    for kind, place in (("proc", "proc"), ("sysfs", "sys"), ("devpts", "dev/pts"), ("tmpfs", "dev/shm")):
        debian.set_up("mount", "-t", kind, kind, debian.root / place)
    for path in (*_NAME_SERVICE, _CERTIFICATES):
        debian.bring(path)
    _carry_apt(debian)
    _carry_pip(debian)


def _skip_where_out_of_reach(address: str, folder: Path) -> None:
    """By apt's own way, with its proxies, where there is an apt."""
    apt = "/usr/lib/apt/apt-helper"
    to = folder / "InRelease"
    command = [apt, "download-file", address, to] if os.path.exists(apt) else ["wget", "-q", "-O", to, address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        pytest.skip(f"the mirror cannot be reached: {address}: {(done.stdout + done.stderr).strip()[-300:]}")


def _sources() -> list[str]:
    """What apt reads here of the suite: address, suite and component of each; none on another system."""
    if not shutil.which("apt-get") or platform.freedesktop_os_release().get("VERSION_CODENAME") != SUITE:
        return []
    form = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    command = ["apt-get", "indextargets", "--format", form, "Created-By: Packages"]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [line for line in found if line.split()[1].startswith(SUITE)]


def _mirror() -> str:
    main = (line.split()[0] for line in _sources() if line.split()[1:] == [SUITE, "main"])
    return next(main, MIRROR).rstrip("/")


def _proxy() -> list[str]:
    """The variable for programs that do not ask apt for its proxy."""
    if not shutil.which("apt-config"):
        return []
    command = ["apt-config", "shell", "http_proxy", "Acquire::http::Proxy"]
    return shlex.split(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _carry_apt(debian: Debian) -> None:
    """Its sources of Debian, and how they are got; no hooks, which call programs that are not there."""
    if sources := _sources():
        debian.write("/etc/apt/sources.list", "".join(f"deb {line}\n" for line in sources))
        settings = subprocess.run(["apt-config", "dump", "Acquire"], capture_output=True, text=True, check=True).stdout
        debian.write("/etc/apt/apt.conf.d/99machine", settings)
        debian.bring_named_in(settings)
        for path in ("/etc/apt/auth.conf", *map(str, Path("/etc/apt/auth.conf.d").glob("*"))):
            debian.bring(path)


def _carry_pip(debian: Debian) -> None:
    """Its settings, as `pip config list` of this Python has them, and what they and the variables name."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    settings = configparser.RawConfigParser()
    for name, quoted in (line.split("=", 1) for line in found.splitlines() if not line.startswith(":env:")):
        section, _, key = name.partition(".")
        settings.read_dict({section: {key: ast.literal_eval(quoted)}})
        debian.bring_named_in(settings[section][key])
    text = io.StringIO()
    settings.write(text)
    debian.write("/etc/pip.conf", text.getvalue())
    for value in debian.environment.values():
        debian.bring_named_in(value)
