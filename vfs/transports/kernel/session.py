"""The conversation with the kernel: the loop, the one guard, who answers what and when, interrupts.

One thread reads requests. Those that cannot wait for anything it answers itself, and hands the rest to a pool, so that
one slow request holds up no other: all requests of a storage that may wait for a network; else those that bring
content to a disk, and large reads and writes there. Not handed over are reads of what is in memory already, of which
nothing has to be waited for. An INTERRUPT is dealt with at once.

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
from dataclasses import replace
from pathlib import Path
from time import perf_counter_ns
from typing import TYPE_CHECKING

from vfs.mounts.options import MountOptions
from vfs.names.tree import Node
from vfs.transports.base import Transport
from vfs.transports.kernel import device, protocol
from vfs.transports.kernel.channel import Channel
from vfs.transports.kernel.interrupts import wants_back
from vfs.transports.kernel.naming import Naming
from vfs.transports.kernel.negotiation import MAX_WRITE, agree
from vfs.transports.kernel.notifications import Notifier, all_names_changed, inode_changed, name_changed
from vfs.transports.kernel.opened import OpenModes
from vfs.transports.kernel.operations import Body, Operations, Verb
from vfs.transports.kernel.pool import Pool
from vfs.transports.kernel.protocol import IN_HEADER, Opcode
from vfs.transports.kernel.replies import Replies
from vfs.transports.kernel.request import Request
from vfs.transports.kernel.waiting import Waiting

if TYPE_CHECKING:
    from vfs.filesystem import FileSystem

logger = logging.getLogger("vfs")

BUFFER = MAX_WRITE + 4096
THREADS = 32
"""How many requests are worked on at once where they may wait."""
LATER = 64
"""How many requests that nobody waits for are put off at most: fewer than the kernel has in flight."""
LARGE = 1 << 18
"""Bytes of a read or write of a file on disk that the reader does not wait for: more than the kernel reads ahead at
once where nobody may tell it to."""
LONG = 60.0
"""Seconds that the kernel believes what nobody but the mount, or who tells it, can change."""


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
        self._run = self._guarded
        self._channel = Channel()
        self._pools_all = filesystem.storage.blocking if options.threads is None else options.threads
        self._on_disk = bool(filesystem.tree.device)
        self._puts_off = not self._pools_all and filesystem.contents.in_place
        self._modes = OpenModes(on_disk=self._on_disk)
        self._operations = Operations(
            filesystem, self._modes, self._replies(), self._channel.notify, xattrs=options.xattr
        )
        self._naming = Naming(self._operations.node, filesystem.tree.path)
        self._pool = Pool(THREADS, self._answer_from_pool)
        self._at_once = self._immediate()
        self._buffers: list[bytearray] = []
        """For large requests, while others are in the hands of the pool."""
        self._later: deque[Request] = deque()
        self._pending: dict[int, Request] = {}
        """Requests that the pool works on, by their unique numbers."""
        self._lock = threading.Lock()
        self._latencies = {int(opcode): self.requests[_NAMES[opcode]] for opcode in Opcode}
        self._notifier: Notifier | None = None
        filesystem.contents.sources.on_change = self._attributes_changed

    def _replies(self) -> Replies:
        options = self.options
        if self.filesystem.storage.blocking:
            believed = options.believed(shared=self.shared)
            return Replies(believed.names, believed.attributes)
        own = LONG if self._is_private() else 1.0
        entry = own if options.entry_timeout is None else options.entry_timeout
        return Replies(entry, own if options.attr_timeout is None else options.attr_timeout)

    def _is_private(self) -> bool:
        """Whether nobody changes the storage but this process: what is in memory, or told of its changes."""
        return self.filesystem.tree.device == 0

    def _immediate(self) -> dict[int, Verb]:
        """What answers those requests that are answered where they are read, whatever is in them."""
        if self._pools_all:
            return {}
        others = (
            _SLOW | _AFTER_ALL | (_LATER if self._puts_off else set()) | ({_READ, _WRITE} if self._on_disk else set())
        )
        return {opcode: verb for opcode, verb in self._operations.table.items() if opcode not in others}

    # -- life

    def mount(self) -> None:
        """See `Transport.mount`."""
        self._channel.descriptor = device.mount(
            self.mountpoint,
            self.source,
            read_only=self.options.ro,
            allow_other=self.options.allow_other,
            no_exec=self.options.noexec,
        )

    def serve(self) -> None:
        """See `Transport.serve`."""
        waiting = Waiting(self._channel.descriptor, self._spins())
        request = Request(bytearray(BUFFER))
        self._pool.idents.add(threading.get_ident())
        try:
            while self._receive(request, waiting):
                verb = self._at_once.get(request.opcode)
                if verb is not None:
                    self._answer(request, verb)
                else:
                    self._take(request)
        finally:
            self._pool.close()
            self._operations.handles.close_all()
            if self._notifier is not None:
                self._notifier.stop()
            self.leave()

    def trace(self, on: bool) -> None:
        """See `Transport.trace`."""
        self._run = self._traced if on else self._guarded

    def tune(self, device_number: int) -> None:
        """See `Transport.tune`."""
        device.read_ahead(device_number)

    def forget(self, nodes: list[Node]) -> None:
        """See `Transport.forget`; not for a thread that serves, because the kernel may wait for those."""
        for node in nodes:
            self._channel.notify(inode_changed(self._operations.nodeid(node), content=True))
        if not self._channel.notify(all_names_changed()):
            for parent, name in [link for node in nodes for link in node.links]:
                self._channel.notify(name_changed(self._operations.nodeid(parent), name))

    def believe(self, options: MountOptions) -> bool:
        """See `Transport.believe`."""
        self.options = replace(self.options, attr_timeout=options.attr_timeout, entry_timeout=options.entry_timeout)
        self._operations.replies = self._replies()
        return True

    def _attributes_changed(self, node: Node) -> None:
        self._channel.notify(inode_changed(self._operations.nodeid(node), content=False))

    @property
    def under_way(self) -> list[float]:
        """See `Transport.under_way`; those that the pool has."""
        with self._lock:
            began = [request.arrived for request in self._pending.values()]
        now = perf_counter_ns()
        return [(now - arrived) / 10**9 for arrived in began]

    @property
    def handles(self) -> int:
        """See `Transport.handles`."""
        return len(self._operations.handles)

    def leave(self) -> None:
        """See `Transport.leave`: close the device."""
        self._channel.close()

    def _spins(self) -> bool:
        """Whether waiting awake can pay: another processor has the client, and nothing else needs this process."""
        return self.options.spin and not self.shared and not self._pools_all and len(os.sched_getaffinity(0)) > 1

    # -- requests

    def _receive(self, request: Request, waiting: Waiting) -> bool:
        """Have the next request in `request`; False when the mount is gone."""
        later = self._later
        while True:
            while later and not waiting.is_over():
                self._deal_with_late()
            if not later:
                waiting.wait()
            length = self._channel.receive(request.buffer)
            if length is None:
                continue
            if length >= IN_HEADER.size:
                request.arrive(length)
                if request.claimed == length:
                    return True
                self._refuse(request)
            elif length:
                logger.error("a request of %d bytes was dropped: it has no header", length)
            else:
                return False

    def _refuse(self, request: Request) -> None:
        """Answer a request that is not of the length that it says."""
        logger.error("a request %d of %d bytes says that it is of another length", request.opcode, request.length)
        if request.opcode not in _NO_REPLY:
            self._reply(request, errno.EIO, b"")

    def _take(self, request: Request) -> None:
        """Answer a request later, or after others, or have it answered."""
        opcode = request.opcode
        if opcode in _LATER and self._puts_off and len(self._later) < LATER:
            self._later.append(request.copy())
            return
        if opcode in _AFTER_ALL:
            while self._later:
                self._deal_with_late()
        if opcode in _NO_REPLY or opcode == _INIT or not self._may_wait(request):
            self._deal_with(request)
        elif opcode != _READ or not self._is_answered_at_hand(request):
            self._hand_over(request)

    def _is_answered_at_hand(self, request: Request) -> bool:
        """Answer a read of what is in memory already here and now: to hand it over would take longer than the copy."""
        try:
            data = self._operations.read_at_hand(request)
        except Exception:  # noqa: BLE001 - who is handed the request meets it too, and answers with it
            return False
        if data is None:
            return False
        self._answer(request, lambda _: data)
        return True

    def _deal_with_late(self) -> None:
        """One of those that were put off; its latency is that of the work, for nobody has waited."""
        request = self._later.popleft()
        request.arrived = perf_counter_ns()
        self._deal_with(request)

    def _deal_with(self, request: Request) -> None:
        if request.opcode in _NO_REPLY:
            self._heed(request)
        else:
            self._answer(request, self._verb(request.opcode))

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
            own = request.copy()
        else:
            own = request.part(self._buffers.pop() if self._buffers else bytearray(BUFFER))
        with self._lock:
            self._pending[own.unique] = own
        self._pool.submit(own)

    def _answer(self, request: Request, verb: Verb | None) -> None:
        """Run one request and reply."""
        code, body = self._run(request, verb)
        self._latencies[request.opcode].add(perf_counter_ns() - request.arrived)
        if not self._reply(request, code, body) and not code:
            self._operations.undo(request.opcode, body)

    def _answer_from_pool(self, request: Request) -> None:
        """The same, unless the process that waits was let go meanwhile."""
        code, body = self._run(request, self._verb(request.opcode))
        self._latencies[request.opcode].add(perf_counter_ns() - request.arrived)
        with self._lock:
            awaited = self._pending.pop(request.unique, None) is not None
        if not (awaited and self._reply(request, code, body)) and not code:
            self._operations.undo(request.opcode, body)
        if request.length >= LARGE:
            self._buffers.append(request.buffer)

    def _verb(self, opcode: int) -> Verb | None:
        """What answers requests of this kind; None where there is no such thing."""
        return self._operations.table.get(opcode, self._initialise if opcode == _INIT else None)

    def _guarded(self, request: Request, verb: Verb | None) -> tuple[int, Body]:
        """The errno, or 0, and the body of the reply to a request: the guard, and the one place that catches."""
        if verb is None:
            self._latencies.setdefault(request.opcode, self.requests[_NAMES[request.opcode]])  # it may be a new one
            return errno.ENOSYS, b""  # which is no error: told once, the kernel asks no more
        try:
            return 0, verb(request)
        except BaseException as error:  # noqa: BLE001 - SystemExit too must become an answer, or the caller waits for ever
            return self.failed(_NAMES[request.opcode], error), b""

    def _traced(self, request: Request, verb: Verb | None) -> tuple[int, Body]:
        """The same, told to who traces."""
        code, body = self._guarded(request, verb)
        ns = perf_counter_ns() - request.arrived
        missing = self._operations.replies.missing  # no error to the kernel, which is to believe it
        shown = errno.ENOENT if body and body is missing else code
        try:
            self.tracing.tell(_NAMES[request.opcode], self._naming.paths(request), request.pid, ns, shown)
        except Exception:
            logger.exception("a request was not traced")  # which is no reason to leave it without an answer
        return code, body

    def _reply(self, request: Request, code: int, body: Body) -> bool:
        """Whether the kernel took it."""
        return self._channel.send(request.unique, code, body, _NAMES[request.opcode])

    # -- what has no verb

    def _heed(self, request: Request) -> None:
        """A message that takes no reply."""
        opcode = request.opcode
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
            self.failed(_NAMES[opcode], error)
        self._latencies[opcode].add(perf_counter_ns() - request.arrived)

    def _interrupt(self, unique: int) -> None:
        """Let the process go that waits for the request `unique`, if that is what its signal is for."""
        with self._lock:
            request = self._pending.get(unique)
            if request is None or not wants_back(request.pid):
                return
            del self._pending[unique]
        self._reply(request, errno.EINTR, b"")

    def _initialise(self, request: Request) -> bytes:
        """Agree with the kernel on what both can do."""
        agreement = agree(request, self.filesystem.tree.device)
        if agreement.passes_through:
            self._modes.offer(self._channel.descriptor)
        if self.shared:
            self._notifier = Notifier(self._channel.notify, self._operations.nodeid, self.filesystem, self._pool.idents)
        self.ready.set()
        return agreement.reply()
