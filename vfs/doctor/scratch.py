"""A directory of a storage in which things are tried; it goes again, whatever happens."""

from __future__ import annotations

import itertools
import logging
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

from storage.base import Storage
from storage.files import ContentFile
from storage.names import join_name
from vfs.doctor.checks import WrongError

PREFIX = "vfs-doctor-"
"""Without a dot before it, which some backends take away."""
CONTENT = b"vfs doctor tries what this storage can do.\n"
_MOST_NAMED = 10
_logger = logging.getLogger("vfs")


class Scratch:
    """The directory, and what is measured in it; as a block, at whose end all of it is removed."""

    def __init__(self, storage: Storage) -> None:
        """At the root of `storage`; it is there as soon as something is stored in it."""
        self.storage = storage
        self.root = f"{PREFIX}{secrets.token_hex(6)}"
        self.left: list[str] = []
        """What could not be removed."""
        self.shared = join_name(self.root, "shared")
        """A file with `CONTENT`, which nothing changes."""
        self._numbers = itertools.count(1)
        self.begin()

    def begin(self) -> None:
        """Forget what was found out of the operation that was tried last."""
        self.seconds = 0.0
        """How long that took which was timed."""
        self.is_native: bool | None = None
        """Whether the backend does it; None where its class says so."""
        self.is_atomic: bool | None = None
        """Whether nobody can come between; None where that has no meaning, or is not known."""
        self.note = ""
        """What else is to be told."""

    def __enter__(self) -> Self:
        """Nothing is stored yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Remove it, and log what is left where the block was ended by an exception: nobody asks for it then."""
        self.left = [f"{self.root}/"]  # for one who has no patience with the removal
        try:
            self.left = self._remove()
        except Exception as failed:  # noqa: BLE001 - whatever it is: what is tried has come to its end
            _logger.debug("what is left was not found out: %s", failed)
        except BaseException as interrupted:
            error = interrupted
            raise
        finally:
            if self.left and error is not None:
                _logger.warning("this may be left in the storage, to be removed by hand: %s", ", ".join(self.left))

    def name(self) -> str:
        """A name that nothing has yet."""
        return join_name(self.root, f"{next(self._numbers)}")

    def file(self, *, content: bytes = CONTENT) -> str:
        """A new file."""
        name = self.name()
        self.save(name, content)
        return name

    def save(self, name: str, content: bytes = CONTENT) -> None:
        """Store a file by Django's `save()`; WrongError where it gets another name."""
        stored = self.storage.save(name, ContentFile(content))
        if stored != name:
            raise WrongError(f"{name!r} was stored as {stored!r}")

    @contextmanager
    def timed(self) -> Iterator[None]:
        """A block that is what is measured."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds = time.perf_counter() - begin

    def expect(self, name: str, content: bytes = CONTENT) -> None:
        """WrongError unless a file has this content."""
        with self.storage.open(name) as file:
            found = file.read()
        if found != content:
            raise WrongError(f"{name!r} has other content than it was given")

    def expect_none(self, name: str) -> None:
        """WrongError unless there is nothing."""
        if self.storage.find(name) is not None:
            raise WrongError(f"{name!r} is still there")

    def _remove(self) -> list[str]:
        """Remove everything, as far as that can be done; some names of the rest."""
        storage, directories = self.storage, [self.root]
        with suppress(FileNotFoundError, NotADirectoryError):
            for path, _, others in storage.walk(self.root):
                directories.append(path)
                for entry in others:
                    _try(storage.unlink, join_name(path, entry.name))
        for path in reversed(dict.fromkeys(directories)):
            _try(storage.rmdir, path)
        return list(itertools.islice(self._rest(), _MOST_NAMED))

    def _rest(self) -> Iterator[str]:
        """The files that are there, or the directory if there are none."""
        if self.storage.find(self.root) is None:
            return
        files = [join_name(path, entry.name) for path, _, others in self.storage.walk(self.root) for entry in others]
        yield from files or [f"{self.root}/"]


def _try(remove: Callable[[str], None], name: str) -> None:
    with suppress(Exception):  # what it leaves is looked for afterwards, and named
        remove(name)
