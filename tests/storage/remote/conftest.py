"""What the tests of remote storages share."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Iterator

import pytest

from storage.conf import settings
from storage.conf.django_project import DjangoProject

pytest.register_assert_rewrite("on_the_wire")


@pytest.fixture(scope="session", autouse=True)
def s3_clients_share_their_models() -> Iterator[None]:
    """Each client reads and parses three megabytes of them, which takes longer than most tests of it."""
    if importlib.util.find_spec("botocore") is None:
        yield
        return
    import botocore.session

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", functools.cache(botocore.session.create_loader))
        yield


@pytest.fixture
def django_is_left_as_it_was() -> Iterator[None]:
    """Backends of others have Django configured, which the next tests would take for a project's doing."""
    django_settings = pytest.importorskip("django.conf").settings
    kept = dict(django_settings.__dict__)  # all other attributes are those of settings that there are not
    yield
    django_settings.__dict__.clear()
    django_settings.__dict__.update(kept)
    settings._put(_django=DjangoProject(settings._django_changed))  # it has remembered what it saw
