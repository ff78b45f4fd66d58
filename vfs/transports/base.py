"""The seam between the core and what speaks to the kernel."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from vfs.errors import errno_of
from vfs.filesystem import FileSystem
from vfs.options import MountOptions


class MountError(Exception):
    """A mount or unmount cannot be done; the message says why and what to do next."""


class Transport(ABC):
    """One mount of one filesystem, from `mount()` to the end of `serve()`."""

    name: ClassVar[str]

    def __init__(
        self, filesystem: FileSystem, mountpoint: Path, options: MountOptions, source: str, *, shared: bool = False
    ) -> None:
        """A mount to be of `filesystem` at `mountpoint`, which the mount table will call `source`.

        `shared` says that it is served by a process that uses storage and mount at the same time.
        """
        self.filesystem = filesystem
        self.mountpoint = mountpoint
        self.options = options
        self.source = source
        self.shared = shared
        self.ready = threading.Event()
        """Set when the kernel's first request was answered."""
        self.counts: Counter[str] = Counter()
        """Requests answered, by operation."""
        self.errors: Counter[int] = Counter()
        """Requests answered with an error, by errno."""

    @abstractmethod
    def mount(self) -> None:
        """Mount; MountError. Requests wait until `serve()` answers them."""

    @abstractmethod
    def serve(self) -> None:
        """Answer requests until the filesystem is unmounted, then give up what the mount held."""

    def tune(self, device_number: int) -> None:  # noqa: B027 - not every transport has something to adjust
        """Adjust what the kernel has for the mount with this `st_dev`, once it answers."""

    @abstractmethod
    def leave(self) -> None:
        """In a forked child: let go of what would keep the parent's mount alive, without ending it."""

    def guard(self, operation: str, request: Callable[[], int]) -> int:
        """Run one request: what it returns, or the negative errno of what it raised. The one place that catches."""
        self.counts[operation] += 1
        try:
            return request()
        except BaseException as error:  # noqa: BLE001 - SystemExit too must become an answer, or the caller gets garbage
            return -self.failed(error)

    def failed(self, error: BaseException) -> int:
        """The errno that a request is answered with which raised `error`, counted."""
        code = errno_of(error)
        self.errors[code] += 1
        return code
