"""The conformance suite over services of OpenDAL: local ones, and real servers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from kinds import OPENDAL, parameters, space_of

from storage import Change, OpenDALStorage, Storage, StorageHandler
from storage.testing.conformance import *
from storage.testing.conformance import tree
from storage.testing.conformance.traits import put

pytest.importorskip("opendal")


@pytest.fixture(params=parameters(OPENDAL))
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def traits(kind: str) -> Traits:
    return OPENDAL[kind].traits


@pytest.fixture
def storage(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    made = storage_of(kind, request, tmp_path)
    yield made
    made.close()


def storage_of(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> OpenDALStorage:
    if kind == "memory":
        return OpenDALStorage("memory")
    if kind == "fs":
        return OpenDALStorage("fs", root=tmp_path / "files")
    return OpenDALStorage(**space_of(OPENDAL[kind], request).opendal)


class TestTelling(tree.TestTelling):
    def test_a_rename_is_told_as_one(self, storage: Storage) -> None:
        put(storage, "d/f")
        told: list[Change] = []
        with storage.subscribe(told.append):
            storage.rename("d", "e")
            storage.rename("e/f", "g")
        assert told == [Change("rename", "d", "e"), Change("rename", "e/f", "g")]


def test_a_storage_is_made_by_its_dotted_path(tmp_path: Path) -> None:
    options = {"scheme": "fs", "root": str(tmp_path)}
    made = StorageHandler({"x": {"BACKEND": "storage.OpenDALStorage", "OPTIONS": options}})["x"]
    put(made, "f", b"content")
    assert os.listdir(tmp_path) == ["f"]
