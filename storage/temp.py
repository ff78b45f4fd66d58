"""Temporary files, by the names that Django gives them."""

from __future__ import annotations

from tempfile import NamedTemporaryFile, gettempdir

__all__ = ("NamedTemporaryFile", "gettempdir")
