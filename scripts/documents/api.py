"""The page of a package: its public names with their signatures and docstrings."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

SPECIAL = ("__init__", "__getitem__", "__enter__")
"""Methods that are shown though they are magic, where they have a docstring."""


def reference(*modules: str) -> str:
    """The page of the first of these modules, and of what the others add."""
    return "\n".join(_lines([import_module(name) for name in modules])).rstrip() + "\n"


def _lines(modules: list[ModuleType]) -> Iterator[str]:
    yield f"# {modules[0].__name__}: reference\n"
    yield "The public names and what their docstrings say, written by `scripts/docs`.\n"
    for module in modules:
        yield f"## `{module.__name__}`\n"
        yield f"{_text(module)}\n"
        for name in getattr(module, "__all__", ()):
            yield from _name(name, getattr(module, name))


def _name(name: str, value: Any) -> Iterator[str]:
    if inspect.isroutine(value) and not _is_ours(value):
        yield f"### `{name}`\n"
        yield f"That of Python's `{value.__module__}`.\n"
    elif inspect.isclass(value):
        yield f"### class `{name}`\n"
        bases = [base.__name__ for base in value.__bases__ if _is_known(base)]
        if bases:
            yield f"Derived from {', '.join(f'`{base}`' for base in bases)}.\n"
        yield f"{_text(value)}\n"
        for member in _members(value):
            yield from _member(*member)
    elif inspect.isroutine(value):
        yield f"### `{name}{_signature(value)}`\n"
        yield f"{_text(value)}\n"
    else:
        yield f"### `{name}`\n"
        yield f"{type(value).__name__}\n"


def _members(owner: type) -> Iterator[tuple[str, Any]]:
    """The public attributes that the class defines, with those of bases that are not public themselves."""
    shown: dict[str, Any] = {}
    for base in owner.__mro__:
        if base is not owner and (not _is_ours(base) or _is_public(base)):
            continue
        for name, value in vars(base).items():
            is_wanted = not name.startswith("_") or name in SPECIAL
            if is_wanted and (inspect.isroutine(value) or isinstance(value, property | classmethod | staticmethod)):
                shown.setdefault(name, value)
    yield from sorted(shown.items(), key=lambda member: member[0] != "__init__")


def _is_ours(value: Any) -> bool:
    return value.__module__.partition(".")[0] in ("storage", "vfs")


def _is_public(owner: type) -> bool:
    return owner.__name__ in getattr(import_module(owner.__module__.partition(".")[0]), "__all__", ())


def _is_known(base: type) -> bool:
    """Whether readers know it: the members of other bases are shown as the class's own."""
    return base is not object and (_is_public(base) if _is_ours(base) else not base.__name__.startswith("_"))


def _member(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, property):
        text = _text(value, indented=True) if inspect.isfunction(value.fget) else "\n"
        yield f"- `{name}`: {text}".replace(": \n", "\n")
        return
    called = value.__func__ if isinstance(value, classmethod | staticmethod) else value
    if inspect.getdoc(called):
        yield f"- `{name}{_signature(called)}`: {_text(called, indented=True)}"


def _signature(called: Any) -> str:
    try:
        signature = inspect.signature(called)
    except (TypeError, ValueError):
        return "(...)"
    kept = [parameter for name, parameter in signature.parameters.items() if name not in ("self", "cls")]
    return str(signature.replace(parameters=kept)).replace("'", "")


def _text(value: Any, *, indented: bool = False) -> str:
    """A docstring; its lines belong to the item before it where that is `indented`."""
    text = inspect.getdoc(value) or ""
    if not indented:
        return text
    first, _, rest = text.partition("\n")
    return first + ("\n" + "\n".join(f"  {line}".rstrip() for line in rest.splitlines()) if rest else "") + "\n"
