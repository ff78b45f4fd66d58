"""A content that is to be stored, in pieces of bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

PIECE = 2 * 2**20
"""Bytes: each piece of an upload in parts is handed to another thread, which costs the same for any."""


class Pieces:
    """The bytes of a content, read once from its beginning."""

    def __init__(self, content: Any) -> None:
        """Of a `storage.api.Content`, of bytes or of text."""
        self._chunks = iter(content.chunks(PIECE))
        self.are_all_taken = False

    def __iter__(self) -> Iterator[bytes]:
        """Itself."""
        return self

    def __next__(self) -> bytes:
        """The next piece."""
        chunk = next(self._chunks)
        return chunk.encode() if isinstance(chunk, str) else bytes(chunk)

    def take(self, size: int | None) -> list[bytes]:
        """A beginning of more than `size` bytes, or all."""
        taken: list[bytes] = []
        length = 0
        while size is None or length <= size:
            piece = next(self, None)
            if piece is None:
                self.are_all_taken = True
                break
            taken.append(piece)
            length += len(piece)
        return taken

    def after(self, taken: list[bytes]) -> Iterator[bytes]:
        """What was taken, of which nothing is held any longer than it is used, and what follows."""
        while taken:
            yield taken.pop(0)
        yield from self


def size_of(content: Any) -> int | None:
    """What the content says of its size; a file of text counts characters, so it is a hint."""
    try:
        return int(content.size)
    except (AttributeError, OSError, ValueError):
        return None
