"""The seam between the core and what speaks to the kernel."""

from __future__ import annotations

import errno
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns
from typing import ClassVar

from vfs.errors import errno_of
from vfs.filesystem import FileSystem
from vfs.mounts.options import MountOptions
from vfs.names.tree import Node
from vfs.watch.metrics import Requests
from vfs.watch.tracing import Tracing


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
        self.requests = Requests()
        """What the kernel asked for, by operation; errors by the names of their errno."""
        self.tracing = Tracing(self.trace)
        self._began: dict[int, int] = {}
        """When each thread began with the request that it works on (time.perf_counter_ns)."""

    @property
    def counts(self) -> Counter[str]:
        """Requests answered, by operation."""
        return self.requests.counts

    @property
    def errors(self) -> Counter[str]:
        """Requests answered with an error, by the name of its errno."""
        found: Counter[str] = Counter()
        for (_, name), count in self.requests.errors.copy().items():
            found[name] += count
        return found

    @property
    def under_way(self) -> list[float]:
        """For how many seconds each request is worked on that has no answer yet, as far as others can wait for it."""
        now = perf_counter_ns()
        return [(now - began) / 10**9 for began in self._began.copy().values()]

    @property
    @abstractmethod
    def handles(self) -> int:
        """How many files and directories the kernel has open."""

    @abstractmethod
    def mount(self) -> None:
        """Mount; MountError. Requests wait until `serve()` answers them."""

    @abstractmethod
    def serve(self) -> None:
        """Answer requests until the filesystem is unmounted, then give up what the mount held."""

    def trace(self, on: bool) -> None:  # noqa: B027 - one that is slow anyway may look for itself
        """Tell `tracing` of each operation from now on, or do no more."""

    def tune(self, device_number: int) -> None:  # noqa: B027 - not every transport has something to adjust
        """Adjust what the kernel has for the mount with this `st_dev`, once it answers."""

    def forget(self, nodes: list[Node]) -> None:  # noqa: B027 - not every kernel can be told
        """Have the kernel ask again for these nodes and their names, as far as it can be told to."""

    def believe(self, options: MountOptions) -> bool:
        """Have the kernel believe what it is told from now on for as long as `options` say; whether that can be."""
        return False

    @abstractmethod
    def leave(self) -> None:
        """In a forked child: let go of what would keep the parent's mount alive, without ending it."""

    def guard(self, operation: str, request: Callable[[], int]) -> int:
        """Run one request: what it returns, or the negative errno of what it raised. The one place that catches."""
        thread = threading.get_ident()
        began = self._began[thread] = perf_counter_ns()
        try:
            return request()
        except BaseException as error:  # noqa: BLE001 - SystemExit too must become an answer, or the caller gets garbage
            return -self.failed(operation, error)
        finally:
            self._began.pop(thread, None)
            self.requests[operation].add(perf_counter_ns() - began)

    def failed(self, operation: str, error: BaseException) -> int:
        """The errno that a request is answered with which raised `error`, counted."""
        code = errno_of(error)
        self.requests.errors[operation, errno.errorcode.get(code, str(code))] += 1
        return code
