"""The command line: `vfs mount`, `vfs ls media:`, ...

One module a command, imported when it is used, so that the command starts fast. `main()` runs one command;
`vfs.cli.errors` is the one place that turns exceptions into messages and exit codes.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from vfs.cli import errors, output
from vfs.cli.group import LazyGroup

SECTIONS = {
    "Mounts": ("mount", "unmount", "status", "top", "trace", "log", "flush", "refresh", "reload", "recover"),
    "Files of a storage, without a mount": (
        *("ls", "tree", "cat", "cp", "mv", "rm", "mkdir", "stat", "du", "df", "url"),
    ),
    "The set-up": ("doctor", "storages", "completion", "install-helper"),
}
ALIASES = {"umount": "unmount"}

EPILOG = """
\b
Examples:
  vfs storages                          the aliases, and where they are configured
  vfs mount media ./mnt                 show the storage "media" as a directory
  vfs unmount ./mnt
  vfs ls -l media:reports
  vfs cp -r ./site media:site           to a storage, from one, or between two
  vfs --config prod.toml du -s media:

A file of a storage is written ALIAS:path, as in media:reports/may.pdf; the path is relative to the root of the
storage. Anything else is a local path: ./a:b, /a:b and plain words without a colon.

Settings are read from --config or $VFS_CONFIG, ./vfs.toml, [tool.vfs] of ./pyproject.toml, the user's and the
system's vfs/vfs.toml, and a Django project; the first that defines STORAGES wins. The storage "memory" is built in.

Names are shown with control characters, bytes that are no UTF-8, and backslashes as escapes (\\n, \\x1b, \\\\).

Exit codes: 0 done; 1 failed, also in part (the rest was done), or by a wrong option of a mount (-o); 2 words of the
command that are missing or wrong; 130 interrupted; 141 who read the output went away. vfs mount --foreground, for a
service manager: 78 what only a person can mend, of options, configuration or directories; 1 what may pass.
"""


def _show_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from importlib import metadata

        try:
            version = metadata.version("storage-vfs")
        except metadata.PackageNotFoundError:
            version = "(not installed, run from its source)"
        click.echo(f"vfs {version}")
        context.exit()


@click.command(
    cls=LazyGroup,
    sections=SECTIONS,
    aliases=ALIASES,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--config", metavar="FILE", type=click.Path(), help="Read the settings from this TOML file first.")
@click.option(
    "--django-settings", metavar="MODULE", help="Take the settings of this Django project, as project.settings."
)
@click.option("-v", "--verbose", is_flag=True, help="Log what is done, and show tracebacks.")
@click.option(
    "--version",
    help="Show the version and exit.",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
)
@click.pass_context
def cli(context: click.Context, config: str | None, django_settings: str | None, verbose: bool) -> None:
    """Mount storages as directories, and work with their files.

    A storage is what Django calls so: a folder, a bucket, a server, or memory, behind an alias in STORAGES.
    """
    if verbose:
        errors.be_verbose()
    if context.invoked_subcommand != "mount":  # a mount in the foreground logs in its own way
        errors.set_up_logging(verbose)
    configure(config, django_settings)


def configure(config: str | None, django_settings: str | None) -> None:
    """Say where the settings come from; nothing is read yet."""
    if config is not None or django_settings is not None:
        from storage import settings

        settings.configure(config=config, django_settings=django_settings)


def main(args: Sequence[str] | None = None, program: str = "vfs") -> int:
    """Run the command in `args` (those of the process by default), and return its exit code.

    `program` is what help and usage call it.
    """
    words = list(sys.argv[1:] if args is None else args)
    output.make_safe()
    if "_VFS_COMPLETE" in os.environ:
        importlib.import_module("vfs.cli.completing")  # tells click about the shells
    try:
        code: Any = cli.main(_of_mount(words) or ["--help"], prog_name=program, standalone_mode=False)
        output.flush()
    except BaseException as error:  # noqa: BLE001 - the one place where exceptions end
        try:
            code = errors.report(error)
        except KeyboardInterrupt:
            code = errors.INTERRUPTED
    finally:
        logging.shutdown()
    return code if isinstance(code, int) else 0


def _of_mount(words: list[str]) -> list[str]:
    """The words as they are, but for ALIAS DIRECTORY -o OPTIONS, which is what fuse's helper of mount(8) has.

    For a line of /etc/fstab that begins with `vfs#ALIAS`, and has the type `fuse`.
    """
    if len(words) == 4 and words[2] == "-o" and not words[0].startswith("-") and not cli.has(words[0]):
        return ["mount", "-o", words[3], "--", *words[:2]]
    return words
