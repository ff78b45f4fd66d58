"""Open files whose names change: they go on as what they were opened as, under the name that it has then.

What can only be read under a name (vfs.content.spooled) is either fetched before it loses that, or goes on under the
next one where the storage tells versions: if the storage had, just before the rename, the version that is open, and the
rename was one of that version, the new name has it, though it may be shown as another version there. In between a
reader may find nothing under the old name; then he waits for the end of the rename.

What somebody else has changed since it was opened does not go on: who reads on gets ESTALE, as without a rename.

A file that is not stored yet may be about to replace what the storage has under its name. Where a directory takes both
along, what is to be replaced may be shown as another version there, and is known by that from then on.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from storage.entry import Entry
from vfs.content.sources import Sources
from vfs.content.spooled import SpooledFile
from vfs.names.filemoves import Listed
from vfs.names.namespace import Namespace
from vfs.names.node import Node
from vfs.spool.pending import describe

logger = logging.getLogger("vfs")


class _Held(NamedTuple):
    """What the storage had before, as it is open."""

    path: str
    entry: Entry


class Following:
    """A block in which a node gets another name, and the open files of it, or below it, come along."""

    def __init__(
        self, names: Namespace, sources: Sources, files: Iterable[SpooledFile], renamed: Collection[Node | None]
    ) -> None:
        """For these files, as far as somebody has them open or they are pending; a block of none does nothing.

        `renamed` are the nodes that get other names themselves.
        """
        self._names = names
        self._sources = sources
        self._renamed = renamed
        self._files = [file for file in files if file.handles or file.dirty]
        self._held: dict[SpooledFile, _Held] = {}

    def __enter__(self) -> Following:
        """Fetch what cannot come along, and look at the rest; OSError where that fails, and nothing has changed."""
        for file in self._files:
            if not file.follows:
                file.secure()
        for file in self._files:
            if not file.node.virtual or (file.covers and file.node not in self._renamed):
                self._look(file)
        for file in self._files:
            file.set_off()
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.arrive()

    def entry(self, node: Node) -> Entry | None:
        """What the storage has of `node`, if it is open as just that."""
        file = node.file
        held = self._held.get(file) if isinstance(file, SpooledFile) else None
        return held.entry if held is not None else None

    def finish(self, moved: Mapping[str, Listed] | None) -> None:
        """The names have changed; `moved` has, by their old names, the files that have if that need not be all."""
        for file, (path, entry) in self._held.items():
            if moved is None or moved.get(path) == Listed.of(entry):
                self._lead(file, entry)

    def _look(self, file: SpooledFile) -> None:
        path = self._names.tree.path(file.node)
        try:
            entry = self._names.storage.stat(path)
        except FileNotFoundError:  # somebody else has deleted it
            return
        if file.is_version(entry):
            self._held[file] = _Held(path, entry)

    def _lead(self, file: SpooledFile, before: Entry) -> None:
        """Have `file` go on under its new name, if the storage shows there what can be the same."""
        try:
            path = self._names.tree.path(file.node)
            entry = self._names.storage.stat(path)
            if entry.size != before.size:
                return
            if file.covers:
                file.cover(entry)
            else:
                file.arrive(entry, self._sources.open_as(file.node, path, entry) if file.reads_stored else None)
        except OSError as error:
            logger.warning("what is open as %r may be lost, or be taken for a conflict: %s", file.node, describe(error))
