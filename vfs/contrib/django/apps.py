"""The app, as Django knows it."""

from __future__ import annotations

from django.apps import AppConfig


class VfsConfig(AppConfig):  # type: ignore[misc]  # Django has no types
    """It has commands, and no models."""

    name = "vfs.contrib.django"
    label = "vfs"
    verbose_name = "vfs"
