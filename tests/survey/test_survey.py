"""The tables of backends: they are true of this package's own, and have their place in the documentation."""

from __future__ import annotations

from pathlib import Path

import pytest

from survey.backends import BACKENDS, OWN, SERVERS, Backend, tried
from survey.tables import BEGIN, END, replaced, tables
from vfs.doctor import operations
from vfs.doctor.operations import TRIALS, Operation

README = (Path(__file__).parents[2] / "storage" / "README.md").read_text(encoding="utf-8")

SPACES = {
    "s3": "s3_bucket",
    "azure": "azure_container",
    "gcs": "gcs_bucket",
    "sftp": "sftp_folder",
    "ftp": "ftp_folder",
    "webdav": "webdav_folder",
}
"""The fixture for each server."""
REMOTE = [pytest.param(it, SPACES[it.server], id=f"{it.family} {it.name}") for it in BACKENDS if it.server]


def columns(text: str, family: str) -> dict[str, list[str]]:
    """What the table of a family has in each column, by its heading; that of the operations is the first."""
    table = text.partition(f"\n| {family} |")[2].partition("\n\n")[0]
    heading, _, *rows = [line.strip("| ").split(" | ") for line in f"| {family} |{table}".splitlines()]
    return dict(zip(heading, map(list, zip(*rows, strict=True)), strict=True))


def test_the_table_of_our_own_storages_is_true(tmp_path: Path) -> None:
    found = {backend: tried(backend.made(tmp_path)) for backend in BACKENDS if backend.family == OWN}
    assert f"{BEGIN}\n\n{tables(found)}" in README


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "space"), REMOTE)
def test_the_column_of_a_remote_storage_is_true(
    backend: Backend, space: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By one trial of each operation, for how long they take is not in it."""
    monkeypatch.setattr(operations, "_ROUNDS", 1)
    found = tried(backend.made(request.getfixturevalue(space)))
    now, then = columns(f"\n{tables({backend: found})}", backend.family), columns(README, backend.family)
    assert now[backend.family] == then[backend.family]
    assert now[backend.name] == then[backend.name], "run scripts/backends"


def test_each_backend_has_a_column_with_each_operation() -> None:
    written = README.partition(BEGIN)[2].partition(END)[0]
    for backend in BACKENDS:
        [heading] = [line for line in written.splitlines() if line.startswith(f"| {backend.family} |")]
        assert f"| {backend.name} |" in heading
        assert backend.server in {"", *SERVERS}
    families = {backend.family for backend in BACKENDS}
    for trial in TRIALS:
        assert written.count(f"\n| `{trial.name}` |") == len(families)


def test_a_table_says_native_atomic_emulated_or_nothing() -> None:
    one, other = Backend("F", "one"), Backend("F", "other")
    found = {
        one: [Operation("copy", "native", None, 1.5), Operation("rename", "native", True, 1.0)],
        other: [Operation("copy", "emulated", False, 1.0), Operation("rename", "refused", None, None)],
    }
    assert tables(found) == (
        "| F | one | other |\n|---|---|---|\n| `copy` | native | emulated |\n| `rename` | native, atomic | - |\n"
    )


def test_only_the_place_of_the_tables_is_written() -> None:
    text = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    new = replaced(text, "new")
    assert new == f"before\n{BEGIN}\n\nnew\n{END}\nafter\n"
    assert replaced(new, "new") == new
    with pytest.raises(ValueError, match="no place"):
        replaced("before\n", "new")
