"""AdaptedTree: a backend over a server with real directories, where a name shows a content before it is complete."""

from __future__ import annotations

import contextlib
from typing import ClassVar

from storage.drafts import draft_beside, is_draft
from storage.names import split_name
from storage.remote.adapters.adapted import Adapted
from storage.remote.directories import RealDirectories


class AdaptedTree(RealDirectories, Adapted):
    """What is stored is sent under another name beside, and renamed; an adapter has these steps as one request each."""

    reads_ranges: ClassVar = True
    stores: ClassVar = True
    HELD: ClassVar[tuple[str, ...]] = ()

    def send(self, source: str, name: str) -> None:
        """Store the local file `source` under a name, in a directory that is made where it is missing."""
        raise NotImplementedError

    def make_directory(self, name: str, mode: int) -> None:
        """Make a directory in one that is there."""
        raise NotImplementedError

    def remove_directory(self, name: str) -> None:
        """Remove an empty directory."""
        raise NotImplementedError

    def move(self, src: str, dst: str, replace: bool) -> None:
        """Rename, over a file with `replace`."""
        raise NotImplementedError

    def remove(self, name: str) -> None:
        """Delete a file."""
        raise NotImplementedError

    def put(self, name: str, source: str, if_version: str | None, if_absent: bool) -> None:
        """By a draft; the conditions are looked at once more when that is complete."""
        draft = draft_beside(name)
        try:
            self.send(source, draft)
            self._check_condition(name, if_version, if_absent)
            self._give_name(draft, name, if_version, if_absent)
        except BaseException:
            with contextlib.suppress(Exception):  # the first error is the one to tell
                self.remove(draft)
            raise

    def _give_name(self, draft: str, name: str, if_version: str | None, if_absent: bool) -> None:
        try:
            self.move(draft, name, not if_absent)
        except Exception:
            self._check_condition(name, if_version, if_absent)  # SFTP refuses with no more than "Failure"
            raise

    def _make_directory(self, name: str, mode: int) -> None:
        self._asked(name, lambda: self.make_directory(name, mode))

    def _remove_directory(self, name: str) -> None:
        self._asked(name, lambda: self.remove_directory(name))

    def _rename_entry(self, src: str, dst: str, replace: bool) -> None:
        self._plain(dst)
        self._asked(src, lambda: self.move(src, dst, replace))

    def _remove_drafts(self, name: str) -> None:
        for entry in self._asked(name, lambda: list(self.list_entries(name))):
            if is_draft(entry.name):
                self._asked(name, lambda draft=f"{name}/{entry.name}": self.remove(draft))  # type: ignore[misc]


def above(name: str) -> str:
    """The directory of a name; "" for the root."""
    return split_name(name)[0]
