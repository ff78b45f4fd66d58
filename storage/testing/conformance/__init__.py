"""What every storage must do, as tests: import them into a module that has a storage, and each is applied to it.

    import pytest
    from fancy import FancyStorage
    from storage.testing.conformance import *

    @pytest.fixture
    def storage(tmp_path):
        return FancyStorage(tmp_path)

    @pytest.fixture
    def traits():
        return Traits(directories=True)

`storage` is an empty `storage.Storage`; a backend that has Django's methods alone is given as `DjangoStorage(backend)`.
What it has beyond those and what it lacks is declared by its `Traits`, and then tested too: where it cannot, it must
say NotImplementedError. Two classes are for some storages alone, and are derived from to be applied: `OpenFiles` where
writes through `open()` are the content itself, `Ranges` where open files allocate and know their holes.
"""

from __future__ import annotations

from pkgutil import iter_modules

import pytest

pytest.register_assert_rewrite(*(f"{__name__}.{module.name}" for module in iter_modules(__path__)))

from storage.testing.conformance.django import TestDeleting, TestLooking, TestNames, TestSaving
from storage.testing.conformance.files import OpenFiles
from storage.testing.conformance.posix import (
    TestAttributesOfEntries,
    TestDirectories,
    TestLinksAndSpecialFiles,
)
from storage.testing.conformance.ranges import Ranges, TestRangesOfAnything
from storage.testing.conformance.traits import Traits
from storage.testing.conformance.tree import (
    TestLookingAtEntries,
    TestRenamingFiles,
    TestReplacing,
    TestTelling,
)

__all__ = [
    "OpenFiles",
    "Ranges",
    "TestAttributesOfEntries",
    "TestDeleting",
    "TestDirectories",
    "TestLinksAndSpecialFiles",
    "TestLooking",
    "TestLookingAtEntries",
    "TestNames",
    "TestRangesOfAnything",
    "TestRenamingFiles",
    "TestReplacing",
    "TestSaving",
    "TestTelling",
    "Traits",
    "traits",
]


@pytest.fixture
def traits() -> Traits:
    """What a storage has that says nothing of it: Django's surface, and what the base class makes of that."""
    return Traits()
