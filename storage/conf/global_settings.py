"""The settings that the package knows: Django's names, Django's defaults, and what a file may say of each."""

from __future__ import annotations

from typing import Any, NamedTuple

DEFAULT_STORAGE_ALIAS = "default"
STATICFILES_STORAGE_ALIAS = "staticfiles"


class Setting(NamedTuple):
    """One setting. TOML has no null: where `nullable`, a file says `false` for None."""

    default: Any
    type: type
    nullable: bool = False
    is_path: bool = False
    """A path of this machine, which in a file is relative to the folder of that file."""


SETTINGS = {
    "STORAGES": Setting(
        {
            DEFAULT_STORAGE_ALIAS: {"BACKEND": "django.core.files.storage.FileSystemStorage"},
            STATICFILES_STORAGE_ALIAS: {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
        },
        dict,
    ),
    "MEDIA_ROOT": Setting("", str, is_path=True),
    "MEDIA_URL": Setting("", str, nullable=True),
    "STATIC_ROOT": Setting(None, str, nullable=True, is_path=True),
    "STATIC_URL": Setting(None, str, nullable=True),
    "FILE_UPLOAD_PERMISSIONS": Setting(0o644, int, nullable=True),
    "FILE_UPLOAD_DIRECTORY_PERMISSIONS": Setting(None, int, nullable=True),
    "FILE_UPLOAD_TEMP_DIR": Setting(None, str, nullable=True, is_path=True),
    "USE_TZ": Setting(True, bool),
    # The zone of naive times where anybody has set it, else that is the process's; see `storage.times`. Unlike Django,
    # the package never changes the time zone of the process.
    "TIME_ZONE": Setting("America/Chicago", str),
    # For vfs alone: options of mounts by alias, in the words of `vfs mount -o`.
    "MOUNT_OPTIONS": Setting({}, dict),
}

LOCAL_BACKENDS = frozenset(
    {
        "storage.FileSystemStorage",
        "storage.filesystem.FileSystemStorage",
        "django.core.files.storage.FileSystemStorage",
        "django.core.files.storage.filesystem.FileSystemStorage",
        "django.contrib.staticfiles.storage.StaticFilesStorage",
    }
)
"""The backends whose option `location` is a path of this machine; elsewhere it may be a prefix in a bucket."""
