"""The conformance suite over protocols of fsspec, each against a real server."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from kinds import FSSPEC, fsspec_storage, parameters, space_of

from storage import FsspecStorage, Storage
from storage.testing.conformance import *

pytest.importorskip("fsspec")


@pytest.fixture(params=parameters(FSSPEC))
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def traits(kind: str) -> Traits:
    return FSSPEC[kind].traits


@pytest.fixture
def storage(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    made = storage_of(kind, request, tmp_path)
    yield made
    made.close()


def storage_of(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> FsspecStorage:
    if kind == "memory":
        return FsspecStorage("memory", f"/{uuid.uuid4()}")
    if kind == "local":
        return FsspecStorage("local", str(tmp_path / "files"))
    return fsspec_storage(kind, space_of(FSSPEC[kind], request))
