"""Django's own test-suite for files and storages, run against this package.

Nothing of Django is kept in the repository: the source of the release is fetched with pip when the tests run, and kept
in .cache/. How its tests find this package under Django's names is the business of `django_shim.py`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytestmark = pytest.mark.timeout(300)  # the first run waits for the network

RELEASE = "6.0"
AT_LEAST = 191
"""So many tests pass with the release above, at the least."""

_FIELD = "tests django.db.models.FileField, which is not part of the package"
_PILLOW = "reads images with Pillow, which is not part of the package"
LEFT_OUT = {
    "file_storage.tests.FieldCallableFileStorageTests": _FIELD,
    "file_storage.tests.StorageLazyObjectTests": _FIELD,
    **dict.fromkeys(
        (
            f"file_storage.tests.FileFieldStorageTests.{test}"
            for test in (
                "test_create_file_field_from_another_file_field_in_memory_storage",
                "test_custom_valid_name_callable_upload_to",
                "test_duplicate_filename",
                "test_empty_upload_to",
                "test_extended_length_storage",
                "test_file_truncation",
                "test_filefield_db_default",
                "test_filefield_default",
                "test_filefield_pickling",
                "test_filefield_read",
                "test_filefield_reopen",
                "test_filefield_write",
                "test_files",
                "test_pathlib_upload_to",
                "test_random_upload_to",
            )
        ),
        _FIELD,
    ),
    **dict.fromkeys(
        (
            f"file_storage.test_generate_filename.GenerateFilenameStorageTests.test_filefield_{test}"
            for test in (
                "awss3_storage",
                "dangerous_filename",
                "dangerous_filename_dot_segments",
                "generate_filename",
                "generate_filename_absolute_path",
                "generate_filename_upload_to_absolute_path",
                "generate_filename_upload_to_dangerous_filename",
                "generate_filename_upload_to_overrides_dangerous_filename",
                "generate_filename_with_upload_to",
            )
        ),
        _FIELD,
    ),
    "files.tests.DimensionClosingBug": _PILLOW,
    "files.tests.GetImageDimensionsTests": _PILLOW,
    "files.tests.InconsistentGetImageDimensionsBug": _PILLOW,
}
"""The tests, or whole classes, that are not run, each with the reason."""

_REPOSITORY = Path(__file__).parents[2]


class Outcome(NamedTuple):
    """What one of Django's tests did."""

    test: str
    outcome: str
    details: str


@pytest.fixture(scope="module")
def source() -> Path:
    """The unpacked source of Django; where it cannot be had, a skip, but in CI a failure."""
    cached = _REPOSITORY / ".cache" / f"django-{RELEASE}"
    if not cached.exists():
        problem = _fetch(cached)
        if problem is not None:
            reason = f"the source of Django {RELEASE} cannot be had: {problem}"
            pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return cached


def _fetch(destination: Path) -> str | None:
    """Download the source with pip, as its settings say, and unpack it; the problem, if there was one."""
    if importlib.util.find_spec("pip") is None:
        return f"{sys.executable} has no pip"
    destination.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=destination.parent) as folder:
        # Django 6.0 wants Python 3.12, what is tested of it runs from 3.11 on.
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "django"]
        command += ["--ignore-requires-python", "--disable-pip-version-check", "--dest", folder, f"django=={RELEASE}"]
        run = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
        if run.returncode:
            return run.stderr.strip().rpartition("\n")[2] or f"pip answers {run.returncode}"
        (archive,) = Path(folder).glob("*.tar.gz")
        with tarfile.open(archive) as tar:
            safely: Mapping[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
            tar.extractall(folder, **safely)
        (unpacked,) = (path for path in Path(folder).iterdir() if path.is_dir())
        shutil.move(unpacked, destination)
    return None


@pytest.fixture(scope="module")
def outcomes(source: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    """What each test of the suite did, in a process without Django and without any configuration."""
    folder = tmp_path_factory.mktemp("django")
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LC_ALL")}
    run = subprocess.run(
        [sys.executable, "-P", str(Path(__file__).with_name("django_shim.py")), str(source)],
        input="\n".join(LEFT_OUT),
        cwd=folder,
        env=kept | {"HOME": str(folder), "TMPDIR": str(folder), "PYTHONPATH": str(_REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return [Outcome(*json.loads(line)) for line in run.stdout.splitlines()]


def test_no_test_of_django_fails(outcomes: list[Outcome]) -> None:
    failed = [outcome for outcome in outcomes if outcome.outcome == "failed"]
    assert not failed, "\n\n".join(f"{outcome.test}\n{outcome.details}" for outcome in failed)


def test_enough_tests_of_django_pass(outcomes: list[Outcome]) -> None:
    assert len({outcome.test for outcome in outcomes if outcome.outcome == "passed"}) >= AT_LEAST


def test_no_test_of_django_is_skipped_but_by_name(outcomes: list[Outcome]) -> None:
    assert [outcome for outcome in outcomes if outcome.outcome == "skipped"] == []


def test_everything_that_is_left_out_exists(outcomes: list[Outcome]) -> None:
    left_out = defaultdict(list)
    for outcome in outcomes:
        if outcome.outcome == "left out":
            left_out[outcome.test].append(outcome.test)
            left_out[outcome.test.rpartition(".")[0]].append(outcome.test)
    assert [name for name in LEFT_OUT if not left_out[name]] == []


def test_every_module_of_the_suite_is_run(outcomes: list[Outcome]) -> None:
    modules = {outcome.test.rsplit(".", 2)[0] for outcome in outcomes if outcome.outcome == "passed"}
    assert modules == {
        "file_storage.test_base",
        "file_storage.test_generate_filename",
        "file_storage.test_inmemory_storage",
        "file_storage.tests",
        "files.tests",
    }
