"""Mount any storage as a directory.

    with vfs.mounted("media") as path:        # an alias of STORAGES, a storage object, or any Django backend
        subprocess.run(["ls", "-l", path])

`mounted()` and `mount()` serve from threads of this process; the command `vfs mount` makes a daemon of its own. The
core is `vfs.filesystem.FileSystem`, POSIX verbs over a `storage.Storage`; `vfs.transports` carry the kernel's
requests to it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import storage

if getattr(storage, "__distribution__", None) != "storage-vfs":
    raise ImportError(
        f"another package called 'storage' hides the one that vfs needs: {storage.__file__ or storage!r}. "
        "Rename or remove it, or run from another directory"
    )

if TYPE_CHECKING:
    from vfs.filesystem import FileSystem
    from vfs.local import local_path
    from vfs.mounts.mounting import Mount, mount, mounted
    from vfs.mounts.mountpoint import MountError
    from vfs.mounts.options import MountOptions

__all__ = ["FileSystem", "Mount", "MountError", "MountOptions", "local_path", "mount", "mounted"]

_HOME = {
    "FileSystem": "vfs.filesystem",
    "Mount": "vfs.mounts.mounting",
    "MountError": "vfs.mounts.mountpoint",
    "MountOptions": "vfs.mounts.options",
    "local_path": "vfs.local",
    "mount": "vfs.mounts.mounting",
    "mounted": "vfs.mounts.mounting",
}


def __getattr__(name: str) -> Any:
    """The public names, imported when they are first used."""
    if name not in _HOME:
        raise AttributeError(f"module 'vfs' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
