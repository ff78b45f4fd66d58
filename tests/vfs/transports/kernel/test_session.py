"""The session, fed with a kernel's bytes: agreement, the guard, what no reply is taken of, and its end."""

from __future__ import annotations

import errno
import logging
import os
import signal
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from conversation import KERNEL_FLAGS, Conversation
from counted_bucket import Bucket
from gates import Gate
from kernel import files_here, filesystem_of, nodes_of

from storage import ContentFile
from vfs.cache import BlockCache
from vfs.filesystem import FileSystem
from vfs.mounts.options import MountOptions
from vfs.spool.spool import Spool
from vfs.testing.place import soon
from vfs.transports.kernel import channel, device, interrupts, protocol, session
from vfs.transports.kernel.protocol import Init, Opcode
from vfs.transports.kernel.session import KernelTransport

Talk = Callable[..., Conversation]


@pytest.fixture
def talk(tmp_path: Path) -> Iterator[Talk]:
    """`talk(KIND, **OPTIONS)`: a conversation about a new storage, begun unless `greet` is False."""
    begun: list[Conversation] = []

    def converse(kind: str = "memory", *, greet: bool = True, **options: Any) -> Conversation:
        filesystem = filesystem_of(kind, tmp_path)
        begun.append(Conversation(KernelTransport(filesystem, tmp_path, MountOptions(**options), kind)))
        if greet:
            begun[-1].greet()
        return begun[-1]

    yield converse
    for conversation in begun:
        conversation.end()
        conversation.transport.filesystem.close()


# -- INIT


def test_the_kernel_is_offered_what_it_has_and_we_want(talk: Talk) -> None:
    conversation = talk(greet=False)
    assert not conversation.transport.ready.is_set()
    offered = Init.BIG_WRITES | Init.DO_READDIRPLUS | Init.WRITEBACK_CACHE | 1 << 9
    reply = conversation.greet(offered, minor=38)
    major, minor, _, flags, _, _, max_write, granularity, *_ = protocol.INIT_OUT.unpack(reply.body)
    assert (major, minor, max_write, granularity) == (7, 38, 1 << 20, 1)
    assert flags == Init.BIG_WRITES | Init.DO_READDIRPLUS
    assert conversation.transport.ready.is_set()


@pytest.mark.parametrize("capable", [True, False])
def test_passthrough_is_agreed_on_by_who_may(talk: Talk, monkeypatch: pytest.MonkeyPatch, capable: bool) -> None:
    """Its flag lies beyond the first 32, which are read where the kernel says that there are more."""
    monkeypatch.setattr(device, "may_pass_through", lambda: capable)
    conversation = talk(greet=False)
    reply = conversation.greet(int(Init.INIT_EXT | Init.PASSTHROUGH))
    *_, flags2, depth, _ = protocol.INIT_OUT.unpack(reply.body)
    assert (flags2, depth) == ((Init.PASSTHROUGH >> 32, 1) if capable else (0, 0))
    assert conversation.transport._modes.passes_through is capable


def test_a_newer_kernel_is_answered_in_our_version(talk: Talk) -> None:
    _, minor, *_ = protocol.INIT_OUT.unpack(talk(greet=False).greet(minor=99).body)
    assert minor == protocol.MINOR


def test_a_kernel_that_is_too_old_is_refused(talk: Talk) -> None:
    conversation = talk(greet=False)
    assert conversation.greet(minor=30).error == "EIO"
    assert not conversation.transport.ready.is_set()


# -- what is asked, and answered


def test_a_file_is_made_written_read_and_closed(talk: Talk) -> None:
    conversation = talk()
    nodeid, handle = conversation.create("new")
    assert conversation.write(nodeid, handle, b"content") == 7
    assert conversation.read(nodeid, handle, 100, 3) == b"tent"
    conversation.release(nodeid, handle)
    assert files_here(conversation.transport.filesystem) == 0
    assert conversation.lookup("new") == nodeid


def test_what_is_missing_may_be_believed_to_be(talk: Talk) -> None:
    reply = talk(entry_timeout=2.5).ask(Opcode.LOOKUP, b"missing\0")
    nodeid, _, seconds, _, ns, *_ = protocol.ENTRY_OUT.unpack(reply.body)
    assert (reply.code, nodeid, seconds, ns) == (0, 0, 2, 500_000_000)


def test_what_is_missing_is_an_error_where_nothing_is_believed(talk: Talk) -> None:
    assert talk(entry_timeout=0.0).ask(Opcode.LOOKUP, b"missing\0").error == "ENOENT"


def test_names_come_byte_for_byte(talk: Talk) -> None:
    conversation = talk()
    made = conversation.ask(Opcode.MKDIR, protocol.MKDIR_IN.pack(0o755, 0) + b"\xff\xfe\0")
    assert not made.code
    handle = protocol.OPEN_OUT.unpack(conversation.ask(Opcode.OPENDIR, protocol.OPEN_IN.pack(0, 0)).body)[0]
    listed = conversation.ask(Opcode.READDIR, protocol.READ_IN.pack(handle, 0, 4096, 0, 0, 0, 0))
    assert b"\xff\xfe" in listed.body


def test_lookups_are_counted_and_forgotten(talk: Talk) -> None:
    conversation = talk()
    nodeid, handle = conversation.create("file")
    conversation.lookup("file")
    conversation.release(nodeid, handle)
    node = conversation.transport.filesystem.tree.by_ino[nodeid]
    assert node.lookups == 2
    conversation.forget(nodeid)
    batch = protocol.BATCH_FORGET_IN.pack(2, 0) + protocol.FORGET_ONE.pack(nodeid, 1) + protocol.FORGET_ONE.pack(404, 9)
    conversation.send(Opcode.BATCH_FORGET, batch)
    assert soon(lambda: node.lookups == 0)


@pytest.mark.parametrize("kind", ["memory", "objects"])
def test_a_flood_of_what_nobody_waits_for_is_dealt_with(talk: Talk, kind: str) -> None:
    conversation = talk(kind)
    nodeid, handle = conversation.create("file")
    conversation.release(nodeid, handle)
    many = session.LATER * 3
    for _ in range(many):
        conversation.lookup("file")
    for _ in range(many):
        conversation.forget(nodeid)
    assert conversation.lookup("file") == nodeid
    assert soon(lambda: conversation.transport.filesystem.tree.by_ino[nodeid].lookups == 2)


def test_a_file_that_the_kernel_may_keep_in_its_cache(talk: Talk) -> None:
    conversation = talk("objects")
    nodeid, handle = conversation.create("file")
    conversation.write(nodeid, handle, b"1")
    conversation.ask(Opcode.FSYNC, protocol.FSYNC_IN.pack(handle, 0, 0), nodeid)
    conversation.release(nodeid, handle)

    def opened() -> int:
        reply = conversation.ask(Opcode.OPEN, protocol.OPEN_IN.pack(os.O_RDONLY, 0), nodeid)
        number, flags, _ = protocol.OPEN_OUT.unpack(reply.body)
        conversation.release(nodeid, number)
        return int(flags)

    assert [opened() & protocol.Fopen.KEEP_CACHE for _ in range(2)] == [0, protocol.Fopen.KEEP_CACHE]
    conversation.transport.filesystem.storage.replace("file", ContentFile(b"other"))
    conversation.lookup("file")
    assert opened() & protocol.Fopen.KEEP_CACHE == 0


# -- what is wrong


def assert_goes_on(conversation: Conversation) -> None:
    assert not conversation.ask(Opcode.GETATTR, protocol.GETATTR_IN.pack(0, 0, 0)).code


def test_less_than_a_header_is_dropped(talk: Talk, caplog: pytest.LogCaptureFixture) -> None:
    conversation = talk()
    conversation.raw(b"\x10\0\0\0")
    assert_goes_on(conversation)
    assert "no header" in caplog.text


def test_a_request_of_another_length_than_it_says(talk: Talk) -> None:
    conversation = talk()
    unique = conversation.send(Opcode.GETATTR, protocol.GETATTR_IN.pack(0, 0, 0), length=4000)
    assert conversation.receive()[:2] == (unique, errno.EIO)
    assert_goes_on(conversation)


@pytest.mark.parametrize("kind", ["memory", "objects"])
@pytest.mark.parametrize("opcode", sorted(set(Opcode) - {Opcode.INIT, Opcode.FSYNCDIR, Opcode.STATFS}))
def test_a_request_without_its_structure(talk: Talk, opcode: Opcode, kind: str) -> None:
    """An error of its own, or for a number that is not known; never silence, but for what takes no reply."""
    conversation = talk(kind, xattr=True)
    if opcode in {Opcode.FORGET, Opcode.BATCH_FORGET, Opcode.INTERRUPT, Opcode.DESTROY}:
        conversation.send(opcode)
    elif opcode not in {Opcode.GETATTR, Opcode.STATX, Opcode.OPENDIR}:  # which need none of it
        assert conversation.ask(opcode).error
    assert_goes_on(conversation)


@pytest.mark.parametrize("opcode", [19, 63, 4096, 0xFFFF_FFFF])
def test_an_unknown_request_is_not_there(talk: Talk, opcode: int) -> None:
    conversation = talk()
    assert conversation.ask(opcode, b"anything").error == "ENOSYS"
    assert_goes_on(conversation)


def test_names_that_are_too_few(talk: Talk) -> None:
    conversation = talk()
    assert conversation.ask(Opcode.RENAME, protocol.RENAME_IN.pack(1) + b"old\0").error == "EINVAL"
    assert conversation.ask(Opcode.SYMLINK, b"name\0").error == "EINVAL"


@pytest.mark.parametrize("opcode", [Opcode.GETATTR, Opcode.LOOKUP, Opcode.OPEN, Opcode.OPENDIR, Opcode.READLINK])
def test_a_node_that_is_not_known(talk: Talk, opcode: Opcode) -> None:
    assert talk().ask(opcode, bytes(16), 404).error == "ESTALE"


@pytest.mark.parametrize(
    "opcode", [Opcode.READ, Opcode.WRITE, Opcode.FSYNC, Opcode.FLUSH, Opcode.LSEEK, Opcode.READDIR, Opcode.READDIRPLUS]
)
def test_a_handle_that_is_not_known(talk: Talk, opcode: Opcode) -> None:
    assert talk().ask(opcode, struct.pack("=Q", 404) + bytes(56)).error == "ESTALE"


@pytest.mark.parametrize("error", [RuntimeError("odd"), SystemExit(0), KeyboardInterrupt(), MemoryError()])
def test_whatever_a_verb_raises_is_an_answer(talk: Talk, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    conversation = talk()

    def failing(node: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(conversation.transport.filesystem, "getattr", failing)
        assert conversation.ask(Opcode.GETATTR, protocol.GETATTR_IN.pack(0, 0, 0)).code
    assert_goes_on(conversation)
    assert conversation.transport.errors.total() == 1


# -- replies that nobody takes


class Refusing:
    """Stands in for os.write: the kernel has no room for the reply to one request."""

    def __init__(self, code: int) -> None:
        self._code = code
        self.refused = threading.Event()

    def __call__(self, descriptor: int, message: bytes) -> int:
        if not self.refused.is_set():
            self.refused.set()
            raise OSError(self._code, os.strerror(self._code))
        return os.write(descriptor, message)


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Refusing]:
    def install(code: int) -> Refusing:
        refusing = Refusing(code)
        patched = type("os", (), {**vars(os), "write": staticmethod(refusing)})
        monkeypatch.setattr(channel, "os", patched)
        return refusing

    return install


@pytest.mark.parametrize(
    ("opcode", "body"),
    [
        (Opcode.LOOKUP, b"there\0"),
        (Opcode.MKDIR, protocol.MKDIR_IN.pack(0o755, 0) + b"new\0"),
        (Opcode.CREATE, protocol.CREATE_IN.pack(os.O_RDWR, 0o100644, 0, 0) + b"new\0"),
        (Opcode.OPENDIR, protocol.OPEN_IN.pack(0, 0)),
        (Opcode.TMPFILE, protocol.CREATE_IN.pack(os.O_RDWR, 0o100644, 0, 0) + b"/\0"),
    ],
)
def test_a_reply_that_nobody_waits_for_leaks_nothing(
    talk: Talk, refuse: Callable[[int], Refusing], opcode: Opcode, body: bytes
) -> None:
    conversation = talk()
    conversation.transport.filesystem.storage.replace("there", ContentFile(b"1"))
    refusing = refuse(errno.ENOENT)
    conversation.send(opcode, body)
    assert refusing.refused.wait(5)
    assert_goes_on(conversation)
    filesystem = conversation.transport.filesystem
    assert [node for node in nodes_of(filesystem.tree) if node.lookups and node is not filesystem.root] == []
    assert files_here(filesystem) == 0
    assert len(conversation.transport._operations.handles) == 0


@pytest.mark.parametrize("opcode", [Opcode.OPEN, Opcode.CREATE])
def test_an_open_that_fails_late_leaks_nothing(talk: Talk, monkeypatch: pytest.MonkeyPatch, opcode: Opcode) -> None:
    conversation = talk()
    filesystem = conversation.transport.filesystem
    filesystem.storage.replace("there", ContentFile(b"1"))
    nodeid = conversation.lookup("there")

    def failing(handle: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(conversation.transport._modes, "open", failing)
    if opcode is Opcode.OPEN:
        assert conversation.ask(opcode, protocol.OPEN_IN.pack(os.O_RDONLY, 0), nodeid).error == "EMFILE"
    else:
        body = protocol.CREATE_IN.pack(os.O_RDWR, 0o100644, 0, 0) + b"new\0"
        assert conversation.ask(opcode, body).error == "EMFILE"
    assert files_here(filesystem) == 0
    assert [node.ino for node in nodes_of(filesystem.tree) if node.lookups and node is not filesystem.root] == [nodeid]


def test_a_listing_with_nodes_that_nobody_takes_leaks_none(talk: Talk, refuse: Callable[[int], Refusing]) -> None:
    conversation = talk()
    for number in range(5):
        conversation.transport.filesystem.storage.replace(f"file{number}", ContentFile(b"1"))
    handle = protocol.OPEN_OUT.unpack(conversation.ask(Opcode.OPENDIR, protocol.OPEN_IN.pack(0, 0)).body)[0]
    refusing = refuse(errno.ENOENT)
    conversation.send(Opcode.READDIRPLUS, protocol.READ_IN.pack(handle, 0, 4096, 0, 0, 0, 0))
    assert refusing.refused.wait(5)
    assert_goes_on(conversation)
    tree = conversation.transport.filesystem.tree
    assert [node for node in nodes_of(tree) if node.lookups and node is not tree.root] == []


def test_what_has_gone_since_the_listing_began_is_left_out_and_ends_nothing(talk: Talk) -> None:
    conversation = talk()
    storage = conversation.transport.filesystem.storage
    for number in range(100):
        storage.replace(f"file{number:03}", ContentFile(b"1"))
    handle = protocol.OPEN_OUT.unpack(conversation.ask(Opcode.OPENDIR, protocol.OPEN_IN.pack(0, 0)).body)[0]

    def listed(offset: int) -> bytes:
        return conversation.ask(Opcode.READDIRPLUS, protocol.READ_IN.pack(handle, offset, 1000, 0, 0, 0, 0)).body

    assert b"file000" in listed(0)
    for number in range(90):
        conversation.ask(Opcode.UNLINK, f"file{number:03}".encode() + b"\0")
    assert b"file090" in listed(12)


def test_a_reply_that_the_kernel_does_not_understand_frees_who_waits(
    talk: Talk, refuse: Callable[[int], Refusing], caplog: pytest.LogCaptureFixture
) -> None:
    conversation = talk()
    refuse(errno.EINVAL)
    assert conversation.ask(Opcode.GETATTR, protocol.GETATTR_IN.pack(0, 0, 0)).error == "EIO"
    assert "did not take the reply to getattr" in caplog.text


# -- several at once


def test_a_slow_request_holds_up_no_other(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    conversation = talk("objects")
    filesystem = conversation.transport.filesystem
    filesystem.storage.replace("slow", ContentFile(b"1"))
    filesystem.storage.replace("quick", ContentFile(b"2"))
    gate = Gate.at(monkeypatch, filesystem.storage, "stat")
    slow = conversation.send(Opcode.LOOKUP, b"slow\0")
    gate.wait()
    assert conversation.lookup("quick")
    gate.open()
    assert conversation.receive().unique == slow


def test_a_read_of_what_is_in_memory_is_not_handed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket, content = Bucket(), bytes(range(256)) * (5 << 12)
    bucket.put("file", content)
    filesystem = FileSystem(bucket, cache_seconds=60.0, spool=Spool(tmp_path / "spool"), cache=BlockCache())
    conversation = Conversation(KernelTransport(filesystem, tmp_path, MountOptions(), "bucket"))
    conversation.greet()
    nodeid = conversation.lookup("file")
    reply = conversation.ask(Opcode.OPEN, protocol.OPEN_IN.pack(os.O_RDWR, 0), nodeid)
    handle = protocol.OPEN_OUT.unpack(reply.body)[0]
    start = 1 << 20
    assert conversation.read(nodeid, handle, 1 << 16, start) == content[start : start + (1 << 16)]
    handed_over = []
    submit = conversation.transport._pool.submit
    monkeypatch.setattr(conversation.transport._pool, "submit", lambda job: (handed_over.append(job), submit(job)))
    asked = len(bucket.requests)
    assert conversation.read(nodeid, handle, 1000, start + 500) == content[start + 500 : start + 1500]
    assert (handed_over, len(bucket.requests)) == ([], asked)
    assert conversation.read(nodeid, handle, 1000, 4 * start) == content[4 * start : 4 * start + 1000]
    assert len(handed_over) == 1, "that may have to wait"
    conversation.write(nodeid, handle, b"new", start)  # of a large object, the rest of which stays where it is
    assert conversation.read(nodeid, handle, 1000, start) == b"new" + content[start + 3 : start + 1000]
    conversation.end()
    filesystem.close()


_CAUGHT = 1 << (signal.SIGUSR1 - 1) | 1 << (signal.SIGINT - 1)


def _pending_signal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *signals: signal.Signals) -> None:
    """Have the session see these signals wait for the process that asks."""
    real = open

    def opened(path: Any, *args: Any, **kwargs: Any) -> Any:
        if str(path).startswith("/proc/"):
            path = tmp_path / "status"
        return real(path, *args, **kwargs)

    mask = sum(1 << (number - 1) for number in signals)
    (tmp_path / "status").write_text(f"Name:\tcat\nSigPnd:\t{mask:016x}\nShdPnd:\t{0:016x}\nSigCgt:\t{_CAUGHT:016x}\n")
    monkeypatch.setattr(interrupts, "open", opened, raising=False)


def test_an_interrupted_process_is_let_go_at_once(talk: Talk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    conversation = talk("objects")
    filesystem = conversation.transport.filesystem
    filesystem.storage.replace("slow", ContentFile(b"1"))
    _pending_signal(monkeypatch, tmp_path, signal.SIGINT)
    gate = Gate.at(monkeypatch, filesystem.storage, "stat")
    slow = conversation.send(Opcode.LOOKUP, b"slow\0")
    gate.wait()
    conversation.send(Opcode.INTERRUPT, protocol.INTERRUPT_IN.pack(slow))
    assert conversation.receive()[:2] == (slow, errno.EINTR)
    gate.open()
    nodeid = conversation.lookup("slow")
    assert filesystem.tree.by_ino[nodeid].lookups == 1, "what the abandoned lookup counted was taken back"


_IN_PASSING = {
    "passing": (signal.SIGCHLD, signal.SIGURG, signal.SIGUSR1),  # the last has a handler
    "stop": (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU),
}


@pytest.mark.parametrize("signals", _IN_PASSING.values(), ids=list(_IN_PASSING))
def test_a_signal_in_passing_interrupts_nothing(
    talk: Talk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, signals: tuple[signal.Signals, ...]
) -> None:
    conversation = talk("objects")
    conversation.transport.filesystem.storage.replace("slow", ContentFile(b"1"))
    _pending_signal(monkeypatch, tmp_path, *signals)
    gate = Gate.at(monkeypatch, conversation.transport.filesystem.storage, "stat")
    slow = conversation.send(Opcode.LOOKUP, b"slow\0")
    gate.wait()
    conversation.send(Opcode.INTERRUPT, protocol.INTERRUPT_IN.pack(slow))
    gate.open()
    assert conversation.receive()[:2] == (slow, 0)


def test_an_interrupt_of_what_was_answered_is_nothing(talk: Talk) -> None:
    conversation = talk()
    conversation.send(Opcode.INTERRUPT, protocol.INTERRUPT_IN.pack(2))
    conversation.send(Opcode.INTERRUPT, protocol.INTERRUPT_IN.pack(4000))
    assert_goes_on(conversation)


# -- the end


@pytest.mark.parametrize("kind", ["memory", "objects"])
def test_a_device_that_is_closed_ends_the_loop_and_lets_go_of_everything(talk: Talk, kind: str) -> None:
    conversation = talk(kind)
    conversation.create("open")
    conversation.ask(Opcode.OPENDIR, protocol.OPEN_IN.pack(0, 0))
    descriptor = conversation.transport._channel.descriptor
    conversation.end()
    assert files_here(conversation.transport.filesystem) == 0
    assert len(conversation.transport._operations.handles) == 0
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_a_device_that_fails_ends_the_loop_with_a_word(
    talk: Talk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    conversation = talk()

    def readv(descriptor: int, buffers: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(channel, "os", type("os", (), {**vars(os), "readv": staticmethod(readv)}))
    with caplog.at_level(logging.ERROR):
        with suppress(BrokenPipeError):  # it may have looked at the device before this wakes it
            conversation.send(Opcode.GETATTR, protocol.GETATTR_IN.pack(0, 0, 0))
        assert conversation.is_over()
    assert "the device failed" in caplog.text


def test_requests_and_errors_are_counted(talk: Talk) -> None:
    conversation = talk(entry_timeout=0.0)
    conversation.ask(Opcode.LOOKUP, b"missing\0")
    assert conversation.transport.counts["lookup"] == 1
    assert conversation.transport.errors == {"ENOENT": 1}


def test_flags_of_a_kernel_without_passthrough(talk: Talk) -> None:
    *_, flags2, depth, _ = protocol.INIT_OUT.unpack(talk(greet=False).greet(KERNEL_FLAGS).body)
    assert (flags2, depth) == (0, 0)
