"""An FTP server: pyftpdlib's. A proxy stands before its control connection only: data goes to a port of its own."""

from __future__ import annotations

import itertools
import sys
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from services.server import HOST, Server
from services.space import Folder, Options


class FTPServer(Server):
    """pyftpdlib's server, for one user."""

    NEEDS = ("pyftpdlib",)
    READY = r"starting FTP server"
    USER, PASSWORD = "user", "ftp-password"

    def command(self) -> list[str]:
        self._root.mkdir(exist_ok=True)
        access = ["-w", "-d", str(self._root), "-u", self.USER, "-P", self.PASSWORD]
        return [sys.executable, "-m", "pyftpdlib", "-i", HOST, "-p", str(self.port), *access]

    def space(self) -> FTPFolder:
        """A new folder."""
        path = self._root / f"folder-{next(_numbers)}"
        path.mkdir()
        return FTPFolder(path, port=self.port, user=self.USER, password=self.PASSWORD)

    @property
    def _root(self) -> Path:
        return self.folder / "root"


@dataclass(frozen=True)
class FTPFolder(Folder):
    """A folder behind FTP, whose root is the folder above it; see `space.Space`."""

    user: str
    password: str = field(repr=False)

    @property
    def opendal(self) -> Options:
        """OPTIONS for OpenDAL."""
        return {
            "scheme": "ftp",
            "endpoint": f"ftp://{HOST}:{self.port}",
            "root": f"/{self.path.name}/",
            "user": self.user,
            "password": self.password,
        }

    @property
    def fsspec(self) -> tuple[str, Options, str]:
        """fsspec's protocol, its options, and the path of this space."""
        options = {"host": HOST, "port": self.port, "username": self.user, "password": self.password}
        return "ftp", options, f"/{self.path.name}"

    @property
    def django(self) -> Options:
        """An entry for STORAGES."""
        access = f"{quote(self.user)}:{quote(self.password)}"
        options = {"location": f"ftp://{access}@{HOST}:{self.port}/{self.path.name}/", "encoding": "utf-8"}
        return {"BACKEND": "storages.backends.ftp.FTPStorage", "OPTIONS": options}


_numbers = itertools.count(1)
