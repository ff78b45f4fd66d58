"""An SMB server: Samba's smbd, with users of its own.

It runs as root alone. What it gets wrong: names that end with a dot or a space, or have characters that Windows has
not, it shows under others or not at all, and `:` it takes for the beginning of a stream's name.
"""

from __future__ import annotations

import getpass
import itertools
import os
import subprocess
from dataclasses import dataclass, field
from typing import ClassVar, Self

import pytest

from services.server import HOST, Server
from services.space import Folder, Options

PASSWORD = "a password of the tests"
_CONFIGURATION = """
[global]
server role = standalone server
smb ports = {port}
bind interfaces only = yes
interfaces = {host}/8
disable netbios = yes
disable spoolss = yes
load printers = no
printcap name = /dev/null
pid directory = {folder}/state
lock directory = {folder}/state
state directory = {folder}/state
cache directory = {folder}/state
private dir = {folder}/state
ncalrpc dir = {folder}/state/ncalrpc
passdb backend = tdbsam:{folder}/state/users.tdb
mangled names = no
case sensitive = yes
store dos attributes = no

[share]
path = {folder}/share
read only = no
force user = {user}
"""


class SMBServer(Server):
    """Samba's smbd, in the foreground."""

    NEEDS: ClassVar = ("/usr/sbin/smbd", "smbpasswd", "smbclient")
    READY = r"waiting for connections"  # it says that it has started before it listens

    def start(self) -> Self:
        if os.geteuid() != 0:
            pytest.skip("smbd needs root")
        for name in ("state", "share"):
            (self.folder / name).mkdir(exist_ok=True)
        return super().start()

    def command(self) -> list[str]:
        configuration, user = self.folder / "smb.conf", getpass.getuser()
        configuration.write_text(_CONFIGURATION.format(host=HOST, port=self.port, folder=self.folder, user=user))
        add = ["smbpasswd", "-c", str(configuration), "-s", "-a", user]
        subprocess.run(add, input=f"{PASSWORD}\n{PASSWORD}\n", text=True, check=True, capture_output=True)
        return ["/usr/sbin/smbd", "-F", "--no-process-group", "-s", str(configuration), "--debug-stdout", "-d", "2"]

    def space(self) -> SMBFolder:
        """A new folder of the share."""
        path = self.folder / "share" / f"folder-{next(_numbers)}"
        path.mkdir()
        return SMBFolder(path, port=self.port)


@dataclass(frozen=True)
class SMBFolder(Folder):
    """A folder of a share; see `space.Space`. OpenDAL's wheel has no SMB."""

    user: str = field(default_factory=getpass.getuser)

    @property
    def fsspec(self) -> tuple[str, Options, str]:
        """fsspec's protocol, its options, and the path of this space."""
        options = {"host": HOST, "port": self.port, "username": self.user, "password": PASSWORD}
        return "smb", options, f"/share/{self.path.name}"


_numbers = itertools.count(1)
