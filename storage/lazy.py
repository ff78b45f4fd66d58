"""A stand-in that behaves as another object, which is looked up when it is used."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable
from typing import Any


def _of_target(function: Callable[..., Any]) -> Any:
    """A method that applies `function` to the object in question."""

    def method(self: LazyStorage, *args: Any) -> Any:
        return function(self._target(), *args)

    return method


class LazyStorage:
    """Everything done to it is done to what `_target()` returns, `isinstance()` and comparisons included."""

    def _target(self) -> Any:
        """The object that this one stands in for."""
        raise NotImplementedError

    @property
    def _wrapped(self) -> Any:
        return self._target()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as the object itself."""
        return copy.copy, (self._target(),)

    def __copy__(self) -> Any:
        """A copy of the object."""
        return copy.copy(self._target())

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """A deep copy of the object."""
        return copy.deepcopy(self._target(), memo)

    __getattr__ = _of_target(getattr)
    __setattr__ = _of_target(setattr)
    __delattr__ = _of_target(delattr)
    __dir__ = _of_target(dir)
    __repr__ = _of_target(repr)
    __str__ = _of_target(str)
    __bool__ = _of_target(bool)
    __eq__ = _of_target(operator.eq)
    __ne__ = _of_target(operator.ne)
    __hash__ = _of_target(hash)
    __class__ = property(_of_target(operator.attrgetter("__class__")))
