"""Which paths a request is about, for who traces: not needed to answer it."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

from vfs.names.lookups import join
from vfs.names.tree import Node
from vfs.transports.kernel import protocol
from vfs.transports.kernel.protocol import Opcode
from vfs.transports.kernel.request import Request

_NAME_AFTER: dict[int, int] = {
    Opcode.LOOKUP: 0,
    Opcode.UNLINK: 0,
    Opcode.RMDIR: 0,
    Opcode.MKDIR: protocol.MKDIR_IN.size,
    Opcode.MKNOD: protocol.MKNOD_IN.size,
    Opcode.CREATE: protocol.CREATE_IN.size,
    Opcode.LINK: protocol.LINK_IN.size,
}
"""Requests with one name, which is in the directory that they are addressed to, after so many bytes."""
_RENAMES: dict[int, Struct] = {Opcode.RENAME: protocol.RENAME_IN, Opcode.RENAME2: protocol.RENAME2_IN}
_COPIES = frozenset({Opcode.COPY_FILE_RANGE, Opcode.COPY_FILE_RANGE_64})


class Naming:
    """Tells paths of requests, as the storage's names."""

    def __init__(self, node: Callable[[int], Node], path: Callable[[Node], str]) -> None:
        """`node` has the node of a number, OSError; `path` that of a node, NamelessError."""
        self._node = node
        self._path = path

    def paths(self, request: Request) -> tuple[str, ...]:
        """What the request is about; none where that has no name, or the request makes no sense."""
        try:
            return tuple(self._found(request))
        except OSError:  # a NamelessError as well
            return ()

    def _found(self, request: Request) -> list[str]:
        opcode = request.opcode
        here = self._path(self._node(request.nodeid)) if request.nodeid else ""
        if opcode == Opcode.SYMLINK:
            return [join(here, request.names(2)[0])]
        if opcode in _RENAMES:
            structure = _RENAMES[opcode]
            directory = request.read(structure)[0]
            old, new = request.names(2, structure.size)
            return [join(here, old), join(self._of(directory), new)]
        if opcode in _COPIES:
            return [here, self._of(request.read(protocol.COPY_FILE_RANGE_IN)[2])]
        if opcode not in _NAME_AFTER:
            return [here]
        return [join(here, request.name(_NAME_AFTER[opcode]))]

    def _of(self, nodeid: int) -> str:
        return self._path(self._node(nodeid))
