"""`manage.py mount ALIAS DIR`: show one of the project's storages as a directory."""

from __future__ import annotations

from vfs.contrib.django.command import VfsCommand
from vfs.contrib.django.signals import send, wanted


class Command(VfsCommand):
    """`vfs mount`, which sends the project's signals where it has receivers for them."""

    help = "Shows a storage of this project as a directory; --help has the options of the mount."
    prefix = ("mount",)

    def of_the_project(self) -> tuple[str, ...]:
        """The signals, unless nobody receives them: a mount that nobody listens to has less to do."""
        return ("-o", f"on_change={send.__module__}.{send.__name__}") if wanted() else ()
