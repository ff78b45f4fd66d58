"""SFTP, by either of the two packages that fsspec has for it: paramiko, and asyncssh by way of sshfs.

Both give a listing whose links are told from what they point to, but an `info()` that follows them, and no rename that
refuses to replace; so their own clients are asked for these. Ranges are read from one open handle, whose attributes
tell the version: one that was renamed over meanwhile, or written, is not what the entry showed.

A server whose key is not the one that ~/.ssh/known_hosts has for it is refused, by paramiko too. One that stands in no
such file is taken by paramiko as it is, unless its option `host_key_policy` says "reject", and refused by asyncssh.

Times are whole seconds here, so that a file rewritten with as many bytes within a second shows the same version.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from storage.entry import Entry
from storage.exceptions import VersionMismatchError
from storage.remote.fsspec.entries import Info, entry_of
from storage.remote.fsspec.protocol import TreeProtocol

_MODE = 0o7777


class Paramiko(TreeProtocol):
    """fsspec's own class. Its client mixes up the answers of calls made at once: each has its connection."""

    session = True
    connections = 4
    pinned = True
    exclusive = True

    def __init__(self, kind: type[Any]) -> None:
        """A class of somebody's own may connect as it likes."""
        from fsspec.implementations.sftp import SFTPFileSystem

        plain = kind._connect is SFTPFileSystem._connect
        super().__init__(type(kind.__name__, (kind,), {"_connect": _connect}) if plain else kind)

    def connect(self, options: dict[str, Any]) -> Any:
        """It takes all its options for those of the connection."""
        fs = super().connect(options)
        fs.ftp.get_channel().settimeout(options.get("timeout", 60))
        return fs

    def close(self, fs: Any) -> None:
        """The session, and its thread."""
        fs.client.close()

    def list(self, fs: Any, path: str) -> list[Info]:
        """Of the home directory when the root is that."""
        return super().list(fs, path or ".")

    def info(self, fs: Any, path: str) -> Info:
        """Not following links."""
        return {**fs._decode_stat(fs.ftp.lstat(path)), "name": path}

    def fetch(self, fs: Any, path: str, entry: Entry, start: int, end: int) -> bytes:
        """Many small requests at once, on one handle."""
        with fs.ftp.open(path, "rb") as file:
            if entry_of({**fs._decode_stat(file.stat()), "name": path}).version != entry.version:
                raise VersionMismatchError(path)
            return b"".join(file.readv([(start, end - start)]))

    def send(self, fs: Any, source: str, draft: str, path: str) -> None:
        """The file that is there keeps its mode."""
        fs.ftp.put(source, draft, confirm=True)
        with contextlib.suppress(FileNotFoundError):
            fs.ftp.chmod(draft, fs.ftp.stat(path).st_mode & _MODE)

    def rename(self, fs: Any, src: str, dst: str, *, replace: bool) -> None:
        """The protocol's own rename refuses to replace, OpenSSH's extension does it."""
        (fs.ftp.posix_rename if replace else fs.ftp.rename)(src, dst)

    def mkdir(self, fs: Any, path: str, mode: int) -> None:
        """With the mode, whatever the server's umask is."""
        fs.ftp.mkdir(path, mode)
        fs.ftp.chmod(path, mode)

    def delete(self, fs: Any, path: str) -> None:
        """Without a look at what it is."""
        fs.ftp.remove(path)

    def readlink(self, fs: Any, path: str) -> str:
        """As it is."""
        return str(fs.ftp.readlink(path))


def _connect(self: Any) -> None:
    """As fsspec's class does, which knows the keys of no servers."""
    import paramiko

    self.client = paramiko.SSHClient()
    self.client.load_system_host_keys()
    self.client.set_missing_host_key_policy(getattr(self, "host_key_policy", paramiko.AutoAddPolicy()))
    self.client.connect(self.host, **self.ssh_kwargs)
    self.ftp = self.client.open_sftp()


class AsyncSSH(TreeProtocol):
    """The class of the package sshfs, which ignores the ranges of `cat_file`, and copies by the server's shell."""

    session = True
    pinned = True
    exclusive = True

    def __init__(self, kind: type[Any]) -> None:
        """Its copy is not used: accounts for sftp alone have no shell, and hang."""
        super().__init__(kind)
        self.copies = False

    def close(self, fs: Any) -> None:
        """The connection; the pool of channels is closed with it."""
        fs.client.close()

    def list(self, fs: Any, path: str) -> list[Info]:
        """Of the home directory when the root is that."""
        return super().list(fs, path or ".")

    def info(self, fs: Any, path: str) -> Info:
        """Not following links."""
        attributes = _ask(fs, lambda sftp: sftp.lstat(path))
        return {**fs._decode_attributes(attributes), "name": path}

    def fetch(self, fs: Any, path: str, entry: Entry, start: int, end: int) -> bytes:
        """Many small requests at once, on one handle."""

        async def read(sftp: Any) -> bytes:
            async with sftp.open(path, "rb") as file:
                attributes = await file.stat()
                if entry_of({**fs._decode_attributes(attributes), "name": path}).version != entry.version:
                    raise VersionMismatchError(path)
                data: bytes = await file.read(end - start, start)
                return data

        return bytes(_ask(fs, read))

    def send(self, fs: Any, source: str, draft: str, path: str) -> None:
        """The file that is there keeps its mode."""

        async def put(sftp: Any) -> None:
            await sftp.put(source, draft)
            if await sftp.lexists(path):
                await sftp.chmod(draft, (await sftp.stat(path)).permissions & _MODE)

        _ask(fs, put)

    def rename(self, fs: Any, src: str, dst: str, *, replace: bool) -> None:
        """The protocol's own rename refuses to replace, OpenSSH's extension does it."""
        _ask(fs, lambda sftp: (sftp.posix_rename if replace else sftp.rename)(src, dst))

    def mkdir(self, fs: Any, path: str, mode: int) -> None:
        """With the mode, whatever the server's umask is."""

        async def make(sftp: Any) -> None:
            await sftp.mkdir(path)
            await sftp.chmod(path, mode)

        _ask(fs, make)

    def rmdir(self, fs: Any, path: str) -> None:
        """The class's own does nothing, without a word."""
        _ask(fs, lambda sftp: sftp.rmdir(path))

    def readlink(self, fs: Any, path: str) -> str:
        """As it is."""
        return str(_ask(fs, lambda sftp: sftp.readlink(path)))


def _ask(fs: Any, operation: Callable[[Any], Awaitable[Any]]) -> Any:
    """What an operation on one of the pool's channels returns."""
    from fsspec.asyn import sync

    async def run() -> Any:
        async with fs._pool.get() as channel:
            return await operation(channel)

    return sync(fs.loop, run)
