"""The connection: OpenDAL's operators for one storage, made when they are first needed.

There are some, for what is to be answered soon and what may take its time, so that a lost server is noticed within the
deadline although a part of an upload may take as long. All have OpenDAL's own layers, from the inside out:

- *concurrency*: so many operations at once; the others wait. Uploads have a limit of their own, because one may read
  from the same storage while it goes on.
- *timeout*: of one try. OpenDAL cuts a part of an upload off by it, however well it goes. So large uploads are watched
  instead (`sending`), where the system shows how they go; others are given more time after one has failed while the
  service answered other requests.
- *retry*: with growing, jittered pauses, where the error is one that may pass. All tries of a request that hangs
  together take about the deadline.

OpenDAL has threads of its own, which do not survive a fork. In a child of a process that has used it any call would
hang, so the child gets a RuntimeError.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any, NamedTuple, TypeVar, cast

from storage.exceptions import ImproperlyConfigured
from storage.remote.opendal.errors import Errors
from storage.remote.opendal.leftovers import Leftovers
from storage.remote.opendal.options import import_opendal, port_of, warn_of_unknown
from storage.remote.opendal.sending import Sender
from storage.remote.wire import COPIED_A_SECOND, Wire, is_visible

LOCAL = frozenset({"fs", "memory", "dashmap", "moka", "mini-moka", "cacache", "redb", "sled", "sqlite"})
"""Schemes without a network: what fails there fails the next time too."""

_Result = TypeVar("_Result")
_Taken = TypeVar("_Taken")

_THREADS = 16
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 5.0

_UPLOAD_RETRIES = 2
_LONGEST_UPLOAD_TRY = 480.0
"""Seconds."""
_WATCHED_TRY = 24 * 3600.0
"""Seconds for one try of what is watched."""
_logger = logging.getLogger(__name__)

_runtime_pid: int | None = None
"""The process that has OpenDAL's threads."""


class Limits(NamedTuple):
    """How long is waited for a server, and how much it is asked at once."""

    deadline: float
    """Seconds in which a server must have answered, all retries together."""
    retries: int
    """How often a request is repeated that failed by an error which may pass."""
    max_requests: int
    """How many operations are under way at once, and as many uploads."""


class Connection:
    """What the parts of a storage reach OpenDAL by; safe to use from many threads."""

    def __init__(self, scheme: str, options: dict[str, str], limits: Limits, *, attributes: bool = False) -> None:
        """Nothing is loaded or connected yet. With `attributes` a service that keeps no metadata is of no use."""
        self.scheme = scheme
        self.errors = Errors(scheme, options)
        self._options = options
        self._limits = limits
        self._attributes = attributes
        is_watched = is_visible() and scheme not in LOCAL
        self._upload_try = self.one_try if is_watched else limits.deadline
        port = port_of(options)
        self._wire = Wire(() if port is None else (port,)) if is_watched else None
        self.uploads = Sender(self, self._wire, limits.deadline)
        """The way of what is large, and of what takes long."""
        self._made: dict[str, Any] = {}
        self._guard = threading.RLock()

    @property
    def operator(self) -> Any:
        """OpenDAL's operator for all that is answered soon; ImproperlyConfigured for options that it refuses."""
        return self._once("operator", lambda: self._layered(self.one_try, self._limits.retries))

    @property
    def uploader(self) -> Any:
        """The operator for uploads that end by themselves."""
        return self._once("uploader", lambda: self._layered(self._upload_try, self._upload_retries))

    @property
    def sender(self) -> Any:
        """The asynchronous operator for uploads that are waited for as long as they go on."""
        seconds = self._upload_try if self._wire is None else _WATCHED_TRY
        return self._once("sender", lambda: self._layered(seconds, self._upload_retries).to_async_operator())

    @property
    def capability(self) -> Any:
        """What OpenDAL says that the service can do: the most that is to be had of it."""
        return self._once("capability", lambda: self.operator.capability())

    @property
    def leftovers(self) -> Leftovers:
        """What is left of uploads in parts."""

        def make() -> Leftovers:
            from storage.remote.opendal.s3 import S3  # here, because few commands need an HTTP client

            return Leftovers(S3.of(self.scheme, self._options))

        return self._once("leftovers", make)

    @property
    def pool(self) -> ThreadPoolExecutor:
        """Threads for requests that need not wait for each other; nothing that runs in one may wait for another."""
        return self._once("pool", lambda: ThreadPoolExecutor(_THREADS, "storage-opendal"))

    @property
    def mover_pool(self) -> ThreadPoolExecutor:
        """Threads for whole operations, which may wait for the requests of `pool`."""
        return self._once("mover_pool", lambda: ThreadPoolExecutor(_THREADS, "storage-opendal-mover"))

    def copy(self, src: str, dst: str, size: int) -> None:
        """Have the service copy an object of `size` bytes, for which it has time; the errors are those of OpenDAL."""
        needed = size / COPIED_A_SECOND
        copier = self._layered(self.one_try + needed, self._limits.retries).to_async_operator()
        self.uploads.wait(lambda: copier.copy(src, dst), dst, self._limits.deadline + needed)

    def presigned(self, path: str, seconds: int) -> str:
        """An address under which anybody can read the object for so long."""

        async def sign(operator: Any) -> str:
            request = await operator.presign_read(path, seconds)
            return str(request.url)

        return self._awaited(sign)

    def signed(self, method: str, path: str, seconds: int, **options: Any) -> Any:
        """What OpenDAL's `method` signs for so long: an address, the method and the headers of a request."""

        import asyncio

        async def sign(operator: Any) -> Any:
            return await getattr(operator, method)(path, seconds, **options)

        try:
            asyncio.get_running_loop()
        except RuntimeError:  # as in a thread of `pool`, which must not wait for another
            return asyncio.run(sign(self.operator.to_async_operator()))
        return self._awaited(sign)

    def listed(self, path: str, take: Callable[[Any], _Taken | None], **options: Any) -> list[_Taken]:
        """What `take` makes of each of OpenDAL's entries in a directory, unless that is None.

        OpenDAL's own blocking listing holds up all threads of Python while it waits for the service.
        """

        async def sweep(operator: Any) -> list[_Taken]:
            listing = await operator.list(path, **options)
            return [taken async for found in listing if (taken := take(found)) is not None]

        return self._awaited(sweep)

    def answers(self, name: str) -> bool:
        """Whether the service is there, asked once: it may have been waited for long enough."""
        try:
            with self.errors.translating(name):
                self._layered(self.one_try, 0).stat(name)
        except OSError as error:
            return not isinstance(error, TimeoutError | ConnectionError)
        return True

    def give_uploads_time(self) -> None:
        """Let a try of an upload take longer from now on: the service answers, and is slow to take something."""
        with self._guard:
            if self._upload_try < _LONGEST_UPLOAD_TRY:
                self._upload_try *= 2
                self._made.pop("uploader", None)
                self._made.pop("sender", None)
                _logger.warning(
                    "Uploads to %s take long: a try may take %g s from now on", self.scheme, self._upload_try
                )

    def close(self) -> None:
        """End the threads, and let go of the operators."""
        with self._guard:
            made, self._made = self._made, {}
        self.uploads.close()
        if "leftovers" in made:
            made["leftovers"].close()
        for name in ("mover_pool", "pool"):
            if name in made:
                made[name].shutdown()

    def _awaited(self, do: Callable[[Any], Coroutine[Any, Any, _Result]]) -> _Result:
        """What a coroutine returns that is given OpenDAL's asynchronous operator."""
        import asyncio

        # In a thread, because the caller's may be one that runs an event loop.
        return self.pool.submit(lambda: asyncio.run(do(self.operator.to_async_operator()))).result()

    def _once(self, name: str, make: Callable[[], _Result]) -> _Result:
        """What was made under this name, made at the first time; RuntimeError in a forked process."""
        _require_runtime()
        made = self._made.get(name)
        if made is None:
            with self._guard:
                made = self._made.get(name)
                if made is None:
                    made = self._made[name] = make()
        return cast("_Result", made)

    @property
    def _upload_retries(self) -> int:
        return min(self._limits.retries, _UPLOAD_RETRIES)

    @property
    def pauses(self) -> tuple[float, ...]:
        """Seconds before each retry, jitter aside."""
        return tuple(min(_FIRST_PAUSE * 2.0**number, _LONGEST_PAUSE) for number in range(self._limits.retries))

    @property
    def one_try(self) -> float:
        """Seconds for one try, so that all of them with the pauses between end within the deadline."""
        deadline, retries, _ = self._limits
        return max(deadline - sum(self.pauses), deadline / 2) / (retries + 1)

    def _layered(self, timeout: float, retries: int) -> Any:
        opendal = import_opendal()
        layers = opendal.layers
        operator = self._once("base", lambda: self._base(opendal))
        if self.scheme in LOCAL:
            return operator
        limited = operator.layer(layers.ConcurrentLimitLayer(self._limits.max_requests))
        timed = limited.layer(layers.TimeoutLayer(timeout, timeout))
        return timed.layer(
            layers.RetryLayer(max_times=retries, jitter=True, min_delay=_FIRST_PAUSE, max_delay=_LONGEST_PAUSE)
        )

    def _base(self, opendal: ModuleType) -> Any:
        """The operator without layers."""
        warn_of_unknown(opendal, self.scheme, self._options)
        with self.errors.configuring():
            operator = opendal.Operator(self.scheme, **self._options)
        if self._attributes and not operator.capability().write_with_user_metadata:
            raise ImproperlyConfigured(
                f"OpenDALStorage can't have the option 'attributes' on {self.scheme!r}: OpenDAL keeps no user metadata "
                "with its objects"
            )
        return operator


def _require_runtime() -> None:
    """RuntimeError in a child of the process that has OpenDAL's threads."""
    global _runtime_pid
    if _runtime_pid is None:
        _runtime_pid = os.getpid()
    elif _runtime_pid != os.getpid():
        raise RuntimeError(
            "OpenDAL was used before this process was forked, and hangs in it: use the storage first after the fork"
        )
