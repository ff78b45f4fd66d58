"""The options that both own backends share: each given to the constructor, or else followed from the settings."""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import urljoin

from storage.conf import setting_changed, settings
from storage.names import filepath_to_uri

_Value = TypeVar("_Value")

_PROPERTIES_OF = {
    "MEDIA_ROOT": ("base_location", "location"),
    "MEDIA_URL": ("base_url",),
    "FILE_UPLOAD_PERMISSIONS": ("file_permissions_mode",),
    "FILE_UPLOAD_DIRECTORY_PERMISSIONS": ("directory_permissions_mode",),
}


class StorageSettingsMixin:
    """location, base_url and the permission modes; to be named before `Storage`, whose `url()` it provides."""

    _location: str | os.PathLike[str] | None
    _base_url: Any
    _file_permissions_mode: int | None
    _directory_permissions_mode: int | None

    def _init_settings(
        self,
        location: str | os.PathLike[str] | None,
        base_url: Any,
        file_permissions_mode: int | None,
        directory_permissions_mode: int | None,
    ) -> None:
        """Keep the constructor's options, unevaluated, and follow the settings from now on."""
        self._location = location
        self._base_url = base_url
        self._file_permissions_mode = file_permissions_mode
        self._directory_permissions_mode = directory_permissions_mode
        setting_changed.connect(self._clear_cached_properties)

    @cached_property
    def base_location(self) -> str | os.PathLike[str]:
        """The root directory as it was given; MEDIA_ROOT by default."""
        return self._value_or_setting(self._location, settings.MEDIA_ROOT)

    @cached_property
    def location(self) -> str:
        """The root directory's absolute path."""
        return os.path.abspath(self.base_location)

    @cached_property
    def base_url(self) -> str | None:
        """The URL of the root, with '/' at the end; MEDIA_URL by default; None where there is none."""
        if self._base_url is not None and not self._base_url.endswith("/"):
            self._base_url += "/"
        url: str | None = self._value_or_setting(self._base_url, settings.MEDIA_URL)
        return url

    @cached_property
    def file_permissions_mode(self) -> int | None:
        """The mode of saved files; FILE_UPLOAD_PERMISSIONS by default; None leaves it to the umask."""
        return self._value_or_setting(self._file_permissions_mode, settings.FILE_UPLOAD_PERMISSIONS)

    @cached_property
    def directory_permissions_mode(self) -> int | None:
        """The mode of directories that saving makes; FILE_UPLOAD_DIRECTORY_PERMISSIONS by default."""
        return self._value_or_setting(self._directory_permissions_mode, settings.FILE_UPLOAD_DIRECTORY_PERMISSIONS)

    def url(self, name: str | None) -> str:
        """The URL of a file below `base_url`; ValueError where that is None."""
        if self.base_url is None:
            raise ValueError("This file is not accessible via a URL.")
        uri = filepath_to_uri(name)
        # A leading '/' would make urljoin() leave the base, "//host" even the site.
        return urljoin(self.base_url, None if uri is None else uri.lstrip("/"))

    def _clear_cached_properties(self, setting: str, **kwargs: Any) -> None:
        """Forget what was computed from a setting that changed."""
        for name in _PROPERTIES_OF.get(setting, ()):
            self.__dict__.pop(name, None)

    def _value_or_setting(self, value: _Value | None, setting: _Value) -> _Value:
        return setting if value is None else value
