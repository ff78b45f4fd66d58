"""FUSE passthrough with nothing behind it: `python -m benchmark.bare SOURCE MOUNTPOINT`, as root.

Shows one file, random/file, of SOURCE. Each open hands the kernel the same descriptor, after which reads and writes no
longer come here. It answers the few requests that lead to that, and knows nothing of `vfs`: what a mount of ours is
slower than this at random reads and writes, it loses itself.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path

LOOKUP, FORGET, GETATTR, OPEN, STATFS, RELEASE, FLUSH, INIT = 1, 2, 3, 14, 17, 18, 25, 26
OPENDIR, RELEASEDIR, INTERRUPT, DESTROY, BATCH_FORGET = 27, 29, 36, 38, 42
UNANSWERED = {FORGET, BATCH_FORGET, INTERRUPT}

IN_HEADER = struct.Struct("<IIQQIIIHH")  # length, opcode, unique, node, uid, gid, pid, extensions, padding
OUT_HEADER = struct.Struct("<IiQ")  # length, negative errno, unique
INIT_IN = struct.Struct("<IIIII")  # major, minor, read-ahead, flags, more flags
INIT_OUT = struct.Struct("<IIIIHHIIHHIIH22x")  # ... background, congestion, write, granularity, pages, alignment, ...
ATTRIBUTES = struct.Struct("<6Q10I")  # inode, size, blocks, three times; their ns, mode, links, owner, device, ...
ENTRY = struct.Struct("<QQQQII")  # node, generation, seconds that the name and the attributes are valid, their ns
VALID = struct.Struct("<QII")
OPENED = struct.Struct("<QIi")  # handle, flags, backing id

MINOR = 40
"""The protocol's version since which there is passthrough."""
INIT_EXT, PASSTHROUGH = 1 << 30, 1 << (37 - 32)
FOPEN_PASSTHROUGH = 1 << 7
BACKING_OPEN = 1 << 30 | 16 << 16 | 229 << 8 | 1
LONG = 86400
ROOT, FOLDER, FILE = 1, 2, 3
WRITE = 1 << 17


class Responder:
    """Answers the requests for one file."""

    def __init__(self, source: Path, device: int) -> None:
        """The file random/file below `source`, on a connection that is mounted already."""
        self.device = device
        self.folder = os.open(source / "random", os.O_RDONLY | os.O_DIRECTORY)
        self.file = os.open("file", os.O_RDWR, dir_fd=self.folder)
        self.backing: int | None = None
        self.answers: dict[int, Callable[[int, bytes], bytes]] = {
            INIT: self.init,
            LOOKUP: self.lookup,
            GETATTR: lambda node, body: VALID.pack(LONG, 0, 0) + self.attributes(node),
            OPEN: self.open,
            OPENDIR: lambda node, body: OPENED.pack(0, 0, 0),
            RELEASE: lambda node, body: b"",
            RELEASEDIR: lambda node, body: b"",
            FLUSH: lambda node, body: b"",
            DESTROY: lambda node, body: b"",
        }

    def serve(self) -> None:
        """Answer until it is unmounted."""
        while True:
            try:
                request = os.read(self.device, WRITE + 4096)
            except OSError as error:
                if error.errno == errno.ENODEV:
                    return
                if error.errno in (errno.ENOENT, errno.EINTR):
                    continue  # the request was interrupted before we had it
                raise
            self.answer(request)

    def answer(self, request: bytes) -> None:
        """Answer one request."""
        _, opcode, unique, node, *_ = IN_HEADER.unpack_from(request)
        if opcode in UNANSWERED:
            return
        code, body = 0, b""
        try:
            body = self.answers[opcode](node, request[IN_HEADER.size :])
        except KeyError:
            code = -errno.ENOSYS
        except OSError as error:
            code = -(error.errno or errno.EIO)
        os.write(self.device, OUT_HEADER.pack(OUT_HEADER.size + len(body), code, unique) + body)

    def init(self, node: int, body: bytes) -> bytes:
        """Agree on passthrough; NotImplementedError where the kernel has none."""
        major, minor, readahead, flags, more = INIT_IN.unpack_from(body)
        if minor < MINOR or not more & PASSTHROUGH or not flags & INIT_EXT:
            raise NotImplementedError("this kernel has no FUSE passthrough")
        return INIT_OUT.pack(major, MINOR, readahead, INIT_EXT, 16, 12, WRITE, 1, 0, 0, PASSTHROUGH, 1, 0)

    def lookup(self, node: int, body: bytes) -> bytes:
        """The folder in the root and the file in the folder; ENOENT for any other name."""
        found = {(ROOT, b"random"): FOLDER, (FOLDER, b"file"): FILE}.get((node, body.rstrip(b"\0")))
        if found is None:
            raise OSError(errno.ENOENT, "no such name")
        return ENTRY.pack(found, 0, LONG, LONG, 0, 0) + self.attributes(found)

    def attributes(self, node: int) -> bytes:
        """Those of what is behind."""
        found = os.fstat(self.file if node == FILE else self.folder)
        times = int(found.st_atime), int(found.st_mtime), int(found.st_ctime)
        owner = found.st_uid, found.st_gid
        return ATTRIBUTES.pack(
            node, found.st_size, found.st_blocks, *times, 0, 0, 0, found.st_mode, found.st_nlink, *owner, 0, 4096, 0
        )

    def open(self, node: int, body: bytes) -> bytes:
        """Hand over the file's descriptor, the same each time."""
        if self.backing is None:
            self.backing = fcntl.ioctl(self.device, BACKING_OPEN, bytearray(struct.pack("<iIQ", self.file, 0, 0)))
        return OPENED.pack(0, FOPEN_PASSTHROUGH, self.backing)


def mount(mountpoint: Path) -> int:
    """mount(2), and the descriptor of the new connection; OSError."""
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
    if ctypes.CDLL(None, use_errno=True).mount(b"bare", os.fsencode(mountpoint), b"fuse.bare", 0, options) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(mountpoint))
    return device


if __name__ == "__main__":
    Responder(Path(sys.argv[1]), mount(Path(sys.argv[2]))).serve()
