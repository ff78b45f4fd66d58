"""What is to be stored, as a file of this machine: clients send those best, and can begin again."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from typing import Any

from storage.files import File


@contextlib.contextmanager
def local_copy(content: Any) -> Iterator[str]:
    """The path of a local file with all of the content, from its beginning; it is left as it is.

    A local file's own path, where it has one still; else that of a temporary copy, which a content that fails while it
    is read never becomes: nothing has been sent by then.
    """
    file = content if hasattr(content, "chunks") else File(content)
    path = _own_path(file)
    if path is not None:
        yield path
        return
    with tempfile.NamedTemporaryFile(prefix="storage-") as copy:
        for chunk in file.chunks():
            copy.write(chunk.encode() if isinstance(chunk, str) else chunk)
        copy.flush()
        yield copy.name


@contextlib.contextmanager
def repeatable(content: Any) -> Iterator[Any]:
    """The content as one that can be read from its beginning more than once.

    Itself where it can go back, else a local copy: a pipe or a socket has nothing more to say the second time.
    """
    able = getattr(content, "seekable", None)
    if able is not None and able() and hasattr(content, "seek"):
        yield content
        return
    with local_copy(content) as path, open(path, "rb") as copy:
        yield File(copy, getattr(content, "name", None))


def _own_path(file: Any) -> str | None:
    """Where the file lies that this one reads."""
    fd = file.content_fd() if isinstance(file, File) else None
    path = getattr(getattr(file, "file", None), "name", None)
    if fd is None or not isinstance(path, str | os.PathLike):
        return None
    with contextlib.suppress(OSError):
        if os.path.samestat(os.stat(path), os.fstat(fd)):
            return os.fspath(path)
    return None
