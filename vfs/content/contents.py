"""Contents of a mount: opening nodes, and letting go of what is closed. What was written `Uploads` brings away."""

from __future__ import annotations

import errno
import logging
import os
import time
from itertools import chain
from weakref import WeakSet

from storage.entry import Entry, Kind
from storage.extents import overlap
from storage.files import File
from vfs.cache import BlockCache
from vfs.content.following import Following
from vfs.content.openfile import Handle, InPlaceFile, OpenFile
from vfs.content.sources import Sources
from vfs.content.spooled import SpooledFile
from vfs.names.lookups import join, supports
from vfs.names.namespace import Namespace
from vfs.names.tree import NamelessError, Node
from vfs.spool.spool import CHUNK, Spool, SpoolFile
from vfs.spool.uploads import Uploads

logger = logging.getLogger("vfs")

LAST_PAUSE = 1.0
"""Seconds that the end of a mount waits for uploads that hang."""
_FILE = Kind.FILE


class Contents:
    """The open files of one mount."""

    def __init__(
        self,
        names: Namespace,
        spool: Spool,
        *,
        cache: BlockCache | None = None,
        write_back: float | None = None,
        overwrites: bool = False,
        retries: bool = False,
    ) -> None:
        """Over the storage of `names`, with `spool` for what cannot be written in place, read through `cache`.

        See `Uploads` for the others.
        """
        self.names = names
        self.tree = names.tree
        self.storage = names.storage
        self.spool = spool
        self.in_place = names.storage.in_place
        self._outdated: WeakSet[OpenFile] = WeakSet()
        """Those that are not what their names show by now."""
        self.sources = Sources(names, cache or BlockCache())
        self.uploads = Uploads(names, spool, self.settle, write_back=write_back, overwrites=overwrites, retries=retries)
        self.keeps_attributes = self.uploads.keeps_attributes
        self.creates = self.in_place and supports(names.storage, "create")

    # -- opening

    def open(self, node: Node, flags: int, pid: int) -> Handle:
        """A handle on `node` with open(2)'s `flags`; OSError (ESTALE) when its name shows another file by now."""
        if node.kind is not _FILE:
            raise OSError(errno.EISDIR if node.is_dir else errno.ENXIO, "not a regular file")
        write = flags & os.O_ACCMODE != os.O_RDONLY or bool(flags & os.O_TRUNC)
        while True:
            file = node.file or self._load(node, write)
            if file is None or self._is_outdated(node, file):
                continue
            if write and isinstance(file, InPlaceFile) and not file.writable:
                file.reopen(self._stored_file(node, "r+b"))
            with file.lock:
                if node.file is file:  # else it was closed while we looked
                    file.handles += 1
                    return Handle(file, flags, pid)

    def open_files(self) -> int:
        """How many files somebody has open; not those that are only here because they are not stored yet."""
        return sum(1 for file in {*self.tree.files(), *self._outdated} if file.is_open)

    def create(self, parent: Node, name: str, mode: int, uid: int | None, gid: int | None) -> tuple[Node, Entry | None]:
        """A new file, with its content open, and the storage's entry of it if it is there; FileExistsError."""
        if not self.creates:
            content = self.spool.open()
            try:
                owner = _given(mode=mode, uid=uid, gid=gid)
                node = self.names.add_virtual(parent, name, Kind.FILE, owner, lambda node: self._new(node, content))
            except BaseException:
                content.discard()
                raise
            return node, None
        with self.tree.reading(parent) as directory:
            file = self.storage.create(join(directory, name), mode=mode, uid=uid, gid=gid)
            entry = file.stat()
            node = self.names.made(parent, name, entry)
            self._adopt(node, InPlaceFile(node, file, writable=True))
            return node, entry

    def tmpfile(self, parent: Node, mode: int, uid: int | None, gid: int | None) -> Node:
        """A new file without a name, with its content open; NotImplementedError where the storage has no such files.

        Where contents are stored whole it lives in the spool, until it has a name to be stored under.
        """
        if self.in_place:
            with self.tree.reading(parent) as directory:
                stored = self.storage.tmpfile(directory, mode=mode, uid=uid, gid=gid)
            entry = stored.stat()
            node = self.tree.add_nameless(entry)
            node.entry = entry
            file: OpenFile = InPlaceFile(node, stored, writable=True)
        else:
            content, now = self.spool.open(), time.time_ns()
            entry = Entry("", Kind.FILE, 0, now, now, now, nlink=0)
            node = self.tree.add_nameless(entry)
            node.entry, node.virtual = entry, True
            self.names.keep(node, _given(mode=mode, uid=uid, gid=gid))
            file = self._new(node, content)
        file.nameless = True
        self.tree.set_file(node, file)
        return node

    def name(self, node: Node, file: OpenFile, parent: Node, name: str) -> None:
        """Give a node of `tmpfile()` its first name; FileExistsError."""
        if isinstance(file, InPlaceFile):
            with self.tree.reading(parent) as directory:
                file.file.link(join(directory, name))
                self.names.named(node, parent, name, file.file.stat())
        else:
            self.names.name_virtual(node, parent, name)
        file.nameless = False

    def set_attributes(self, node: Node, changes: dict[str, int]) -> bool:
        """Change attributes through the open file of `node`, which needs no name for that; False if it has none."""
        file = node.file
        if not isinstance(file, InPlaceFile):
            return False
        with file.lock:
            if node.file is not file:  # closed meanwhile
                return False
            file.file.set_attributes(**changes)
            return True

    def copy_range(self, source: OpenFile, offset: int, target: OpenFile, target_offset: int, size: int) -> int:
        """Copy up to `size` bytes, in the storage where it can; returns how many, 0 at the end of the source.

        OSError (EINVAL) for ranges of one file that overlap.
        """
        size = min(size, source.size() - offset)
        if size <= 0:
            return 0
        if source is target and overlap(offset, target_offset, size):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        if offset == target_offset and isinstance(source, SpooledFile) and isinstance(target, SpooledFile):
            promised = target.promise(source, offset, size, self.release)
        else:
            promised = False
        if promised:
            return size
        try:
            return source.copy_range(offset, target, target_offset, size)
        except NotImplementedError:
            return _copied_here(source, offset, target, target_offset, size)

    # -- letting go

    def release(self, handle: Handle) -> None:
        """The last descriptor of `handle` is gone; the last handle of a file stores what is still dirty.

        Nobody hears an error from here, so it is logged, and what could not be stored stays pending.
        """
        file = handle.file
        with file.lock:
            file.handles -= 1
            last = file.handles == 0
            is_alone = last and isinstance(file, SpooledFile) and file.is_outdated
        if is_alone:
            file.close()
        elif last:
            if file.dirty:
                self.uploads.try_to(self.uploads.finish, file)
            self.settle(file.node)

    def secure(self, node: Node | None) -> None:
        """Before `node` loses a name: what its handles will read, and those of what is below, must be here."""
        for file in self._spooled(node):
            if file.handles:
                file.secure()
            for copy in file.failed_copies:  # a process that is killed takes the content of this one with it
                copy.secure()
                self.uploads.pending.noted_as(copy)

    def following(self, *nodes: Node | None) -> Following:
        """A block in which nodes get other names; what is open of them, and below them, comes along."""
        return Following(self.names, self.sources, chain.from_iterable(map(self._spooled, nodes)), nodes)

    def _spooled(self, node: Node | None) -> list[SpooledFile]:
        """The files of `node` and of what is below it; any of them may be closed meanwhile by who let go of it."""
        if node is None or self.in_place:
            return []
        files = self.tree.files() if node.is_dir else [node.file]
        return [file for file in files if isinstance(file, SpooledFile) and self.tree.is_within(file.node, node)]

    def settle(self, node: Node | None) -> None:
        """Close the file of `node` if no handle is left and nothing is pending."""
        file = node.file if node is not None else None
        if node is None or file is None or (file.dirty and node.links):
            return  # who stores it settles it afterwards, and is not waited for here
        with file.lock:
            if file.handles or node.file is not file or (file.dirty and node.links):
                return
            self.tree.set_file(node, None)
            file.close()
        self.tree.settle(node)

    def close(self) -> list[str]:
        """Close all files; what is still pending stays in the spool with a note beside it. Returns where that is."""
        self.uploads.stop()
        kept = []
        patient_until = time.monotonic() + LAST_PAUSE
        # First those that are pending: what they are copies of must still be open.
        for file in sorted(self.tree.files(), key=lambda file: not file.dirty):
            node = file.node
            self.tree.set_file(node, None)
            if not file.lock.acquire(timeout=max(0.0, patient_until - time.monotonic())):
                logger.error("still being stored, and left to the next mount: %s", self.uploads.shown(file))
                continue
            try:
                if isinstance(file, SpooledFile) and file.dirty and node.links:
                    words = self.uploads.shown(file), file.fate.error or "there was no time for it"
                    kept.append(file.keep())
                    logger.error("not stored, and left to the next mount in %s: %s: %s", kept[-1], *words)
                else:
                    file.close()
            except Exception:  # the others are still to be kept
                logger.exception("not closed: %r", node)
            finally:
                file.lock.release()
        self.spool.close()
        self.sources.close()
        return kept

    # -- loading

    def _new(self, node: Node, content: SpoolFile) -> SpooledFile:
        """The open file of a node that the storage does not have yet."""
        return SpooledFile(node, self.storage, content, None, pending=self.uploads.pending)

    def _load(self, node: Node, write: bool) -> OpenFile | None:
        """The content of `node`, as the storage has it; None if the mount has stored another meanwhile."""
        if self.in_place:
            return self._adopt(node, InPlaceFile(node, self._stored_file(node, "r+b" if write else "rb"), write))
        asked = node.changes
        try:
            source, entry = self.sources.open(node)
        except FileNotFoundError:
            if node.file is None and node.changes == asked:
                raise
            return None  # while a storage replaces an object, there is none at some moments
        return self._adopt(
            node, SpooledFile(node, self.storage, self.spool.open, source, entry, self.uploads.pending), asked
        )

    def _is_outdated(self, node: Node, file: OpenFile) -> bool:
        """Whether `file` is not what the storage has by now; then it is left to those who have it open."""
        if not isinstance(file, SpooledFile) or file.dirty:
            return False
        asked = node.changes
        entry = self.sources.current(node)
        with file.lock, self.tree.lock:
            if file.is_version(entry) or file.dirty or node.file is not file or node.changes != asked:
                return False
            file.is_outdated = True
            self.tree.set_file(node, None)
            self._outdated.add(file)
            unused = not file.handles
        if unused:
            file.close()
        return True

    def _stored_file(self, node: Node, mode: str) -> File:
        """The storage's file for `node`, which is checked to be the same as the node's when the storage can tell.

        OSError (ESTALE) when its last name went to another file, or away, since it was looked up.
        """
        try:
            with self.tree.reading(node) as path:
                file = self.storage.open(path, mode)
        except NamelessError as error:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE)) from error
        if self.in_place and self.tree.key(file.identity()) != node.identity:
            file.close()
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), path)
        return file

    def _adopt(self, node: Node, file: OpenFile, asked: int | None = None) -> OpenFile | None:
        """Make `file` the content of `node`, unless somebody was quicker; whichever it is.

        None if it is of no use, for `node` has been changed since it was `asked` for.
        """
        with self.tree.lock:
            quicker = node.file
            if quicker is None and asked in (None, node.changes):
                self.tree.set_file(node, file)
                return file
        file.close()
        return quicker


def _given(**attributes: int | None) -> dict[str, int]:
    """Those that are not None."""
    return {key: value for key, value in attributes.items() if value is not None}


def _copied_here(source: OpenFile, offset: int, target: OpenFile, target_offset: int, size: int) -> int:
    """Copy `size` bytes by reading and writing; returns how many there were."""
    copied = 0
    while copied < size:
        data = source.read(min(CHUNK, size - copied), offset + copied)
        if not data:
            break
        copied += target.write(data, target_offset + copied)
    return copied
