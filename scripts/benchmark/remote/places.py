"""Who mounts the bucket: ours, rclone, s3fs and JuiceFS; and OpenDAL, which needs no mount."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from benchmark.peers import Peer
from benchmark.places import START_SECONDS, Ours, Place, UnavailableError
from benchmark.remote import server
from benchmark.remote.work import BARE, Bench, RemotePiece
from benchmark.work import BLOCK, Piece, Sizes
from benchmark.worker import ROOT, WorkError, call, settle
from services.s3 import Bucket
from services.server import HOST, free_port

FAMILY = "remote"
_FOLDERS = ("cache", "spool", "state")
"""Of a mount, which begins with none of them."""


class RemotePlace(Place):
    """A place over the bucket; a mixin before a class that mounts."""

    family = FAMILY
    bucket: Bucket
    direct: Bucket
    """The same past a proxy, for what is no work."""
    count: Callable[[], Mapping[str, int]] = staticmethod(dict)
    """What has passed the proxy, where there is one."""
    objects = True
    """Whether its files are objects."""

    def reach(self, bucket: Bucket, direct: Bucket, count: Callable[[], Mapping[str, int]] = dict) -> None:
        """Use this bucket from the next mount on."""
        self.bucket, self.direct, self.count = bucket, direct, count

    @property
    def behind(self) -> Path | None:
        """Nothing to lay files into: they are in the bucket."""
        return None

    def counts(self) -> Mapping[str, int]:
        """The requests to the server, by kinds."""
        return self.count()

    def piece(self, kind: type[Piece], sizes: Sizes, tree: Path) -> Piece:
        """The piece, which knows of the bucket too."""
        assert issubclass(kind, RemotePiece)
        stored = partial(server.stored, self.direct) if self.objects else None
        return self.made(kind)(self.path, sizes, tree, Bench(self.own, self.durable, stored, self.operator()))

    def made(self, kind: type[RemotePiece]) -> type[RemotePiece]:
        """What stands for a piece here."""
        return kind

    def operator(self) -> Callable[[], object] | None:
        """What makes OpenDAL's operator, where the work is done with it."""
        return None

    @property
    def own(self) -> str:
        """The key below which it writes."""
        return f"by-{self.name.replace('/', '-')}"

    def clean(self, kind: type[Piece]) -> None:
        """Take away what it has written, past the mount, which may be slow at that."""
        call(lambda: server.remove(self.direct, self.own), ROOT)

    def durable(self, files: int) -> None:
        """Wait until the bucket has so many files of this place; for most it has when close(2) returns."""

    def forget(self) -> None:
        """Remove what the last mount has kept."""
        for name in _FOLDERS:
            shutil.rmtree(self.base / name, ignore_errors=True)


class OurBucket(RemotePlace, Ours):
    """`vfs mount` of an OpenDALStorage."""

    def __init__(self, transport: str, base: Path) -> None:
        """Through one transport."""
        Ours.__init__(self, "s3", transport, base)
        self.family = FAMILY
        self.title = f"vfs, {transport}"

    def check(self) -> None:
        """UnavailableError where OpenDAL or the transport is not there."""
        _require_opendal()
        super().check()

    @property
    def storage(self) -> str:
        """The storage, with defaults."""
        options = ", ".join(f"{name} = {json.dumps(value)}" for name, value in self.bucket.opendal.items())
        return f'[STORAGES.s3]\nBACKEND = "storage.OpenDALStorage"\nOPTIONS = {{ {options} }}\n'

    @property
    def options(self) -> list[str]:
        """Defaults, with a spool of its own."""
        return ["--spool", str(self.base / "spool")]

    def start(self) -> None:
        """With an empty spool."""
        self.forget()
        super().start()


class RemotePeer(RemotePlace, Peer):
    """Somebody else's mount."""

    def __init__(self, name: str, base: Path, program: str | None) -> None:
        """`program` is its path."""
        Peer.__init__(self, name, name, base, program, FAMILY)

    def start(self) -> None:
        """With empty caches."""
        self.forget()
        super().start()


class Rclone(RemotePeer):
    """`rclone mount`, with its full cache."""

    def command(self) -> list[str]:
        """Its defaults, but that it uploads at once instead of 5 s later, and as many files as are written at once."""
        assert self.program is not None
        self.control = free_port()
        how = ["--vfs-cache-mode", "full", "--vfs-write-back", "1ms", "--transfers", "8", "--config", os.devnull]
        control = ["--rc", "--rc-no-auth", "--rc-addr", f"{HOST}:{self.control}"]
        words = [self.program, "mount", f":s3:{self.bucket.name}", str(self.path)]
        return [*words, *how, "--cache-dir", str(self.base / "cache"), *control]

    @property
    def environment(self) -> dict[str, str]:
        """Its remote, as variables."""
        bucket = self.bucket
        options = {"PROVIDER": "Other", "ENDPOINT": bucket.endpoint, "REGION": bucket.region}
        options |= {"ACCESS_KEY_ID": bucket.key_id, "SECRET_ACCESS_KEY": bucket.secret}
        return {**os.environ, **{f"RCLONE_S3_{name}": value for name, value in options.items()}}

    def durable(self, files: int) -> None:
        """Until nothing is queued or on its way; it queues a file some time after close(2), so they are counted too."""
        connection = http.client.HTTPConnection(HOST, self.control, timeout=START_SECONDS)
        while not (self._is_idle(connection) and self._count(connection) >= files):
            time.sleep(0.005)  # it tells nobody when it is done
        connection.close()

    def _is_idle(self, connection: http.client.HTTPConnection) -> bool:
        cache = _asked(connection, "/vfs/stats")["diskCache"]
        return not cache["uploadsQueued"] and not cache["uploadsInProgress"]

    def _count(self, connection: http.client.HTTPConnection) -> int:
        """How many objects of this place the bucket has, as it lists them itself."""
        return int(_asked(connection, "/operations/size", fs=f":s3:{self.bucket.name}/{self.own}")["count"])


class S3fs(RemotePeer):
    """s3fs-fuse."""

    def command(self) -> list[str]:
        """Its defaults."""
        assert self.program is not None
        password = self.base / "password"
        password.write_text(f"{self.bucket.key_id}:{self.bucket.secret}\n")
        password.chmod(0o600)
        options = f"url={self.bucket.endpoint},use_path_request_style,passwd_file={password},tmpdir={self.base}/cache"
        return [self.program, self.bucket.name, str(self.path), "-f", "-o", options]


class JuiceFS(RemotePeer):
    """JuiceFS, which keeps blocks of its own format in the bucket, and names and sizes in a database beside it."""

    groups = frozenset({"remote-large", "remote-listing", "remote-in", "remote-out", "remote-write"})
    objects = False

    def __init__(self, base: Path, program: str | None, sizes: Sizes) -> None:
        """`sizes` of what it is to hold before the work begins."""
        super().__init__("juicefs", base, program)
        self._sizes = sizes
        self._filled = False

    @property
    def volume(self) -> str:
        """Where its metadata is."""
        return f"badger://{self.base}/meta"

    def command(self) -> list[str]:
        """Its defaults, without backups."""
        assert self.program is not None
        how = ["--backup-meta", "0", "--cache-dir", str(self.base / "cache")]
        return [self.program, "--no-agent", "mount", "--no-syslog", *how, self.volume, str(self.path)]

    def start(self) -> None:
        """The first time, make the volume through a mount that nobody measures."""
        if not self._filled:
            self._format()
            super().start()
            try:
                call(self._fill, ROOT)
            finally:
                self.stop()
            self._filled = True
        self._point("config")
        super().start()
        assert self.pid is not None
        self.pid = next((child.pid for child in psutil.Process(self.pid).children()), self.pid)  # which does the work

    def _format(self) -> None:
        self.make_folders("mount")
        where = ["--storage", "s3", "--trash-days", "0", *self._access]
        self._juicefs("format", *where, self.volume, "juicefs")

    def _point(self, command: str) -> None:
        """Let it use the server, or the proxy before it."""
        self._juicefs(command, self.volume, "--yes", *self._access)

    @property
    def _access(self) -> list[str]:
        bucket = self.bucket
        url = f"{bucket.endpoint}/{bucket.name}"
        return ["--bucket", url, "--access-key", bucket.key_id, "--secret-key", bucket.secret]

    def _juicefs(self, *words: str) -> None:
        assert self.program is not None
        done = subprocess.run([self.program, "--no-agent", *words], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise WorkError(f"juicefs {words[0]}: {done.stderr.strip()[-300:]}")

    def _fill(self) -> None:
        """The same files as in the bucket."""
        for folder in ("small", "listing", "large"):
            (self.path / folder).mkdir()
        server.at_once(
            lambda key: (self.path / key).write_bytes(server.content_of(key)), server.small_keys(self._sizes)
        )
        block = os.urandom(BLOCK)
        with open(self.path / "large/file", "wb", buffering=0) as file:
            file.writelines(block for _ in range(self._sizes.large // BLOCK))

    def clean(self, kind: type[Piece]) -> None:
        """Not now: it deletes blocks in the background, while others work."""

    def stop(self) -> None:
        """Delete what was written, through the mount, for its files are not objects; then unmount."""
        try:
            call(lambda: shutil.rmtree(self.path / self.own, ignore_errors=True), ROOT)
            settle([self.pid] if self.pid is not None else [], longest=START_SECONDS)
        finally:
            super().stop()


class OpenDAL(RemotePlace):
    """OpenDAL's own up- and download."""

    peer = True
    groups = frozenset({"remote-large", "remote-write"})

    def __init__(self, base: Path) -> None:
        """Nothing is mounted."""
        super().__init__("opendal", "OpenDAL", base)

    def check(self) -> None:
        """UnavailableError where it is not installed."""
        _require_opendal()

    def start(self) -> None:
        """Nothing."""

    def stop(self) -> None:
        """Nothing."""

    def made(self, kind: type[RemotePiece]) -> type[RemotePiece]:
        """The transfer that stands for it."""
        return BARE[kind]

    def operator(self) -> Callable[[], object] | None:
        """Over the bucket, made in the process that works."""
        return partial(server.operator, self.bucket)


def _asked(connection: http.client.HTTPConnection, command: str, **arguments: str) -> dict[str, Any]:
    """rclone's answer to a command."""
    connection.request("POST", command, json.dumps(arguments), {"Content-Type": "application/json"})
    answer: dict[str, Any] = json.load(connection.getresponse())
    return answer


def _require_opendal() -> None:
    if importlib.util.find_spec("opendal") is None:
        raise UnavailableError("opendal is not installed")
