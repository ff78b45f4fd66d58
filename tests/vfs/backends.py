"""Backends that the mounts of these tests serve, as others write them for Django.

They are imported by the daemons too (see `places`), and keep what they store on disk, so that a test can look at a
storage behind its mount's back, or be its second client.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import sqlite3
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from storage import FileSystemStorage


class ObjectStorage:
    """An object store by Django's methods alone: whole objects under flat keys, no directories, no attributes.

    As on the real ones `exists()` of a directory is False, `delete()` of what is missing says nothing, `listdir()` of
    what is missing is empty, and `save()` never overwrites but takes another name.

    `faults` is a folder in which a test arms errors: a file called `save` that holds `ENOSPC` or `RuntimeError` makes
    each `save()` raise that until the file is removed, and one that holds `HANG` lets each wait for that.
    """

    def __init__(self, location: str, faults: str = "") -> None:
        """Objects in the database file `location`."""
        self._faults = Path(faults) if faults else None
        self._fail("begin")
        self._lock = threading.Lock()
        self._database = sqlite3.connect(location, check_same_thread=False, isolation_level=None)
        self._run("PRAGMA journal_mode = WAL")
        self._run("PRAGMA synchronous = OFF")
        self._run("CREATE TABLE IF NOT EXISTS objects (key BLOB PRIMARY KEY, content BLOB, modified REAL)")

    def open(self, name: str, mode: str = "rb") -> io.BytesIO:
        self._fail("open")
        found = self._run("SELECT content FROM objects WHERE key = ?", os.fsencode(name))
        if not found:
            raise FileNotFoundError(errno.ENOENT, "no such object", name)
        return io.BytesIO(found[0][0])

    def save(self, name: str, content: Any, max_length: int | None = None) -> str:
        self._fail("save")
        data = b"".join(content.chunks())
        now = datetime.now(UTC).timestamp()
        root, dot, extension = name.rpartition(".")
        attempt = 0
        key = name
        while True:
            try:
                self._run("INSERT INTO objects VALUES (?, ?, ?)", os.fsencode(key), data, now)
            except sqlite3.IntegrityError:
                attempt += 1
                key = f"{root}_{attempt}{dot}{extension}" if root else f"{name}_{attempt}"
            else:
                return key

    def delete(self, name: str) -> None:
        self._fail("delete")
        self._run("DELETE FROM objects WHERE key = ?", os.fsencode(name))

    def exists(self, name: str) -> bool:
        self._fail("exists")
        return bool(self._run("SELECT 1 FROM objects WHERE key = ?", os.fsencode(name)))

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        self._fail("listdir")
        prefix = os.fsencode(f"{path}/") if path else b""
        directories: dict[str, None] = {}
        files = []
        for (key,) in self._run("SELECT key FROM objects WHERE key >= ? AND key < ?", prefix, prefix + b"\xff" * 4):
            first, slash, _ = os.fsdecode(key[len(prefix) :]).partition("/")
            if slash:
                directories[first] = None
            else:
                files.append(first)
        return list(directories), files

    def size(self, name: str) -> int:
        self._fail("size")
        return int(self._one("length(content)", name))

    def get_modified_time(self, name: str) -> datetime:
        self._fail("get_modified_time")
        return datetime.fromtimestamp(self._one("modified", name), UTC)

    def url(self, name: str) -> str:
        return f"https://objects.example/{name}"

    def content(self, name: str) -> bytes:
        """For tests: the bytes of an object."""
        return self.open(name).read()

    def duplicate(self, key: str, copy: str) -> None:
        """For tests: what a copy by the server does."""
        now = datetime.now(UTC).timestamp()
        statement = "INSERT OR REPLACE INTO objects SELECT ?, content, ? FROM objects WHERE key = ?"
        self._run(statement, os.fsencode(copy), now, os.fsencode(key))

    def keys(self) -> list[str]:
        """For tests: what there is, in order."""
        return [os.fsdecode(key) for (key,) in self._run("SELECT key FROM objects ORDER BY key")]

    def close(self) -> None:
        self._database.close()

    def __del__(self) -> None:
        self._database.close()  # whoever drops a backend need not know that it holds a connection

    def _one(self, column: str, name: str) -> Any:
        found = self._run(f"SELECT {column} FROM objects WHERE key = ?", os.fsencode(name))
        if not found:
            raise FileNotFoundError(errno.ENOENT, "no such object", name)
        return found[0][0]

    def _run(self, statement: str, *values: object) -> list[Any]:
        with self._lock:
            return self._database.execute(statement, values).fetchall()

    def _fail(self, method: str) -> None:
        if self._faults is None:
            return
        try:
            fault = (self._faults / method).read_text()
        except FileNotFoundError:
            return
        if fault == "HANG":
            while (self._faults / method).exists():
                time.sleep(0.02)
            return
        if fault in errno.errorcode.values():
            code: int = getattr(errno, fault)
            raise OSError(code, os.strerror(code))
        raise getattr(builtins, fault)(f"{fault} by order of a test")


class ScanningStorage(FileSystemStorage):
    """A folder whose every save goes through a virus scan, so that nothing may be written past `save()`."""

    VIRUS = b"EICAR"

    def _save(self, name: str, content: Any) -> str:
        if self.VIRUS in b"".join(content.chunks()):
            raise PermissionError(errno.EACCES, "a virus", name)
        content.seek(0)
        return super()._save(name, content)
