"""Completion: the scripts for the shells, and what they are answered.

A script hands over the command line up to the cursor, and gets a line for each possible word: "plain" if the word is
complete or "open" if it goes on (an alias, a directory), the word quoted for the shell, and a help text, with tabs
between. Local files are listed here too, so that they can stand beside aliases. Nothing is ever written to stderr:
what cannot be completed has no completions.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from typing import ClassVar

import click
from click.shell_completion import CompletionItem, ShellComplete, add_completion_class, split_arg_string

from vfs.cli.targets import Target

_CURSOR = "\x01"
_TO_QUOTE = re.compile(r"[^\w@%+=:,./~-]")

_BASH = r"""
_vfs_completion() {
    local kind value help
    COMPREPLY=()
    while IFS=$'\t' read -r kind value help; do
        case $kind in
            plain) COMPREPLY+=("$value ") ;;
            open) COMPREPLY+=("$value") ;;
        esac
    done < <(COMP_LINE="${COMP_LINE:0:COMP_POINT}" COMP_BREAKS="$COMP_WORDBREAKS" \
        _VFS_COMPLETE=bash_complete "$1" 2>/dev/null)
}
complete -o nospace -F _vfs_completion vfs
"""

_ZSH = r"""
#compdef vfs
_vfs_completion() {
    local kind value help
    local -a whole whole_shown open_ended
    while IFS=$'\t' read -r kind value help; do
        case $kind in
            plain) whole+=("$value"); whole_shown+=("$value${help:+  -- $help}") ;;
            open) open_ended+=("$value") ;;
        esac
    done < <(COMP_LINE="${words[1,CURRENT-1]} $PREFIX" _VFS_COMPLETE=zsh_complete "${words[1]}" 2>/dev/null)
    (( $#whole )) && compadd -Q -U -l -d whole_shown -a whole
    (( $#open_ended )) && compadd -Q -U -S '' -a open_ended
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _vfs_completion "$@"
else
    compdef _vfs_completion vfs
fi
"""

_FISH = r"""
function _vfs_completion
    set -l command (commandline -opc)[1]
    for line in (COMP_LINE=(commandline -cp | string collect) _VFS_COMPLETE=fish_complete $command 2>/dev/null)
        set -l parts (string split \t -- $line)
        printf '%s\t%s\n' $parts[2] $parts[3]
    end
end
complete --command vfs --no-files --arguments '(_vfs_completion)'
"""

SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


class _Complete(ShellComplete):
    """What is the same for all shells."""

    source_template: ClassVar[str] = "%(prog_name)s"  # the scripts come from SCRIPTS

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one at the cursor, and that one, unquoted."""
        words = split_arg_string(os.environ.get("COMP_LINE", "") + _CURSOR)[1:] or [_CURSOR]
        return words[:-1], words[-1].removesuffix(_CURSOR)

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        """As click's, with the local files that it leaves to the shell."""
        found: list[CompletionItem] = []
        with contextlib.suppress(Exception):  # a mistake in a configuration is told by the commands
            for item in super().get_completions(args, incomplete):
                if item.type in ("file", "dir"):
                    found += _local_names(item.value or "", only_directories=item.type == "dir")
                else:
                    found.append(item)
        return found

    def complete(self) -> str:
        """A line for each word."""
        args, incomplete = self.get_completion_args()
        option, equals, _ = incomplete.partition("=")
        before = option + equals if option.startswith("--") else ""
        lines = []
        for item in self.get_completions(args, incomplete):
            value = item.value if item.value.startswith(before) else before + item.value
            if value.isprintable():  # neither a terminal nor the lines of the answer could hold others
                lines.append(self.format_completion(CompletionItem(value, item.type, item.help, word=incomplete)))
        return "\n".join(lines)

    def format_completion(self, item: CompletionItem) -> str:
        """The three fields."""
        kind = "open" if item.type == "open" else "plain"
        return f"{kind}\t{self.quote(item.value)}\t{item.help or ''}"

    def quote(self, value: str) -> str:
        """The word as it is put on the command line."""
        return _TO_QUOTE.sub(r"\\\g<0>", value)


class _Bash(_Complete):
    """bash takes ':' and '=' for the ends of words, and wants only what comes after."""

    name = "bash"

    def format_completion(self, item: CompletionItem) -> str:
        breaks = os.environ.get("COMP_BREAKS", "")
        ends = [item.word.rfind(char) + 1 for char in ":=" if char in breaks]
        return super().format_completion(CompletionItem(item.value[max(ends, default=0) :], item.type, item.help))


class _Zsh(_Complete):
    name = "zsh"


class _Fish(_Complete):
    """fish quotes by itself."""

    name = "fish"

    def quote(self, value: str) -> str:
        return value


for _shell in (_Bash, _Zsh, _Fish):
    add_completion_class(_shell)


def complete_alias(ctx: click.Context, incomplete: str, *, end: str = "") -> list[CompletionItem]:
    """The aliases."""
    from storage import storages

    _configure(ctx)
    kind = "open" if end else "plain"
    return [CompletionItem(alias + end, kind) for alias in storages if alias.startswith(incomplete)]


def complete_target(ctx: click.Context, incomplete: str, *, local: bool) -> list[CompletionItem]:
    """Aliases and, after one, the names in its storage; with `local` the names of local files too."""
    target = Target.parse(incomplete) if incomplete else None
    if target is not None and target.alias is not None:
        _configure(ctx)
        return list(_stored_names(target))
    found = complete_alias(ctx, incomplete, end=":")
    return [*found, *_local_names(incomplete)] if local else found


def _configure(ctx: click.Context) -> None:
    """Do what the group does before a command."""
    from vfs.cli import configure

    params = ctx.find_root().params
    configure(params.get("config"), params.get("django_settings"))


def _stored_names(target: Target) -> Iterator[CompletionItem]:
    from vfs.cli.access import storage_of
    from vfs.cli.places import Place

    directory, slash, last = target.path.rpartition("/")
    place = Place(storage_of(str(target.alias)), "/".join(filter(None, directory.split("/"))), "")
    for entry in sorted(place.kinds(), key=lambda entry: entry.name):
        if entry.name.startswith(last):
            name = f"{target.alias}:{directory}{slash}{entry.name}"
            yield CompletionItem(f"{name}/", "open") if entry.is_dir else CompletionItem(name)


def _local_names(incomplete: str, *, only_directories: bool = False) -> list[CompletionItem]:
    """Local files whose path begins so; those with a dot in front when that is written."""
    directory, slash, last = incomplete.rpartition("/")
    found = []
    with contextlib.suppress(OSError), os.scandir(os.path.expanduser(directory + slash) or ".") as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if not entry.name.startswith(last) or (entry.name.startswith(".") and not last.startswith(".")):
                continue
            if entry.is_dir():
                found.append(CompletionItem(f"{directory}{slash}{entry.name}/", "open"))
            elif not only_directories:
                found.append(CompletionItem(f"{directory}{slash}{entry.name}"))
    return found
