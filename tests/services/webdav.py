"""A WebDAV server: wsgidav over a folder, with a user and a password."""

from __future__ import annotations

import itertools
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

from services.server import HOST, Server
from services.space import Folder, Options

# wsgidav's own program says that it serves before it does.
_SERVE = """
import json, sys
from cheroot.wsgi import Server
from wsgidav.wsgidav_app import WsgiDAVApp

host, port, configuration = sys.argv[1:]
with open(configuration) as file:
    server = Server((host, int(port)), WsgiDAVApp(json.load(file)))
server.prepare()
print("Serving on http://", host, flush=True)
server.serve()
"""


class WebDAVServer(Server):
    """wsgidav, served by cheroot."""

    NEEDS = ("wsgidav", "cheroot")
    READY = r"Serving on http://"
    USER, PASSWORD = "user", "webdav-password"

    def command(self) -> list[str]:
        self._root.mkdir(exist_ok=True)
        configuration = self.folder / "wsgidav.json"
        configuration.write_text(json.dumps(self._configuration()))
        return [sys.executable, "-c", _SERVE, HOST, str(self.port), str(configuration)]

    def space(self) -> WebDAVFolder:
        """A new folder."""
        path = self._root / f"folder-{next(_numbers)}"
        path.mkdir()
        return WebDAVFolder(path, port=self.port, user=self.USER, password=self.PASSWORD)

    def _configuration(self) -> Options:
        return {
            "provider_mapping": {"/": str(self._root)},
            "simple_dc": {"user_mapping": {"*": {self.USER: {"password": self.PASSWORD}}}},
            "http_authenticator": {"accept_basic": True, "accept_digest": False, "default_to_digest": False},
            "dir_browser": {"enable": False},
            "lock_storage": True,
            "property_manager": True,
        }

    @property
    def _root(self) -> Path:
        return self.folder / "root"


@dataclass(frozen=True)
class WebDAVFolder(Folder):
    """A folder behind WebDAV, below its root; see `space.Space`."""

    user: str
    password: str = field(repr=False)

    @property
    def endpoint(self) -> str:
        """The URL of its server."""
        return f"http://{HOST}:{self.port}"

    @property
    def opendal(self) -> Options:
        """OPTIONS for OpenDAL."""
        return {
            "scheme": "webdav",
            "endpoint": self.endpoint,
            "root": f"/{self.path.name}/",
            "username": self.user,
            "password": self.password,
        }

    @property
    def fsspec(self) -> tuple[str, Options, str]:
        """fsspec's protocol (webdav4's), its options, and the path of this space."""
        return "webdav", {"base_url": self.endpoint, "auth": (self.user, self.password)}, self.path.name


_numbers = itertools.count(1)
