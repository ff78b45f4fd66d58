"""Remembering a constructor's arguments, so that Django's migrations can write an object down."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

_Class = TypeVar("_Class", bound=type)


def deconstructible(*, path: str) -> Callable[[_Class], _Class]:
    """Give a class `deconstruct()`; `path` is where its objects are said to come from.

    Objects of its subclasses say where their own class is; ValueError if that cannot be imported by name.
    """

    def decorate(cls: Any) -> Any:
        def new(kind: Any, *args: Any, **kwargs: Any) -> Any:
            instance = super(cls, kind).__new__(kind)
            instance._constructor_args = (args, kwargs)
            return instance

        def deconstruct(self: Any) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
            """The path of the class, and the arguments that the object was made with."""
            args, kwargs = self._constructor_args
            return path if type(self) is cls else _import_path(type(self)), args, kwargs

        cls.__new__ = staticmethod(new)
        cls.deconstruct = deconstruct
        return cls

    return decorate


def _import_path(cls: type) -> str:
    if not hasattr(import_module(cls.__module__), cls.__name__):
        raise ValueError(
            f"Could not find object {cls.__name__} in {cls.__module__}.\n"
            "Please note that you cannot serialize things like inner classes. Please move the object into the main "
            "module body to use migrations."
        )
    return f"{cls.__module__}.{cls.__name__}"
