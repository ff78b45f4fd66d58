"""The group of commands: each is imported when it is used, and `--help` shows them in sections."""

from __future__ import annotations

import difflib
import errno
import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import click


class LazyGroup(click.Group):
    """A group whose command NAME is the object `command` of the module `vfs.cli.NAME`, with "_" for "-"."""

    def __init__(
        self, *args: Any, sections: Mapping[str, Sequence[str]], aliases: Mapping[str, str], **kwargs: Any
    ) -> None:
        """`sections` has the names of the commands by heading, `aliases` other names for some of them."""
        super().__init__(*args, **kwargs)
        self._sections = sections
        self._aliases = aliases

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the sections."""
        return [name for names in self._sections.values() for name in names]

    def has(self, name: str) -> bool:
        """Whether there is a command of this name."""
        return name in self._aliases or any(name in names for names in self._sections.values())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command; None if there is none of this name."""
        name = self._aliases.get(cmd_name, cmd_name)
        if not self.has(name):
            return None
        command: click.Command = importlib.import_module(f"vfs.cli.{name.replace('-', '_')}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, with the nearest names where there is no such command."""
        name = args[0]
        if self.get_command(ctx, name) is None and not ctx.resilient_parsing and not name.startswith("-"):
            near = difflib.get_close_matches(name, [*self.list_commands(ctx), *self._aliases], n=3)
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            ctx.fail(f"There is no command {name!r}.{hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command.

        click takes every EPIPE for the end of whoever reads stdout, and every EOFError for Ctrl-D. The first is an
        OutputClosedError here and the second is never waited for, so what is left are the answers of servers.
        """
        try:
            return super().invoke(ctx)
        except (BrokenPipeError, EOFError) as error:
            raise ConnectionError(errno.ECONNRESET, "The server closed the connection") from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections."""
        for heading, names in self._sections.items():
            commands = [(name, self.get_command(ctx, name)) for name in names]
            with formatter.section(heading):
                formatter.write_dl([(name, command.get_short_help_str(80)) for name, command in commands if command])
