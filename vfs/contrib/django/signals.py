"""Signals for what others change through a mount of the project, by programs that know nothing of Django.

    @receiver(content_saved)
    def on_upload(sender, alias, name, **kwargs):
        ...                                           # default_storage.open(name)

A mount in the process of the project sends them (`mount()`), and so does that of `manage.py mount`, in a process of its
own: where the project's apps connect receivers in their `ready()`, those are called there.

Receivers get the alias of the storage and the name of the file in it; `sender` is the class of the storage. They run in
a thread of the mount, one change after the other, when the storage has what was written. What they raise is logged.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from django.core.files.storage import storages
from django.db import close_old_connections
from django.dispatch import Signal

from storage.entry import Change
from vfs.mounts.mounting import Mount

content_saved = Signal()
"""Sent with `alias` and `name`: there is something new under a name."""
content_deleted = Signal()
"""Sent with `alias` and `name`: there is nothing any more under a name."""
content_renamed = Signal()
"""Sent with `alias`, `name` and `old_name`: a file, or a directory with all that is below it, has another name."""
_SIGNALS = {"save": content_saved, "delete": content_deleted, "rename": content_renamed}


def mount(alias: str, mountpoint: Path | str, **options: Any) -> Mount:
    """Mount the project's own storage of this alias in this process, and send the signals until it is unmounted.

    `options` are those of `vfs.mount()`.
    """
    import vfs

    mounted = vfs.mount(storages[alias], mountpoint, **options)
    mounted.on_change(partial(send, alias))
    return mounted


def wanted() -> bool:
    """Whether anybody receives any of them."""
    return any(signal.has_listeners() for signal in _SIGNALS.values())


def send(alias: str, change: Change) -> None:
    """Send the signal for a change to the project's storage `alias`; for mkdir and rmdir there is none."""
    signal = _SIGNALS.get(change.action)
    if signal is None:
        return
    sender = type(storages[alias])
    close_old_connections()  # of a thread that has no requests, whose beginning and end would do that
    try:
        if change.target is None:
            signal.send_robust(sender, alias=alias, name=change.name)
        else:
            signal.send_robust(sender, alias=alias, name=change.target, old_name=change.name)
    finally:
        close_old_connections()
