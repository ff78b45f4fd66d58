"""Names of files: what is a safe one, how to make one, and how one is joined to a directory or a URL.

A name is a '/'-separated str relative to the storage's root. Bytes that are no UTF-8 are carried as
surrogate escapes, so every name that the operating system knows can be written down.
"""

from __future__ import annotations

import os
import pathlib
import re
import secrets
import string
from urllib.parse import quote

from storage.exceptions import SuspiciousFileOperation

RANDOM_STRING_CHARS = string.ascii_letters + string.digits

_NO_FILE_NAME = frozenset({"", os.curdir, os.pardir})
_NOT_VALID = re.compile(r"[^-\w.]")


def validate_file_name(name: str, allow_relative_path: bool = False) -> str:
    """Return `name` as it is when a file may be called so; SuspiciousFileOperation otherwise.

    With `allow_relative_path` it may have directories in front, below the root; without, it is one component.
    """
    base = os.path.basename(name)
    if base in _NO_FILE_NAME:
        raise SuspiciousFileOperation(f"Could not derive file name from '{name}'")
    if allow_relative_path:
        path = pathlib.PurePosixPath(str(name).replace("\\", "/"))
        if path.is_absolute() or os.pardir in path.parts:
            raise SuspiciousFileOperation(f"Detected path traversal attempt in '{name}'")
    elif name != base:
        raise SuspiciousFileOperation(f"File name '{name}' includes path elements")
    return name


def get_valid_filename(name: str) -> str:
    """Turn any text into a clean file name: spaces become underscores, all but letters, digits, '-', '_', '.' goes.

    SuspiciousFileOperation when nothing, or only '.' or '..', is left.
    """
    valid = _NOT_VALID.sub("", str(name).strip().replace(" ", "_"))
    if valid in _NO_FILE_NAME:
        raise SuspiciousFileOperation(f"Could not derive file name from '{name}'")
    return valid


def checked_name(name: str, *, allow_root: bool = False) -> str:
    """Return `name` as it is when it is a plain name of the extended surface; SuspiciousFileOperation otherwise.

    Plain means: no empty component (so no leading, trailing or double '/'), no '.', no '..', no NUL.
    The root, "", passes only with `allow_root`.
    """
    if name == "" and allow_root:
        return name
    if "\0" in name or not _NO_FILE_NAME.isdisjoint(name.split("/")):
        raise SuspiciousFileOperation(f"{name!r} is not a plain name below the storage's root")
    return name


def split_name(name: str) -> tuple[str, str]:
    """Split a plain name into its directory ("" is the root) and its last component."""
    directory, _, last = name.rpartition("/")
    return directory, last


def join_name(directory: str, last: str) -> str:
    """The name of the entry `last` of `directory` ("" is the root)."""
    return f"{directory}/{last}" if directory else last


def safe_join(base: str | os.PathLike[str], *paths: str | os.PathLike[str]) -> str:
    """Join `paths` to `base` and return the normalised absolute path.

    SuspiciousFileOperation when it lies outside `base` or holds a NUL. Symbolic links are not looked at.
    """
    base_path = os.path.abspath(base)
    final_path = os.path.abspath(os.path.join(base_path, *paths))
    if "\0" in final_path:
        raise SuspiciousFileOperation(f"The joined path ({final_path!r}) contains a null character")
    # os.path.join(..., "") ends with exactly one separator, also for the root of the filesystem.
    prefix = os.path.normcase(os.path.join(base_path, ""))
    if not os.path.normcase(os.path.join(final_path, "")).startswith(prefix):
        raise SuspiciousFileOperation(
            f"The joined path ({final_path}) is located outside of the base path component ({base_path})"
        )
    return final_path


def get_random_string(length: int, allowed_chars: str = RANDOM_STRING_CHARS) -> str:
    """A string of `length` characters from `allowed_chars`, unpredictable (from the system's random source)."""
    return "".join(secrets.choice(allowed_chars) for _ in range(length))


def filepath_to_uri(path: str | os.PathLike[str] | None) -> str | None:
    """Quote a path for use in a URL, with '/' as the separator; None stays None."""
    if path is None:
        return None
    return quote(os.fsencode(str(path).replace("\\", "/")), safe="/~!*()'")
