"""The generated pages are what the code says now, and what the others name of commands and options is there."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from documents import ROOT, pages
from newcomer import README
from storage import OpenDALStorage
from vfs.cli import cli
from vfs.mounts.options import MountOptions

WRITTEN = ["README.md", "CHANGELOG.md", *(f"vfs/{name}.md" for name in ("README", "SEMANTICS")), "storage/README.md"]
COMMAND = re.compile(r"vfs((?: --\w[\w-]* \S+)*) ([a-z][a-z-]*)(.*)")


@pytest.mark.parametrize("path", list(pages()), ids=str)
def test_the_page_is_up_to_date(path: Path) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == pages()[path], "run scripts/docs"


def named_in(document: str) -> Iterator[tuple[str, list[str]]]:
    """Each command of vfs in a document, with the options that stand there, from a line of prose or of a session."""
    text = (ROOT / document).read_text(encoding="utf-8")
    prose = re.sub("```.*?```", "", text, flags=re.DOTALL)
    for typed in [
        *re.findall(r"`(vfs [^`]+)`", prose),
        *re.findall(r"^\$ (?:.*?(?<![\w/-]))?(vfs .*)", text, re.MULTILINE),
    ]:
        for part in re.split(r"&&|\|(?=\s)|;", typed):
            if found := COMMAND.match(part.strip()):
                before, name, rest = found.groups()
                yield name, re.findall(r"(?<!\S)--[a-z][a-z-]*", f"{before} {rest.partition('  #')[0]}")


@pytest.mark.parametrize("document", WRITTEN)
def test_each_command_and_option_that_is_named_is_there(document: str) -> None:
    context = click.Context(cli)
    of_all = {option for parameter in cli.params for option in parameter.opts}
    for name, options in named_in(document):
        command = cli.get_command(context, name)
        assert command is not None, f"{document}: vfs {name}"
        known = {option for parameter in command.params for option in parameter.opts}
        assert set(options) <= known | of_all, f"{document}: vfs {name}"


@pytest.mark.parametrize("document", WRITTEN)
def test_each_script_that_is_named_is_there(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    named = re.findall(r"(?<![\w/])((?:scripts|\.ci)/[\w/.]*\w)", text)
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_readme_names_commands() -> None:
    assert len(list(named_in("README.md"))) > 40


def test_each_option_of_a_mount_is_named() -> None:
    help_of_mount = cli.get_command(click.Context(cli), "mount")
    assert help_of_mount is not None
    named = README.partition("Mount options (`-o`)")[2].partition("\n\n")[0]
    for text in (named, help_of_mount.epilog or ""):
        names = [field.name for field in dataclasses.fields(MountOptions)]
        assert [name for name in names if not re.search(rf"\b(no)?{name}\b", text)] == []


def parts_of(package: str) -> set[str]:
    """The packages of `package`, with a '/' at their end, and its modules."""
    found = {f"{path.name}/" if path.is_dir() else path.name for path in (ROOT / package).iterdir()}
    return {name for name in found if name.endswith((".py", "/")) and not name.startswith(("_", "."))}


def test_each_part_of_vfs_has_a_word_in_its_readme() -> None:
    text = (ROOT / "vfs/README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"(?<![\w/])\w+(?:/|\.py)", text))
    assert parts_of("vfs") - named == set()


def test_the_floors_are_those_that_there_are() -> None:
    (floors,) = re.findall(r"```\nstorage/ .*?\n(vfs/ .*?)```", README, re.DOTALL)
    named = set(re.findall(r"\b\w+/?", re.sub(r"\([^)]*\)", "", floors))) - {"vfs/", "and", "beside", "them"}
    assert named == {name.removesuffix(".py") for name in parts_of("vfs")}


def test_the_defaults_of_a_storage_are_what_the_readme_says() -> None:
    defaults = {name: it.default for name, it in inspect.signature(OpenDALStorage.__init__).parameters.items()}
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| (.*\(\d.*) \|$", README, re.MULTILINE)
    told = {row: re.findall(r"\((\d+)( MiB)?\)", words) for row, words in rows}
    assert {row: [int(number) << 20 * bool(unit) for number, unit in numbers] for row, numbers in told.items()} == {
        row: [defaults[name] for name in re.findall(r"\w+", row)] for row in told
    }
    assert len(told) == 2
