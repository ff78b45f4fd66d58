"""The S3 server of a run, and what lies in its bucket."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmark.work import BLOCK, SMALL, Sizes
from services.s3 import Bucket
from services.server import HOST, Server

BUCKET = "bench"
SECRETS = {"key_id": "access-key", "secret": "secret-key"}
AT_ONCE = 8
_SMALL = os.urandom(SMALL)
ROOM = 512 << 20
"""Bytes of the server's folder beyond what is stored in large files."""


class Gateway(Server):
    """JuiceFS's S3 gateway over files of a folder."""

    NEEDS = ("juicefs",)
    READY = r"^Endpoint: "
    juicefs = "juicefs"
    """The program."""

    def start(self) -> Gateway:
        """Make the volume, and serve it as one bucket."""
        where = ["--storage", "file", "--bucket", str(self.folder / "data"), "--trash-days", "0"]
        command = [self.juicefs, "--no-agent", "format", *where, self.volume, BUCKET]
        subprocess.run(command, check=True, capture_output=True)
        super().start()
        return self

    @property
    def volume(self) -> str:
        """Where its metadata is."""
        return f"badger://{self.folder}/meta"

    def command(self) -> list[str]:
        """As a gateway for one bucket that keeps what S3 keeps, and has no cache before its files."""
        access = [f"MINIO_ROOT_USER={SECRETS['key_id']}", f"MINIO_ROOT_PASSWORD={SECRETS['secret']}"]
        how = ["--keep-etag", "--object-meta", "--no-bgjob", "--backup-meta", "0", "--cache-size", "0"]
        log = ["--log", str(self.folder / "gateway.log")]
        return ["env", *access, self.juicefs, "--no-agent", "gateway", *how, *log, self.volume, f"{HOST}:{self.port}"]

    def bucket(self) -> Bucket:
        """The bucket."""
        return Bucket(BUCKET, port=self.port, **SECRETS)


class LocalBucket(Server):
    """localbucket: each object is a file, which the kernel sends, so that a byte costs little, however it is asked for.

    But a listing walks through the whole bucket, and there are no objects that stand for directories.
    """

    NEEDS = ("localbucket",)
    READY = r" serving "

    def command(self) -> list[str]:
        """Without a wait for more to send, which makes small answers late by 40 ms."""
        serve = "import localbucket; localbucket.S3Handler.disable_nagle_algorithm = True; localbucket.main()"
        return [sys.executable, "-c", serve, "--host", HOST, "--port", str(self.port), str(self.folder / "data")]

    def bucket(self) -> Bucket:
        """The bucket, made anew."""
        bucket = Bucket(BUCKET, port=self.port, **SECRETS)
        bucket.ask("PUT", "")
        return bucket


SERVERS: dict[str, type[Gateway] | type[LocalBucket]] = {"juicefs": Gateway, "localbucket": LocalBucket}


def operator(bucket: Bucket) -> Any:
    """OpenDAL's operator for the bucket. Not for a process that is to fork: OpenDAL's threads stay behind."""
    import opendal

    return opendal.Operator(**bucket.opendal)


def fill(bucket: Bucket, sizes: Sizes) -> None:
    """Put there what is read."""
    opened, block = operator(bucket), os.urandom(BLOCK)
    at_once(lambda key: opened.write(key, content_of(key)), small_keys(sizes))
    for name, size in (("large/file", sizes.large), ("random/file", sizes.random)):
        with opened.open(name, "wb", chunk=16 << 20) as file:
            for _ in range(size // BLOCK):
                file.write(block)


def small_keys(sizes: Sizes) -> list[str]:
    """The names of the small files that are read, and of those that are listed."""
    small = [f"small/file-{number:06}" for number in range(sizes.files)]
    return small + [f"listing/entry-{number:06}" for number in range(sizes.entries)]


def content_of(key: str) -> bytes:
    """What is in one of them."""
    return _SMALL if key.startswith("small/") else b"1"


def at_once(do: Callable[[str], object], keys: Iterable[str]) -> None:
    """Call it with each key, several at once."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(do, keys))


def stored(bucket: Bucket, prefix: str) -> list[int]:
    """The sizes of the objects below a key; markers of directories are none."""
    return [size for key, size in _below(operator(bucket), prefix) if not key.endswith("/")]


def remove(bucket: Bucket, prefix: str) -> None:
    """Take away what is below a key."""
    opened = operator(bucket)
    at_once(opened.delete, [key for key, _ in _below(opened, prefix)])


def _below(opened: Any, prefix: str) -> Iterator[tuple[str, int]]:
    for entry in opened.list(f"{prefix}/", recursive=True):
        yield entry.path, entry.metadata.content_length


def room_for(sizes: Sizes) -> int:
    """Bytes that the server must hold: what is read and written, JuiceFS's copy, and what that deletes late."""
    return sizes.random + 5 * sizes.large + ROOM
