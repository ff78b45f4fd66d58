"""The OPTIONS that are OpenDAL's: as the text that it takes, and what can be told from them."""

from __future__ import annotations

import difflib
import logging
import os
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from storage.exceptions import ImproperlyConfigured

_PORTS = {"http": 80, "https": 443}
_WITH_DIRECTORIES = frozenset(
    {"alluxio", "azdls", "azfile", "dropbox", "fs", "ftp", "gdrive", "hdfs-native", "koofr", "onedrive", "seafile",
     "webdav", "webhdfs", "yandex-disk", "aliyun-drive"}
)  # fmt: skip
_logger = logging.getLogger(__name__)


class Arguments(NamedTuple):
    """What a storage was made with, secrets included."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def __repr__(self) -> str:
        """Nothing of them."""
        return "<arguments>"


def import_opendal() -> ModuleType:
    """The library; ImproperlyConfigured with what to install where it is missing."""
    try:
        import opendal
    except ModuleNotFoundError as error:
        if error.name != "opendal":
            raise
        raise ImproperlyConfigured(
            "OpenDALStorage needs the package opendal; to install it: pip install 'storage-vfs[opendal]'"
        ) from error
    return opendal  # type: ignore[no-any-return]


def as_text(options: Mapping[str, Any]) -> dict[str, str]:
    """The options as OpenDAL takes them: all of them are text; those that are None are left out."""
    return {name: _text(value) for name, value in options.items() if value is not None}


def port_of(options: Mapping[str, str]) -> int | None:
    """The port that the service is reached at; None where the endpoint is not among the options."""
    parts = urlsplit(options.get("endpoint", ""))
    try:
        return parts.port or _PORTS.get(parts.scheme)
    except ValueError:  # OpenDAL will say what it has against it
        return None


def warn_of_unknown(opendal: ModuleType, scheme: str, options: Iterable[str]) -> None:
    """Log which options OpenDAL does not know, for it says nothing of them itself."""
    name = "".join(word.title() for word in scheme.split("-"))
    known: dict[str, Any] = getattr(getattr(opendal.config, f"{name}Config", None), "__annotations__", {})
    for option in sorted(set(options) - set(known)) if known else ():
        like = difflib.get_close_matches(option, known, 1)
        meant = f"; is {like[0]!r} meant?" if like else ""
        _logger.warning("OpenDAL's %r has no option %r, and ignores it%s", scheme, option, meant)


def keeps_directories(scheme: str, wanted: bool | None) -> bool:
    """Whether directories are to stay while they are empty: as `wanted`, else where the service has such."""
    return scheme in _WITH_DIRECTORIES if wanted is None else bool(wanted)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    return ",".join(map(_text, value)) if isinstance(value, (list, tuple)) else str(value)
