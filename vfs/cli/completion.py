"""vfs completion: what a shell needs to complete commands, aliases and names of files."""

from __future__ import annotations

import click

from vfs.cli import output

SHELLS = ("bash", "zsh", "fish")


@click.command(
    "completion",
    short_help="Write the completion script of a shell.",
    epilog="""
\b
To have it in every new shell:
  bash  echo 'eval "$(vfs completion bash)"' >> ~/.bashrc
  zsh   echo 'eval "$(vfs completion zsh)"' >> ~/.zshrc     (after compinit)
  fish  vfs completion fish > ~/.config/fish/completions/vfs.fish
""",
)
@click.argument("shell", metavar="|".join(SHELLS), type=click.Choice(SHELLS))
def command(shell: str) -> None:
    """Write the script that makes a shell complete commands, options, aliases, and names in storages, as media:re."""
    from vfs.cli.completing import SCRIPTS

    output.line(SCRIPTS[shell].strip())
