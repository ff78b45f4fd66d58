"""One configuration file: TOML that holds Django's names verbatim.

    MEDIA_ROOT = "media"                        # relative to the folder of this file, as is
                                                # every path; "~" and "~name" are homes
    [STORAGES.media]
    BACKEND = "storage.FileSystemStorage"
    [STORAGES.media.OPTIONS]
    location = "${DATA:-/srv/data}/media"       # of other backends than the file system's,
                                                # options are passed on as they are written
    [STORAGES.archive]
    BACKEND = "storages.backends.s3.S3Storage"
    OPTIONS = { bucket_name = "archive", secret_key = "${ARCHIVE_KEY}" }

In a pyproject.toml the same stands below `[tool.vfs]`. In string values `${NAME}` is replaced from the
environment, `${NAME:-default}` also where the variable is unset or empty, and `$${` is a literal `${`.
What was inserted is not looked through again. `false` is None where Django's setting may be None.

Keys and types are checked when the file is read; variables are replaced when a setting is first asked for,
so that a missing one matters only to those who need it. Messages name files, keys and variables, never values.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from storage.conf.global_settings import LOCAL_BACKENDS, SETTINGS
from storage.exceptions import ImproperlyConfigured

PYPROJECT = "pyproject.toml"
_TOML_TYPES = {str: "a string", bool: "true or false", int: "an integer", float: "a number", dict: "a table"}
_VARIABLE = re.compile(r"\$(?P<escaped>\$\{)|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|\$\{")


class ConfigFile:
    """The settings that one file defines, checked."""

    def __init__(self, path: Path, content: bytes) -> None:
        """Parse the bytes of the file at `path` (absolute); ImproperlyConfigured says what is wrong, and where."""
        self.path = path
        self.origin = f"[tool.vfs] of {shown(path)}" if path.name == PYPROJECT else shown(path)
        document = _parse(path, content)
        self._prefix = ""
        if path.name == PYPROJECT:
            document = self._section(document)
            self._prefix = "tool.vfs."
        self._raw = document
        self._resolved: dict[str, Any] = {}
        self._check()

    def defines(self, name: str) -> bool:
        """Whether the file says anything about a setting."""
        return name in self._raw

    def value(self, name: str) -> Any:
        """The setting, with variables replaced and paths made absolute; ImproperlyConfigured for an unset variable."""
        if name not in self._resolved:
            self._resolved.setdefault(name, self._resolve(name))  # the first of several threads wins
        return self._resolved[name]

    def origin_of(self, name: str) -> str:
        """Where the setting is defined, in words for people."""
        return self.origin

    def _section(self, document: dict[str, Any]) -> dict[str, Any]:
        section = document.get("tool", {})
        section = section.get("vfs", {}) if isinstance(section, dict) else {}
        if not isinstance(section, dict):
            raise self._error("tool.vfs", f"must be a table, not {_kind(section)}")
        return section

    # ---- checks ------------------------------------------------------------------------------------------------------

    def _check(self) -> None:
        for name, value in self._raw.items():
            if name not in SETTINGS:
                raise self._unknown_key(name, list(SETTINGS))
            self._check_value(name, value)
        for alias, backend in self._raw.get("STORAGES", {}).items():
            self._check_backend(f"STORAGES.{alias}", backend)
        for alias, words in self._raw.get("MOUNT_OPTIONS", {}).items():
            if type(words) is not str:
                raise self._error(
                    f"MOUNT_OPTIONS.{alias}", f'must be a string such as "ro,umask=022", not {_kind(words)}'
                )

    def _check_value(self, name: str, value: object) -> None:
        setting = SETTINGS[name]
        if setting.nullable and value is False:
            return
        if type(value) is not setting.type:
            wanted = _TOML_TYPES[setting.type] + (" such as 0o644" if setting.type is int else "")
            raise self._error(
                name, f"must be {wanted}{', or false for None' if setting.nullable else ''}, not {_kind(value)}"
            )
        if isinstance(value, int) and not 0 <= value <= 0o7777:
            raise self._error(name, "must be permission bits, from 0 to 0o7777")

    def _check_backend(self, key: str, backend: object) -> None:
        if not isinstance(backend, dict):
            raise self._error(key, f"must be a table with BACKEND and OPTIONS, not {_kind(backend)}")
        for name, kind in backend.items():
            if name not in ("BACKEND", "OPTIONS"):
                raise self._unknown_key(
                    f"{key}.{name}",
                    ["BACKEND", "OPTIONS"],
                    f"; what the backend takes goes below [{key}.OPTIONS]",
                )
            wanted = str if name == "BACKEND" else dict
            if type(kind) is not wanted:
                raise self._error(f"{key}.{name}", f"must be {_TOML_TYPES[wanted]}, not {_kind(kind)}")
        if "BACKEND" not in backend:
            raise self._error(key, 'lacks BACKEND, the dotted path of a class such as "storage.FileSystemStorage"')

    def _unknown_key(self, key: str, valid: list[str], hint: str = "") -> ImproperlyConfigured:
        import difflib  # only for a mistake

        written = key.rpartition(".")[2].upper()
        nearest = sorted(valid, key=lambda name: -difflib.SequenceMatcher(None, written, name).ratio())
        return self._error(key, f"is not a valid key; valid, nearest first: {', '.join(nearest)}{hint}")

    def _error(self, key: str, problem: str) -> ImproperlyConfigured:
        return ImproperlyConfigured(f"{shown(self.path)}: {shown(self._prefix + key)} {problem}")

    # ---- values ------------------------------------------------------------------------------------------------------

    def _resolve(self, name: str) -> Any:
        setting, raw = SETTINGS[name], self._raw[name]
        if setting.nullable and raw is False:
            return None
        value = self._expand(name, raw)
        if setting.is_path:
            return self._absolute(value)
        if name == "STORAGES":
            for backend in value.values():
                options = backend.get("OPTIONS", {})
                if backend["BACKEND"] in LOCAL_BACKENDS and isinstance(options.get("location"), str):
                    options["location"] = self._absolute(options["location"])
        return value

    def _expand(self, key: str, value: Any) -> Any:
        """A copy of `value` with the variables replaced in its strings, at any depth."""
        if isinstance(value, str):
            return _VARIABLE.sub(lambda match: self._variable(key, match), value)
        if isinstance(value, dict):
            return {name: self._expand(f"{key}.{name}", item) for name, item in value.items()}
        if isinstance(value, list):
            return [self._expand(f"{key}[{index}]", item) for index, item in enumerate(value)]
        return value

    def _variable(self, key: str, match: re.Match[str]) -> str:
        if match["escaped"]:
            return match["escaped"]
        if match["name"] is None:
            raise self._error(
                key, "holds a '${' that does not begin '${NAME}' or '${NAME:-default}' ('$${' is literal)"
            )
        value = os.environ.get(match["name"])
        if match["default"] is not None:
            return value or match["default"]
        if value is None:
            raise self._error(
                key,
                f"needs the environment variable {match['name']}, which is not set (${{NAME:-default}} has a default)",
            )
        return value

    def _absolute(self, value: str) -> str:
        """Relative to the folder of the file as it was named (not that of a link's target); "" stays, as in Django."""
        return os.path.normpath(self.path.parent / os.path.expanduser(value)) if value else value


def has_section(content: bytes) -> bool:
    """Whether a pyproject.toml has a table for us; one that cannot be parsed, whether it looks so."""
    import tomllib

    try:
        tool = tomllib.loads(content.decode()).get("tool")
    except (ValueError, RecursionError):
        return b"tool.vfs" in content
    return isinstance(tool, dict) and "vfs" in tool


def shown(name: str | Path) -> str:
    """A path or a key for a message: escaped where it holds what a terminal would interpret."""
    text = str(name)
    return text if text.isprintable() else ascii(text)


def _kind(value: object) -> str:
    if isinstance(value, list):
        return "an array"
    return _TOML_TYPES.get(type(value), "a date or time")


def _parse(path: Path, content: bytes) -> dict[str, Any]:
    import tomllib  # only where there is a file

    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        raise ImproperlyConfigured(f"{shown(path)}, line {line}, column {column}: not UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise ImproperlyConfigured(_located(path, content, str(error))) from error
    except (RecursionError, ValueError) as error:  # thousands of brackets, or of digits
        raise ImproperlyConfigured(f"{shown(path)} cannot be parsed: {error}") from error


def _located(path: Path, content: bytes, message: str) -> str:
    """The parser's message, "problem (at line 3, column 5)", with the place in front."""
    problem, _, place = message.rpartition(" (at ")
    found = re.match(r"line (\d+), column (\d+)", place)
    if found:
        line, column = found.groups()
    else:
        last = content.decode("utf-8-sig").splitlines()[-1:] or [""]
        line, column = str(max(1, len(content.splitlines()))), str(len(last[0]) + 1)
    return f"{shown(path)}, line {line}, column {column}: {problem}"
