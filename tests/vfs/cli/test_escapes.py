"""Names that hold what a terminal, a markup or a line of text would take for something else."""

from __future__ import annotations

import base64
import json
import os
import sys

import pytest
from commands import Project, Vfs
from hypothesis import given, strategies as st

from vfs.cli.names import escape, printable

NAME = b"[bold]\x1b[31m\n\xff\xe2\x80\xae\\"
SHOWN = r"[bold]\x1b[31m\n\xff\u202e\\"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain name", "plain name"),
        ("Ελλάδα 日本 👍", "Ελλάδα 日本 👍"),
        ("a\\nb", r"a\\nb"),
        ("a\nb\tc\rd\x07", r"a\nb\tc\rd\a"),
        ("\x1b[2J\x00\x7f\x85", r"\x1b[2J\x00\x7f\u0085"),
        ("\u202etxt.exe\u2028", r"\u202etxt.exe\u2028"),
        (os.fsdecode(b"caf\xe9"), r"caf\xe9"),
        ("\U000e0001", r"\U000e0001"),
    ],
)
def test_what_is_not_printable_is_an_escape(name: str, shown: str) -> None:
    assert escape(name) == shown


def test_a_message_keeps_its_backslashes() -> None:
    assert printable("'a\\n' is\nwrong") == r"'a\n' is\nwrong"


@given(st.text(), st.text())
def test_two_names_never_look_the_same(one: str, other: str) -> None:
    assert escape(one).isprintable()
    assert (escape(one) == escape(other)) == (one == other)


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS keeps no names that are no UTF-8")
@pytest.mark.parametrize(
    "command",
    [["ls"], ["ls", "-l"], ["ls", "-R"], ["tree"], ["du", "-a"], ["cp", "-rv"], ["rm", "-rv", "--no-preserve-root"]],
)
def test_commands_show_names_as_escapes(vfs: Vfs, project: Project, command: list[str]) -> None:
    (project.media / os.fsdecode(NAME)).mkdir()
    (project.media / os.fsdecode(NAME) / os.fsdecode(NAME)).touch()
    result = vfs(*command, "media:", *(["archive:"] if command[0] == "cp" else []))
    assert result.code == 0
    assert SHOWN in result.out
    assert result.out.replace("\n", "").isprintable()


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS keeps no names that are no UTF-8")
def test_errors_show_names_as_escapes(vfs: Vfs) -> None:
    result = vfs("cat", "media:" + os.fsdecode(NAME))
    assert result.err == f"vfs: media:{SHOWN}: No such file or directory\n"
    result = vfs("cat", os.fsdecode(NAME) + ":")
    assert result.code == 1
    assert result.err.removesuffix("\n").isprintable()


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS keeps no names that are no UTF-8")
def test_zero_writes_names_as_they_are(vfs: Vfs, project: Project) -> None:
    (project.media / os.fsdecode(NAME)).touch()
    (project.media / "a b").touch()
    result = vfs("ls", "--zero", "media:")
    assert os.fsencode(result.out).split(b"\0") == [NAME, b"a b", b""]


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS keeps no names that are no UTF-8")
def test_json_holds_the_bytes_of_names_that_are_no_text(vfs: Vfs, project: Project) -> None:
    (project.media / os.fsdecode(NAME)).touch()
    (project.media / "ünï").touch()
    result = vfs("ls", "--json", "media:")
    assert result.out.isascii()
    odd, plain = json.loads(result.out)
    assert odd["name"] == NAME.decode(errors="replace")
    assert base64.b64decode(odd["name_base64"]) == base64.b64decode(odd["path_base64"]) == NAME
    assert plain["name"] == "ünï"
    assert "name_base64" not in plain


def test_an_encoding_that_lacks_a_character_is_no_error(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    (project.media / "ünï").touch()
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    assert project.process("ls", "media:").out == "\\xfcn\\xef\n"
