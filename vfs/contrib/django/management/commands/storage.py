"""`manage.py storage ls default:`, and all else that `vfs` can do, with the project's storages."""

from __future__ import annotations

from vfs.contrib.django.command import VfsCommand


class Command(VfsCommand):
    """`vfs`."""

    help = "Works with the storages of this project: storage ls default: , storage cp -r default:avatars ./avatars"
