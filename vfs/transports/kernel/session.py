"""The conversation with the kernel: INIT, the loop, the one guard, replies, interrupts.

One thread reads requests. Those that cannot wait for anything it answers itself, and hands the rest to a pool, so that
one slow request holds up no other: all requests of a storage that may wait for a network; else those that bring
content to a disk, and large reads and writes there. An INTERRUPT is dealt with at once.

Waiting. In a virtual machine most of a small request's time is the wake-up of the sleeping reader, so after a reply
the reader looks for the next request for a while before it sleeps (vfs.transports.kernel.waiting).

Later. Nobody waits for a RELEASE or a FORGET. Where all is answered here, and a close has nothing to store, they are
kept until nothing else is waiting, which is while the process that got the last reply has yet to run: their time costs
nobody anything.

Interrupts. A process that was interrupted may be let go (vfs.transports.kernel.interrupts): it gets EINTR, the work
goes on, and what its reply would have handed out (a counted lookup, a handle) is taken back.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from vfs.options import MountOptions
from vfs.transports.base import MountError, Transport
from vfs.transports.kernel import device, protocol
from vfs.transports.kernel.interrupts import wants_back
from vfs.transports.kernel.notifications import Notifier
from vfs.transports.kernel.opened import OpenModes
from vfs.transports.kernel.operations import Operations
from vfs.transports.kernel.pool import Pool
from vfs.transports.kernel.protocol import IN_HEADER, OUT_HEADER, Init, Opcode
from vfs.transports.kernel.replies import Replies
from vfs.transports.kernel.request import Request
from vfs.transports.kernel.waiting import Waiting

if TYPE_CHECKING:
    from vfs.filesystem import FileSystem

logger = logging.getLogger("vfs")

MAX_PAGES = 256
MAX_WRITE = MAX_PAGES * 4096
"""Bytes in the largest request: 1 MiB, the most that the kernel sends."""
BUFFER = MAX_WRITE + 4096
THREADS = 32
"""How many requests are worked on at once where they may wait."""
LATER = 64
"""How many requests that nobody waits for are put off at most."""
MAX_BACKGROUND = 128
"""How many of those, and of reads ahead, the kernel has in flight: more than are put off."""
LARGE = 1 << 18
"""Bytes of a read or write of a file on disk that the reader does not wait for: more than the kernel reads ahead at
once where nobody may tell it to."""
JOINED = 4096
"""Bytes of a reply from which on it is not copied to its header."""
LONG = 60.0
"""Seconds that the kernel believes what nobody but the mount, or who tells it, can change."""
WANTED = (
    Init.ASYNC_READ
    | Init.ATOMIC_O_TRUNC
    | Init.BIG_WRITES
    | Init.AUTO_INVAL_DATA
    | Init.DO_READDIRPLUS
    | Init.READDIRPLUS_AUTO
    | Init.ASYNC_DIO
    | Init.PARALLEL_DIROPS
    | Init.MAX_PAGES
    | Init.CACHE_SYMLINKS
    | Init.INIT_EXT
    | Init.PASSTHROUGH
)


class _Names(dict[int, str]):
    """What to call each opcode; an unknown one by its number."""

    def __missing__(self, opcode: int) -> str:
        return str(opcode)


_NAMES = _Names({int(opcode): opcode.name.lower() for opcode in Opcode})
_INIT, _READ, _WRITE = int(Opcode.INIT), int(Opcode.READ), int(Opcode.WRITE)
_LATER = frozenset({Opcode.RELEASE, Opcode.FORGET, Opcode.BATCH_FORGET})
_AFTER_ALL = frozenset({Opcode.UNLINK, Opcode.RENAME, Opcode.RENAME2, Opcode.SETATTR, Opcode.STATFS})
"""What a file that was closed before makes a difference to: its room is to be free again at once."""
_SLOW = frozenset({Opcode.FSYNC, Opcode.FALLOCATE, Opcode.COPY_FILE_RANGE, Opcode.COPY_FILE_RANGE_64})
_NO_REPLY = frozenset({Opcode.FORGET, Opcode.BATCH_FORGET, Opcode.INTERRUPT, Opcode.DESTROY})


class KernelTransport(Transport):
    """One mount through the kernel's own protocol, on Linux."""

    name = "kernel"

    def __init__(
        self, filesystem: FileSystem, mountpoint: Path, options: MountOptions, source: str, *, shared: bool = False
    ) -> None:
        """See `Transport`."""
        super().__init__(filesystem, mountpoint, options, source, shared=shared)
        self._descriptor = -1
        self._pools_all = filesystem.storage.blocking if options.threads is None else options.threads
        self._on_disk = bool(filesystem.tree.device)
        self._puts_off = not self._pools_all and filesystem.contents.in_place
        self._modes = OpenModes(on_disk=self._on_disk)
        self._operations = Operations(filesystem, self._modes, self._replies(), self._notify, xattrs=options.xattr)
        self._pool = Pool(THREADS, self._answer_from_pool)
        self._buffers: list[bytearray] = []
        self._later: deque[Request] = deque()
        self._pending: dict[int, Request] = {}
        """Requests that the pool works on, by their unique numbers."""
        self._lock = threading.Lock()
        self._notifier: Notifier | None = None

    def _replies(self) -> Replies:
        options = self.options
        # The program may change a backend that is not ours by its own object, of which nobody is told.
        own = LONG if self._is_private() else 0.0 if self.shared and self.filesystem.storage.blocking else 1.0
        entry = own if options.entry_timeout is None else options.entry_timeout
        return Replies(entry, own if options.attr_timeout is None else options.attr_timeout)

    def _is_private(self) -> bool:
        """Whether nobody changes the storage but this process: what is in memory, or told of its changes."""
        return self.filesystem.tree.device == 0

    # -- life

    def mount(self) -> None:
        """See `Transport.mount`."""
        self._descriptor = device.mount(
            self.mountpoint, self.source, read_only=self.options.ro, allow_other=self.options.allow_other
        )

    def serve(self) -> None:
        """See `Transport.serve`."""
        waiting = Waiting(self._descriptor, self._spins())
        self._pool.idents.add(threading.get_ident())
        try:
            while (request := self._receive(waiting)) is not None:
                self._take(request)
        finally:
            self._pool.close()
            self._operations.handles.close_all()
            if self._notifier is not None:
                self._notifier.stop()
            self.leave()

    def tune(self, device_number: int) -> None:
        """See `Transport.tune`."""
        device.read_ahead(device_number)

    def leave(self) -> None:
        """See `Transport.leave`: close the device."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _spins(self) -> bool:
        """Whether waiting awake can pay: another processor has the client, and nothing else needs this process."""
        return self.options.spin and not self.shared and not self._pools_all and len(os.sched_getaffinity(0)) > 1

    # -- requests

    def _receive(self, waiting: Waiting) -> Request | None:
        """The next request; None when the mount is gone."""
        buffer = self._buffers.pop() if self._buffers else bytearray(BUFFER)
        while True:
            try:
                length = os.readv(self._descriptor, (buffer,))
                if not length:
                    return None
            except BlockingIOError:
                if self._later:
                    self._deal_with(self._later.popleft())
                else:
                    waiting.wait()
                continue
            except (InterruptedError, FileNotFoundError):  # the process that asked went away before we looked
                continue
            except OSError as error:
                if error.errno not in (errno.ENODEV, errno.ECONNABORTED, errno.EBADF):
                    logger.error("the device failed, and the mount ends: %s", error)
                return None
            request = self._parsed(buffer, length)
            if request is not None:
                return request

    def _parsed(self, buffer: bytearray, length: int) -> Request | None:
        if length < IN_HEADER.size:
            logger.error("a request of %d bytes was dropped: it has no header", length)
            return None
        request = Request(buffer, length)
        if request.claimed != length:
            logger.error("a request %d of %d bytes says that it is of another length", request.opcode, length)
            if request.opcode not in _NO_REPLY:
                self._send(request, errno.EIO, b"")
            return None
        return request

    def _take(self, request: Request) -> None:
        """Answer a request here, now or later, or have it answered."""
        opcode = request.opcode
        if opcode in _LATER and self._puts_off and len(self._later) < LATER:
            self._buffers.append(request.detach())
            self._later.append(request)
            return
        if opcode in _AFTER_ALL:
            while self._later:
                self._deal_with(self._later.popleft())
        if opcode in _NO_REPLY or opcode == _INIT or not self._may_wait(request):
            self._deal_with(request)
            self._buffers.append(request.buffer)
        else:
            self._hand_over(request)

    def _deal_with(self, request: Request) -> None:
        if request.opcode in _NO_REPLY:
            self._heed(request)
        else:
            self._answer(request)

    def _may_wait(self, request: Request) -> bool:
        """Whether the answer may have to wait for something."""
        if self._pools_all:
            return not self._operations.only_lets_go(request)
        opcode = request.opcode
        if opcode in (_READ, _WRITE):
            return self._on_disk and protocol.READ_IN.unpack_from(request.buffer, IN_HEADER.size)[2] >= LARGE
        return opcode in _SLOW

    def _hand_over(self, request: Request) -> None:
        if request.length < LARGE:
            self._buffers.append(request.detach())
        with self._lock:
            self._pending[request.unique] = request
        self._pool.submit(request)

    def _answer(self, request: Request) -> None:
        """Run one request and reply."""
        code, body = self._run(request)
        if not self._send(request, code, body) and not code:
            self._operations.undo(request.opcode, body)

    def _answer_from_pool(self, request: Request) -> None:
        """The same, unless the process that waits was let go meanwhile."""
        code, body = self._run(request)
        with self._lock:
            awaited = self._pending.pop(request.unique, None) is not None
        if not (awaited and self._send(request, code, body)) and not code:
            self._operations.undo(request.opcode, body)
        if request.length >= LARGE:
            self._buffers.append(request.buffer)

    def _run(self, request: Request) -> tuple[int, bytes]:
        """The errno, or 0, and the body of the reply to a request: the guard, and the one place that catches."""
        opcode = request.opcode
        self.counts[_NAMES[opcode]] += 1
        try:
            handler = self._operations.table.get(opcode)
            if handler is not None:
                return 0, handler(request)
            if opcode == _INIT:
                return 0, self._initialise(request)
        except BaseException as error:  # noqa: BLE001 - SystemExit too must become an answer, or the caller waits for ever
            return self.failed(error), b""
        return errno.ENOSYS, b""

    def _send(self, request: Request, code: int, body: bytes) -> bool:
        """Whether the kernel took the reply."""
        header = OUT_HEADER.pack(OUT_HEADER.size + len(body), -code, request.unique)
        try:
            if len(body) < JOINED:
                os.write(self._descriptor, header + body)
            else:
                os.writev(self._descriptor, (header, body))
        except OSError as error:
            if error.errno == errno.EINVAL:
                logger.error("the kernel did not take the reply to %s", _NAMES[request.opcode])
                os.write(self._descriptor, OUT_HEADER.pack(OUT_HEADER.size, -errno.EIO, request.unique))
            elif error.errno not in (errno.ENOENT, errno.ENODEV, errno.ECONNABORTED, errno.EBADF):
                logger.error("a reply was not sent: %s", error)
            return False
        return True

    def _notify(self, message: bytes) -> None:
        try:
            os.write(self._descriptor, message)
        except FileNotFoundError:
            return  # the kernel has no such inode or name: just as well
        except OSError as error:
            logger.debug("the kernel took no notification: %s", error)

    # -- what has no verb

    def _heed(self, request: Request) -> None:
        """A message that takes no reply."""
        opcode = request.opcode
        self.counts[_NAMES[opcode]] += 1
        try:
            if opcode == Opcode.FORGET:
                self._operations.forget(request.nodeid, *request.read(protocol.FORGET_IN))
            elif opcode == Opcode.BATCH_FORGET:
                count, _ = request.read(protocol.BATCH_FORGET_IN)
                forgets = request.rest(protocol.BATCH_FORGET_IN.size)[: count * protocol.FORGET_ONE.size]
                for nodeid, lookups in protocol.FORGET_ONE.iter_unpack(forgets):
                    self._operations.forget(nodeid, lookups)
            elif opcode == Opcode.INTERRUPT:
                self._interrupt(*request.read(protocol.INTERRUPT_IN))
        except Exception as error:  # noqa: BLE001 - nobody waits for an answer, and the loop must go on
            self.failed(error)

    def _interrupt(self, unique: int) -> None:
        """Let the process go that waits for the request `unique`, if that is what its signal is for."""
        with self._lock:
            request = self._pending.get(unique)
            if request is None or not wants_back(request.pid):
                return
            del self._pending[unique]
        self._send(request, errno.EINTR, b"")

    def _initialise(self, request: Request) -> bytes:
        """Agree with the kernel on what both can do."""
        major, minor, read_ahead, flags = request.read(protocol.INIT_IN)
        if major < protocol.MAJOR or (major == protocol.MAJOR and minor < protocol.MINOR_MIN):
            raise MountError(
                f"the kernel speaks FUSE {major}.{minor}; this needs {protocol.MAJOR}.{protocol.MINOR_MIN}"
            )
        if flags & Init.INIT_EXT:
            flags |= protocol.FLAGS2.unpack_from(request.rest(protocol.INIT_IN.size))[0] << 32
        agreed = WANTED & flags
        depth = 0
        if agreed & Init.PASSTHROUGH and not device.may_pass_through():
            logger.info("no passthrough, which takes CAP_SYS_ADMIN: reads and writes go through the daemon")
            agreed &= ~Init.PASSTHROUGH
        elif agreed & Init.PASSTHROUGH:
            depth = device.stack_depth(self.filesystem.tree.device)
            self._modes.offer(self._descriptor)
        if self.shared:
            self._notifier = Notifier(self._notify, self._operations.nodeid, self.filesystem, self._pool.idents)
        self.ready.set()
        return protocol.INIT_OUT.pack(
            protocol.MAJOR,
            min(minor, protocol.MINOR),
            max(read_ahead, MAX_WRITE),
            agreed & 0xFFFF_FFFF,
            MAX_BACKGROUND,
            MAX_BACKGROUND * 3 // 4,
            MAX_WRITE,
            1,
            MAX_PAGES,
            0,
            agreed >> 32,
            depth,
            0,
        )
