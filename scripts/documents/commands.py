"""The page of the commands: what `--help` says, of each."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from vfs.cli import SECTIONS, cli

HEAD = """\
# The commands of vfs

What `--help` says of each, written by `scripts/docs`.
"""


def commands() -> str:
    """The page."""
    return "\n".join(_lines()).rstrip() + "\n"


def _lines() -> Iterator[str]:
    context = click.Context(cli, info_name="vfs", **cli.context_settings)
    yield HEAD
    yield from _command(cli, context, "##")
    for section, names in SECTIONS.items():
        yield f"## {section}\n"
        for name in names:
            command = cli.get_command(context, name)
            assert command is not None
            yield from _command(command, click.Context(command, parent=context, info_name=name), "###")


def _command(command: click.Command, context: click.Context, heading: str) -> Iterator[str]:
    """Heading, usage, text, options, and the examples as they stand."""
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield f"{heading} `{usage}`\n"
    yield f"{_prose(command.help or '')}\n"
    rows = [row for parameter in command.get_params(context) if (row := parameter.get_help_record(context))]
    for names, text in rows:
        yield f"- `{names}`: {' '.join(text.split())}".rstrip(": ")
    if rows:
        yield ""
    if command.epilog:
        yield "```\n" + inspect.cleandoc(command.epilog.replace("\b\n", "")).strip() + "\n```\n"


def _prose(text: str) -> str:
    """Paragraphs of one line each, but for those that click is told to leave as they are."""
    paragraphs = []
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        if paragraph.startswith("\b"):
            paragraphs.append("```\n" + inspect.cleandoc(paragraph.lstrip("\b\n")) + "\n```")
        else:
            paragraphs.append(" ".join(paragraph.split()))
    return "\n\n".join(paragraphs)
