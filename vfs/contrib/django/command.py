"""How the commands of `vfs` become commands of `manage.py`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from django.conf import settings as django_settings
from django.core.management.base import BaseCommand, CommandError

from storage import settings
from storage.conf.global_settings import SETTINGS


class VfsCommand(BaseCommand):  # type: ignore[misc]  # Django has no types
    """A command that hands its words to `vfs`, which also has its options and its help."""

    requires_system_checks = ()
    prefix: tuple[str, ...] = ()
    """The words before those that were given."""

    def run_from_argv(self, argv: list[str]) -> None:
        """Run as `manage.py` does, and exit with the code that `vfs` would."""
        program = " ".join(argv[:1] if self.prefix else argv[:2])
        sys.exit(self._run(_without_djangos(argv[2:]), program))

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Take all words as they are; for `call_command()`."""
        parser.add_argument("words", nargs=argparse.REMAINDER)

    def handle(self, *args: Any, words: Sequence[str], **options: Any) -> None:
        """Run for `call_command()`; CommandError where `vfs` would have failed."""
        code = self._run(words, "manage.py")
        if code:
            raise CommandError(f"vfs {' '.join([*self.prefix, *words])} has failed", returncode=code)

    def _run(self, words: Sequence[str], program: str) -> int:
        from vfs.cli import main

        names = [name for name in SETTINGS if hasattr(django_settings, name)]
        settings.configure(**{name: getattr(django_settings, name) for name in names})
        return main([*self.prefix, *self.of_the_project(), *words], program)

    def of_the_project(self) -> tuple[str, ...]:
        """Options that nobody has to say, because the project does."""
        return ()


def _without_djangos(words: list[str]) -> list[str]:
    """The words without the options that `manage.py` has taken already."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--settings")
    parser.add_argument("--pythonpath")
    return parser.parse_known_args(words)[1]
