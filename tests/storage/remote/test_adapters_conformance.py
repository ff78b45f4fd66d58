"""The conformance suite over the adapted backends of django-storages, each against a real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kinds import DJANGO, parameters, space_of

from services.server import require
from storage import Storage, StorageHandler, adapt
from storage.backends import import_backend
from storage.testing.conformance import (
    TestDeleting,
    TestDirectories,
    TestLooking,
    TestLookingAtEntries,
    TestNames,
    TestRangesOfAnything,
    TestRenamingFiles,
    TestReplacing,
    TestTelling,
    Traits,
)

pytest.importorskip("storages")

pytestmark = pytest.mark.usefixtures("django_is_left_as_it_was")


@pytest.fixture(params=parameters(DJANGO))
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def traits(kind: str) -> Traits:
    return DJANGO[kind].traits


@pytest.fixture
def storage(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    made = adapt(StorageHandler({"it": definition(kind, request, tmp_path)})["it"])
    yield made
    made.close()


def definition(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    if kind == "libcloud":
        require(*DJANGO[kind].client)
        (tmp_path / "container").mkdir()
        backend = "storages.backends.apache_libcloud.LibCloudStorage"
        import_backend(backend)  # which gives Django its settings
        provider = {"type": "libcloud.storage.types.Provider.LOCAL", "user": str(tmp_path), "key": ""}
        providers = {"here": {**provider, "bucket": "container"}}
        monkeypatch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
        monkeypatch.setattr("django.conf.settings.LIBCLOUD_PROVIDERS", providers, raising=False)
        return {"BACKEND": backend, "OPTIONS": {"provider_name": "here"}}
    made: dict[str, Any] = space_of(DJANGO[kind], request).django
    if kind in ("s3", "gcs"):
        made["OPTIONS"]["file_overwrite"] = False
    return made
