"""An SFTP server: OpenSSH's, with keys of its own, for the user who runs the tests."""

from __future__ import annotations

import getpass
import itertools
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self

from services.server import HOST, Server
from services.space import Folder, Options

_SSHD = "/usr/sbin/sshd"

_CONFIGURATION = """
ListenAddress {host}
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
MaxStartups 100
MaxSessions 100
Subsystem sftp internal-sftp
"""


class SFTPServer(Server):
    """OpenSSH's sshd, which has sftp built in."""

    NEEDS: ClassVar = (_SSHD, "/usr/bin/ssh-keygen")
    READY = r"Server listening on"

    def start(self) -> Self:
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd's; a booted system has it
        for name in ("host_key", "user_key"):
            if not (self.folder / name).exists():
                key = ["-t", "ed25519", "-N", "", "-f", str(self.folder / name)]
                subprocess.run(["/usr/bin/ssh-keygen", "-q", *key], check=True)
        return super().start()

    def command(self) -> list[str]:
        configuration = self.folder / "sshd_config"
        configuration.write_text(_CONFIGURATION.format(host=HOST, port=self.port, folder=self.folder))
        return [_SSHD, "-D", "-e", "-f", str(configuration)]

    def space(self) -> SFTPFolder:
        """A new folder."""
        path = self.folder / f"folder-{next(_numbers)}"
        path.mkdir()
        return SFTPFolder(path, port=self.port, key=self.folder / "user_key")


@dataclass(frozen=True)
class SFTPFolder(Folder):
    """A folder behind sftp; see `space.Space`. OpenDAL's wheel has no sftp."""

    key: Path
    user: str = field(default_factory=getpass.getuser)

    @property
    def fsspec(self) -> tuple[str, Options, str]:
        """fsspec's protocol, its options, and the path of this space, over asyncssh (the package sshfs)."""
        options = {"host": HOST, "port": self.port, "username": self.user, "client_keys": [str(self.key)]}
        return "ssh", {**options, "known_hosts": None}, str(self.path)

    @property
    def paramiko(self) -> tuple[str, Options, str]:
        """The same over paramiko: `sftp` is fsspec's own class where the package sshfs doesn't take its place."""
        return "sftp", {"host": HOST, **self._login}, str(self.path)

    @property
    def django(self) -> Options:
        """An entry for STORAGES."""
        options = {
            "host": HOST,
            "params": self._login,
            "known_host_file": str(self.key.parent / "known_hosts"),
            "root_path": f"{self.path}/",
        }
        return {"BACKEND": "storages.backends.sftpstorage.SFTPStorage", "OPTIONS": options}

    @property
    def _login(self) -> Options:
        key = {"key_filename": str(self.key), "look_for_keys": False, "allow_agent": False}
        return {"port": self.port, "username": self.user, **key}


_numbers = itertools.count(1)
