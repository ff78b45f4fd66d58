"""Completion, as the three shells ask for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from commands import Project, Vfs

SHELLS = {"bash": ["bash", "--norc", "-c"], "zsh": ["zsh", "-fc"], "fish": ["fish", "--no-config", "-c"]}


@pytest.fixture
def filled(project: Project) -> Project:
    """media: with names to complete, and the command on the PATH."""
    (project.media / "reports").mkdir()
    (project.media / "reports" / "a:b").touch()
    (project.media / "two words").mkdir()
    (project.media / "new\nline").touch()
    (project.path / "local.txt").touch()
    (project.path / "bin").mkdir()
    command = project.path / "bin" / "vfs"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m vfs "$@"\n')
    command.chmod(0o755)
    return project


def ask(project: Project, shell: str, line: str) -> list[tuple[str, str]]:
    """The answer to a shell: pairs of kind and word."""
    environment = {
        **project.environment(),
        "_VFS_COMPLETE": f"{shell}_complete",
        "COMP_LINE": line,
        "COMP_BREAKS": " \t\n\"'><=;|&(:",
    }
    command = [sys.executable, "-m", "vfs"]
    result = subprocess.run(command, cwd=project.path, env=environment, capture_output=True, text=True, check=True)
    assert result.stderr == ""
    pairs = [line.split("\t") for line in result.stdout.splitlines() if line]
    return [(kind, word) for kind, word, _ in pairs]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("vfs s", [("plain", "status"), ("plain", "stat"), ("plain", "storages")]),
        ("vfs ls med", [("open", "media:")]),
        ("vfs ls media:r", [("open", "media:reports/")]),
        ("vfs ls media:", [("open", "media:reports/"), ("open", "media:two words/")]),
        ("vfs ls media:reports/", [("plain", "media:reports/a:b")]),
        ("vfs ls media:'two w", [("open", "media:two words/")]),
        ("vfs ls media:none/", []),
        ("vfs ls memory:", []),
        ("vfs ls broken:", []),
        ("vfs cp loc", [("plain", "local.txt")]),
        ("vfs mount med", [("plain", "media")]),
        ("vfs do", [("plain", "doctor")]),
        ("vfs doctor arch", [("plain", "archive")]),
        ("vfs mount media arch", [("open", "archive/")]),
        ("vfs --config vfs.t", [("plain", "vfs.toml")]),
        ("vfs --config none.toml ls m", []),
        ("vfs ls --sort=s", [("plain", "--sort=size")]),
        ("vfs completion f", [("plain", "fish")]),
    ],
)
def test_what_is_completed(filled: Project, line: str, words: list[tuple[str, str]]) -> None:
    assert ask(filled, "fish", line) == words


def test_a_configuration_that_is_named_is_used(filled: Project) -> None:
    (filled.path / "other.toml").write_text('[STORAGES.mine]\nBACKEND = "storage.FileSystemStorage"\n')
    assert ask(filled, "fish", "vfs --config other.toml ls m") == [("open", "mine:"), ("open", "memory:")]


def test_words_are_quoted_for_the_shell(filled: Project) -> None:
    assert ask(filled, "zsh", "vfs ls media:t") == [("open", r"media:two\ words/")]


def test_bash_gets_what_comes_after_its_last_word_break(filled: Project) -> None:
    assert ask(filled, "bash", "vfs ls media:t") == [("open", r"two\ words/")]
    assert ask(filled, "bash", "vfs ls media:reports/a:") == [("plain", "b")]
    assert ask(filled, "bash", "vfs ls --sort=s") == [("plain", "size")]


def run_in(shell: str, project: Project, script: str) -> str:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    path = f"{project.path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {**project.environment(), "PATH": path, "XDG_DATA_HOME": str(project.path / "share")}
    command = [*SHELLS[shell], script]
    result = subprocess.run(command, cwd=project.path, env=environment, capture_output=True, text=True, timeout=60)
    assert result.stderr == ""
    assert result.returncode == 0
    return result.stdout


def test_bash_completes(filled: Project) -> None:
    script = """
        eval "$(vfs completion bash)"
        COMP_LINE="vfs ls media:t"; COMP_POINT=${#COMP_LINE}; COMP_WORDS=(vfs ls media : t); COMP_CWORD=4
        complete -p vfs; _vfs_completion vfs; printf '<%s>' "${COMPREPLY[@]}"
    """
    assert run_in("bash", filled, script).splitlines() == [
        "complete -o nospace -F _vfs_completion vfs",
        r"<two\ words/>",
    ]


def test_zsh_loads_it(filled: Project) -> None:
    script = 'autoload -U compinit && compinit -D -u && eval "$(vfs completion zsh)" && print $_comps[vfs]'
    assert run_in("zsh", filled, script) == "_vfs_completion\n"


def test_fish_completes(filled: Project) -> None:
    script = "vfs completion fish | source; complete -C 'vfs ls media:'; complete -C 'vfs comp'"
    lines = run_in("fish", filled, script).splitlines()
    assert lines == ["media:reports/", "media:two words/", "completion\tWrite the completion script of a shell."]


def test_each_script_is_what_the_help_tells_to_load(vfs: Vfs) -> None:
    for shell in SHELLS:
        assert vfs("completion", shell).out
        assert shell in vfs("completion", "--help").out
