"""Extended attributes, on mounts that offer them."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator

import pytest
from places import Server

from vfs.testing.place import failing, opened


@pytest.fixture(params=["memory", "files", "objects"])
def server(request: pytest.FixtureRequest, serve: Callable[..., Server]) -> Iterator[Server]:
    """A mount with the option `xattr`."""
    server = serve(request.param, "xattr")
    yield server
    server.unmount()


def test_extended_attributes_are_kept_or_refused(server: Server) -> None:
    file = server.mountpoint / "file"
    file.write_text("content")
    if server.kind == "objects":
        for attempt in (
            lambda: os.setxattr(file, "user.key", b"value"),
            lambda: os.getxattr(file, "user.key"),
            lambda: os.removexattr(file, "user.key"),
        ):
            with failing(errno.EOPNOTSUPP):
                attempt()
        subprocess.run(["cp", "-a", file, server.mountpoint / "copy"], check=True)
        return
    os.setxattr(file, "user.key", b"value \x00\xff")
    os.setxattr(file, "user.empty", b"")
    assert os.getxattr(file, "user.key") == b"value \x00\xff"
    assert os.getxattr(file, "user.empty") == b""
    assert {name for name in os.listxattr(file) if name.startswith("user.")} == {"user.key", "user.empty"}
    with failing(errno.EEXIST):
        os.setxattr(file, "user.key", b"x", os.XATTR_CREATE)
    with failing(errno.ENODATA):
        os.setxattr(file, "user.other", b"x", os.XATTR_REPLACE)
    with failing(errno.ENODATA):
        os.getxattr(file, "user.other")
    os.setxattr(file, "user.key", b"longer than it was before", os.XATTR_REPLACE)
    os.rename(file, server.mountpoint / "renamed")
    with opened(server.mountpoint / "renamed", os.O_RDWR) as descriptor:
        assert os.getxattr(descriptor, "user.key") == b"longer than it was before"
        os.setxattr(descriptor, "user.key", b"by handle")
        os.write(descriptor, b"other")
    os.removexattr(server.mountpoint / "renamed", "user.empty")
    with failing(errno.ENODATA):
        os.removexattr(server.mountpoint / "renamed", "user.empty")
    if server.kind == "files":
        assert os.getxattr(server.folder / "files" / "renamed", "user.key") == b"by handle"
    subprocess.run(["cp", "-a", server.mountpoint / "renamed", server.mountpoint / "copy"], check=True)
    assert os.getxattr(server.mountpoint / "copy", "user.key") == b"by handle"


def test_directories_have_them_too(server: Server) -> None:
    (server.mountpoint / "directory").mkdir()
    if server.kind != "objects":
        os.setxattr(server.mountpoint / "directory", "user.key", b"value")
        assert os.getxattr(server.mountpoint / "directory", "user.key") == b"value"
    else:
        with failing(errno.EOPNOTSUPP):
            os.setxattr(server.mountpoint / "directory", "user.key", b"value")
