"""Where the spools of mounts are: a folder for each storage, and in it one for each mount, which others may inherit.

    ROOT/ALIAS-DIGEST/storage.json      which storage it is, for people
    ROOT/ALIAS-DIGEST/mount-NUMBER/     the spool of one mount (vfs.spool.spool)

The digest is of the backend and its options, less secrets: what is pending for one bucket is never sent to another that
has got its alias since, and is sent with a new password as well as with the old one. A storage that a program made
without saying how (`vfs.mounted(object)`) has no digest; what is pending for such a one is found by people alone.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vfs.private_folders import make_private
from vfs.spool.spool import Room, Spool

_DESCRIPTION = "storage.json"
_SECRET = re.compile(r"secret|passw|token|credential|signature|(^|_)(key|sas|auth)(_|$)", re.IGNORECASE)


def default_root() -> Path:
    """The folder of all spools of this user: $XDG_STATE_HOME/vfs/spool, ~/.local/state, or root's /var/lib."""
    state = os.environ.get("XDG_STATE_HOME")
    if state:
        return Path(state) / "vfs" / "spool"
    if os.geteuid() == 0:
        return Path("/var/lib/vfs/spool")
    return Path.home() / ".local" / "state" / "vfs" / "spool"


class StorageSpools:
    """The spools of the mounts of one storage."""

    def __init__(self, folder: Path, label: str, backend: str, *, inherits: bool = True) -> None:
        """In `folder`; `label` is the alias. Where nobody `inherits`, what was left is never taken up."""
        self.folder = folder
        self.label = label
        self.backend = backend
        self.inherits = inherits

    @classmethod
    def of(cls, storage_or_alias: Any, root: Path | None = None) -> StorageSpools:
        """Those of a configured alias, or of a storage object; nothing is made yet."""
        label, backend, options = _definition(storage_or_alias)
        folder = re.sub(r"[^\w.-]", "_", label).lstrip(".")[:100] or "storage"
        if options is not None:
            words = json.dumps([label, backend, _public(options)], sort_keys=True, default=_kind)
            folder += f"-{hashlib.blake2b(words.encode(), digest_size=6).hexdigest()}"
        return cls((root or default_root()) / folder, label, backend, inherits=options is not None)

    @classmethod
    def all(cls, root: Path | None = None) -> Iterator[StorageSpools]:
        """Those of every storage that anything was spooled for."""
        for path in sorted((root or default_root()).glob(f"*/{_DESCRIPTION}")):
            found = json.loads(path.read_bytes())
            yield cls(path.parent, found["label"], found["backend"], inherits=found["inherits"])

    def new(self, limit: int | None = None) -> Spool:
        """A spool for one more mount, of up to `limit` bytes."""
        return _DescribedSpool(self, limit)

    def prepare(self) -> None:
        """Make the folder that all spools are in, unless it is there; OSError where nothing could be spooled in it."""
        root = self.folder.parent
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(root, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "this user cannot write there", str(root))
        if self.folder.exists():
            make_private(self.folder)

    def left(self, room: Room | None = None) -> list[Spool]:
        """The spools that nobody uses any more, which from now on this process does; oldest first."""
        found = (Spool.left(path, room) for path in sorted(self._mounts(), key=lambda path: path.stat().st_mtime))
        return [spool for spool in found if spool is not None]

    def count(self) -> int:
        """How many mounts have, or have left, a spool."""
        return sum(1 for _ in self._mounts())

    def describe(self) -> None:
        """Say on disk which storage it is; PermissionError for a folder that others may enter."""
        make_private(self.folder)
        words = json.dumps({"label": self.label, "backend": self.backend, "inherits": self.inherits})
        temporary = self.folder / f"{_DESCRIPTION}.{os.getpid()}"
        temporary.write_text(words)
        temporary.replace(self.folder / _DESCRIPTION)

    def _mounts(self) -> Iterator[Path]:
        return (path for path in self.folder.glob("mount-*") if path.is_dir())


class _DescribedSpool(Spool):
    """A spool that says, when it is made, which storage it belongs to."""

    def __init__(self, storage: StorageSpools, limit: int | None) -> None:
        super().__init__(parent=storage.folder, limit=limit)
        self._storage = storage

    def _make(self) -> None:
        self._storage.describe()
        super()._make()


def _definition(storage_or_alias: Any) -> tuple[str, str, Any]:
    """What to call it, its class, and what tells it from others of that class; None if that is not known."""
    if isinstance(storage_or_alias, str):
        from storage import storages

        found = storages.backends.get(storage_or_alias, {})
        return storage_or_alias, str(found.get("BACKEND", "")), found.get("OPTIONS", {})
    kind = type(storage_or_alias)
    return kind.__name__, f"{kind.__module__}.{kind.__qualname__}", getattr(storage_or_alias, "_constructor_args", None)


def _public(value: Any) -> Any:
    """Options without what only opens the door."""
    if isinstance(value, Mapping):
        return {str(key): _public(item) for key, item in value.items() if not _SECRET.search(str(key))}
    if isinstance(value, list | tuple):
        return [_public(item) for item in value]
    return value


def _kind(value: Any) -> str:
    """An option that JSON has no word for."""
    return str(value) if isinstance(value, os.PathLike) else type(value).__qualname__
