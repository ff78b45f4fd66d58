from __future__ import annotations

from typing import Any

import pytest

from storage import FileSystemStorage, InMemoryStorage


class Custom(FileSystemStorage):
    """A subclass that can be imported."""


def test_arguments_come_back_as_they_were_given() -> None:
    made: Any = FileSystemStorage("somewhere", base_url="/files/")
    assert made.deconstruct() == (
        "django.core.files.storage.FileSystemStorage",
        ("somewhere",),
        {"base_url": "/files/"},
    )
    memory: Any = InMemoryStorage()
    assert memory.deconstruct() == ("django.core.files.storage.InMemoryStorage", (), {})


def test_a_subclass_is_found_where_it_is() -> None:
    made: Any = Custom(location="x")
    assert made.deconstruct() == (f"{__name__}.Custom", (), {"location": "x"})


def test_a_class_that_cannot_be_imported_cannot_be_written_down() -> None:
    class Inner(FileSystemStorage):
        pass

    made: Any = Inner()
    with pytest.raises(ValueError, match=f"Could not find object Inner in {__name__}"):
        made.deconstruct()
